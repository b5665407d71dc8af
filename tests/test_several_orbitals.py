"""Stacks with several orbitals a layer: runs of equal layers by doubling, angle sweeps from one cut, hard cases."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qtorque as qt
from qtorque import green
from qtorque._linalg import adjoint, inverse
from qtorque.bloch import as_layered
from qtorque.green import Phases, Sweeps, transmissions
from qtorque.halves import Run
from qtorque.leads import surface_green

SAME_ROUTE = 1e-10
"""Two orders of the same eliminations; every one loses a digit or two of sixteen."""
SAME_TRANSMISSION = 1e-10
"""Against Kwant or another recursion, numbers of order one."""
THICK = 1e-8
"""Relative error of a transmission below 1e-30: each of hundreds of layers adds a rounding error or two."""
CONSERVED = 1e-10
"""Of S^dagger S = 1 behind 400 layers."""
FEW = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)
ROOT = Path(__file__).parents[1]


def random_matrix(rng, n, size=1.0):
    return size * (rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)))


def hermitian(rng, n, size=1.0):
    a = random_matrix(rng, n, size)
    return (a + a.conj().T) / 2


def material(seed, n, *, magnetic=False, shift=0.0):
    """Random short-ranged blocks; the hopping is one and the same for all seeds, as in neighbouring elements."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(77)
    hoppings = (
        ((0, 0, 1), -np.eye(n) + random_matrix(common, n, 0.2)),
        ((1, 0, 0), -0.4 * np.eye(n) + random_matrix(common, n, 0.1)),
        ((0, 1, 0), -0.4 * np.eye(n) + random_matrix(common, n, 0.1)),
        ((1, 0, 1), random_matrix(common, n, 0.05)),
    )
    return qt.Material(
        name=f"{n} orbitals {seed}",
        lattice=0.3 * np.eye(3),
        onsite=hermitian(rng, n, 0.4) + shift * np.eye(n),
        exchange=1.5 * np.eye(n) + hermitian(rng, n, 0.1) if magnetic else np.zeros((n, n)),
        hoppings=hoppings,
    )


def spin_valve(n, spacer=3, thickness=2):
    normal, magnet = material(1, n), material(2, n, magnetic=True)
    layers = [
        qt.Layer(normal, 1),
        qt.Layer(magnet, thickness, magnet="fixed"),
        qt.Layer(normal, spacer),
        qt.Layer(magnet, thickness, magnet="free"),
        qt.Layer(normal, 1),
    ]
    return qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal))


def tunnel_junction(n, spacer=3):
    magnet, barrier = material(2, n, magnetic=True), material(3, n, shift=5.0)
    return qt.Stack(
        left=qt.Lead(magnet, magnetization=(0, 0, 1)),
        layers=[qt.Layer(barrier, spacer, barrier=True)],
        right=qt.Lead(magnet, magnetization=(0.6, 0, 0.8)),
    )


def three_magnets(n):
    """The middle magnet is tilted, out of the plane of the others; the last one turns."""
    normal, magnet, other = material(1, n), material(2, n, magnetic=True), material(4, n, magnetic=True)
    layers = [
        qt.Layer(normal, 1),
        qt.Layer(other, 2, magnet="tilted", magnetization=(0, 0.6, 0.8)),
        qt.Layer(normal, 2),
        qt.Layer(magnet, 3, magnet="free"),
        qt.Layer(normal, 1),
    ]
    lead = qt.Lead(magnet, magnetization=(0, 0, 1), magnet="fixed")
    return qt.Stack(left=lead, layers=layers, right=qt.Lead(normal), fixed="fixed", free="free")


def momenta(count, seed=5):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (count, 2))


