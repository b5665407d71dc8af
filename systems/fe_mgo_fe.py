"""Iron | magnesium oxide | iron (001): a demonstration of a tunnel junction, and no more than that.

    Fe  Fe | MgO  MgO  MgO | Fe  Fe        [100] of Fe along [110] of MgO, oxygen straight above iron

The parameters of MgO are of low trust (`python -m qtorque materials`): a fit of our own to remembered levels. Where the
Fermi level of iron lies in the gap is a choice, and a parameter here. Interfaces are ideal, layers are not
neutral, distances are those of the bulks. The majority tunnels at the centre of the zone, as it should; the minority at
a few sharp resonances of the interfaces, at (0.14, 0.36) pi and its images, which no mesh of 64 x 64 resolves: a
magnetoresistance summed over k does not converge there, and means nothing. Look at its in-plane map.
"""

import qtorque as qt


def build(*, barrier_layers=4, oxide_shift=0.0):
    """The junction; fixed magnet to the left, free magnet to the right.

    Parameters
    ----------
    barrier_layers
        Monolayers of MgO.
    oxide_shift
        Rigid shift of the bands of MgO, eV; at 0 the Fermi level of iron is in the middle of its gap of 7.8 eV.
    """
    iron = qt.slater_koster("Fe", facet="001")
    oxide = qt.slater_koster("MgO", facet="001")
    name = "MgO (demonstration, parameters of low trust)"
    barrier = qt.Layer(oxide, barrier_layers, barrier=True, shift=oxide_shift, name=name)
    return qt.Stack(left=qt.Lead(iron, magnet="fixed"), layers=[barrier], right=qt.Lead(iron, magnet="free"))
