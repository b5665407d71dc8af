"""Constants, changes of unit, Pauli algebra and rotations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtorque import units
from qtorque.errors import InputError
from qtorque.spin import PAULI, direction_at, join_spin, pauli_components, rotation, su2, unit_vector

ROUNDING = 1e-13
"""Products of a few matrices of order one."""


def random_direction(seed):
    v = np.random.default_rng(seed).normal(size=3)
    return v / np.linalg.norm(v)


def test_constants_have_their_codata_values():
    assert pytest.approx(3.8740458e-5, rel=1e-7) == units.CONDUCTANCE_QUANTUM_PER_SPIN
    assert pytest.approx(1.76085963e11, rel=1e-8) == units.GYROMAGNETIC_RATIO
    assert pytest.approx(8.617333e-5, rel=1e-6) == units.BOLTZMANN_EV


def test_per_area_units_by_hand():
    area = 0.09  # nm^2
    assert units.conductance_per_area(1.0, area) == pytest.approx(3.8740458e-5 / 0.09e-18, rel=1e-7)
    assert units.energy_per_area(1.0, area) == pytest.approx(1.602176634e-19 / 0.09e-18, rel=1e-9)
    # A torkance of 1/(4 pi) eV/V per cell is one e^2/h of spin conductance: (hbar/2e) x e^2/h per area.
    assert units.torkance_per_area(1 / (4 * np.pi), area) == pytest.approx(
        units.conductance_per_area(1.0, area), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
def test_su2_and_rotation_are_one_rotation_that_takes_z_to_m(seed):
    m = random_direction(seed)
    U, R = su2(m), rotation(m)
    assert np.abs(U @ U.conj().T - np.eye(2)).max() < ROUNDING
    assert np.abs(U @ PAULI[3] @ U.conj().T - np.einsum("a,aij->ij", m, PAULI[1:])).max() < ROUNDING
    assert np.linalg.det(R) == pytest.approx(1)
    for a in range(3):
        turned = U @ PAULI[1 + a] @ U.conj().T
        assert np.abs(turned - np.einsum("b,bij->ij", R[:, a], PAULI[1:])).max() < ROUNDING


def test_angle_turns_towards_x_in_the_frame_where_the_reference_is_z():
    np.testing.assert_allclose(direction_at(0.3, (0, 0, 1)), [np.sin(0.3), 0, np.cos(0.3)], atol=ROUNDING)
    p = random_direction(7)
    assert direction_at(0.3, p) @ p == pytest.approx(np.cos(0.3))


@given(st.integers(0, 100))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_pauli_components_put_a_matrix_back_together(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(2, 6, 4)) + 1j * rng.normal(size=(2, 6, 4))
    parts = pauli_components(matrix)
    again = sum(np.einsum("bij,st->bisjt", parts[a], PAULI[a]).reshape(2, 6, 4) for a in range(4))
    assert np.abs(again - matrix).max() < ROUNDING


def test_joined_spins_sit_in_the_projectors_of_their_frame():
    rng = np.random.default_rng(1)
    up, down = rng.normal(size=(2, 3, 3))
    m = random_direction(2)
    projector = 0.5 * (np.eye(2) + np.einsum("a,aij->ij", m, PAULI[1:]))
    expected = np.kron(up, projector) + np.kron(down, np.eye(2) - projector)
    assert np.abs(join_spin(up, down, su2(m)) - expected).max() < ROUNDING


@pytest.mark.parametrize("bad", [(0, 0, 2), (0, 0, np.nan), (0, 1), "up", None, (0, 0, 0)])
def test_directions_that_are_no_unit_vectors_are_refused(bad):
    with pytest.raises(InputError, match="magnetization"):
        unit_vector(bad)


def test_a_direction_typed_with_six_digits_is_normalised():
    assert np.linalg.norm(unit_vector((0.577350, 0.577350, 0.577350))) == pytest.approx(1, abs=1e-15)
