"""Surface Green functions of leads: Dyson equation, retarded branch, Kwant, decimation, degenerate and singular V."""

import kwant
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtorque import leads
from qtorque._leads_kernels import eigenvalues, null_vectors
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
EIGENVALUE = 1e-12
"""Backward stable algorithms on matrices of norm ten; random ones are conditioned well."""
DEFECTIVE = 1e-3
"""An eigenvalue of a Jordan block of size four moves by the fourth root of rounding."""
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


EDGES = {
    "one orbital": ((2.0, 0.4, -0.3), (-1, -1, -1)),
    "two orbitals": ((2.0, 2.0), (-1, -1)),
    "three orbitals": ((2.0, 2.0, 2.0), (-1, -1, -1)),
    "four orbitals": ((2.0, 2.0, 2.0, 2.0), (-1, -1, -1, -1)),
    "five orbitals": ((2.0, 2.0, 2.0, 2.0, 2.0), (-1, -1, -1, -1, -1)),
    "lower and upper edge": ((2.0, -2.0), (-1, -1)),
    "two lower and two upper edges": ((2.0, 2.0, -2.0, -2.0), (-1, -1, -1, -1)),
    "edges among open and closed orbitals": ((2.0, 2.0, 0.4, 0.4, 3.1), (-1, -1, -1, -1, -1)),
    "edges of unequal bands": ((2.0, 1.0, 1.0), (-1, -0.5, 0.5)),
    "edges beside a localised orbital": ((2.0, 2.0, 0.7), (-1, -1, 0)),
}


@pytest.mark.parametrize("case", EDGES.values(), ids=EDGES)
def test_orbitals_exactly_at_band_edges_are_retarded_and_decoupled_in_any_basis(case):
    """Rounding decides which waves of an edge come out as modes, so that few of many bases show a wrong choice."""
    onsite, hopping = case
    U = np.array([unitary(seed, len(onsite)) for seed in range(400)])
    H, V = (U @ np.diag(np.array(x, dtype=complex)) @ dagger(U) for x in (onsite, hopping))
    g = surface_green(np.array(0.0), (H + dagger(H)) / 2, V)
    assert np.linalg.eigvalsh(1j * (g - dagger(g))).min() > -2 * leads.NEGATIVE
    expected = U @ from_orbitals(leads.BAND_EDGE_BROADENING * 1j, onsite, hopping) @ dagger(U)
    np.testing.assert_allclose(g, expected, rtol=0, atol=AT_THE_EDGE)


def test_a_wave_kept_twice_at_a_band_edge_is_no_error_of_the_batch():
    """Some five in a thousand bases of seven orbitals at one edge give a matrix of modes that is exactly singular."""
    rng = np.random.default_rng(8)
    U = np.linalg.qr(rng.normal(size=(2000, 7, 7)) + 1j * rng.normal(size=(2000, 7, 7)))[0]
    H = 2 * U @ dagger(U)
    V = np.broadcast_to(-np.eye(7, dtype=complex), H.shape)
    g = surface_green(np.array(0.0), (H + dagger(H)) / 2, V)
    np.testing.assert_allclose(g, np.broadcast_to(-np.eye(7), g.shape), rtol=0, atol=AT_THE_EDGE)


def test_a_solution_of_the_dyson_equation_with_an_incoming_wave_is_not_taken():
    """The advanced g solves the same equation; only the sign of its spectral function gives it away."""
    H, V = cells(3, 3, 1)
    D = 0.2 * np.eye(3) - H
    g = surface_green(np.array(0.2), H, V)
    assert np.abs(g - dagger(g)).max() > 0.1
    assert leads._solved(g, D, V).all()
    assert leads._retarded(g).all()
    advanced = dagger(g)
    assert leads._solved(advanced, D, V).all()
    assert not leads._retarded(advanced).any()


@pytest.mark.parametrize("distance", [1e-5, 1e-7, 9e-9, 1e-9, 1e-12])
@pytest.mark.parametrize("level", [0.5, 2.7], ids=["open", "closed"])
def test_equal_velocities_at_nearly_one_lambda_cost_no_digits(distance, level):
    onsite, hopping = (level, level + distance, 0.1, -0.9), (-1, -1, -0.7, -1.2)
    for seed in range(5):
        U = unitary(seed, 4)
        H, V = (U @ np.diag(np.array(x, dtype=complex)) @ dagger(U) for x in (onsite, hopping))
        expected = U @ from_orbitals(0.0, onsite, hopping) @ dagger(U)
        np.testing.assert_allclose(surface_green(np.array(0.0), H, V), expected, rtol=0, atol=CLOSED_FORM)


