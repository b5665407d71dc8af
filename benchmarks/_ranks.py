"""A torque map of systems/mtj.py on several ranks, timed inside the program: start-up does not count.

`map_on_ranks` starts mpiexec with this file as the program of its ranks, which prints the seconds and a digest of all
bits of the result.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

MPIEXEC = Path(sys.executable).with_name("mpiexec")
"""The one that belongs to the MPI library mpi4py finds; another one on PATH may not."""
SYSTEM = Path(__file__).parents[1] / "systems" / "mtj.py"
LARGEST_VOLTAGE = 1.0
"""V."""


def map_on_ranks(ranks, *, kmesh, angles, voltages):
    """Wall time of a map on a kmesh x kmesh mesh, `angles` angles in 0 to pi and `voltages` in -1 V to 1 V.

    Returns
    -------
    seconds, digest
        Two maps are the same bit for bit where their digests are.
    """
    sizes = [f"--{name}={n}" for name, n in (("kmesh", kmesh), ("angles", angles), ("voltages", voltages))]
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "mpi4py", __file__, *sizes]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if run.returncode != 0:
        sys.exit(f"a torque map on {ranks} rank(s) ended with exit code {run.returncode}")
    found = json.loads(run.stdout)
    if found["ranks"] != ranks:
        sys.exit(f"{MPIEXEC} -n {ranks} started a program of {found['ranks']} rank(s)")
    return found["seconds"], found["digest"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kmesh", "angles", "voltages"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    from qtorque import parallel

    comm = parallel.world()
    parallel.limit_threads(comm)
    import numpy as np
    from mpi4py import MPI

    import qtorque as qt
    from qtorque import command_line

    comm = comm or MPI.COMM_SELF
    system = command_line.load_system(SYSTEM)
    angle = np.linspace(0, np.pi, options.angles)
    voltage = np.linspace(-LARGEST_VOLTAGE, LARGEST_VOLTAGE, options.voltages)
    # The first call loads and compiles, on every rank.
    qt.spin_torque(system, angle=angle, voltage=LARGEST_VOLTAGE, kmesh=qt.kmesh(4))
    comm.Barrier()
    start = time.perf_counter()
    d = qt.spin_torque(system, angle=angle, voltage=voltage, kmesh=qt.kmesh(options.kmesh), comm=comm)
    comm.Barrier()
    seconds = time.perf_counter() - start
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(d[name].values).tobytes() for name in sorted(d)))
    # Every rank holds the whole map.
    digests = set(comm.allgather(digest.hexdigest()))
    if len(digests) > 1:
        sys.exit("the ranks of one run hold different maps")
    if comm.rank == 0:
        print(json.dumps({"ranks": comm.size, "seconds": seconds, "digest": digests.pop()}))


if __name__ == "__main__":
    main()
