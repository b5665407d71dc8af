"""Complex bands: closed form, determinant, conjugate pairs, Kwant's modes, singular hoppings, signs."""

import itertools

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque import plot, store

CLOSED_FORM = 1e-12
"""Eigenvalues of a 2 x 2 pencil against an arccosine, away from band edges."""
ROUNDING = 1e-9
"""Eigenvalues of pencils of a few rows, conditioned by waves that are not orthogonal."""


def random_matrix(generator, n):
    return generator.normal(size=(n, n)) + 1j * generator.normal(size=(n, n))


def random_material(seed, n=3, hopping_z=None):
    """Hermitian, without any symmetry that would hide a sign: complex hoppings, oblique lattice."""
    generator = np.random.default_rng(seed)
    onsite, exchange = (x + x.conj().T for x in (random_matrix(generator, n), random_matrix(generator, n)))
    exchange += (1 - np.trace(exchange).real) / n * np.eye(n)
    along = random_matrix(generator, n) if hopping_z is None else hopping_z
    return qt.Material(
        name="random",
        lattice=np.array([[0.3, 0, 0], [0.1, 0.4, 0], [0.05, 0.07, 0.25]]),
        onsite=onsite,
        exchange=exchange,
        hoppings=(
            ((1, 0, 0), 0.3 * random_matrix(generator, n)),
            ((0, 1, 0), 0.2 * random_matrix(generator, n)),
            ((0, 0, 1), along),
            ((1, 0, 1), 0 * along if hopping_z is not None else 0.4 * random_matrix(generator, n)),
        ),
    )


def blocks(material, k, spin):
    """H and V at one momentum, written out from the definition of `Material`."""
    sign = {"up": -0.5, "down": 0.5}[spin]
    H = material.onsite + sign * material.exchange
    V = np.zeros_like(H)
    for (n1, n2, n3), matrix in material.hoppings:
        term = matrix * np.exp(1j * (k[0] * n1 + k[1] * n2))
        if n3 == 0:
            H = H + term + term.conj().T
        else:
            V = V + term
    return H, V


@pytest.mark.parametrize("k", [(0.0, 0.0), (1.1, 0.4), (np.pi, 2.0)])
@pytest.mark.parametrize(("spin", "onsite"), [("up", 3.0), ("down", 5.6)])
def test_a_single_band_has_the_cosine_of_its_closed_form(k, spin, onsite):
    energies = [-1.0, 0.0, 0.7]
    d = qt.complex_bands(qt.single_band(onsite=4.3, exchange=2.6), energy=energies, k=k).sel(spin=spin).isel(k=0)
    for energy in energies:
        cosine = (energy - onsite + 2 * (np.cos(k[0]) + np.cos(k[1]))) / -2
        q = d["q"].sel(energy=energy).values
        np.testing.assert_allclose(np.cos(q), cosine, atol=CLOSED_FORM * max(1, abs(cosine)))
        if abs(cosine) < 1:
            assert d["propagating"].sel(energy=energy).all()
            # dE/dq of E = onsite + w + 2 t cos q with t = -1.
            np.testing.assert_allclose(d["velocity"].sel(energy=energy), 2 * np.sin(q.real), atol=CLOSED_FORM)
        else:
            decay = np.arccosh(abs(cosine))
            np.testing.assert_allclose(q.imag, [-decay, decay], rtol=CLOSED_FORM)
            np.testing.assert_allclose(q.real, 0.0 if cosine > 0 else np.pi, atol=CLOSED_FORM)
            np.testing.assert_allclose(d["kappa"].sel(energy=energy), q.imag / 0.3)
            assert not d["propagating"].sel(energy=energy).any()
            assert not d["velocity"].sel(energy=energy).any()


