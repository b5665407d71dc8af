"""Spin valve with a disordered spacer: two thin magnets between clean normal leads, over an in-plane supercell.

    N  N | N*  F*  F  F  F*  N* | Ns  Ns ... Ns | N*  F*  F  F*  N* | N  N
             fixed                    spacer             free

Layers marked s have Anderson disorder: each site lies at an energy of its own. Layers with a star are intermixed: a
site may be of the other metal. The magnets may have Anderson disorder too. Every part can be built alone, as the same
sample that it is in the valve: fixed_layers=0 and free_layers=0 leave the spacer, spacer_layers=0 and free_layers=0 the
fixed magnet. Results are per supercell: divide by n m for those of a primitive cell.

As declared the majority band matches that of the normal metal, as in Co|Cu, and disorder of the interfaces scatters the
minority alone. The spacer is somewhat longer than a mean free path and a supercell conducts some e^2/h, so that
interference between configurations averages out.
"""

from dataclasses import replace

import numpy as np

import qtorque as qt

PARTS = {"fixed": 0, "spacer": 1, "free": 2}
LAYERS_OF_A_PART = 10**6
"""Parts draw the random numbers of their layers from this number on, so that the length of one moves no other."""


def build(
    *,
    n=5,
    m=5,
    fixed_layers=4,
    spacer_layers=6,
    free_layers=3,
    mixed_layers=1,
    disorder=3.5,
    magnet_disorder=0.0,
    mixing=0.5,
    configuration=0,
    seed=1,
    onsite_normal=2.5,
    onsite_up=2.5,
    onsite_down=4.5,
    hopping=-1.0,
    lattice_constant=0.3,
):
    """One configuration of the valve, both magnets along z; drivers turn the right one, called free.

    Parameters
    ----------
    n, m
        Primitive cells of the supercell along both in-plane vectors.
    fixed_layers, spacer_layers, free_layers
        Thicknesses in monolayers; 0 leaves the part out, with its intermixed layers. The mixed magnetic layers count
        as layers of the magnet, the mixed normal ones come on top, on both sides of each magnet.
    mixed_layers
        Intermixed monolayers on either side of every interface, at most half a magnet.
    disorder
        Width W of the Anderson disorder of the spacer, eV: the energies of its sites spread evenly over
        [-W/2, W/2], both spins alike.
    magnet_disorder
        The same for all layers of the magnets, the intermixed ones included.
    mixing
        Share of the sites of an intermixed layer that are of the other metal, rounded to whole sites, 0 to 1/2: at
        1/2 and an even n m both layers of an interface are the same alloy. One cell alone cannot be mixed.
    configuration, seed
        Which random numbers: every (seed, configuration) is another sample.
    onsite_normal
        On-site energy of the normal metal, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the magnets, eV; onsite_down >= onsite_up.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    if not (disorder >= 0 and magnet_disorder >= 0 and 0 <= mixing <= 0.5):
        raise qt.InputError(
            f"disorder={disorder}, magnet_disorder={magnet_disorder}, mixing={mixing}: give widths from 0 on and a "
            "share of 0 to 0.5"
        )
    counts = {"fixed": fixed_layers, "spacer": spacer_layers, "free": free_layers}
    if min(*counts.values(), mixed_layers) < 0:
        raise qt.InputError(
            f"fixed_layers={fixed_layers}, spacer_layers={spacer_layers}, free_layers={free_layers}, "
            f"mixed_layers={mixed_layers}: give numbers from 0 on"
        )
    for part in ("fixed", "free"):
        if 0 < counts[part] < 2 * mixed_layers:
            raise qt.InputError(
                f"{part}_layers={counts[part]} is less than twice mixed_layers={mixed_layers}; make the magnet thicker"
            )
    if not any(counts.values()):
        raise qt.InputError("fixed_layers, spacer_layers and free_layers are all 0; give at least one layer")
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    normal = qt.single_band(onsite=onsite_normal, name="N", **shared)
    magnet = qt.single_band(onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared)
    clean = qt.in_plane_supercell([[normal] * m] * n)

    def layer(part, number, metal, other, width, share):
        address = PARTS[part] * LAYERS_OF_A_PART + number

        def drawn(i, j):
            return qt.site_generator(seed=seed, configuration=configuration, layer=address, site=(i, j)).random(2)

        # Both numbers of a site are drawn always, so that one kind of disorder does not change the other. A given
        # number of foreign sites, not a probability, leaves no magnet with a layer that is not magnetic.
        energies, lots = np.moveaxis([[drawn(i, j) for j in range(m)] for i in range(n)], -1, 0)
        foreign = lots.ravel().argsort().argsort().reshape(n, m) < round(share * n * m)

        def site(i, j):
            found = other if foreign[i, j] else metal
            return replace(found, onsite=found.onsite + width * (energies[i, j] - 0.5) * np.eye(found.orbitals))

        material = qt.in_plane_supercell([[site(i, j) for j in range(m)] for i in range(n)])
        return qt.Layer(material, name=f"{part} {number}", magnet=part if material.exchange.any() else None)

    def magnet_layers(part):
        if not counts[part]:
            return []
        edge, inner = [mixing] * mixed_layers, [0.0] * (counts[part] - 2 * mixed_layers)
        metals = [(normal, magnet, p) for p in edge]
        metals += [(magnet, normal, p) for p in (*edge, *inner, *edge)]
        metals += [(normal, magnet, p) for p in edge]
        return [layer(part, i, own, other, magnet_disorder, p) for i, (own, other, p) in enumerate(metals)]

    spacer = [layer("spacer", i, normal, magnet, disorder, 0.0) for i in range(spacer_layers)]
    return qt.Stack(
        left=qt.Lead(clean),
        layers=[*magnet_layers("fixed"), *spacer, *magnet_layers("free")],
        right=qt.Lead(clean),
    )