def dense_corners(chain, k, energy):
    """G between the ends of the region by inverting E - H - Sigma as one matrix, from the chain's blocks."""
    sweeps = Sweeps(chain, Phases(k), np.array([[energy]]))
    sigma = [sweeps.self_energy(p).full[0, :, 0] for p in (0, 1)]
    found = []
    for i in range(len(k)):
        H = [h.at(k[i : i + 1])[0] for h in chain.onsite[1:-1]]
        V = [v.at(k[i : i + 1])[0] for v in chain.bond[1:-1]]
        size, count = len(H[0]), len(H)
        whole = np.zeros((count * size, count * size), dtype=complex)
        for e in range(count):
            own = slice(e * size, (e + 1) * size)
            whole[own, own] = H[e]
            if e + 1 < count:
                after = slice((e + 1) * size, (e + 2) * size)
                whole[own, after], whole[after, own] = V[e], V[e].conj().T
        whole[:size, :size] += sigma[0][i % len(sigma[0])]
        whole[-size:, -size:] += sigma[1][i % len(sigma[1])]
        G = np.linalg.inv(energy * np.eye(len(whole)) - whole)
        ends = (slice(0, size), slice(-size, None))
        found.append({(p, q): G[ends[p], ends[q]] for p in (0, 1) for q in (0, 1)})
    return {pair: np.array([f[pair] for f in found]) for pair in found[0]}