@pytest.mark.parametrize("seed", range(4))
def test_every_wave_makes_the_determinant_vanish_and_has_a_conjugate_partner(seed):
    material, k = random_material(seed), [[0.3, -1.2], [2.0, 0.9]]
    d = qt.complex_bands(material, energy=[-0.4, 0.6], k=k)
    assert d["q"].shape == (2, 2, 2, 6)
    for i, energy in enumerate(d["energy"].values):
        for j in range(2):
            for s, spin in enumerate(("up", "down")):
                H, V = blocks(material, k[j], spin)
                q = d["q"].values[i, j, s]
                for factor in np.exp(1j * q):
                    secular = V * factor + V.conj().T / factor - (energy * np.eye(3) - H)
                    singular = np.linalg.svd(secular, compute_uv=False)
                    assert singular[-1] < ROUNDING * singular[0]
                difference = np.abs(np.exp(1j * (q[:, None] - q.conj()[None])) - 1)
                assert difference.min(axis=1).max() < ROUNDING
                assert np.all(np.diff(q.imag) >= 0)
    assert np.all((d["q"].values.real > -np.pi) & (d["q"].values.real <= np.pi))
    # The thickness of a layer is the height of a3, not its length.
    np.testing.assert_allclose(d["kappa"], d["q"].values.imag / 0.25)


@pytest.mark.parametrize("seed", range(4))
def test_velocities_are_slopes_of_the_bands(seed):
    material, k = random_material(seed), (0.4, 1.0)
    d = qt.complex_bands(material, energy=np.linspace(-1.5, 1.5, 7), k=k).isel(k=0)
    H, V = blocks(material, k, "up")
    found = 0
    for energy in d["energy"].values:
        at = d.sel(energy=energy, spin="up")
        for q, velocity in zip(at["q"].values, at["velocity"].values, strict=True):
            if velocity:
                assert q.imag == 0
                below, above = (
                    np.linalg.eigvalsh(H + V * np.exp(1j * x) + V.conj().T * np.exp(-1j * x))
                    for x in (q.real - 1e-5, q.real + 1e-5)
                )
                band = np.argmin(np.abs(0.5 * (below + above) - energy))
                assert velocity == pytest.approx((above - below)[band] / 2e-5, rel=1e-6)
                found += 1
    assert found > 0


@pytest.mark.kwant
@pytest.mark.parametrize("seed", range(5))
def test_propagating_waves_are_those_of_kwant(seed):
    material, k = random_material(seed), (0.4, 1.0)
    found = 0
    for spin, energy in itertools.product(("up", "down"), (-1.0, 0.2, 1.0)):
        H, V = blocks(material, k, spin)
        # Kwant's second matrix is <cell + 1|H|cell> where momenta count along +z; V is <cell|H|cell + 1>.
        modes, _ = kwant.physics.modes(H - energy * np.eye(3), V.conj().T)
        d = qt.complex_bands(material, energy=energy, k=k).isel(energy=0, k=0).sel(spin=spin)
        mine = d.where(d["propagating"], drop=True)
        order, other = np.argsort(mine["q"].values.real), np.argsort(modes.momenta)
        np.testing.assert_allclose(mine["q"].values.real[order], modes.momenta[other], atol=ROUNDING)
        np.testing.assert_allclose(mine["velocity"].values[order], modes.velocities[other], rtol=1e-7)
        found += len(order)
    assert found > 0


def test_a_wave_with_positive_velocity_and_a_decaying_one_go_towards_plus_z():
    # Electron-like band, E = e + w - 2 cos q: at positive q the wave runs up, and deep below the band Im q > 0 decays.
    d = qt.complex_bands(qt.single_band(onsite=4.0), energy=0.0).isel(energy=0, k=0, spin=0)
    assert np.all(np.sign(d["velocity"]) == np.sign(d["q"].values.real))
    barrier = qt.complex_bands(qt.single_band(onsite=9.0), energy=0.0).isel(energy=0, k=0, spin=0)
    factors = np.abs(np.exp(1j * barrier["q"].values))
    assert factors[0] > 1 > factors[1]
    assert barrier["kappa"][0] < 0 < barrier["kappa"][1]


def test_orbitals_that_do_not_hop_are_marked_by_an_infinite_decay():
    generator = np.random.default_rng(3)
    column = random_matrix(generator, 3)[:, :1]
    row = random_matrix(generator, 3)[:1]
    material = random_material(3, hopping_z=column @ row)
    d = qt.complex_bands(material, energy=0.1, k=(0.2, 0.5)).isel(energy=0, k=0)
    for spin in ("up", "down"):
        q = d["q"].sel(spin=spin).values
        assert np.sum(np.isposinf(q.imag)) == np.sum(np.isneginf(q.imag)) == 2
        H, V = blocks(material, (0.2, 0.5), spin)
        for factor in np.exp(1j * q[np.isfinite(q.imag)]):
            secular = V * factor + V.conj().T / factor - (0.1 * np.eye(3) - H)
            singular = np.linalg.svd(secular, compute_uv=False)
            assert singular[-1] < ROUNDING * singular[0]
    assert not d["propagating"].values[np.isinf(d["kappa"].values)].any()


