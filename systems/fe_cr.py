"""Interface between chromium and iron, both body-centred cubic, spd orbitals.

    Cr  Cr  Cr | Fe  Fe  Fe        one coherent crystal with the in-plane cell of Cr

Chromium is paramagnetic here, without its spin-density wave. Its parameters are a fit to published bands, those of iron
a published table (`python -m qtorque materials` lists them). Look at it with drivers/interface.py.
"""

import qtorque as qt


def build(*, chromium_layers=0, iron_layers=0, facet="001"):
    """The interface between two semi-infinite metals, or an iron film in chromium.

    Parameters
    ----------
    chromium_layers
        Monolayers of chromium that stand in the stack beside the iron, for layer-resolved results.
    iron_layers
        0: semi-infinite iron. Else a film of as many monolayers between chromium leads.
    facet
        "001" or "110".
    """
    chromium, iron = (qt.slater_koster(name, facet=facet) for name in ("Cr", "Fe"))
    layers = [qt.Layer(metal, n) for metal, n in ((chromium, chromium_layers), (iron, iron_layers)) if n != 0]
    return qt.Stack(left=qt.Lead(chromium), layers=layers, right=qt.Lead(chromium if iron_layers else iron))