@pytest.mark.parametrize("long_run", [2, 3, 1000])
@pytest.mark.parametrize("angle", [0.0, 1.1])
@pytest.mark.parametrize("stack", [spin_valve(3, 6, 5), tunnel_junction(2, 7)], ids=["valve", "junction"])
def test_corners_are_those_of_the_inverse_of_the_whole_region(stack, angle, long_run, monkeypatch):
    monkeypatch.setattr(green, "LONG_RUN", long_run)
    chain, k = as_layered(stack).chain(angle, 0.0), momenta(6)
    sweeps = Sweeps(chain, Phases(k), np.array([[0.3]]))
    assert bool(sweeps._runs) is False
    corners = sweeps.corners()
    assert bool(sweeps._runs) == (long_run < 1000)
    for pair, expected in dense_corners(chain, k, 0.3).items():
        found = corners[pair].full[0, :, 0]
        np.testing.assert_allclose(found, expected, atol=SAME_ROUTE * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("odd", [1, 2, 6, 10])
def test_a_run_ends_where_the_hopping_between_equal_layers_changes(odd, monkeypatch):
    metal, other = material(1, 2), material(2, 2)
    chain = as_layered(qt.Stack(left=qt.Lead(metal), layers=[qt.Layer(other, 11)], right=qt.Lead(metal))).chain()
    bonds = list(chain.bond)
    bonds[odd] = green.Fourier(bonds[odd].vectors, 0.6 * bonds[odd].matrices)
    chain, k = replace(chain, bond=tuple(bonds)), momenta(3)
    monkeypatch.setattr(green, "LONG_RUN", 2)
    sweeps = Sweeps(chain, Phases(k), np.array([[0.3]]))
    corners = sweeps.corners()
    for pair, expected in dense_corners(chain, k, 0.3).items():
        np.testing.assert_allclose(corners[pair].full[0, :, 0], expected, atol=SAME_ROUTE)
    # From the right, behind all layers: the flow through the first cut is that through the last.
    first, last = (sweeps.join(bond).window_currents()[0][0] for bond in (0, 11))
    np.testing.assert_allclose(first, last, atol=SAME_ROUTE)


@FEW
@given(seeds, st.integers(2, 4), st.integers(1, 70), st.floats(-4, 4))
def test_runs_by_doubling_are_those_layer_by_layer_at_any_real_energy(seed, n, length, energy):
    """Isolated runs have poles on the real axis, random energies among them; held open, none is ever near."""
    rng = np.random.default_rng(seed)
    D, V = energy * np.eye(n) - hermitian(rng, n), random_matrix(rng, n)
    sigma = hermitian(rng, n) - 1j * np.eye(n)
    leak = float(np.abs(V).max())
    one = np.linalg.inv(D + 2j * leak * np.eye(n))
    power, whole, left = Run(leak, one, one, one, one), None, length
    while left:
        if left & 1:
            whole = power if whole is None else whole.followed_by(power, V)
        power, left = power.followed_by(power, V), left >> 1
    run = whole.attached_to(sigma)
    g = first = down = up = np.linalg.inv(D - sigma)
    for _ in range(length - 1):
        g = np.linalg.inv(D - V.conj().T @ g @ V)
        first = first + up @ V @ g @ V.conj().T @ down
        down, up = g @ V.conj().T @ down, up @ V @ g
    for found, expected in ((run.first, first), (run.last, g), (run.down, down), (run.up, up)):
        scale = max(1, np.abs(g).max(), np.abs(first).max())
        np.testing.assert_allclose(found, expected, atol=SAME_ROUTE * scale**2)


UNEQUAL_BANDS = 1e-8
"""Relative to G, for hoppings 1 and 1e-3: taking out a leak of size 1 costs the narrow band three digits or more."""


@pytest.mark.parametrize("narrow", [1e-1, 1e-3])
@pytest.mark.parametrize("energy", [-1.3, 0.2, 1.7])
def test_a_run_of_a_wide_and_a_narrow_band_is_within_the_stated_limit(narrow, energy):
    H, V, length = np.diag([0.3, 0.0]), np.diag([1.0, narrow]).astype(complex), 64
    D = energy * narrow * np.eye(2) - H
    sigma = adjoint(V) @ surface_green(np.array(energy * narrow), H, V) @ V
    one = np.linalg.inv(D + 2j * np.eye(2))
    run = Run(1.0, one, one, one, one)
    for _ in range(6):
        run = run.followed_by(run, V)
    run = run.attached_to(sigma)
    g = down = np.linalg.inv(D - sigma)
    for _ in range(length - 1):
        g = np.linalg.inv(D - V.conj().T @ g @ V)
        down = g @ V.conj().T @ down
    np.testing.assert_allclose(run.last, g, rtol=0, atol=UNEQUAL_BANDS * np.abs(g).max())
    np.testing.assert_allclose(run.down, down, rtol=0, atol=UNEQUAL_BANDS * np.abs(down).max())


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_halves_behind_a_run_are_those_that_pass_it_layer_by_layer(angle, monkeypatch):
    chain, k = as_layered(tunnel_junction(3, 9)).chain(angle, 0.0), momenta(5)
    for bond in (0, 4, 9):
        found = []
        for long_run in (3, 1000):
            monkeypatch.setattr(green, "LONG_RUN", long_run)
            sweeps = Sweeps(chain, Phases(k), np.array([[0.2]]))
            join = sweeps.join(bond)
            assert bool(sweeps._runs) == (long_run == 3)
            found.append((*join.window_currents(), join.green))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, atol=SAME_ROUTE * np.abs(other).max())


ANGLES = (0.0, 0.4, 1.1, np.pi / 2, np.pi, 4.0)


@pytest.mark.parametrize(
    "stack", [spin_valve(3), tunnel_junction(2), three_magnets(2)], ids=["valve", "junction", "three magnets"]
)
@pytest.mark.parametrize("long_run", [2, 1000])
def test_angle_sweep_from_one_cut_equals_a_solve_at_every_angle(stack, long_run, monkeypatch):
    monkeypatch.setattr(green, "LONG_RUN", long_run)
    system, k = as_layered(stack), momenta(6)
    found = transmissions([system.chain(a, 0.0) for a in ANGLES], k, 0.2)
    assert found.shape == (len(ANGLES), len(k), 2, 2)
    for angle, T in zip(ANGLES, found, strict=True):
        expected = qt.transmission(qt.solve(stack, energy=0.2, kmesh=qt.kpoints(k), angle=angle)).values
        np.testing.assert_allclose(T, expected, atol=SAME_TRANSMISSION)
    assert np.abs(found[1] - found[3]).max() > 1e-3


