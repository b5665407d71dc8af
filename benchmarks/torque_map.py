"""Wall time of a small torque map of systems/mtj.py: 90 degrees, zero bias and 0.4 V.

    python benchmarks/torque_map.py --kmesh 16 --repeats 3

Before the clock starts, the zero-bias field-like torque on an 8 x 8 mesh has to equal d Omega/d angle, the derivative
of the grand potential, which is found by another route.
"""

import argparse
import math
import statistics
import sys
import time
import warnings
from pathlib import Path

AGREEMENT = 1e-4
"""Relative: the derivative of Omega is a difference over +-0.2 rad, exact for a torque that goes as sin(angle)."""
STEP = 0.2
"""rad."""
SYSTEM = Path(__file__).parents[1] / "systems" / "mtj.py"


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kmesh", type=int, default=16, help="momenta: a mesh of N x N; default 16", metavar="N")
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    options = parser.parse_args()
    if options.kmesh < 1 or options.repeats < 1:
        parser.error("--kmesh and --repeats must be at least 1")
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    import qtorque as qt
    from qtorque import command_line, parallel

    parallel.limit_threads()
    system = command_line.load_system(SYSTEM)
    check(system)
    mesh = qt.kmesh(options.kmesh)
    print(
        f"seconds of a torque map, {options.kmesh} x {options.kmesh} k-points, one thread, median of {options.repeats}"
    )
    for voltage in (0.0, 0.4):
        for angles in ([math.pi / 2], [math.pi * i / 8 for i in range(9)]):
            seconds = []
            for _ in range(options.repeats):
                start = time.perf_counter()
                d = qt.spin_torque(system, angle=angles, voltage=voltage, kmesh=mesh)
                seconds.append(time.perf_counter() - start)
            error = float(d["energy_error"].max())
            print(
                f"{voltage:4g} V, {len(angles)} angles {statistics.median(seconds):8.2f} s, energy error {error:.1e} eV"
            )


if __name__ == "__main__":
    main()