@pytest.mark.parametrize("columns", [(0, 1, 0), (0, 0), (0, 1, 2, 0, 1)])
def test_waves_of_one_lambda_that_depend_on_each_other_stand_still(columns):
    """At a band edge more modes than orbitals may share one lambda: five for three orbitals."""
    modes = unitary(0, 3)[:, columns]
    _, velocity = leads._flow(np.full(len(columns), 1j), modes, -np.eye(3))
    rank = len(set(columns))
    np.testing.assert_allclose(velocity, [2] * rank + [0] * (len(columns) - rank), atol=CLOSED_FORM)


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


def cells(seed, n, count):
    """H, V of many random leads."""
    return tuple(np.array(x) for x in zip(*(random_cell(seed + i, n) for i in range(count)), strict=True))


@pytest.fixture
def no_lead_by_lead(monkeypatch):
    """The kernels have to do without the careful route, which takes the leads one by one."""

    def refused(z, H, V):
        raise AssertionError(f"{len(z)} leads went the careful way")

    monkeypatch.setattr(leads, "_careful", refused)


@pytest.mark.kwant
@pytest.mark.parametrize("n", [2, 4, 9, 18])
def test_many_leads_of_many_orbitals_equal_those_of_kwant_without_going_one_by_one(n, no_lead_by_lead):
    H, V = cells(100 * n, n, 30)
    energy = np.random.default_rng(n).uniform(-4, 4, 30)
    sigma = V @ surface_green(energy, H, V) @ dagger(V)
    for i in range(30):
        theirs = kwant_self_energy(energy[i], H[i], V[i])
        np.testing.assert_allclose(sigma[i], theirs, atol=SAME_AS_KWANT * max(1, np.abs(theirs).max()))


