"""Scripts for cmtj (J. Mojsiejuk et al., npj Comput. Mater. 9, 54 (2023), cited from memory), version 1.15.

A layer of Layer.createSTTLayer solves, from its source and checked against the package by a test,

    dm/dt = G/(1 + alpha^2) [-m x H - alpha m x (m x H) + a eta m x (p x m) + beta a eta m x p],
    a = hbar J/(e Ms d),   eta = P Lambda^2/((Lambda^2 + 1) + (Lambda^2 - 1) m.p),

fields in A/m and Ms as mu_0 Ms in T, so a is in A/m too. The damping does not act on the torque there: `beta = alpha`
is what it would add, and makes the damping-like part exact. A field-like part that does not depend on the angle is a
field along p, on which the damping acts; a script has it in the applied field. cmtj's G is 220880 m/(A s), 0.18 % below
gamma mu_0 of the free electron, and its times are as much longer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.export._free_layer import (
    anisotropy,
    constant_field,
    description,
    initial_direction,
    numbers,
    positive_number,
    shape_tensor,
)
from qtorque.export.slonczewski_fit import SlonczewskiParameters, spin_current_scale
from qtorque.llg.macrospin import Macrospin
from qtorque.units import VACUUM_PERMEABILITY

SCRIPT = '''"""One macrospin in cmtj at 0 K; prints nothing, writes cmtj_trajectory.txt. Written by qtorque.

{description}
"""

import numpy as np
from cmtj import AxialDriver, CVector, Junction, Layer, constantDriver

MAGNETIZATION = {magnetization}  # mu_0 Ms, T
THICKNESS = {thickness}  # m
AREA = {area}  # m2
DAMPING = {damping}
ANISOTROPY = {anisotropy}  # J/m3
SECOND_ORDER_ANISOTROPY = {second_order_anisotropy}  # J/m3
EASY_AXIS = ({easy_axis})
DEMAGNETISING_TENSOR = ({demag})  # rows, one after another
FIXED = ({fixed})
INITIAL = ({initial})
CURRENT_DENSITY = {current_density}  # A/m2
POLARIZATION = {polarization}
LAMBDA = {Lambda}
# A/m: applied field, exchange bias, interlayer coupling and the field-like torque, which is a field along FIXED.
FIELD = ({field})
DURATION = {duration}  # s
TIME_STEP = {dt}  # s


def trajectory(duration=DURATION, time_step=TIME_STEP):
    """Times (n,) in s and directions of the free moment (n, 3), by the fourth-order Runge-Kutta method."""
    layer = Layer.createSTTLayer(
        id="free",
        mag=CVector(*INITIAL),
        anis=CVector(*EASY_AXIS),
        Ms=MAGNETIZATION,
        thickness=THICKNESS,
        cellSurface=AREA,
        demagTensor=[CVector(*DEMAGNETISING_TENSOR[row : row + 3]) for row in (0, 3, 6)],
        damping=DAMPING,
        SlonczewskiSpacerLayerParameter=LAMBDA,
        # What the damping makes of the damping-like torque: cmtj leaves it out.
        beta=DAMPING,
        spinPolarisation=POLARIZATION,
    )
    layer.setReferenceLayer(CVector(*FIXED))
    junction = Junction([layer])
    junction.setLayerAnisotropyDriver("free", constantDriver(ANISOTROPY))
    if SECOND_ORDER_ANISOTROPY:
        junction.setLayerSecondOrderAnisotropyDriver("free", constantDriver(SECOND_ORDER_ANISOTROPY))
    junction.setLayerExternalFieldDriver("free", AxialDriver(*(constantDriver(h) for h in FIELD)))
    junction.setLayerCurrentDriver("free", constantDriver(CURRENT_DENSITY))
    junction.runSimulation(duration, time_step, time_step)
    log = junction.getLog()
    return np.array(log["time"]), np.column_stack([log[f"free_m{{axis}}"] for axis in "xyz"])


if __name__ == "__main__":
    time, m = trajectory()
    np.savetxt("cmtj_trajectory.txt", np.column_stack([time, m]), header="time (s), m_x, m_y, m_z")
'''


def cmtj_snippet(
    free: Macrospin,
    parameters: SlonczewskiParameters,
    *,
    initial: str | ArrayLike,
    duration: float,
    dt: float = 1e-13,
) -> str:
    """A Python script that runs the macrospin in cmtj at 0 K; its function trajectory() returns times and directions.

    Parameters
    ----------
    free, parameters
        The layer, and the torque on it: `SlonczewskiFit.at_voltage`, or numbers of your own.
    initial : unit vector beside p
    duration, dt : s

    Raises
    ------
    InputError
        For a cubic anisotropy, which cmtj does not have, an initial direction along p, times that are not positive, a
        step longer than the run.
    """
    duration, dt = positive_number("duration", duration, "s"), positive_number("dt", dt, "s")
    if dt > duration:
        raise InputError(f"dt={dt!r} s is longer than duration={duration!r} s; give a shorter step")
    if free.cubic_anisotropy != 0:
        raise InputError(
            f"cubic_anisotropy={free.cubic_anisotropy!r}: cmtj has none; set it to 0, or export to mumax3 or OOMMF"
        )
    m = initial_direction(free, initial)
    torque = spin_current_scale(parameters.current_density) * parameters.epsilon_prime
    field = constant_field(free, parameters) + torque / (free.Ms * free.thickness) * np.asarray(free.fixed)
    magnetization = VACUUM_PERMEABILITY * free.Ms
    values = {
        "magnetization": magnetization,
        "thickness": free.thickness,
        "area": free.area,
        "damping": free.alpha,
        "anisotropy": anisotropy(free, parameters),
        "second_order_anisotropy": free.second_order_anisotropy,
        "easy_axis": free.easy_axis,
        "demag": shape_tensor(free) / magnetization,
        "fixed": free.fixed,
        "initial": m,
        "current_density": parameters.current_density,
        "polarization": parameters.polarization,
        "Lambda": parameters.Lambda,
        "field": field / VACUUM_PERMEABILITY,
        "duration": duration,
        "dt": dt,
    }
    texts = {name: numbers(value) for name, value in values.items()}
    return SCRIPT.format(description="\n".join(description(free, parameters)), **texts)
