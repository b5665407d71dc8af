"""Thermal Heun steps against Boltzmann and Fokker-Planck: averages, their order in the step, escape over a barrier."""

import numpy as np
import pytest
from scipy.integrate import quad

from qtorque import llg
from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.fokker_planck import escape_rate
from qtorque.llg.trajectories import addresses
from qtorque.units import BOLTZMANN

SIGMAS = 4.5
"""Statistical tests use a fixed seed; this many standard errors fail once in 10^5 seeds."""
BOLTZMANN_ERROR = 0.002
"""Asked of <mz^2> at steps of 1 ps; the step makes 3e-4, sampling 5e-4."""
ESCAPE_ERROR = 0.03
"""Asked of the rate of escape; sampling makes 1.2 % and the step about -1.3 %: it deepens the wells in effect, and did
-4 % at 2.5 ps."""
ORDER_ERROR = 0.25
"""Of the order from three steps; sampling makes 0.05 between the longer and 0.15 between the shorter two."""
WELL = 0.9
"""|mz| beyond which a moment has arrived in a well: from there 6.5 kT are left to the top."""

TEMPERATURE = 300.0


def magnet(barrier, volume, alpha):
    """Uniaxial; barrier in kT at 300 K."""
    return llg.Macrospin(
        Ms=1e6, thickness=1e-9, area=volume / 1e-9, alpha=alpha, demag=(1 / 3, 1 / 3, 1 / 3),
        anisotropy=barrier * BOLTZMANN * TEMPERATURE / volume,
    )  # fmt: skip


def started(free, dt, trajectories, seed):
    equation = equation_of_motion(free, None, temperature=TEMPERATURE)
    m = np.tile((0.0, 0.0, -1.0), (trajectories, 1))
    return Moments(equation, m, dt, streams=addresses(seed, 0, 0, trajectories))


def mean_square(free, dt, trajectories, rest, steps, every, seed=1):
    """<mz^2> after a rest of so many steps, and its standard error from the spread between trajectories."""
    moments = started(free, dt, trajectories, seed)
    moments.advance(rest)
    of_each = np.mean(moments.advance(steps, every=every)[..., 2] ** 2, axis=0)
    return of_each.mean(), of_each.std() / np.sqrt(trajectories)


def boltzmann_mean_square(barrier):
    def moment(power):
        return quad(lambda c: c**power * np.exp(barrier * c**2), -1, 1)[0]

    return moment(2) / moment(0)


def test_the_mean_square_is_that_of_boltzmann():
    expected = boltzmann_mean_square(5.0)
    assert expected == pytest.approx(0.7643, abs=5e-5)
    found, error = mean_square(magnet(5.0, 4.7e-25, 1.0), 1e-12, 8192, 1500, 8000, 40)
    assert SIGMAS * error < 1.2 * BOLTZMANN_ERROR
    assert found == pytest.approx(expected, abs=BOLTZMANN_ERROR)


def test_averages_of_thermal_heun_converge_with_order_one():
    free, exact = magnet(5.0, 1.89e-24, 1.0), boltzmann_mean_square(5.0)
    found = [mean_square(free, 64e-12 / k, 8192, 300 * k, 3000 * k, 10 * k) for k in (1, 2, 4)]
    off = np.array([mean for mean, _ in found]) - exact
    error = np.array([each for _, each in found])
    assert off[0] > 4 * SIGMAS * error[0]
    assert np.log2(off[0] / off[1]) == pytest.approx(1, abs=ORDER_ERROR)
    assert np.log2(off[0] / off[2]) / 2 == pytest.approx(1, abs=ORDER_ERROR)
    assert abs(2 * off[2] - off[1]) < SIGMAS * np.hypot(2 * error[2], error[1])


@pytest.mark.slow
def test_magnets_escape_over_eight_kt_at_the_rate_of_fokker_planck():
    """Passages from well to well and back: each well is left with half the smallest eigenvalue."""
    free, dt, trajectories, steps = magnet(8.0, 3e-25, 1.0), 8e-13, 16384, 60000
    moments = started(free, dt, trajectories, 7)
    well, passages = np.full(trajectories, -1.0), 0
    for _ in range(steps // 2000):
        for z in moments.advance(2000, every=50)[..., 2]:
            arrived = np.where(np.abs(z) > WELL, np.sign(z), well)
            passages += np.count_nonzero(arrived != well)
            well = arrived
    rate = 2 * passages / (trajectories * steps * dt)
    assert passages > 6000
    assert rate == pytest.approx(escape_rate(free, None, temperature=TEMPERATURE), rel=ESCAPE_ERROR)
