"""Several orbitals a layer against plain Kwant, in one run, and against what the machine does in a matrix product.

    python benchmarks/several_orbitals.py --layers 10 20 40 --repeats 3

Rows: one collinear and one noncollinear solve (`qt.solve` with `qt.transmission`, which makes all of S), one and 13
angles from one cut (`qtorque.green.transmissions`, the transmission alone), and an in-plane supercell of single-orbital
sites with on-site disorder. Plain Kwant is a loop of `kwant.smatrix` over the finalised system of `Stack.wrapped()`.
In each repeat one engine is timed after the other, so that a busy machine slows both; medians are printed. Before the
clock starts, the transmissions have to agree to 1e-10.

Rows "Green functions" count their arithmetic (`flops_of_corners`) against the time they take, and compare it with a
product of large complex matrices, timed in the same run.
"""

import argparse
import statistics
import sys
import time
import warnings

import numpy as np
from _table import row

AGREEMENT = 1e-10
"""Largest difference of the total transmission at a k-point, relative to the largest (or one)."""
ENERGY = 0.1
"""eV."""
CHUNK_BYTES = 2**20
"""Momenta are taken in chunks whose matrices of one kind take this much: the cache holds a few of them."""
ANGLES = np.linspace(0, np.pi, 13)
"""rad, of the sweep."""
PRODUCT_SIZE = 600
"""Rows of the matrices whose product measures the machine."""
DISORDER = 1.0
"""eV, width of the on-site energies in the supercell."""


def random_material(name, seed, orbitals, magnetic=False):
    """Random Hermitian blocks with hopping to neighbours only, the same hopping for all materials."""
    import qtorque as qt

    own, common = np.random.default_rng(seed), np.random.default_rng(99)

    def matrix(rng, size):
        return size * (rng.normal(size=(orbitals, orbitals)) + 1j * rng.normal(size=(orbitals, orbitals)))

    def hermitian(size):
        a = matrix(own, size)
        return (a + a.conj().T) / 2

    unit = np.eye(orbitals)
    return qt.Material(
        name=name,
        lattice=0.3 * np.eye(3),
        onsite=hermitian(0.5),
        exchange=1.5 * unit + hermitian(0.1) if magnetic else 0 * unit,
        hoppings=(
            ((0, 0, 1), -unit + matrix(common, 0.2)),
            ((1, 0, 0), -0.4 * unit + matrix(common, 0.1)),
            ((0, 1, 0), -0.4 * unit + matrix(common, 0.1)),
            ((1, 0, 1), matrix(common, 0.05)),
        ),
    )


def valve(normal, magnet, layers, middle=None):
    """N | F | N | F | N between normal leads; `middle` stands in for the inner N."""
    import qtorque as qt

    thickness = layers // 5
    pieces = [
        qt.Layer(normal, thickness),
        qt.Layer(magnet, thickness, magnet="fixed"),
        *([qt.Layer(normal, thickness)] if middle is None else [qt.Layer(m, 1) for m in middle[:thickness]]),
        qt.Layer(magnet, thickness, magnet="free"),
        qt.Layer(normal, layers - 4 * thickness),
    ]
    return qt.Stack(left=qt.Lead(normal), layers=pieces, right=qt.Lead(normal))


