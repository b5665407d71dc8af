"""Wall time of a phase diagram of a thin film magnetised in its plane, on one rank and on two.

    python benchmarks/phase_diagram.py
    python benchmarks/phase_diagram.py --points 7 --duration 20e-9 --figure results/in_plane.png

Over current density and field, under the torque of Slonczewski; both starts are followed at 0 K. Before a time is
reported, trajectories and eigenvalues have to agree on where parallel and antiparallel end, within one cell of the
diagram, and two ranks have to find the same as one, bit for bit. At full size, and only there, it fails if two ranks
take over 20 s.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _table import row

LARGEST_CURRENT, LARGEST_FIELD = 6e11, 0.15
"""A/m^2 and T: ends of the diagram."""
DT = 0.4e-12
"""s."""
FULL_POINTS, FULL_DURATION = 41, 100e-9
"""Of either axis, and s: the size for which there is a limit."""
LIMIT = 20.0
"""s, on two ranks at full size: so long may one wait for a diagram at a desk."""
COMPARED = ("state_from_parallel", "state_from_antiparallel", "m_mean", "frequency", "growth_rate")


def diagram(points, duration, comm=None):
    """Seconds, and the phase diagram."""
    from qtorque import llg

    free = llg.Macrospin(
        Ms=0.8e6, thickness=3e-9, area=1e-14, alpha=0.02, anisotropy=1.25e4, easy_axis=(1, 0, 0), fixed=(1, 0, 0)
    )
    torque = llg.Slonczewski(polarization=0.4, Lambda=1.2)
    axes = {
        "current_density": np.linspace(-LARGEST_CURRENT, LARGEST_CURRENT, points),
        "field": np.linspace(-LARGEST_FIELD, LARGEST_FIELD, points),
    }
    begin = time.perf_counter()
    d = llg.phase_diagram(free, torque, **axes, duration=duration, dt=DT, comm=comm)
    return time.perf_counter() - begin, d


def disagreements(d):
    """Number of points over a cell from the line of the eigenvalues where a stable state is left or another kept."""
    from qtorque.llg.phases import ANTIPARALLEL, PARALLEL

    count = 0
    for start, code in (("parallel", PARALLEL), ("antiparallel", ANTIPARALLEL)):
        stable = d[f"stable_{start}"].values
        kept = d[f"state_from_{start}"].values == code
        wide = np.pad(stable, 1, mode="edge")
        rows, columns = stable.shape
        around = np.stack([wide[i : i + rows, j : j + columns] for i in range(3) for j in range(3)])
        inside = around.all(axis=0) | ~around.any(axis=0)
        count += np.count_nonzero((kept != stable) & inside)
    return count


def on_two_ranks(arguments, path):
    """Run this script on two ranks, where it writes seconds and results to a file."""
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        return None
    command = [launcher, "-n", "2", sys.executable, "-m", "mpi4py", __file__, *arguments, "--ranks-to", path]
    subprocess.run(command, check=True)
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def require_speed(points, duration, size, seconds):
    """Print the time on two ranks beside its limit, and exit if it is beyond; at full size only."""
    if (points, duration) != (FULL_POINTS, FULL_DURATION):
        return
    row("phase diagram", f"{size}, 2 ranks", seconds, "s", f"at most {LIMIT:g} s", seconds / LIMIT)
    if seconds > LIMIT:
        sys.exit(f"the phase diagram takes {seconds:.3g} s on 2 ranks, more than {LIMIT:g} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=FULL_POINTS, help="of either axis; default 41")
    parser.add_argument("--duration", type=float, default=FULL_DURATION, help="s; default 100e-9")
    parser.add_argument("--figure", help="a file for the diagram")
    parser.add_argument("--ranks-to", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.points < 2 or not options.duration > 0:
        parser.error("--points must be at least 2, and --duration positive")
    from qtorque import parallel, plot

    comm = parallel.world()
    parallel.limit_threads(comm)
    diagram(2, 2e-9)
    if comm is not None:
        comm.Barrier()
    seconds, d = diagram(options.points, options.duration, comm)
    if options.ranks_to:
        if comm is None or comm.rank == 0:
            np.savez(options.ranks_to, seconds=seconds, **{name: d[name].values for name in COMPARED})
        return
    wrong = disagreements(d)
    if wrong:
        sys.exit(f"{wrong} points are over a cell from the line of the eigenvalues; no speed without the answer")
    if options.figure:
        plot.save_figure(plot.phase_diagram(d), options.figure, force=True)
    size = f"{options.points} x {options.points}, {1e9 * options.duration:g} ns from both states"
    row("phase diagram", f"{size}, 1 rank", seconds, "s")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--points", str(options.points), "--duration", str(options.duration)]
        double = on_two_ranks(arguments, str(Path(folder) / "two.npz"))
    if double is not None:
        if not all(np.array_equal(double[name], d[name].values, equal_nan=True) for name in COMPARED):
            sys.exit("two ranks find another diagram than one; no speed without the right answer")
        row("phase diagram", f"{size}, 2 ranks", float(double["seconds"]), "s", "1 rank", seconds / double["seconds"])
        require_speed(options.points, options.duration, size, float(double["seconds"]))


if __name__ == "__main__":
    main()