def test_a_chain_of_empty_hoppings_moves_nothing():
    material = qt.single_band(onsite=1.0, hopping=0.0)
    d = qt.complex_bands(material, energy=0.0).isel(energy=0, k=0)
    np.testing.assert_array_equal(d["kappa"], [[-np.inf, np.inf]] * 2)
    with pytest.raises(qt.InputError, match="without dispersion"):
        qt.complex_bands(material, energy=1.0)


def unitary(seed, n=2):
    """A random unitary matrix."""
    return np.linalg.qr(random_matrix(np.random.default_rng(seed), n))[0]


def two_orbitals(onsite, hopping):
    """A material of two orbitals or more, nonmagnetic, with hoppings along z alone."""
    matrices = [np.array(x, dtype=complex) for x in (onsite, hopping)]
    return qt.Material(
        name="orbitals", lattice=0.3 * np.eye(3), onsite=matrices[0], exchange=np.zeros(matrices[0].shape),
        hoppings=(((0, 0, 1), matrices[1]),),
    )  # fmt: skip


def secular_residual(H, V, energy, q):
    """Smallest over largest singular value of V lambda + V^dagger/lambda - (E - H), the worst of all finite waves."""
    factors = np.exp(1j * q[np.isfinite(q.imag)])
    terms = [V * x + V.conj().T / x - (energy * np.eye(len(H)) - H) for x in factors]
    return max((np.divide(*np.linalg.svd(term, compute_uv=False)[[-1, 0]]) for term in terms), default=0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_waves_of_a_shift_along_the_orbitals_are_neither_invented_nor_lost(n, seed):
    # V = |1><2| + |2><3| + ...: lambda = 0 has chains of n vectors, which a solver of eigenvalues would turn into n
    # roots of rounding. With levels that do not mix the determinant does not depend on lambda; with a full H it is of
    # degree n - 1 in lambda and in 1/lambda.
    generator = np.random.default_rng(seed)
    turn, shift = unitary(100 + seed, n), np.diag(np.ones(n - 1), 1)
    full = random_matrix(generator, n)
    for onsite, waves in (
        (np.diag(generator.normal(size=n)), 0),
        (np.zeros((n, n)), 0),
        (full + full.conj().T, 2 * n - 2),
    ):
        H, V = (turn @ x @ turn.conj().T for x in (onsite, shift))
        q = qt.complex_bands(two_orbitals(H, V), energy=0.37)["q"].values[0, 0, 0]
        assert np.isfinite(q.imag).sum() == waves
        assert np.isposinf(q.imag).sum() == np.isneginf(q.imag).sum() == n - waves // 2
        assert secular_residual(H, V, 0.37, q) < CLOSED_FORM


@pytest.mark.parametrize("seed", range(4))
def test_a_band_beside_orbitals_that_lead_nowhere_keeps_its_two_waves(seed):
    # A single band E = 0.2 - 2 cos q, a shift over three orbitals and one that does not hop, in a random basis.
    turn, onsite, hopping = unitary(seed, 5), np.diag([0.2, 0.9, 1.3, -0.8, 2.0]), np.zeros((5, 5))
    hopping[0, 0], hopping[1, 2], hopping[2, 3] = -1.0, 1.0, 0.7
    d = qt.complex_bands(
        two_orbitals(*(turn @ x @ turn.conj().T for x in (onsite, hopping))), energy=0.5
    ).isel(energy=0, k=0, spin=0)  # fmt: skip
    q = d["q"].values
    expected = np.arccos((0.5 - 0.2) / -2)
    np.testing.assert_allclose(np.sort(q[np.isfinite(q.imag)]), [-expected, expected], atol=ROUNDING)
    np.testing.assert_allclose(np.sort(d["velocity"][d["propagating"]]), np.array([-2, 2]) * np.sin(expected))


def test_a_weak_hopping_is_not_taken_for_none():
    # lambda of 1e-9 is a wave as good as any: cosh kappa = (E - e)/2t.
    t = 1e-9
    d = qt.complex_bands(two_orbitals(np.diag([0.0, 1.0]), np.diag([-1.0, t])), energy=0.3).isel(energy=0, k=0, spin=0)
    kappa = np.arccosh(0.7 / (2 * t))
    assert np.isfinite(d["q"].values.imag).all()
    np.testing.assert_allclose(d["q"].values.imag[[0, -1]], [-kappa, kappa], rtol=ROUNDING)


@pytest.mark.parametrize("seed", range(6))
def test_a_wave_that_alternates_while_it_decays_has_the_phase_pi_and_never_minus_pi(seed):
    # Above both bands lambda is negative, up to an imaginary part that is rounding.
    turn = unitary(seed)
    material = two_orbitals(turn @ np.diag([0.2, 0.0]) @ turn.conj().T, turn @ np.diag([-1.0, -0.5]) @ turn.conj().T)
    d = qt.complex_bands(material, energy=3.0)
    np.testing.assert_allclose(d["q"].values.real, np.pi, atol=1e-9)


def test_a_chain_of_separate_dimers_moves_nothing_though_it_hops():
    # V = |1><2|: two steps lead nowhere, and lambda = 0 is a defective eigenvalue; det is (E - a)(E - b) - 1 at any q.
    # In a turned basis rounding splits it.
    turn = unitary(1)
    material = two_orbitals(turn @ np.diag([0.3, -0.2]) @ turn.conj().T, turn @ [[0, 1], [0, 0]] @ turn.conj().T)
    d = qt.complex_bands(material, energy=0.4).isel(energy=0, k=0)
    np.testing.assert_array_equal(d["kappa"], [[-np.inf, -np.inf, np.inf, np.inf]] * 2)
    with pytest.raises(qt.InputError, match="without dispersion"):
        qt.complex_bands(material, energy=0.05 + np.sqrt(0.25**2 + 1))


@pytest.mark.parametrize("turn", [np.eye(2), unitary(2), unitary(3)])
def test_a_wave_at_the_edge_of_its_band_stands_while_another_runs(turn):
    # Two bands in a turned basis, E = 2 - 2 cos(q + 1) at its bottom, where the other one, E = -cos q, has a slope.
    hopping = np.diag([-np.exp(1j), -0.5])
    material = two_orbitals(turn @ np.diag([2.0, 0.0]) @ turn.conj().T, turn @ hopping @ turn.conj().T)
    d = qt.complex_bands(material, energy=0.0).isel(energy=0, k=0, spin=0)
    assert int(d["propagating"].sum()) == 2
    np.testing.assert_allclose(np.sort(d["velocity"]), [-1, 0, 0, 1], atol=1e-9)


def test_a_band_edge_neither_propagates_nor_decays():
    d = qt.complex_bands(qt.single_band(onsite=2.0), energy=0.0).isel(energy=0, k=0)
    assert not d["propagating"].any()
    np.testing.assert_array_equal(d["kappa"], 0)


def test_degenerate_waves_have_the_velocities_of_both():
    # Two equal bands, one mirrored: at one q one of them runs up and the other down.
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    material = two_orbitals(np.zeros((2, 2)), turn @ np.diag([-1.0, 1.0]) @ turn.T)
    d = qt.complex_bands(material, energy=0.0).isel(energy=0, k=0, spin=0)
    np.testing.assert_allclose(np.abs(d["q"].values), np.pi / 2, atol=CLOSED_FORM)
    np.testing.assert_allclose(d["velocity"], [-2, 2, -2, 2], atol=1e-9)


def test_hoppings_over_two_monolayers_make_a_principal_layer_of_two():
    # E = 2 t1 cos q + 2 t2 cos 2q: a cell of two monolayers has the factors of one squared.
    near, far = np.array([[-1.0]]), np.array([[0.3]])
    zero = np.zeros((1, 1))
    material = qt.Material(
        name="far", lattice=0.3 * np.eye(3), onsite=zero, exchange=zero,
        hoppings=(((0, 0, 1), near), ((0, 0, 2), far)),
    )  # fmt: skip
    d = qt.complex_bands(material, energy=0.4).isel(energy=0, k=0, spin=0)
    assert d.attrs["monolayers"] == 2
    assert d.attrs["layer_thickness"] == pytest.approx(0.6)
    factors = np.roots([0.3, -1.0, -0.4, -1.0, 0.3])
    kappa = np.sort(-np.log(np.abs(factors)) / 0.3)
    np.testing.assert_allclose(d["kappa"], kappa, atol=1e-9)


def test_the_leads_of_a_system_are_the_materials_they_are_made_of():
    left, right = random_material(1), random_material(2)
    stack = qt.Stack(
        left=qt.Lead(left, magnetization=(0.6, 0, 0.8)), right=qt.Lead(right, magnetization=(0, 1, 0), magnet="F2")
    )
    for name, material in (("left", left), ("right", right)):
        mine = qt.complex_bands(stack, energy=0.3, k=(0.2, 0.1), lead=name)
        bulk = qt.complex_bands(material, energy=0.3, k=(0.2, 0.1))
        np.testing.assert_allclose(np.exp(-mine["kappa"]), np.exp(-bulk["kappa"]), atol=ROUNDING)
        np.testing.assert_allclose(np.sort(mine["velocity"]), np.sort(bulk["velocity"]), atol=ROUNDING)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"energy": np.nan}, "energy"),
        ({"energy": []}, "energy"),
        ({"energy": 0.0, "k": (1.0, 2.0, 3.0)}, "k.a1"),
        ({"energy": 0.0, "lead": "left"}, "lead"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, words):
    with pytest.raises(qt.InputError, match=words) as refusal:
        qt.complex_bands(qt.single_band(onsite=1.0), **arguments)
    assert "\n" not in str(refusal.value)


