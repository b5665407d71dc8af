"""Interface between copper and cobalt, both face-centred cubic, spd orbitals.

    Cu  Cu  Cu | Co  Co  Co        one coherent crystal with the in-plane cell of Cu

Orthogonal Slater-Koster parameters (`python -m qtorque materials` lists them with their sources). Look at it with
drivers/interface.py; drivers/interface_table.py holds it beside other interfaces, on meshes that use its symmetry.
"""

import qtorque as qt


def build(*, copper_layers=0, cobalt_layers=0, facet="111"):
    """The interface between two semi-infinite metals, or a cobalt film in copper.

    Parameters
    ----------
    copper_layers
        Monolayers of copper that stand in the stack beside the cobalt, for layer-resolved results.
    cobalt_layers
        0: semi-infinite cobalt. Else a film of as many monolayers between copper leads.
    facet
        "111", "001" or "110".
    """
    copper, cobalt = (qt.slater_koster(name, facet=facet) for name in ("Cu", "Co"))
    layers = [qt.Layer(metal, n) for metal, n in ((copper, copper_layers), (cobalt, cobalt_layers)) if n != 0]
    return qt.Stack(left=qt.Lead(copper), layers=layers, right=qt.Lead(copper if cobalt_layers else cobalt))