@pytest.mark.kwant
def test_angle_sweep_equals_kwant_spin_by_spin():
    stack, k = spin_valve(2), momenta(3)
    found = transmissions([as_layered(stack).chain(a, 0.0) for a in (0.9, 2.2)], k, 0.1)
    for angle, T in zip((0.9, 2.2), found, strict=True):
        s = qt.solve(stack, energy=0.1, kmesh=qt.kpoints(k), angle=angle, engine="kwant")
        np.testing.assert_allclose(T, qt.transmission(s).values, atol=SAME_TRANSMISSION)
        # Spin up in and spin down out is not the same as down in and up out: the order of the indices matters.
        assert np.abs(T[:, 0, 1] - T[:, 1, 0]).max() > 1e-3


def test_thickness_sweep_equals_a_solve_at_every_thickness():
    systems, k = [as_layered(spin_valve(2, spacer)) for spacer in (2, 3, 6)], momenta(5)
    found = transmissions([s.chain(0.8, 0.0) for s in systems], k, 0.2)
    for system, T in zip(systems, found, strict=True):
        expected = qt.transmission(qt.solve(system, energy=0.2, kmesh=qt.kpoints(k), angle=0.8)).values
        np.testing.assert_allclose(T, expected, atol=SAME_TRANSMISSION)


@pytest.fixture
def lead_solves(monkeypatch):
    """Shapes of the Hamiltonians of all leads that are solved."""
    shapes = []

    def counted(energy, H, V):
        shapes.append(H.shape)
        return surface(energy, H, V)

    surface = green.surface_green
    monkeypatch.setattr(green, "surface_green", counted)
    return shapes


def test_no_lead_is_solved_again_for_another_angle(lead_solves):
    system = as_layered(tunnel_junction(2))
    transmissions([system.chain(a, 0.0) for a in ANGLES], momenta(3), 0.2)
    assert len(lead_solves) == 2


def test_leads_are_solved_once_for_corners_and_self_energies(lead_solves):
    sweeps = Sweeps(as_layered(tunnel_junction(2)).chain(0.3, 0.0), Phases(momenta(3)), np.array([[0.2]]))
    sweeps.corners()
    sweeps.self_energy(0), sweeps.self_energy(1), sweeps.join(2)
    assert len(lead_solves) == 2


def test_a_normal_lead_is_solved_once_for_both_spins_and_a_magnetic_one_for_each(lead_solves):
    for stack, spins in ((spin_valve(2), 1), (tunnel_junction(2), 2)):
        lead_solves.clear()
        Sweeps(as_layered(stack).chain(0.3, 0.0), Phases(momenta(3)), np.array([[0.2]])).corners()
        assert [shape[0] for shape in lead_solves] == [spins, spins]


def test_the_channels_of_a_lead_that_conserves_no_spin_are_counted_together():
    system = as_layered(tunnel_junction(2))
    chain = system.chain(0.3, 0.0)
    vector = np.array([1.0, 2.0])
    mixing = np.kron(np.diag(vector), np.array([[0, 1], [1, 0]])) + np.kron(np.diag(vector[::-1]), np.diag([1, -1]))
    broken = green.Fourier(chain.onsite[0].vectors, chain.onsite[0].matrices + mixing)
    mixed = replace(chain, onsite=(broken, *chain.onsite[1:]))
    assert transmissions([mixed], momenta(2), 0.2).shape == (1, 2, 1, 2)


