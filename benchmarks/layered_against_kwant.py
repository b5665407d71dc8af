"""Layered engine against plain Kwant: (k, E) points a second on the same single-band stack, both spins, in one run.

    python benchmarks/layered_against_kwant.py --layers 10 20 40 --repeats 5

Plain Kwant is a loop of `kwant.smatrix` over the finalised system of `Stack.wrapped()`, with k_x and k_y as parameters.
The layered engine is timed from end to end: `qt.solve`, `qt.transmission` at every momentum and `qt.k_average`. In each
repeat first one engine is timed and then the other, so that a busy machine slows both; medians are printed. Before the
clock starts, the transmissions have to agree to 1e-10.
"""

import argparse
import statistics
import sys
import time
import warnings

import numpy as np
from _table import row

AGREEMENT = 1e-10
"""Largest difference of the total transmission at a k-point, both numbers of order one."""
LAYERED_MESH, KWANT_MESH = 1024, 4
"""Both solve a midpoint mesh over the whole zone in a repeat: 1024 x 1024 momenta in one call, 4 x 4 in a loop."""
ENERGY = 0.1
"""eV."""
ANGLES = {"collinear": 0.0, "noncollinear": 1.0}
"""rad, between the magnets."""


def stack_of(layers):
    """N | F | N | F | N between normal leads: `layers` layers in all, magnetic and conducting."""
    import qtorque as qt

    normal = qt.single_band(onsite=2.5)
    magnet = qt.single_band(onsite=2.75, exchange=2.5)
    thickness = layers // 5
    pieces = [
        qt.Layer(normal, thickness),
        qt.Layer(magnet, thickness, magnet="fixed"),
        qt.Layer(normal, thickness),
        qt.Layer(magnet, thickness, magnet="free"),
        qt.Layer(normal, layers - 4 * thickness),
    ]
    return qt.Stack(left=qt.Lead(normal), layers=pieces, right=qt.Lead(normal))


def kwant_transmissions(system, points, params):
    """Total transmission from left to right at each of the momenta, by Kwant alone."""
    import kwant

    totals = []
    for k_x, k_y in points:
        S = kwant.smatrix(system, ENERGY, params={**params, "k_x": k_x, "k_y": k_y}, out_leads=[1], in_leads=[0])
        totals.append(S.transmission(1, 0))
    return np.array(totals)


def layered_transmission(stack, kset, angle):
    """The same by the layered engine, over (k, spin_in, spin_out), and its average over k."""
    import qtorque as qt

    T = qt.transmission(qt.solve(stack, energy=ENERGY, kmesh=kset, angle=angle))
    return T, qt.k_average(T)


def rates(stack, angle, repeats):
    """Medians of (k, E) points a second of both engines, and the largest difference of their transmissions."""
    import qtorque as qt
    from qtorque.bloch import as_layered

    layered, system = as_layered(stack), stack.wrapped()
    params = stack.params(angle)
    many, few = qt.kmesh(LAYERED_MESH), qt.kmesh(KWANT_MESH)
    expected = kwant_transmissions(system, few.points, params)
    own, _ = layered_transmission(layered, few, angle)
    difference = np.abs(own.sum(["spin_in", "spin_out"]).values - expected).max()
    if difference > AGREEMENT:
        sys.exit(f"the engines differ by {difference:.3g} in the transmission; no speed without the right answer")
    layered_transmission(layered, many, angle)
    found = {"kwant": [], "layered": []}
    for _ in range(repeats):
        start = time.perf_counter()
        kwant_transmissions(system, few.points, params)
        between = time.perf_counter()
        layered_transmission(layered, many, angle)
        end = time.perf_counter()
        found["kwant"].append(few.size / (between - start))
        found["layered"].append(many.size / (end - between))
    return statistics.median(found["kwant"]), statistics.median(found["layered"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[10, 20, 40], help="between the leads, at least 5; default 10 20 40"
    )
    parser.add_argument("--repeats", type=int, default=5, help="default 5")
    options = parser.parse_args()
    if min(options.layers) < 5 or options.repeats < 1:
        parser.error("--layers must be at least 5 and --repeats at least 1")
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    from qtorque import parallel

    parallel.limit_threads()
    for layers in options.layers:
        stack = stack_of(layers)
        for name, angle in ANGLES.items():
            kwant, layered = rates(stack, angle, options.repeats)
            setting = f"1 orbital, {layers} layers, {name}"
            row("solve + transmission", setting, 1e9 / layered, "ns per k, both spins", "plain Kwant", layered / kwant)


if __name__ == "__main__":
    main()
