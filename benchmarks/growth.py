"""Growth of the time with layers, orbitals, momenta and ranks.

    python benchmarks/growth.py --layers 10 40 160 400 --orbitals 1 2 4 9 --meshes 64 128 256 512 1024

Rows: nanoseconds of one thread for one momentum of `qt.solve` with `qt.transmission`, both spins, and wall time of a
torque map on one rank and on several. All sizes of a row of sizes are timed one after the other in every repeat, so
that a busy machine slows them all; medians are given, the ratio is to the first of the sizes, and an exponent is the
slope of a line through the logarithms. The part of a call that does not grow with the mesh is given by itself.

Before the clock starts, transmissions at a few momenta have to agree with Kwant's own solver to 1e-10, and every timed
solve has to be unitary to 1e-9. The maps of all numbers of ranks have to be the same bit for bit.
"""

import argparse
import itertools
import statistics
import sys
import time
import warnings

import numpy as np
from _ranks import MPIEXEC, map_on_ranks
from _table import row
from several_orbitals import random_material, valve

AGREEMENT = 1e-10
"""Largest difference of a transmission, relative to the largest (or one)."""
UNITARITY = 1e-9
"""Largest |S^dagger S - 1|; at momenta close to a band edge flux is normalised by a small number."""
ENERGY = 0.1
"""eV."""
ANGLES = {"collinear": 0.0, "noncollinear": 1.0}
"""rad, between the magnets."""
COMPARED = np.array([[0.9, 1.1], [1.3, -0.7]])
"""Momenta of the comparison with Kwant, where the leads of the single band are open."""
GRADING = 0.2
"""eV, range of the on-site energies where no two layers are equal."""
LAYERS = 20
"""Of the stacks whose orbitals or momenta are counted."""
LAYERS_MESH = 512
"""Side of the mesh of stacks of all thicknesses: the fixed part of a call counts for little there."""
ORBITALS_MESH = 128
"""Side of the mesh for one orbital, half of it for two, and so on."""
MAP_ANGLES, MAP_VOLTAGES = 5, 11


def single_band_valve(layers):
    """N | F | N | F | N between normal leads, one orbital."""
    import qtorque as qt

    return valve(qt.single_band(onsite=2.5), qt.single_band(onsite=2.75, exchange=2.5), layers)


def graded_valve(layers):
    """The same with another on-site energy in every layer, so that no two layers are equal."""
    import qtorque as qt

    rng, thickness = np.random.default_rng(3), layers // 5

    def run(count, onsite, exchange=0.0, magnet=None):
        steps = GRADING * rng.random(count)
        materials = [qt.single_band(onsite=onsite + step, exchange=exchange) for step in steps]
        return [qt.Layer(material, 1, magnet=magnet) for material in materials]

    lead = qt.Lead(qt.single_band(onsite=2.5))
    pieces = [
        *run(thickness, 2.5),
        *run(thickness, 2.75, 2.5, "fixed"),
        *run(thickness, 2.5),
        *run(thickness, 2.75, 2.5, "free"),
        *run(layers - 4 * thickness, 2.5),
    ]
    return qt.Stack(left=lead, layers=pieces, right=lead)


def random_valve(orbitals):
    """The same of random blocks."""
    return valve(random_material("N", 1, orbitals), random_material("F", 2, orbitals, magnetic=True), LAYERS)


def solved(layered, kset, angle):
    """Scattering and transmission: what is timed."""
    import qtorque as qt

    s = qt.solve(layered, energy=ENERGY, kmesh=kset, angle=angle)
    return s, qt.transmission(s)


def checked(stack, angle, name):
    """The stack as the engine takes it; ends the program unless its transmission is Kwant's."""
    import qtorque as qt
    from qtorque.bloch import as_layered

    layered, few = as_layered(stack), qt.kpoints(COMPARED)
    expected = qt.transmission(qt.solve(stack, energy=ENERGY, kmesh=few, angle=angle, engine="kwant")).values
    difference = np.abs(solved(layered, few, angle)[1].values - expected).max() / max(1, expected.max())
    if not difference < AGREEMENT:
        sys.exit(f"{name}: transmissions differ by {difference:.3g} from Kwant's; no speed without the right answer")
    if not expected.max() > AGREEMENT:
        sys.exit(f"{name}: nothing is transmitted at the momenta of the comparison, which says nothing then")
    return layered


def seconds_of_each(cases, repeats):
    """Medians of the wall time of functions without arguments, called in turn; the first round does not count."""
    found = [[] for _ in cases]
    for i in range(repeats + 1):
        for own, case in zip(found, cases, strict=True):
            start = time.perf_counter()
            case()
            if i > 0:
                own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in found]


def seconds_a_momentum(cases, repeats):
    """The same for one momentum of solves: `cases` are (name, layered, kset, angle)."""
    for name, layered, kset, angle in cases:
        error = float(solved(layered, kset, angle)[0].unitarity_error.max())
        if not error < UNITARITY:
            sys.exit(f"{name}: unitarity is missed by {error:.3g}; no speed without the right answer")
    seconds = seconds_of_each([lambda c=case: solved(*c[1:]) for case in cases], repeats)
    return [total / kset.size for total, (_, _, kset, _) in zip(seconds, cases, strict=True)]


