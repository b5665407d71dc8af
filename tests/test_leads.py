"""Surface Green functions of leads: Dyson equation, retarded branch, Kwant, decimation, degenerate and singular V."""

import kwant
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtorque.leads import surface_green

DYSON = 1e-9
"""Relative residual; eigenvectors of the transfer matrix lose a few digits where modes are nearly parallel."""
SAME_AS_KWANT = 1e-10
"""Largest difference of the self-energies in units of the hopping; both solve an eigenproblem of order one."""
EXTRAPOLATED = 1e-7
"""Decimation at broadenings eta, 2 eta, 4 eta (1e-4 eV): a cubic error in eta over the distance to the band edge."""
CLOSED_FORM = 1e-13
"""One square root."""
RETARDED = 1e-10
"""Rounding of Im Tr g where it vanishes (gaps)."""
MANY = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


def random_matrix(rng, n):
    return rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))


def random_cell(seed, n):
    rng = np.random.default_rng(seed)
    a = random_matrix(rng, n)
    return (a + a.conj().T) / 2, random_matrix(rng, n)


def dagger(a):
    return a.conj().swapaxes(-1, -2)


def dyson_residual(g, energy, H, V):
    """|g (E - H - V g V^dagger) - 1|."""
    return np.abs(g @ (energy * np.eye(len(H)) - H - V @ g @ V.conj().T) - np.eye(len(H))).max()


def decimated(energy, H, V, eta):
    """The surface Green function at E + i eta by decimation (Lopez Sancho et al. 1985), a route without modes."""
    unit = np.eye(len(H))
    surface, bulk, out, back = H.astype(complex), H.astype(complex), V.copy(), V.conj().T.copy()
    for _ in range(60):
        g = np.linalg.inv((energy + 1j * eta) * unit - bulk)
        surface = surface + out @ g @ back
        bulk = bulk + out @ g @ back + back @ g @ out
        out, back = out @ g @ out, back @ g @ back
        if max(np.abs(out).max(), np.abs(back).max()) < 1e-20:
            break
    return np.linalg.inv((energy + 1j * eta) * unit - surface)


def extrapolated(energy, H, V, eta=1e-4):
    """The limit eta -> 0 of decimation, from three broadenings."""
    one, two, four = (decimated(energy, H, V, s * eta) for s in (1, 2, 4))
    return (8 * one - 6 * two + four) / 3


def kwant_self_energy(energy, H, V):
    """Kwant takes the hopping from the cell next to the region to the one beyond."""
    return kwant.physics.selfenergy(H - energy * np.eye(len(H)), V.conj().T)


@MANY
@given(seeds, st.integers(1, 4), st.floats(-4, 4))
def test_green_function_at_real_energy_obeys_its_dyson_equation_and_is_retarded(seed, n, energy):
    H, V = random_cell(seed, n)
    g = surface_green(np.array(energy), H, V)
    assert dyson_residual(g, energy, H, V) < DYSON * max(1, np.abs(g).max())
    spectral = 1j * (g - dagger(g))
    assert np.linalg.eigvalsh(spectral).min() > -RETARDED * max(1, np.abs(g).max())


@MANY
@given(seeds, st.integers(1, 4), st.floats(-4, 4), st.floats(1e-3, 5))
def test_green_function_at_complex_energy_obeys_its_dyson_equation_and_is_retarded(seed, n, real, imaginary):
    H, V = random_cell(seed, n)
    energy = real + 1j * imaginary
    g = surface_green(np.array(energy), H, V)
    assert dyson_residual(g, energy, H, V) < DYSON * max(1, np.abs(g).max())
    assert np.linalg.eigvalsh(1j * (g - dagger(g))).min() > 0
    # |g| <= 1/Im E: only the decaying solution of the quadratic equation obeys this bound.
    assert np.linalg.norm(g, 2) <= (1 + DYSON) / imaginary


@MANY
@given(seeds, st.integers(1, 4), st.floats(-3, 3), st.floats(0.05, 2))
def test_green_function_at_complex_energy_equals_that_of_decimation(seed, n, real, imaginary):
    H, V = random_cell(seed, n)
    g = surface_green(np.array(real + 1j * imaginary), H, V)
    np.testing.assert_allclose(g, decimated(real, H, V, imaginary), atol=DYSON)