def supercell_valve(width, layers):
    """The valve of single-orbital sites, `width` x `width` of them in a cell, the inner N disordered site by site."""
    import qtorque as qt

    rng = np.random.default_rng(5)

    def cell(make):
        return qt.in_plane_supercell([[make() for _ in range(width)] for _ in range(width)])

    normal, magnet = cell(lambda: qt.single_band(onsite=2.5)), cell(lambda: qt.single_band(onsite=2.75, exchange=2.5))
    dirty = [cell(lambda: qt.single_band(onsite=2.5 + DISORDER * (rng.random() - 0.5))) for _ in range(layers // 5)]
    return valve(normal, magnet, layers, dirty)


def kwant_transmissions(system, stack, points, angles):
    """Total transmission from left to right by Kwant alone: (angles, k)."""
    import kwant

    def one(k, angle):
        params = {**stack.params(float(angle)), "k_x": k[0], "k_y": k[1]}
        return kwant.smatrix(system, ENERGY, params=params, out_leads=[1], in_leads=[0]).transmission(1, 0)

    return np.array([[one(k, angle) for k in points] for angle in angles])


def chunks(points, size):
    """The momenta in pieces that fit the cache."""
    count = max(1, CHUNK_BYTES // (16 * size * size))
    return [points[start : start + count] for start in range(0, len(points), count)]


def solved_transmissions(layered, points, angles):
    """The same by `qt.solve`."""
    import qtorque as qt

    size = layered.dimensions[0]
    totals = []
    for angle in angles:
        parts = [qt.solve(layered, energy=ENERGY, kmesh=qt.kpoints(k), angle=angle) for k in chunks(points, size)]
        totals.append(np.concatenate([qt.transmission(s).sum(["spin_in", "spin_out"]).values for s in parts]))
    return np.array(totals)


def swept_transmissions(layered, points, angles):
    """The same from one cut."""
    from qtorque.green import transmissions

    chains = [layered.chain(float(angle), 0.0) for angle in angles]
    parts = [transmissions(chains, k, ENERGY) for k in chunks(points, layered.dimensions[0])]
    return np.concatenate([T.sum(axis=(2, 3)) for T in parts], axis=1)


def flops_of_corners(orbitals, layers, collinear):
    """Real additions and multiplications for the Green functions of one momentum.

    A product or an inverse of complex matrices of size n is 8 n^3. A layer takes seven products and one inverse, of
    both spins or at twice the size. Each of the two normal leads takes the eigenvalues of a matrix of size 2n, 40
    (2n)^3, some 1.2 n null vectors of 16/3 n^3, and ten products and inverses, once for both spins.
    """
    n = orbitals
    layer = 8 * 8 * n**3 * (2 if collinear else 8)
    lead = 40 * (2 * n) ** 3 + 1.2 * n * 16 / 3 * n**3 + 10 * 8 * n**3
    return layers * layer + 2 * lead


def green_seconds(layered, points, angle):
    """Seconds a momentum for leads and corners alone."""
    from qtorque.green import Phases, Sweeps

    chain = layered.chain(angle, 0.0)
    start = time.perf_counter()
    for k in chunks(points, layered.dimensions[0]):
        Sweeps(chain, Phases(k), np.array([[ENERGY]])).corners()
    return (time.perf_counter() - start) / len(points)


def product_rate():
    """GFLOP/s of a product of large complex matrices."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, PRODUCT_SIZE, PRODUCT_SIZE)) + 0j
    start = time.perf_counter()
    a @ b
    return 8 * PRODUCT_SIZE**3 / (time.perf_counter() - start) / 1e9


def compare(name, layers, stack, method, angles, options, orbitals, kwant_momenta):
    """Time both engines in turn and print their rates."""
    from qtorque.bloch import as_layered

    layered, system = as_layered(stack), stack.wrapped()
    many = np.random.default_rng(1).uniform(-np.pi, np.pi, (options.mesh**2, 2))
    few = many[:kwant_momenta]
    expected = kwant_transmissions(system, stack, few, angles)
    difference = np.abs(method(layered, few, angles) - expected).max() / max(1, expected.max())
    if not difference < AGREEMENT:
        sys.exit(f"{name}: transmissions differ by {difference:.3g}; no speed without the right answer")
    method(layered, many, angles)
    seconds = {"kwant": [], "layered": [], "green": [], "product": []}
    for _ in range(options.repeats):
        start = time.perf_counter()
        kwant_transmissions(system, stack, few, angles[:1])
        between = time.perf_counter()
        method(layered, many, angles)
        seconds["layered"].append((time.perf_counter() - between) / len(many) / len(angles))
        seconds["kwant"].append((between - start) / len(few))
        seconds["green"].append(green_seconds(layered, many, float(angles[0])))
        seconds["product"].append(product_rate())
    kwant, ours, green, product = (statistics.median(values) for values in seconds.values())
    setting = f"{orbitals} orbitals, {layers} layers, {name}"
    row("solve + transmission", setting, 1e6 * ours, "us per k and angle", "plain Kwant", kwant / ours)
    rate = flops_of_corners(orbitals, layers, angles[0] == 0) / green / 1e9
    row("Green functions", setting, rate, "GFLOP/s", "large zgemm", rate / product)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[10, 20, 40], help="each at least 5; default 10 20 40")
    parser.add_argument("--orbitals", type=int, default=9, help="times two spins; default 9")
    parser.add_argument("--supercell", type=int, default=6, help="sites on a side, 0 for none; default 6")
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    parser.add_argument("--momenta", type=int, default=3, help="for Kwant in a repeat; default 3")
    parser.add_argument("--mesh", type=int, default=32, help="the layered engine solves its square; default 32")
    options = parser.parse_args()
    if min(options.layers) < 5 or min(options.repeats, options.orbitals, options.momenta, options.mesh) < 1:
        parser.error("--layers must be at least 5, --repeats, --orbitals, --momenta and --mesh at least 1")
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    from qtorque import parallel

    parallel.limit_threads()
    normal, magnet = random_material("N", 1, options.orbitals), random_material("F", 2, options.orbitals, True)
    for layers in options.layers:
        stack = valve(normal, magnet, layers)
        size = options.orbitals
        compare("collinear", layers, stack, solved_transmissions, [0.0], options, size, options.momenta)
        compare("noncollinear", layers, stack, solved_transmissions, [1.0], options, size, options.momenta)
        compare("collinear, one cut", layers, stack, swept_transmissions, [0.0], options, size, options.momenta)
        compare("13 angles, one cut", layers, stack, swept_transmissions, ANGLES, options, size, 1)
    if options.supercell:
        width, layers = options.supercell, 20 if max(options.layers) >= 20 else max(options.layers)
        options.mesh = min(options.mesh, 4)
        name = f"supercell {width} x {width}, collinear"
        compare(name, layers, supercell_valve(width, layers), solved_transmissions, [0.0], options, width**2, 1)


if __name__ == "__main__":
    main()