@pytest.mark.kwant
@pytest.mark.parametrize("rank", [0, 1, 3, 5, 8])
@pytest.mark.parametrize("energy", [0.37, 0.37 + 1e-3j])
def test_hopping_of_any_rank_equals_kwant_without_going_one_by_one(rank, energy, no_lead_by_lead):
    H, V = cells(7, 9, 20)
    _, other = cells(400, 9, 20)
    V = V[:, :, :rank] @ other[:, :rank] / 3
    sigma = V @ surface_green(np.array(energy), H, V) @ dagger(V)
    for i in range(20):
        if not rank:
            np.testing.assert_array_equal(sigma[i], 0)
        elif np.isreal(energy):
            theirs = kwant_self_energy(energy, H[i], V[i])
            np.testing.assert_allclose(sigma[i], theirs, atol=SAME_AS_KWANT * max(1, np.abs(theirs).max()))
        else:
            theirs = V[i] @ decimated(np.real(energy), H[i], V[i], np.imag(energy)) @ dagger(V[i])
            np.testing.assert_allclose(sigma[i], theirs, atol=DYSON * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("condition", [1e5, 1e7, 1e9, 1e11])
def test_hopping_between_regular_and_singular_obeys_the_dyson_equation(condition):
    for seed in range(5):
        H, V = random_cell(seed, 5)
        left, _, right = np.linalg.svd(V)
        V = left @ np.diag(np.geomspace(1, 1 / condition, 5)) @ right
        g = surface_green(np.array(0.3), H, V)
        assert dyson_residual(g, 0.3, H, V) < DYSON * max(1, np.abs(g).max()) ** 2
        assert np.linalg.eigvalsh(1j * (g - dagger(g))).min() > -RETARDED * max(1, np.abs(g).max())


def test_a_mixed_batch_is_solved_point_by_point_right():
    """Regular, singular, absent and degenerate hoppings, band edges and complex energies at once."""
    H, V = cells(50, 3, 6)
    V[1] = V[1] @ np.diag([1, 1, 0])
    V[2] = 0
    H[3], V[3] = np.eye(3) * 0.1, -np.eye(3)
    H[4], V[4] = np.diag([0.0, 0.5, 0.9]), -np.eye(3)
    energy = np.array([0.3, 0.3, 0.3, 0.3, 2.0, 0.3 + 1j])
    g = surface_green(energy, H, V)
    assert np.all(np.isfinite(g))
    for i in range(6):
        alone = surface_green(energy[i].real if i < 5 else energy[i], H[i], V[i])
        np.testing.assert_allclose(g[i], alone, atol=SAME_AS_KWANT)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_every_band_edge_of_a_random_lead_gives_a_finite_retarded_limit(n):
    for seed in range(4):
        H, V = random_cell(seed, n)
        q = np.linspace(-np.pi, np.pi, 4001)[:, None, None]
        bands = np.linalg.eigvalsh(H + V * np.exp(1j * q) + dagger(V) * np.exp(-1j * q))
        for edge in (bands.max(axis=0), bands.min(axis=0)):
            for energy in edge:
                g = surface_green(np.array(energy), H, V)
                assert np.all(np.isfinite(g))
                assert dyson_residual(g, energy, H, V) < AT_THE_EDGE * max(1, np.abs(g).max())
                assert np.linalg.eigvalsh(1j * (g - dagger(g))).min() > -AT_THE_EDGE * max(1, np.abs(g).max())


def test_decimation_and_modes_are_one_at_complex_energy():
    H, V = cells(900, 6, 40)
    z = np.random.default_rng(1).uniform(-3, 3, 40) + 1j * np.random.default_rng(2).uniform(0.5, 4, 40)
    D = z[:, None, None] * np.eye(6) - H
    np.testing.assert_allclose(leads._decimated(D, V), leads._from_modes(z, D, V), atol=SAME_AS_KWANT)


def assert_same_numbers(found, expected, tolerance):
    """Each number of one list lies at one of the other, and the other way round."""
    distance = np.abs(found[:, None] - expected[None, :])
    assert distance.min(axis=0).max() < tolerance
    assert distance.min(axis=1).max() < tolerance


@pytest.mark.parametrize("size", [1, 2, 3, 8, 18])
def test_eigenvalues_are_those_of_lapack(size):
    matrices = np.array([random_matrix(np.random.default_rng(s), size) for s in range(41)])
    for found, matrix in zip(eigenvalues(matrices), matrices, strict=True):
        assert_same_numbers(found, np.linalg.eigvals(matrix), EIGENVALUE)


def test_eigenvalues_of_special_matrices_converge():
    turn = np.roll(np.eye(4), 1, axis=0).astype(complex)
    jordan = np.diag([0.5] * 4) + np.diag([1.0] * 3, 1) + 0j
    special = np.array([np.zeros((4, 4)), np.eye(4), np.diag([1, 2j, 3, 4]), turn, jordan.T, jordan])
    found = eigenvalues(special.astype(complex))
    expected = [np.zeros(4), np.ones(4), np.array([1, 2j, 3, 4]), np.array([1, 1j, -1, -1j])]
    for mine, theirs in zip(found, expected, strict=False):
        assert_same_numbers(mine, theirs, EIGENVALUE)
    for mine in found[4:]:
        assert_same_numbers(mine, np.full(4, 0.5), DEFECTIVE)


def test_what_is_not_a_number_stays_so_in_its_own_lane():
    matrices = np.array([random_matrix(np.random.default_rng(s), 4) for s in range(5)])
    expected = eigenvalues(matrices)
    matrices[2, 1, 1] = np.nan
    found = eigenvalues(matrices)
    assert not np.isfinite(found[2]).any()
    np.testing.assert_array_equal(np.delete(found, 2, axis=0), np.delete(expected, 2, axis=0))


@pytest.mark.parametrize("error", [0.0, 1e-9, 1e-6])
def test_null_vectors_solve_the_equation_of_the_modes_and_mend_lambda(error):
    H, V = random_cell(21, 4)
    D = 0.2 * np.eye(4) - H
    pencil = np.block([[np.zeros((4, 4)), np.eye(4)], [-np.linalg.solve(V, dagger(V)), np.linalg.solve(V, D)]])
    exact = np.linalg.eigvals(pencil)
    factors, modes = null_vectors(np.zeros(8, dtype=int), exact * (1 + error), D[None], V[None], 2)
    np.testing.assert_allclose(factors, exact, atol=EIGENVALUE * np.abs(exact).max())
    for factor, mode in zip(factors, modes, strict=True):
        P = dagger(V) - factor * D + factor**2 * V
        assert np.linalg.norm(P @ mode) < EIGENVALUE * np.linalg.norm(P)
        assert np.linalg.norm(mode) == pytest.approx(1)
