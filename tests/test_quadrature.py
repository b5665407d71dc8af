"""Adaptive quadrature of many integrals under one error budget."""

import numpy as np
import pytest

from qtorque.contour import TAIL, Fermi, sea_integral
from qtorque.quadrature import GAUSS_WEIGHTS, KRONROD_WEIGHTS, NODES, integrate

ROUNDING = 1e-14


def test_the_rule_is_exact_for_polynomials():
    for degree in range(23):
        exact = 0.0 if degree % 2 else 2 / (degree + 1)
        assert KRONROD_WEIGHTS @ NODES**degree == pytest.approx(exact, abs=ROUNDING)
    for degree in range(14):
        exact = 0.0 if degree % 2 else 2 / (degree + 1)
        assert GAUSS_WEIGHTS @ NODES**degree == pytest.approx(exact, abs=ROUNDING)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-11])
def test_thresholds_at_places_of_their_own_are_found_for_every_k(tolerance):
    k = np.linspace(0.1, 0.9, 7)
    weights = np.linspace(1, 2, 7)

    def integrand(index, x):
        edge = k[index][:, None]
        return np.stack([np.sqrt(np.maximum(x - edge, 0)), edge * np.exp(-x)], axis=-1)

    result = integrate(integrand, 0.0, 1.0, weights, tolerance=tolerance, reference=np.array([True, True]))
    exact = np.array([weights @ (2 / 3 * (1 - k) ** 1.5), weights @ k * (1 - np.exp(-1))])
    assert np.abs(result.value - exact).max() <= tolerance * exact.max()
    assert np.all(np.abs(result.value - exact) <= result.error + ROUNDING)
    assert result.error.max() <= tolerance * exact.max()


def test_the_budget_is_set_by_the_reference_columns_alone():
    def integrand(index, x):
        return np.stack([np.sqrt(np.abs(x - 1 / 3)), 1e6 * np.ones_like(x)], axis=-1)

    weights = np.ones(1)
    fine = integrate(integrand, 0.0, 1.0, weights, tolerance=1e-6, reference=np.array([True, False]))
    coarse = integrate(integrand, 0.0, 1.0, weights, tolerance=1e-6, reference=np.array([False, True]))
    assert fine.evaluations > coarse.evaluations
    assert fine.error[0] < 1e-6


def test_an_integrand_of_pure_rounding_ends_and_reports_its_error():
    rng = np.random.default_rng(0)

    def integrand(index, x):
        return 1e-17 * rng.normal(size=(*x.shape, 1))

    result = integrate(integrand, 0.0, 1.0, np.ones(4), tolerance=1e-8, reference=np.array([True]))
    assert result.evaluations < 1e5
    accepted = integrate(integrand, 0.0, 1.0, np.ones(4), tolerance=1e-8, reference=np.array([True]), absolute=1e-15)
    assert accepted.evaluations == 4 * 15


def test_breakpoints_end_intervals():
    def integrand(index, x):
        return np.sign(x - 0.3)[..., None]

    result = integrate(
        integrand, 0.0, 1.0, np.ones(1), tolerance=1e-10, reference=np.array([True]), breakpoints=[np.array([0.3])]
    )
    assert result.value[0] == pytest.approx(0.4, abs=1e-13)
    assert result.evaluations == 30


@pytest.mark.parametrize("temperature", [0.0, 50.0, 1000.0])
def test_the_contour_fills_a_level_as_the_fermi_function_says(temperature):
    # -1/pi Im Int dE f(E)/(E - e), 1/(E - e) retarded, is f(e): the whole contour with its poles in one number.
    levels = np.array([-3.0, -0.4, -0.01, 0.02, 0.5])
    fermi = Fermi(0.1, temperature)

    def kernel(k, z, step):
        return -(step[..., None] / (z[..., None] - levels)).imag / np.pi

    result = sea_integral(
        kernel, fermi, -6.0, np.zeros((1, 2)), np.ones(1), tolerance=1e-9, reference=np.ones(5, dtype=bool)
    )
    np.testing.assert_allclose(result.value, fermi(levels), atol=1e-8)


def test_the_fermi_function_is_cut_where_it_is_rounding():
    fermi = Fermi(0.0, 300.0)
    assert fermi(np.array(TAIL * fermi.kT)) < 1e-16
    assert fermi(np.array(0.0)) == 0.5
    assert Fermi(0.0, 0.0)(np.array([-1.0, 0.0, 1.0])).tolist() == [1.0, 0.5, 0.0]
