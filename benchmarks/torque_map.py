"""Wall time of a whole torque map of systems/mtj.py: 64 x 64 momenta, 21 voltages, 13 angles.

    python benchmarks/torque_map.py
    python benchmarks/torque_map.py --kmesh 16 --voltages 3 --angles 3 --repeats 1

Three ways to one map: all momenta of the mesh; the irreducible ones of the square lattice; and no mesh but a tolerance.
The first is also timed on two ranks, and has to be the same bit for bit. Before the clock starts, the zero-bias
field-like torque has to equal d Omega/d angle, found by another route. After it, every map is compared with one whose
sums over k and energy are converged to 1e-6: the largest difference of a coefficient over the largest coefficient.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _table import row

AGREEMENT = 1e-4
"""Relative: the derivative of Omega is a difference over +-0.2 rad, exact for a torque that goes as sin(angle)."""
STEP = 0.2
"""rad."""
SYSTEM = Path(__file__).parents[1] / "systems" / "mtj.py"
LARGEST_VOLTAGE = 1.0
"""V."""
ENERGY_TOLERANCE, TOLERANCE, REFERENCE_TOLERANCE = 1e-5, 1e-4, 1e-6
"""Of the energy integrals on a mesh, of a map without one, and of the map that all are compared with."""
COEFFICIENTS = ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed")


def check(system):
    """End the program unless tau_FL(V = 0) = d Omega/d angle at 90 degrees."""
    import qtorque as qt

    mesh = qt.kmesh(8)
    torque = float(qt.spin_torque(system, angle=math.pi / 2, voltage=0.0, kmesh=mesh)["field_like"].squeeze())
    angles = [math.pi / 2 - STEP, math.pi / 2 + STEP]
    low, high = qt.interlayer_coupling(system, angle=angles, kmesh=mesh)["grand_potential"].values
    slope = (high - low) / (2 * math.sin(STEP))
    if abs(torque - slope) > AGREEMENT * abs(slope):
        sys.exit(
            f"field-like torque {torque:.8g} eV, d Omega/d angle {slope:.8g} eV: no speed without the right answer"
        )


def deviation(d, reference):
    """Largest difference of the coefficients over the largest coefficient."""
    largest = max(float(np.abs(reference[name]).max()) for name in COEFFICIENTS)
    return max(float(np.abs(d[name] - reference[name]).max()) for name in COEFFICIENTS) / largest


def timed(system, grid, repeats, comm=None, **momenta):
    """Median of seconds, and the map."""
    import qtorque as qt

    seconds = []
    for _ in range(repeats):
        if comm is not None:
            comm.Barrier()
        start = time.perf_counter()
        d = qt.spin_torque(system, **grid, comm=comm, **momenta)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), d


def on_two_ranks(arguments, path):
    """Run this script on two ranks, where it writes seconds and coefficients to a file."""
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        return None
    subprocess.run(
        [launcher, "-n", "2", sys.executable, "-m", "mpi4py", __file__, *arguments, "--ranks-to", path], check=True
    )
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kmesh", type=int, default=64, help="momenta: a mesh of N x N; default 64", metavar="N")
    parser.add_argument("--voltages", type=int, default=21, help="default 21")
    parser.add_argument("--angles", type=int, default=13, help="default 13")
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    parser.add_argument("--ranks-to", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.kmesh, options.voltages, options.angles, options.repeats) < 1:
        parser.error("--kmesh, --voltages, --angles and --repeats must be at least 1")
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    import qtorque as qt
    from qtorque import command_line, parallel
    from qtorque.bloch import as_layered

    comm = parallel.world()
    parallel.limit_threads(comm)
    system = as_layered(command_line.load_system(SYSTEM))
    voltages = np.linspace(-LARGEST_VOLTAGE, LARGEST_VOLTAGE, options.voltages)
    grid = {"angle": np.linspace(0, math.pi, options.angles), "voltage": voltages}
    on_mesh = {"kmesh": qt.kmesh(options.kmesh), "tolerance": ENERGY_TOLERANCE}
    qt.spin_torque(system, angle=[0.3, 1.0], voltage=0.1, kmesh=4)
    if options.ranks_to:
        seconds, d = timed(system, grid, options.repeats, comm, **on_mesh)
        if comm is None or comm.rank == 0:
            np.savez(options.ranks_to, seconds=seconds, **{name: d[name].values for name in COEFFICIENTS})
        return
    check(system)
    reference = qt.spin_torque(system, **grid, tolerance=REFERENCE_TOLERANCE)
    size = f"{options.voltages} voltages, {options.angles} angles"
    single, d = timed(system, grid, options.repeats, **on_mesh)
    mesh = f"{options.kmesh} x {options.kmesh} k, {size}"
    row("torque map", f"{mesh}, 1 rank", single, "s", "deviation from a 1e-6 run", deviation(d, reference))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"--{name}={getattr(options, name)}" for name in ("kmesh", "voltages", "angles", "repeats")]
        double = on_two_ranks(arguments, str(Path(folder) / "two.npz"))
    if double is not None:
        if not all(np.array_equal(double[name], d[name].values, equal_nan=True) for name in COEFFICIENTS):
            sys.exit("the map of two ranks is another one than that of one rank; no speed without the right answer")
        seconds = float(double["seconds"])
        row("torque map", f"{mesh}, 2 ranks", seconds, "s", "1 rank", single / seconds)
    ways = {
        f"{mesh}, square symmetry": {**on_mesh, "kmesh": qt.kmesh(options.kmesh, symmetry="square")},
        f"tolerance {TOLERANCE:g}, {size}": {"tolerance": TOLERANCE},
    }
    for setting, momenta in ways.items():
        seconds, d = timed(system, grid, options.repeats, **momenta)
        row("torque map", f"{setting}, 1 rank", seconds, "s", "deviation from a 1e-6 run", deviation(d, reference))


if __name__ == "__main__":
    main()