@pytest.mark.kwant
@MANY
@given(seeds, st.integers(1, 4), st.floats(-3, 3))
def test_self_energy_equals_that_of_kwant(seed, n, energy):
    H, V = random_cell(seed, n)
    sigma = V @ surface_green(np.array(energy), H, V) @ V.conj().T
    theirs = kwant_self_energy(energy, H, V)
    np.testing.assert_allclose(sigma, theirs, atol=SAME_AS_KWANT * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_green_function_on_the_real_axis_is_the_limit_of_decimation_from_above(n):
    compared = 0
    for seed in range(12):
        H, V = random_cell(seed, n)
        for energy in (-1.3, 0.2, 0.9):
            reference = extrapolated(energy, H, V)
            # Skip the neighbourhood of band edges and surface states, where no power series in eta exists.
            if np.abs(extrapolated(energy, H, V, 2e-4) - reference).max() < EXTRAPOLATED:
                np.testing.assert_allclose(surface_green(np.array(energy), H, V), reference, atol=EXTRAPOLATED)
                compared += 1
    assert compared > 18


def test_real_axis_is_approached_continuously_from_above_and_not_from_below():
    H, V = random_cell(3, 3)
    on_axis = surface_green(np.array(0.2), H, V)
    above = surface_green(np.array(0.2 + 1e-9j), H, V)
    np.testing.assert_allclose(on_axis, above, atol=1e-6)
    assert np.abs(on_axis - dagger(above)).max() > 0.1


@pytest.mark.parametrize("hopping", [-1.0, 1.0, 0.7j, -0.5 - 0.4j])
@pytest.mark.parametrize("energy", [-3.0, -1.0, 0.0, 0.4, 2.5, 0.3 + 0.2j, 1j])
def test_one_orbital_has_the_closed_form_whatever_the_phase_of_the_hopping(hopping, energy):
    onsite = 0.3
    t = abs(hopping)
    x = (energy - onsite) / (2 * t)
    if np.isreal(energy) and abs(x) < 1:
        inverse = x + 1j * np.sqrt(1 - x.real**2)  # exp(+i k): outgoing, Im Sigma < 0 with Sigma = t/inverse
    else:
        root = np.sqrt(x**2 - 1 + 0j)
        inverse = max(x + root, x - root, key=abs)
    expected = 1 / (energy - onsite - t / inverse)
    g = surface_green(np.array(energy), np.array([[onsite]]), np.array([[hopping]], dtype=complex))
    np.testing.assert_allclose(g, [[expected]], rtol=CLOSED_FORM)
    assert g.imag.item() <= 0


def unitary(seed, n):
    return np.linalg.qr(random_matrix(np.random.default_rng(seed), n))[0]


def from_orbitals(energy, onsite, hopping):
    """Surface Green function of decoupled orbitals from the one-orbital closed form."""
    values = [
        surface_green(np.array(energy), np.array([[e]]), np.array([[t]], dtype=complex)).item()
        for e, t in zip(onsite, hopping, strict=True)
    ]
    return np.diag(values)


DEGENERATE_LEADS = {
    "two identical orbitals": ((0.3, 0.3), (-1, -1), 0.4),
    "two identical orbitals, complex hopping": ((0.3, 0.3), (0.6j - 0.5, 0.6j - 0.5), 0.4),
    "three identical orbitals": ((0.1, 0.1, 0.1), (-1, -1, -1), 0.4),
    "identical orbitals in a gap": ((0.1, 0.1), (-1, -1), 3.0),
    "opposite velocities at one lambda": ((0.0, 0.0), (1, -1), 0.0),
    "opposite velocities, two pairs": ((0.0, 0.0, 0.0, 0.0), (1, -1, 1, -1), 0.0),
    "opposite velocities, unequal hopping": ((0.0, 0.0), (1, -0.5), 0.0),
    "one open, one closed": ((0.0, 3.0), (-1, -1), 0.2),
    "a localised orbital": ((0.0, 0.5), (-1, 0), 0.2),
    "two localised orbitals": ((0.0, 0.5, 0.7), (-1, 0, 0), 0.2),
    "nothing but localised orbitals": ((0.4, 0.5), (0, 0), 0.2),
}


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("case", DEGENERATE_LEADS.values(), ids=DEGENERATE_LEADS)
def test_degenerate_and_singular_leads_equal_their_decoupled_orbitals_in_any_basis(case, rotated):
    onsite, hopping, energy = case
    U = unitary(4, len(onsite)) if rotated else np.eye(len(onsite))
    H, V = (U @ np.diag(np.array(x, dtype=complex)) @ U.conj().T for x in (onsite, hopping))
    expected = U @ from_orbitals(energy, onsite, hopping) @ U.conj().T
    np.testing.assert_allclose(surface_green(np.array(energy), H, V), expected, atol=SAME_AS_KWANT)
    above = energy + 0.1j
    expected = U @ from_orbitals(above, onsite, hopping) @ U.conj().T
    np.testing.assert_allclose(surface_green(np.array(above), H, V), expected, atol=SAME_AS_KWANT)


NEARLY_DEGENERATE = 1e-7
"""Eigenvectors of modes at a distance d on the unit circle carry an error of rounding over d; d reaches 1e-8 here."""


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 3e-9, 1e-9, 1e-11])
def test_opposite_velocities_at_nearly_one_lambda_are_told_apart(distance):
    U = unitary(5, 2)
    H, V = (U @ np.diag(np.array(x, dtype=complex)) @ U.conj().T for x in ((distance, 0.0), (1, -1)))
    expected = U @ from_orbitals(0.0, (distance, 0.0), (1, -1)) @ U.conj().T
    np.testing.assert_allclose(surface_green(np.array(0.0), H, V), expected, atol=NEARLY_DEGENERATE)