def one_channel(energies, lead, hopping=1.0, energy=0.0):
    """T of a chain of one orbital by the recursion with scalars, whose products keep their relative accuracy."""
    x = (energy - lead) / (2 * hopping)
    g = (x - 1j * np.sqrt(1 - x**2)) / hopping
    gamma, amplitude, last = -2 * g.imag * hopping**2, 1.0, g
    for level in energies:
        last = 1 / (energy - level - hopping**2 * last)
        amplitude = amplitude * last * hopping if amplitude is not None else last
    # Join with the right lead, of the same surface function.
    full = last / (1 - hopping**2 * g * last)
    return abs(amplitude / hopping * full / last) ** 2 * gamma**2


def test_scalar_recursion_of_the_reference_is_right_for_a_perfect_wire():
    assert one_channel([0.5] * 7, 0.5) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("layers", [10, 60, 400])
def test_thick_barriers_keep_the_relative_accuracy_of_a_tiny_transmission(layers):
    """Three orbitals, decoupled but for a rotation of the basis; T of the sum of the channels down to 1e-300."""
    n, levels, lead = 3, np.array([2.45, 2.7, 2.9]), np.array([0.1, 0.3, -0.4])
    if layers < 400:
        levels = levels + (1.0 if layers > 30 else 0.5)
    U = np.linalg.qr(random_matrix(np.random.default_rng(3), n))[0]

    def rotated(diagonal):
        return U @ np.diag(diagonal).astype(complex) @ U.conj().T

    hop = (((0, 0, 1), -np.eye(n)),)
    metal, barrier = (
        qt.Material(name=name, lattice=0.3 * np.eye(3), onsite=rotated(e), exchange=np.zeros((n, n)), hoppings=hop)
        for name, e in (("metal", lead), ("barrier", levels))
    )
    stack = qt.Stack(left=qt.Lead(metal), layers=[qt.Layer(barrier, layers, barrier=True)], right=qt.Lead(metal))
    expected = sum(one_channel([e] * layers, m) for e, m in zip(levels, lead, strict=True))
    assert expected < (1e-7 if layers == 10 else 1e-30)
    chain, k = as_layered(stack).chain(None, 0.0), momenta(2)
    T = transmissions([chain], k, 0.0)[0]
    np.testing.assert_allclose(T[:, 0, 0], expected, rtol=THICK)
    s = qt.transmission(qt.solve(stack, energy=0.0, kmesh=qt.kpoints(k))).values
    np.testing.assert_allclose(s[:, 1, 1], expected, rtol=THICK)
    # Im Tr[V^dagger A] is half the flow of a spin; both spins add up to one T.
    bond = layers - 1
    join = Sweeps(chain, Phases(k), np.array([[0.0]])).join(bond)
    flow = join.window_currents()[0][0]
    np.testing.assert_allclose(np.abs(flow[:, 0]), expected, rtol=THICK)


def test_four_hundred_layers_conserve_current_and_equal_the_walk_through_them(monkeypatch):
    stack, k = spin_valve(4, 200, 99), momenta(4)
    T = {}
    for long_run in (green.LONG_RUN, 10**6):
        monkeypatch.setattr(green, "LONG_RUN", long_run)
        for angle in (0.0, 1.2):
            s = qt.solve(stack, energy=0.25, kmesh=qt.kpoints(k), angle=angle)
            assert s.unitarity_error.max() < CONSERVED
            T[long_run, angle] = qt.transmission(s).values
    for angle in (0.0, 1.2):
        one, other = (T[long_run, angle] for long_run in (24, 10**6))
        np.testing.assert_allclose(one, other, atol=SAME_TRANSMISSION)
        assert one.max() > 0.01


