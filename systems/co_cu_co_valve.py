"""Spin valve of real metals: two thin cobalt films between copper leads, parted by a copper spacer; fcc, spd orbitals.

    Cu  Cu | Co Co Co Co | Cu Cu Cu Cu | Co Co Co Co | Cu  Cu        one coherent crystal with the in-plane cell of Cu
               fixed         spacer         free

Orthogonal Slater-Koster parameters (`python -m qtorque materials` lists them with their sources). Without a barrier a
voltage shifts no band: take the response at V = 0 (`qt.linear_torkance`, drivers/valve_torque.py).
"""

import qtorque as qt


def build(*, fixed_layers=8, spacer_layers=6, free_layers=8, facet="111"):
    """The valve, both magnets along z; drivers turn the right one, called free.

    Parameters
    ----------
    fixed_layers, spacer_layers, free_layers
        Thicknesses in monolayers. 0 leaves a part out: without spacer and one magnet the other is alone, Cu | Co | Cu,
        which is what circuit theory takes its parameters from.
    facet
        "111", "001" or "110".
    """
    copper, cobalt = (qt.slater_koster(name, facet=facet) for name in ("Cu", "Co"))
    parts = [("fixed", cobalt, fixed_layers), ("spacer", copper, spacer_layers), ("free", cobalt, free_layers)]
    return qt.Stack(
        left=qt.Lead(copper),
        layers=[
            qt.Layer(material, count, name=name, magnet=name if material.magnetic else None)
            for name, material, count in parts
            if count != 0
        ],
        right=qt.Lead(copper),
    )
