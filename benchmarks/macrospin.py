"""Trajectory-steps a second of the macrospin, beside cmtj in the same run on one core: thermal Heun, and RK4 at 0 K.

    python benchmarks/macrospin.py
    python benchmarks/macrospin.py --repeats 3

The same uniaxial layer under the same Slonczewski torque, dt = 1 ps. cmtj is no dependency of the package: without it
(pip install cmtj) the speeds stand alone. A torque map of 13 angles is timed beside the closed form.

Before the clock: at 0 K both codes must end at the same direction, and the map's torque must be the closed form's.
"""

import argparse
import statistics
import sys
import time

import _table
import numpy as np

DT = 1e-12
CHECKED_STEPS = 300
AGREEMENT = 1e-2
"""Directions at 0 K after 0.3 ns, 6 rad of precession: the gyromagnetic ratio of cmtj is 0.18 % smaller."""
MAP_AGREEMENT = 1e-3
"""Interpolation over 13 angles."""


def layer():
    from qtorque import llg

    return llg.Macrospin(
        Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.01, anisotropy=9.434e5, demag=(0.01, 0.01, 0.98)
    )


def torque():
    from qtorque import llg

    return llg.Slonczewski(polarization=0.6, Lambda=1.5)


CURRENT_DENSITY = 3e10
START = (np.sin(2.8), 0.0, np.cos(2.8))


def as_map():
    """The same torque as a map of 13 angles and 7 voltages, 1 V driving 10^11 A/m^2."""
    import qtorque as qt
    from qtorque.units import ELEMENTARY_CHARGE, HBAR

    angle, voltage, cell = np.linspace(0, np.pi, 13), np.linspace(-1, 1, 7), 0.09
    form = torque()
    square = form.Lambda**2
    share = form.polarization * square / ((square + 1) + (square - 1) * np.cos(angle))
    pull = HBAR / ELEMENTARY_CHARGE**2 * share[:, np.newaxis] * 1e11 * voltage * cell * 1e-18
    zeros = np.zeros(pull.shape)
    return qt.TorqueMap(
        angle=angle, voltage=voltage, area=cell, damping_like=pull, field_like=zeros, damping_like_fixed=zeros,
        field_like_fixed=zeros, charge_current=zeros,
    )  # fmt: skip


def rate(equation, trajectories, steps, repeats):
    """Trajectory-steps a second, median over repeats."""
    from qtorque.llg.dynamics import Moments
    from qtorque.llg.trajectories import addresses

    streams = addresses(1, 0, 0, trajectories)
    running = Moments(equation, np.tile(START, (trajectories, 1)), DT, streams=streams)
    running.advance(10)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        running.advance(steps)
        seconds.append(time.perf_counter() - start)
    return trajectories * steps / statistics.median(seconds)


def peer(temperature):
    """A junction of cmtj with the same layer."""
    from cmtj import CVector, Junction, Layer, constantDriver

    from qtorque.units import VACUUM_PERMEABILITY

    free, form = layer(), torque()
    rows = [CVector(*(free.demag[i] if i == j else 0.0 for j in range(3))) for i in range(3)]
    made = Layer.createSTTLayer(
        id="free", mag=CVector(*START), anis=CVector(0, 0, 1), Ms=VACUUM_PERMEABILITY * free.Ms,
        thickness=free.thickness, cellSurface=free.area, demagTensor=rows, damping=free.alpha,
        SlonczewskiSpacerLayerParameter=form.Lambda, beta=free.alpha, spinPolarisation=form.polarization,
    )  # fmt: skip
    made.setReferenceLayer(CVector(0, 0, 1))
    junction = Junction([made])
    junction.setLayerAnisotropyDriver("free", constantDriver(free.anisotropy))
    junction.setLayerCurrentDriver("free", constantDriver(CURRENT_DENSITY))
    if temperature > 0:
        junction.setLayerTemperatureDriver("free", constantDriver(temperature))
    return junction


def peer_rate(temperature, solver, steps, repeats):
    """Steps a second of cmtj, median over repeats; nothing is logged but the ends."""
    junction, duration = peer(temperature), steps * DT
    seconds = []
    for _ in range(repeats):
        junction.clearLog()
        start = time.perf_counter()
        junction.runSimulation(duration, DT, duration, solverMode=solver)
        seconds.append(time.perf_counter() - start)
    return steps / statistics.median(seconds)


def check(equations, with_peer):
    """The directions of all codes at 0 K, whose Larmor precession differs by 0.18 %."""
    from qtorque.llg.dynamics import Moments

    ends = {}
    for name in ("closed form", "map"):
        running = Moments(equations[name, 0], np.array([START]), DT)
        running.advance(CHECKED_STEPS)
        ends[name] = running.m[0]
    errors = {"map": np.linalg.norm(ends["map"] - ends["closed form"])}
    limits = {"map": MAP_AGREEMENT, "cmtj": AGREEMENT}
    if with_peer:
        from cmtj import SolverMode

        junction = peer(0)
        junction.runSimulation(CHECKED_STEPS * DT, DT, DT, solverMode=SolverMode.RK4)
        log = junction.getLog()
        errors["cmtj"] = np.linalg.norm(np.array([log[f"free_m{axis}"][-1] for axis in "xyz"]) - ends["closed form"])
    for name, error in errors.items():
        if not error < limits[name]:
            sys.exit(
                f"wrong answer: {name} ends {error:.2g} away from the closed form after {CHECKED_STEPS} steps at 0 K"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="default 5")
    parser.add_argument("--trajectories", type=int, default=1024, help="default 1024")
    parser.add_argument("--steps", type=int, default=10_000, help="of each trajectory; default 10000")
    parser.add_argument("--peer-steps", type=int, default=100_000, help="of the one of cmtj; default 100000")
    options = parser.parse_args()
    from qtorque.llg.equation import equation_of_motion

    try:
        import cmtj
    except ImportError:
        cmtj = None
        print("cmtj is not installed (pip install cmtj): speeds without a peer")
    equations = {}
    for temperature in (0, 300):
        free = layer()
        equations["closed form", temperature] = equation_of_motion(
            free, torque(), current_density=CURRENT_DENSITY, temperature=temperature
        )
        equations["map", temperature] = equation_of_motion(free, as_map(), 0.3, temperature=temperature)
    check(equations, cmtj is not None)
    solvers = {} if cmtj is None else {300: ("Heun", cmtj.SolverMode.Heun), 0: ("RK4", cmtj.SolverMode.RK4)}
    for temperature in (300, 0):
        other = None
        if solvers:
            other = peer_rate(temperature, solvers[temperature][1], options.peer_steps, options.repeats)
        method = "Heun, 300 K" if temperature else "Runge-Kutta, 0 K"
        for source in ("closed form", "map"):
            found = rate(equations[source, temperature], options.trajectories, options.steps, options.repeats)
            against = ("", None) if other is None else (f"cmtj {solvers[temperature][0]}, same layer", found / other)
            _table.row("macrospin", f"{method}, {source}", found / 1e6, "M trajectory-steps/s", *against)


if __name__ == "__main__":
    main()