def exponent(sizes, seconds):
    """Slope of ln seconds over ln size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def line_through_ends(sizes, seconds):
    """(seconds of each further unit of size, seconds at size zero) by the first and the last size."""
    slope = (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0])
    return slope, seconds[0] - slope * sizes[0]


def report(benchmark, cases, seconds):
    """A row for every case."""
    for (name, *_), each in zip(cases, seconds, strict=True):
        row(benchmark, name, 1e9 * each, "ns a momentum", cases[0][0], each / seconds[0])


def layers(options):
    """One orbital, more layers."""
    import qtorque as qt

    kset = qt.kmesh(min(LAYERS_MESH, max(options.meshes)))
    stacks = {"runs of equal layers": single_band_valve, "all layers different": graded_valve}
    for kind, (material, stack_of) in itertools.product(ANGLES, stacks.items()):
        cases = []
        for n in options.layers:
            name = f"{n} layers"
            cases.append((name, checked(stack_of(n), ANGLES[kind], f"{name}, {kind}"), kset, ANGLES[kind]))
        seconds = seconds_a_momentum(cases, options.repeats)
        benchmark = f"layers, {kind}, {material}"
        report(benchmark, cases, seconds)
        if len(options.layers) > 1:
            slope, _ = line_through_ends(options.layers, seconds)
            row(benchmark, "each further layer", 1e9 * slope, "ns a momentum")
            ends = f"{options.layers[0]} to {options.layers[-1]} layers"
            row(benchmark, ends, exponent(options.layers, seconds), "exponent", "at most 1")


def orbitals(options):
    """20 layers, more orbitals, and so many momenta that none takes much longer than the others."""
    import qtorque as qt

    largest = max(options.meshes)
    for kind, angle in ANGLES.items():
        cases = []
        for n in options.orbitals:
            name = f"{n} orbital{'s' if n > 1 else ''}"
            side = min(largest, ORBITALS_MESH // n)
            cases.append((name, checked(random_valve(n), angle, name), qt.kmesh(side), angle))
        seconds = seconds_a_momentum(cases, options.repeats)
        report(f"orbitals, {kind}", cases, seconds)
        # One orbital has kernels of its own.
        several = {n: each for n, each in zip(options.orbitals, seconds, strict=True) if n > 1}
        if len(several) > 1:
            ends = f"{min(several)} to {max(several)} orbitals"
            power = exponent(list(several), list(several.values()))
            row(f"orbitals, {kind}", ends, power, "exponent", "3 for large blocks")


def momenta(options):
    """One orbital, 20 layers, finer meshes."""
    import qtorque as qt

    for kind, angle in ANGLES.items():
        layered = checked(single_band_valve(LAYERS), angle, f"{LAYERS} layers")
        cases = [(f"{n} x {n} momenta", layered, qt.kmesh(n), angle) for n in options.meshes]
        seconds = seconds_a_momentum(cases, options.repeats)
        report(f"momenta, {kind}", cases, seconds)
        if len(options.meshes) > 1:
            counts = [n**2 for n in options.meshes]
            totals = [each * count for each, count in zip(seconds, counts, strict=True)]
            slope, fixed = line_through_ends(counts, totals)
            row(f"momenta, {kind}", "each further momentum", 1e9 * slope, "ns a momentum")
            row(f"momenta, {kind}", "part of a call that does not grow", 1e3 * fixed, "ms")


def ranks(options):
    """A torque map on more ranks."""
    if not MPIEXEC.exists():
        print(f"no ranks: there is no {MPIEXEC}")
        return
    size = {"kmesh": options.map_mesh, "angles": MAP_ANGLES, "voltages": MAP_VOLTAGES}
    every = (1, *(n for n in options.ranks if n != 1))
    digests = set()
    seconds = {n: [] for n in every}
    for _ in range(options.turns):
        for n in every:
            each, digest = map_on_ranks(n, **size)
            seconds[n].append(each)
            digests.add(digest)
            if len(digests) > 1:
                sys.exit(f"the torque map on {n} rank(s) is not that on one, bit for bit")
    one = statistics.median(seconds[1])
    for n in every:
        own = statistics.median(seconds[n])
        name = f"{n} rank{'s' if n > 1 else ''}, {options.map_mesh} x {options.map_mesh} momenta"
        benchmark = f"torque map, {MAP_ANGLES} angles, {MAP_VOLTAGES} voltages"
        row(benchmark, name, own, "s", "1 rank, times faster", one / own)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    several = {"type": int, "nargs": "+"}
    parser.add_argument(
        "--layers", default=[10, 40, 160, 400], help="each at least 5; default 10 40 160 400", **several
    )
    parser.add_argument("--orbitals", default=[1, 2, 4, 9], help="times two spins; default 1 2 4 9", **several)
    parser.add_argument(
        "--meshes", default=[64, 128, 256, 512, 1024], help="sides of square meshes; default 64 to 1024", **several
    )
    parser.add_argument("--ranks", default=[2], help="besides one; default 2", **several)
    parser.add_argument("--map-mesh", type=int, default=32, help="momenta of the map: N x N; default 32", metavar="N")
    parser.add_argument("--repeats", type=int, default=5, help="default 5")
    parser.add_argument("--turns", type=int, default=3, help="of the maps on one rank and on several; default 3")
    options = parser.parse_args()
    counts = (options.orbitals, options.meshes, options.ranks, [options.map_mesh, options.repeats, options.turns])
    if min(options.layers) < 5 or any(min(each) < 1 for each in counts) or max(options.orbitals) > ORBITALS_MESH:
        parser.error(f"--layers must be at least 5, --orbitals 1 to {ORBITALS_MESH}, all other numbers at least 1")
    for name in ("layers", "orbitals", "meshes"):
        setattr(options, name, sorted(set(getattr(options, name))))
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    from qtorque import parallel

    parallel.limit_threads()
    for part in (layers, orbitals, momenta, ranks):
        part(options)


if __name__ == "__main__":
    main()
