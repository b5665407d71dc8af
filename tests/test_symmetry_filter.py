"""The symmetry filter: conductances decay as the complex bands of the barrier say, each state with its own symmetry."""

from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line

SYSTEM = Path(__file__).parents[1] / "systems" / "symmetry_filter.py"
CENTRE = qt.kpoints([[0.0, 0.0]])
SLOPE = 1e-6
"""Relative, of the slopes of ln G: at 10 layers and more, what is left of standing waves in the barrier is
exp(-2 kappa d) < 1e-9 and of the other symmetry exp(-2 (kappa_5 - kappa_1) d) < 1e-5 of the slowest, which falls off
with the thickness; see THICK."""
THICK = (14, 16)
"""Layers between which slopes are taken."""


def junction(**settings):
    return command_line.load_system(SYSTEM, [f"{name}={value}" for name, value in settings.items()])


def decay_rates(k=(0.0, 0.0), **settings):
    """Positive kappa of the barrier, slow one first, 1/nm."""
    barrier = junction(**settings).layers[0].material
    kappa = qt.complex_bands(barrier, energy=0.0, k=k)["kappa"].isel(energy=0, k=0).sel(spin="up").values
    return np.sort(kappa[kappa > 0])


def conductances(layers, kset=CENTRE, **settings):
    """(G_P, G_AP) of a barrier of that many layers."""
    stack = junction(barrier_layers=layers, **settings)
    return [float(qt.conductance(stack, energy=0.0, kmesh=kset, angle=angle).sum()) for angle in (0.0, np.pi)]


def slopes(**settings):
    """d ln G/dd of both states between two thicknesses, 1/nm."""
    thin, thick = (np.log(conductances(n, **settings)) for n in THICK)
    return (thick - thin) / (0.3 * (THICK[1] - THICK[0]))


def test_only_the_majority_has_the_slow_symmetry_at_the_fermi_level():
    stack = junction()
    for spin, expected in (("up", 4), ("down", 2)):
        d = qt.complex_bands(stack.left, energy=0.0).isel(energy=0, k=0).sel(spin=spin)
        assert int(d["propagating"].sum()) == expected
    slow, fast = decay_rates()
    # Closed forms: cosh(kappa a) = (onsite + 4 t)/(2 |t|).
    assert slow == pytest.approx(np.arccosh(3.5 / 2) / 0.3, rel=1e-12)
    assert fast == pytest.approx(np.arccosh(3.0 / 1) / 0.3, rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"barrier_s": 6.9, "barrier_d": 4.7, "exchange_d": 0.5}])
def test_parallel_magnets_conduct_through_the_slow_symmetry_and_antiparallel_ones_through_the_fast(settings):
    slow, fast = decay_rates(**settings)
    parallel, antiparallel = slopes(**settings)
    assert parallel == pytest.approx(-2 * slow, rel=SLOPE)
    assert antiparallel == pytest.approx(-2 * fast, rel=SLOPE)


def test_magnetoresistance_grows_with_the_difference_of_the_decay_rates():
    slow, fast = decay_rates()
    thin, thick = (qt.tmr(junction(barrier_layers=n), energy=0.0, kmesh=CENTRE) for n in THICK)
    growth = np.log(thick / thin) / (0.3 * (THICK[1] - THICK[0]))
    assert growth == pytest.approx(2 * (fast - slow), rel=SLOPE)
    assert thick > thin > 1e4


def test_without_a_filter_both_states_decay_alike():
    # A weaker exchange leaves the s band of both spins at the Fermi level.
    slow, _ = decay_rates(onsite_s=3.0, exchange_s=1.0)
    np.testing.assert_allclose(slopes(onsite_s=3.0, exchange_s=1.0), -2 * slow, rtol=1e-4)


def test_mixing_away_from_the_centre_opens_the_slow_symmetry_to_the_antiparallel_state():
    k = (0.3, 0.0)
    kset = qt.kpoints([k])
    slow, fast = decay_rates(k=k)
    thin, thick = (conductances(n, kset)[1] for n in THICK)
    rate = np.log(thick / thin) / (0.3 * (THICK[1] - THICK[0]))
    assert abs(rate + 2 * slow) < abs(rate + 2 * fast)
    unmixed_thin, unmixed_thick = (conductances(n, kset, mixing=0.0)[1] for n in THICK)
    assert unmixed_thin < thin
    _, unmixed_fast = decay_rates(k=k, mixing=0.0)
    unmixed = np.log(unmixed_thick / unmixed_thin) / (0.3 * (THICK[1] - THICK[0]))
    assert unmixed == pytest.approx(-2 * unmixed_fast, rel=SLOPE)


def test_the_torque_on_a_magnet_decays_as_the_slow_symmetry_too():
    # Damping-like torkance at 90 degrees: s electrons of the majority arrive and are turned.
    slow, fast = decay_rates()
    options = {"angle": [np.pi / 2], "voltage": [-1e-3, 1e-3], "kmesh": CENTRE, "tolerance": 1e-8}
    torkances = [
        float(qt.torkance(qt.spin_torque(junction(barrier_layers=n), **options))["damping_like"][0]) for n in (4, 6)
    ]
    rate = np.log(torkances[1] / torkances[0]) / (0.3 * 2)
    assert rate == pytest.approx(-2 * slow, rel=1e-2)
    assert abs(rate + 2 * fast) > 1.0