def test_a_system_needs_the_name_of_its_lead():
    normal = qt.single_band(onsite=1.0)
    with pytest.raises(qt.InputError, match="lead='left'"):
        qt.complex_bands(qt.Stack(left=qt.Lead(normal), right=qt.Lead(normal)), energy=0.0)
    with pytest.raises(qt.InputError, match="no stack"):
        qt.complex_bands("iron", energy=0.0)


def test_the_figure_shows_decay_to_the_left_and_wave_numbers_to_the_right():
    d = qt.complex_bands(qt.single_band(onsite=4.3, exchange=2.6), energy=np.linspace(-2.0, 4.0, 13))
    left, right = plot.complex_bands(d).axes
    shown = sum(len(line.get_xdata()) for line in left.lines if line.get_marker() == ".")
    assert shown == int(((d["kappa"] > 0) & ~d["propagating"]).sum(skipna=False))
    runs = [line for line in right.lines if line.get_marker() == "."]
    assert sum(len(line.get_xdata()) for line in runs) == int(d["propagating"].sum())
    at = d.isel(k=0).sel(spin="up")
    np.testing.assert_allclose(np.max(runs[0].get_xdata()), np.abs(at["q"].where(at["propagating"]).real).max() / np.pi)
    assert left.get_xlim()[0] > left.get_xlim()[1] == 0


