"""Peak memory against the number of momenta: streamed, k-resolved in memory, and k-resolved in a file by a driver.

    python benchmarks/memory.py --meshes 64 512 2048

Every size runs in a process of its own, whose largest resident memory is what counts, libraries included. The script
fails if `qt.conductance(stack, ...)`, which is streamed, takes more than 1.2 times as much on the finest mesh as on the
coarsest one. `qt.solve` holds its amplitudes at every momentum and has to grow; drivers/interface.py writes them to a
file by chunks.

The streamed conductance has to equal that of `qt.solve` on the coarsest mesh, and to be the same on all meshes but for
the error of a coarse one; the mixing conductance in the file has to be the streamed one.
"""

import argparse
import concurrent.futures
import contextlib
import io
import multiprocessing
import re
import resource
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

from _table import row

LIMIT = 1.2
"""Times the memory on the coarsest mesh: a chunk, not the mesh, bounds a streamed sum."""
AGREEMENT = 1e-12
"""Relative difference of two sums over the same momenta in another order."""
MESH_ERROR = 0.02
"""Relative error of a midpoint mesh; its integrand has kinks where channels open."""
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of ru_maxrss."""
STATUS = Path("/proc/self/status")
MEGABYTE = 1e6
ROOT = Path(__file__).parents[1]
DRIVER = ROOT / "drivers" / "interface.py"
VALVE, INTERFACE = ROOT / "systems" / "spin_valve.py", ROOT / "systems" / "nf_interface.py"


def peak():
    """Largest resident memory of this process so far, in bytes."""
    # ru_maxrss of a process begins with that of the one that started it; the mark that Linux keeps beside it does not.
    marks = re.findall(r"VmHWM:\s*(\d+) kB", STATUS.read_text()) if STATUS.exists() else []
    return int(marks[0]) * 1024 if marks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT


def streamed(mesh):
    """(bytes, conductance) of the spin valve, summed over the mesh by chunks."""
    import qtorque as qt
    from qtorque import command_line

    G = qt.conductance(command_line.load_system(VALVE), energy=0.0, kmesh=qt.kmesh(mesh))
    return peak(), float(G.sum())


def resolved(mesh):
    """(bytes, conductance) of the same, with the amplitudes at every momentum in memory."""
    import qtorque as qt
    from qtorque import command_line

    G = qt.conductance(qt.solve(command_line.load_system(VALVE), energy=0.0, kmesh=qt.kmesh(mesh)))
    return peak(), float(G.sum())


def written(mesh):
    """(bytes, mixing conductance) of drivers/interface.py, which has to be the streamed one."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        sys.path.insert(0, str(DRIVER.parent))
        sys.argv = [str(DRIVER), str(INTERFACE), "--kmesh", str(mesh), "-o", str(Path(folder) / "nf"), "--quiet"]
        runpy.run_path(str(DRIVER), run_name="__main__")
        used = peak()
        import qtorque as qt
        from qtorque import command_line, store

        found = complex(store.load_dataset(Path(folder) / "nf_interface.nc")["g_mix"])
    system = command_line.load_system(INTERFACE)
    expected = complex(qt.mixing_conductance(system, energy=0.0, kmesh=qt.kmesh(mesh), lead="left"))
    require_equal(f"g_mix in the file, {mesh} x {mesh} momenta,", found, expected, AGREEMENT)
    return used, found


def fresh(function, mesh):
    """function(mesh) in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    quiet = {"initializer": warnings.filterwarnings, "initargs": ("ignore", "MUMPS is not available")}
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn, **quiet) as pool:
        return pool.submit(function, mesh).result()


def require_equal(name, found, expected, tolerance):
    """End the program unless two numbers agree to a relative tolerance."""
    if not abs(found - expected) <= tolerance * abs(expected):
        sys.exit(f"{name} is {found:.15g}, expected {expected:.15g}; no memory without the right answer")


def report(name, meshes, found):
    """A row for every mesh; `found` are the results of one function for all of them, bytes first."""
    against = f"{meshes[0]} x {meshes[0]} momenta"
    for mesh, (used, _) in zip(meshes, found, strict=True):
        row(f"peak memory, {name}", f"{mesh} x {mesh} momenta", used / MEGABYTE, "MB", against, used / found[0][0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--meshes", type=int, nargs="+", default=[64, 512, 2048], help="of the streamed sum; default 64 512 2048"
    )
    parser.add_argument(
        "--resolved-meshes", type=int, nargs="+", default=[64, 512, 1024],
        help="of the k-resolved solve and driver; default 64 512 1024",
    )  # fmt: skip
    options = parser.parse_args()
    for meshes in (options.meshes, options.resolved_meshes):
        if min(meshes) < 1 or meshes != sorted(set(meshes)):
            parser.error(f"meshes {meshes} must be ascending numbers of at least 1")
    streams = [fresh(streamed, mesh) for mesh in options.meshes]
    for mesh, (_, G) in zip(options.meshes, streams, strict=True):
        require_equal(f"conductance on {mesh} x {mesh} momenta", G, streams[-1][1], MESH_ERROR)
    _, G = fresh(resolved, options.meshes[0])
    require_equal("streamed conductance", streams[0][1], G, AGREEMENT)
    report("streamed", options.meshes, streams)
    for name, function in (("k-resolved in memory", resolved), ("k-resolved in a file", written)):
        report(name, options.resolved_meshes, [fresh(function, mesh) for mesh in options.resolved_meshes])
    ratio = streams[-1][0] / streams[0][0]
    if ratio > LIMIT:
        sys.exit(f"a streamed sum takes {ratio:.2f} times the memory on the finest mesh, more than {LIMIT:g}")


if __name__ == "__main__":
    main()