@MANY
@given(seeds, st.integers(2, 4), st.data(), st.sampled_from([0.3, -1.1, 0.2 + 0.3j]))
def test_rank_deficient_hopping_obeys_dyson_and_decimation(seed, n, data, energy):
    rank = data.draw(st.integers(1, n - 1))
    rng = np.random.default_rng(seed)
    H, _ = random_cell(seed, n)
    V = (random_matrix(rng, n)[:, :rank] @ random_matrix(rng, n)[:rank]) / 2
    g = surface_green(np.array(energy), H, V)
    assert dyson_residual(g, energy, H, V) < DYSON * max(1, np.abs(g).max()) ** 2
    assert np.linalg.eigvalsh(1j * (g - dagger(g))).min() > -RETARDED * max(1, np.abs(g).max())
    if np.iscomplex(energy):
        np.testing.assert_allclose(g, decimated(np.real(energy), H, V, np.imag(energy)), atol=DYSON)


@MANY
@given(seeds, st.integers(1, 3))
def test_cell_of_two_periods_has_the_green_function_of_one(seed, n):
    """The doubled cell has a hopping of rank n in 2n: the singular route against the regular one."""
    H, V = random_cell(seed, n)
    zero = np.zeros((n, n))
    # Sites of the doubled cell: the one next to the region last; V connects it to the next cell's first one.
    doubled = np.block([[H, V], [V.conj().T, H]])
    outward = np.block([[zero, zero], [V, zero]])
    for energy in (0.37, 0.37 + 0.2j):
        g = surface_green(np.array(energy), H, V)
        two = surface_green(np.array(energy), doubled, outward)
        scale = max(1, np.abs(g).max()) ** 2
        np.testing.assert_allclose(two[:n, :n], g, atol=10 * DYSON * scale)


@pytest.mark.parametrize("energy", [0.7, -0.2, 0.3 + 0.1j])
def test_no_hopping_leaves_the_isolated_cell(energy):
    H, V = random_cell(8, 3)
    expected = np.linalg.inv(energy * np.eye(3) - H)
    np.testing.assert_allclose(surface_green(np.array(energy), H, 0 * V), expected, atol=SAME_AS_KWANT)
    single = surface_green(np.array(energy), np.array([[0.1]]), np.array([[0j]]))
    np.testing.assert_allclose(single, [[1 / (energy - 0.1)]], rtol=CLOSED_FORM)


AT_THE_EDGE = 1e-4
"""g has the square root of the distance to the edge as its error: 1e-10 eV of broadening, rounding 1e-16, times ten."""


@pytest.mark.parametrize("orbitals", [1, 2, 3])
@pytest.mark.parametrize("edge", [-2.0, 2.0])
@pytest.mark.parametrize("offset", [0.0, 1e-16, -1e-16, 1e-13, -1e-13, 1e-10, -1e-10])
def test_band_edges_give_the_finite_limit(orbitals, edge, offset):
    """At the edge of the band of one orbital g = 1/(E - t mu) with mu = sign: g(+-2) = +-1 for |t| = 1."""
    U = unitary(6, orbitals)
    H = U @ np.diag([0.0, 0.0, 0.5][:orbitals]).astype(complex) @ U.conj().T
    V = -np.eye(orbitals, dtype=complex)
    energy = edge + offset
    g = U.conj().T @ surface_green(np.array(energy), H, V) @ U
    assert np.all(np.isfinite(g))
    np.testing.assert_allclose(g[0, 0], np.sign(edge), atol=AT_THE_EDGE)
    if orbitals > 1:
        np.testing.assert_allclose(g[1, 1], np.sign(edge), atol=AT_THE_EDGE)


def test_points_are_solved_alike_alone_and_in_a_batch():
    cells = [random_cell(seed, 3) for seed in range(5)]
    cells[2] = (cells[2][0], cells[2][1] @ np.diag([1, 1, 0]))  # a singular one among regular ones
    H, V = (np.array(x) for x in zip(*cells, strict=True))
    energy = np.array([0.1, 0.9, -1.2])
    batch = surface_green(energy[:, None], H, V)
    assert batch.shape == (3, 5, 3, 3)
    for i, e in enumerate(energy):
        for j in range(5):
            np.testing.assert_allclose(batch[i, j], surface_green(np.array(e), H[j], V[j]), atol=SAME_AS_KWANT)