def test_the_figure_shows_waves_at_a_band_edge_as_open_circles_among_the_real_wave_numbers():
    # E = 2 + w - 2 cos q with w = -4 + 2: its bottom, at q = 0, and its top are met exactly.
    d = qt.complex_bands(qt.single_band(onsite=4.0), energy=[-2.0, 0.0, 2.0])
    left, right = plot.complex_bands(d).axes
    (edges,) = (line for line in right.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert edges.get_markerfacecolor() == "none"
    shown = np.array(sorted(zip(edges.get_ydata(), edges.get_xdata(), strict=True)))
    # At a double root lambda has the square root of rounding.
    np.testing.assert_allclose(shown, [(-2, 0)] * 2 + [(2, 1)] * 2, atol=1e-7)
    assert not any(len(line.get_xdata()) for line in left.lines if line.get_marker() == ".")


def test_complex_bands_can_be_stored_with_all_their_marks(tmp_path):
    d = qt.complex_bands(qt.single_band(onsite=1.0, hopping=0.0), energy=0.0)
    store.save_dataset(d, tmp_path / "bands.nc")
    again = store.load_dataset(tmp_path / "bands.nc")
    np.testing.assert_array_equal(again["q"], d["q"])
    np.testing.assert_array_equal(again["propagating"], d["propagating"])