@pytest.mark.parametrize("splitting", [1e-2, 1e-6, 1e-10, 1e-13])
def test_spin_blocks_split_by_almost_nothing_are_solved_as_well_as_equal_ones(splitting):
    n, k = 3, momenta(4)
    base = material(2, n)
    magnet = qt.Material(
        name="weak", lattice=base.lattice, onsite=base.onsite, exchange=splitting * np.eye(n), hoppings=base.hoppings
    )
    stack = qt.Stack(
        left=qt.Lead(magnet, magnetization=(0, 0, 1)),
        layers=[qt.Layer(material(3, n), 2, magnet=None)],
        right=qt.Lead(magnet, magnetization=(1, 0, 0)),
    )
    plain = qt.Stack(left=qt.Lead(base), layers=[qt.Layer(material(3, n), 2)], right=qt.Lead(base))
    found = qt.transmission(qt.solve(stack, energy=0.2, kmesh=qt.kpoints(k))).sum(["spin_in", "spin_out"])
    expected = qt.transmission(qt.solve(plain, energy=0.2, kmesh=qt.kpoints(k))).sum(["spin_in", "spin_out"])
    np.testing.assert_allclose(found, expected, atol=SAME_TRANSMISSION + 100 * splitting)


def test_an_orbital_bound_exactly_at_the_energy_ends_in_one_line_or_a_shifted_momentum():
    """A layer's orbital that couples to nothing has its pole on the real axis; LAPACK alone would raise from within."""
    n = 4
    base = material(1, n)
    dead = np.diag([1.0, 1.0, 1.0, 0.0])
    hoppings = tuple((v, dead @ m @ dead) for v, m in base.hoppings)
    onsite = dead @ base.onsite @ dead + np.diag([0, 0, 0, 0.25])
    layer = qt.Material(
        name="dead orbital", lattice=base.lattice, onsite=onsite, exchange=np.zeros((n, n)), hoppings=hoppings
    )
    stack = qt.Stack(left=qt.Lead(layer), layers=[qt.Layer(layer, 3)], right=qt.Lead(layer))
    s = qt.solve(stack, energy=0.25, kmesh=qt.kpoints(momenta(3)))
    assert s.shifted.all()
    near = qt.solve(stack, energy=0.2500001, kmesh=qt.kpoints(momenta(3)))
    assert not near.shifted.any()
    np.testing.assert_allclose(qt.transmission(s).values, qt.transmission(near).values, atol=1e-5)


INVERSE = 1e-11
"""Of a product with the inverse, for random matrices with condition numbers up to some hundreds."""


@pytest.mark.parametrize("n", [1, 2, 3, 9, 24, 25])
@pytest.mark.parametrize("count", [1, 40])
def test_inverses_of_a_batch_are_right_also_where_pivots_vanish(n, count):
    rng = np.random.default_rng(n)
    matrices = np.array([random_matrix(rng, n) for _ in range(count)])
    if n > 1:
        # The diagonal vanishes, and almost so: without exchange of rows all digits would be lost.
        turn = np.roll(np.eye(n), 1, axis=0)
        matrices[::2] = turn * rng.uniform(1, 2) + 1e-18 * matrices[::2]
    np.testing.assert_allclose(inverse(matrices) @ matrices, np.broadcast_to(np.eye(n), matrices.shape), atol=INVERSE)


@pytest.mark.parametrize("n", [3, 9, 30])
@pytest.mark.parametrize("count", [2, 20])
def test_a_singular_matrix_gives_no_finite_inverse_and_spoils_no_other(n, count):
    rng = np.random.default_rng(n)
    matrices = np.array([random_matrix(rng, n) for _ in range(count)])
    matrices[1] = 0
    with np.errstate(all="ignore"):
        found = inverse(matrices)
    assert not np.isfinite(found[1]).any()
    np.testing.assert_allclose(found[0] @ matrices[0], np.eye(n), atol=INVERSE)


@pytest.mark.slow
def test_benchmark_checks_its_answer_and_prints_its_table():
    script = ROOT / "benchmarks" / "several_orbitals.py"
    small = {"layers": 5, "orbitals": 2, "supercell": 2, "repeats": 1, "momenta": 1, "mesh": 3}
    options = [f"--{name}={value}" for name, value in small.items()]
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("collinear", "noncollinear", "13 angles", "supercell", "GFLOP/s"):
        assert word in done.stdout
