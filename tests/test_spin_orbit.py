"""Spin-orbit coupling in layers and leads: engines, symmetries, labels, both routes to a torque, half-metals."""

import re
from dataclasses import replace
from importlib import import_module
from inspect import getsource
from pathlib import Path

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque import thermoelectric
from qtorque.bloch import as_layered
from qtorque.channels import chain_axes
from qtorque.errors import InputError
from qtorque.green import Phases, Sweeps
from qtorque.linear_response import _Response
from qtorque.spin import PAULI, su2
from qtorque.sweeps import CHUNK_VALUES
from qtorque.torque import Cuts, _single_orbital, sea_kernel, window_kernel
from qtorque.validation import incoherent_quantities

ENGINES = 1e-9
"""What the two engines are held to; they differ by 1e-12 on matrices of order one."""
IDENTITY = 1e-10
"""Identities of unitary matrices of twenty channels, after some hundred operations."""
ROUTES = 1e-10
"""Two routes to a torque at one energy, in units of the spin currents."""
NO_LATTICE = 1e-9
"""Share of the torque that rounding leaves to the lattice without spin-orbit coupling."""
EXPONENT = 0.04
"""Of a square, over ranges in which the next order is a few percent of the first."""
M_FIXED, M_FREE = np.array((2, -3, 6)) / 7, np.array((-4, 7, 4)) / 9


def material(seed, n=3, *, magnetic=False, coupling=0.0):
    """Random real integrals, which reversal of time leaves as they are; `coupling` multiplies imaginary matrices."""
    rng = np.random.default_rng(seed)

    def symmetric(size):
        a = size * rng.normal(size=(n, n))
        return (a + a.T) / 2

    a = rng.normal(size=(3, n, n))
    hoppings = (
        ((0, 0, 1), -np.eye(n) + rng.normal(size=(n, n), scale=0.2)),
        ((1, 0, 0), -0.4 * np.eye(n) + rng.normal(size=(n, n), scale=0.1)),
        ((0, 1, 0), -0.4 * np.eye(n) + rng.normal(size=(n, n), scale=0.1)),
        ((1, 0, 1), rng.normal(size=(n, n), scale=0.05)),
    )
    return qt.Material(
        name=f"{n} orbitals {seed}",
        lattice=0.3 * np.eye(3),
        onsite=symmetric(0.4),
        exchange=1.5 * np.eye(n) + symmetric(0.1) if magnetic else np.zeros((n, n)),
        hoppings=hoppings,
        spin_orbit=0.5j * coupling * (a - a.swapaxes(1, 2)) if coupling else None,
    )


def valve(n=3, *, left=0.0, right=0.0, fixed=0.4, spacer=0.4, free=0.4, m=M_FREE, p=M_FIXED):
    """Normal lead, two magnets of two monolayers around a spacer, normal lead, each with a coupling of its own."""
    return qt.Stack(
        left=qt.Lead(material(1, n, coupling=left)),
        layers=[
            qt.Layer(material(2, n, magnetic=True, coupling=fixed), 2, magnetization=tuple(p), magnet="fixed"),
            qt.Layer(material(3, n, coupling=spacer), 1),
            qt.Layer(material(4, n, magnetic=True, coupling=free), 2, magnetization=tuple(m), magnet="free"),
        ],
        right=qt.Lead(material(5, n, coupling=right)),
        fixed="fixed",
        free="free",
    )


def slab(*, m=M_FREE, right=0.0, coupling=0.4, n=3):
    """One magnet with spin-orbit coupling behind a clean left lead, with a mixing conductance."""
    return qt.Stack(
        left=qt.Lead(material(1, n)),
        layers=[qt.Layer(material(2, n, magnetic=True, coupling=coupling), 3, magnetization=tuple(m))],
        right=qt.Lead(material(5, n, coupling=right)),
    )


def magnetic_lead(coupling):
    """The same valve with the free magnet as right lead."""
    magnet = material(4, magnetic=True, coupling=coupling)
    return qt.Stack(
        left=qt.Lead(material(1)),
        layers=[qt.Layer(material(2, magnetic=True, coupling=0.3), 2), qt.Layer(material(3), 1)],
        right=qt.Lead(magnet),
    )


def momenta(count=3, seed=5):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (count, 2))


K = qt.kpoints(momenta())
BACK = qt.kpoints(-momenta())
LEADS = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.5)]
ONE_SIDE = [(0.3, 0.0), (0.0, 0.3)]


def matrices(s, pair):
    """Amplitudes of a pair of leads as matrices over (spin, channel)."""
    S = s.amplitudes[pair]
    return S.transpose(0, 1, 3, 2, 4).reshape(len(S), S.shape[1] * S.shape[3], -1)


def whole(s):
    return np.block([[matrices(s, (p, q)) for q in range(2)] for p in range(2)])


# scattering


@pytest.mark.kwant
@pytest.mark.parametrize(("left", "right"), [LEADS[0], LEADS[3]])
def test_layered_and_kwant_engine_agree_with_spin_orbit_coupling_in_layers_and_leads(left, right):
    stack, k = valve(5, left=left, right=right), qt.kpoints(momenta(1))
    a, b = (qt.solve(stack, energy=0.1, kmesh=k, engine=engine) for engine in ("layered", "kwant"))
    assert a.lead_spin_conserved == b.lead_spin_conserved == (left == 0, right == 0)
    np.testing.assert_array_equal(a.open_channels, b.open_channels)
    for source in a.leads:
        for target in a.leads:
            found, expected = (qt.transmission(s, source, target) for s in (a, b))
            np.testing.assert_allclose(found, expected, atol=ENGINES)
            assert found.max() > 0.1


@pytest.mark.kwant
def test_engines_agree_on_the_mixing_conductance_of_real_metals_with_spin_orbit_coupling():
    copper = qt.slater_koster("Cu", facet="111")
    cobalt = qt.slater_koster("Co", facet="111", spin_orbit={"d": 0.3})
    heavy = qt.slater_koster("Cu", facet="111", spin_orbit={"d": 0.4})
    stack = qt.Stack(
        left=qt.Lead(copper),
        layers=[qt.Layer(cobalt, 2, magnetization=(0.6, 0, 0.8)), qt.Layer(copper, 1)],
        right=qt.Lead(heavy),
    )
    k = qt.kpoints(momenta(1))
    a, b = (qt.solve(stack, energy=0.0, kmesh=k, engine=engine) for engine in ("layered", "kwant"))
    assert a.lead_spin_conserved == (True, False)
    assert a.unitarity_error.max() < ENGINES
    np.testing.assert_allclose(a.magnet_axes, np.tile((0.6, 0, 0.8), (2, 1)), atol=1e-14)
    np.testing.assert_allclose(qt.transmission(a), qt.transmission(b), atol=ENGINES)
    np.testing.assert_allclose(qt.mixing_conductance(a), qt.mixing_conductance(b), atol=ENGINES)


@pytest.mark.kwant
def test_a_finalised_kwant_system_scatters_as_its_stack_and_does_not_tell_exchange_from_spin_orbit_coupling():
    stack, k = valve(right=0.3), momenta(1)
    s = qt.solve(stack.wrapped(tuple(k[0])), energy=0.1, engine="kwant", params=stack.params())
    assert s.lead_spin_conserved == (True, False)
    assert s.magnet_axes == (None, None)
    T = qt.transmission(qt.solve(stack, energy=0.1, kmesh=qt.kpoints(k)))
    np.testing.assert_allclose(qt.transmission(s), T, atol=ENGINES)
    with pytest.raises(InputError, match="not collinear"):
        qt.mixing_conductance(s)


@pytest.mark.parametrize(("left", "right"), LEADS)
def test_scattering_is_unitary_and_channels_are_conserved_with_spin_orbit_coupling(left, right):
    s = qt.solve(valve(left=left, right=right), energy=0.1, kmesh=K)
    S, total = whole(s), s.open_channels.sum(axis=(1, 2))
    for matrix, count in zip(S, total, strict=True):
        # Closed channels are rows and columns of zeros.
        values = np.sort(np.linalg.eigvalsh(matrix.conj().T @ matrix))[::-1]
        np.testing.assert_allclose(values, np.arange(len(values)) < count, atol=IDENTITY)
    for p, lead in enumerate(s.leads):
        into = sum(qt.transmission(s, lead, target).sum(["spin_in", "spin_out"]) for target in s.leads)
        np.testing.assert_allclose(into, s.open_channels[:, p].sum(axis=1), atol=IDENTITY)


@pytest.mark.parametrize(("left", "right"), LEADS)
def test_reversed_motion_and_reversed_magnets_transmit_alike(left, right):
    s = qt.solve(valve(left=left, right=right), energy=0.1, kmesh=K)
    r = qt.solve(valve(left=left, right=right, m=-M_FREE, p=-M_FIXED), energy=0.1, kmesh=BACK)
    for source in s.leads:
        for target in s.leads:
            forward = s.probabilities(source, target)
            backward = r.probabilities(target, source)
            np.testing.assert_allclose(forward, backward[:, ::-1, ::-1].swapaxes(1, 2), atol=IDENTITY)
    if (left, right) == (0.0, 0.0):
        # The spins count: with up and down exchanged on one side the relation fails.
        wrong = r.probabilities("right", "left")[:, ::-1].swapaxes(1, 2)
        assert np.abs(s.probabilities("left", "right") - wrong).max() > 0.01


def test_reversal_of_time_pairs_the_channels_of_a_system_without_magnets():
    k = qt.kpoints([[0, 0], [np.pi, 0], [np.pi, np.pi]])
    stack = qt.Stack(
        left=qt.Lead(material(1, coupling=0.3)),
        layers=[qt.Layer(material(3, coupling=0.4), 2)],
        right=qt.Lead(material(5, coupling=0.5)),
    )
    t = matrices(qt.solve(stack, energy=0.1, kmesh=k), (1, 0))
    values = np.linalg.svd(t, compute_uv=False)[:, :6]
    np.testing.assert_allclose(values[:, 0::2], values[:, 1::2], atol=IDENTITY)
    assert np.abs(values[:, 0] - values[:, 2]).max() > 0.01
    magnet = replace(stack, layers=[qt.Layer(material(2, magnetic=True, coupling=0.4), 2)])
    values = np.linalg.svd(matrices(qt.solve(magnet, energy=0.1, kmesh=k), (1, 0)), compute_uv=False)
    assert np.abs(values[:, 0] - values[:, 1]).max() > 0.01


@pytest.mark.parametrize(("left", "right"), ONE_SIDE)
def test_a_list_of_angles_transmits_as_each_angle_alone(left, right):
    stack, angles, k = valve(left=left, right=right), [0.0, 1.1, np.pi], qt.kpoints(momenta(1))
    many = qt.conductance(stack, angle=angles, energy=0.1, kmesh=k)
    for angle, found in zip(angles, many, strict=True):
        alone = qt.conductance(qt.solve(stack, angle=angle, energy=0.1, kmesh=k))
        np.testing.assert_allclose(found, alone, atol=IDENTITY)
        assert found["spin_in"].values.tolist() == alone["spin_in"].values.tolist()
    totals = many.sum(["spin_in", "spin_out"]).values
    ratio = qt.tmr(stack, energy=0.1, kmesh=k)
    assert ratio == pytest.approx((totals[0] - totals[2]) / totals[2], rel=1e-9)
    torkance = qt.linear_torkance(stack, angle=angles, energy=0.1, kmesh=k)
    np.testing.assert_allclose(torkance["conductance"], totals, atol=IDENTITY)


def two_orbitals(*, exchange=0.0, coupling=0.0, gap=0.0):
    """Two orbitals whose coupling conserves the spin along z; with a gap the upper one takes no part."""
    L = np.array([[0, -1j], [1j, 0]])
    zero = np.zeros((2, 2))
    return qt.Material(
        name="two",
        lattice=0.3 * np.eye(3),
        onsite=np.diag([0.3, 0.1 + gap]),
        exchange=exchange * np.eye(2),
        hoppings=(
            ((1, 0, 0), np.diag([-1, -0.4])), ((0, 1, 0), np.diag([-0.4, -1.0])), ((0, 0, 1), np.diag([-0.9, -0.7])),
        ),
        spin_orbit=0.5 * coupling * np.array([zero, zero, L]) if coupling else None,
    )  # fmt: skip


@pytest.mark.parametrize("angles", [[0.0, 1.0], [1.0, 0.0]])
def test_a_lead_that_conserves_spin_at_some_angles_only_has_channels_of_both_at_all(angles):
    magnet = two_orbitals(exchange=1.0, coupling=0.3)
    stack = qt.Stack(
        left=qt.Lead(two_orbitals()),
        layers=[qt.Layer(magnet, 2, magnet="fixed"), qt.Layer(two_orbitals(), 1)],
        right=qt.Lead(magnet, magnet="free"),
        fixed="fixed",
        free="free",
    )
    many = qt.conductance(stack, angle=angles, energy=0.1, kmesh=K)
    assert many["spin_out"].values.tolist() == ["both"]
    alone = [qt.conductance(stack, angle=a, energy=0.1, kmesh=K) for a in angles]
    assert {tuple(g["spin_out"].values.tolist()) for g in alone} == {("both",), ("up", "down")}
    np.testing.assert_allclose(many[:, :, 0], [g.sum("spin_out") for g in alone], atol=IDENTITY)


def test_a_lead_whose_spins_are_parted_by_spin_orbit_coupling_is_not_called_magnetic():
    stack = qt.Stack(
        left=qt.Lead(two_orbitals(coupling=0.3)),
        layers=[qt.Layer(two_orbitals(exchange=1.0), 2)],
        right=qt.Lead(two_orbitals(exchange=1.0, coupling=0.3)),
    )
    for engine in ("layered", "kwant"):
        s = qt.solve(stack, energy=0.1, kmesh=qt.kpoints(momenta(1)), engine=engine)
        assert s.lead_magnetic == (False, True)
        assert (s.lead_spin_conserved, s.lead_spins_equal) == ((True, True), (False, False))
    with pytest.raises(InputError, match="two spins of the left lead.*leave spin_orbit out"):
        qt.mixing_conductance(s)
    with pytest.raises(InputError, match="right lead is magnetic"):
        qt.mixing_conductance(s, lead="right")


def test_a_symmetry_of_the_momenta_that_spin_orbit_coupling_breaks_is_refused():
    mesh = qt.kmesh(2, symmetry="inversion")
    qt.solve(slab(m=(0, 0, 1), coupling=0.0), energy=0.1, kmesh=mesh)
    with pytest.raises(InputError, match="symmetry='inversion' does not hold"):
        qt.solve(slab(m=(0, 0, 1)), energy=0.1, kmesh=mesh)


def test_modes_that_kwant_cannot_tell_apart_are_refused_in_one_line(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("Numbers of left- and right-propagating modes differ,\npossibly due to an instability.")

    monkeypatch.setattr(kwant, "greens_function", fail)
    with pytest.raises(InputError, match="modes differ, possibly.*move the energy") as refusal:
        qt.solve(slab(), energy=0.1, kmesh=K, engine="kwant")
    assert "\n" not in str(refusal.value)


def test_a_slab_that_flips_spins_has_no_incoherent_average():
    def solved(coupling):
        layer = two_orbitals(exchange=1.0, coupling=coupling, gap=9.0)
        if coupling:
            mixed = tuple((vector, hop + 0.3 * PAULI[1].real) for vector, hop in layer.hoppings)
            layer = replace(layer, spin_orbit=layer.spin_orbit[[2, 0, 1]], hoppings=mixed)
        lead = qt.Lead(two_orbitals(gap=9.0))
        return qt.solve(qt.Stack(left=lead, layers=[qt.Layer(layer, 2)], right=lead), energy=-0.5, kmesh=K)

    assert np.all(np.isfinite(incoherent_quantities(solved(0.0), solved(0.0), [1.0])))
    with pytest.raises(InputError, match="flips spins.*leave spin_orbit out"):
        incoherent_quantities(solved(0.0), solved(2.0), [1.0])


def test_thermal_moments_of_large_matrices_are_summed_over_few_momenta_at_once(monkeypatch):
    asked = []

    def chunks(size, most):
        asked.append(most)
        raise StopIteration

    monkeypatch.setattr(thermoelectric, "interleaved_chunks", chunks)
    with pytest.raises(StopIteration):
        qt.thermopower(valve(), temperature=300, kmesh=K)
    assert asked == [CHUNK_VALUES // 6**2]


def test_a_small_coupling_in_a_lead_adds_up_what_its_two_spins_transmit():
    clean, coupled = (qt.solve(valve(left=left), energy=0.1, kmesh=K) for left in (0.0, 1e-9))
    assert coupled.lead_spin_conserved == (False, True)
    np.testing.assert_array_equal(coupled.open_channels[:, 0], [(n.sum(), 0) for n in clean.open_channels[:, 0]])
    np.testing.assert_allclose(
        qt.transmission(coupled).isel(spin_in=0), qt.transmission(clean).sum("spin_in"), atol=1e-7
    )


def test_the_channels_of_a_lead_with_spin_orbit_coupling_are_labelled_both():
    s = qt.solve(valve(right=0.3), energy=0.1, kmesh=K)
    T = qt.transmission(s)
    assert (T["spin_in"].values.tolist(), T["spin_out"].values.tolist()) == (["up", "down"], ["both"])
    assert s.amplitudes[1, 0].shape[1:3] == (1, 2)
    assert s.lead_spin_conserved == (True, False)
    assert np.all(np.isnan(s.lead_axes[1]))
    sharvin = qt.sharvin_conductance(s, "right")
    assert sharvin["spin"].values.tolist() == ["both"]
    assert sharvin.item() == pytest.approx(s.open_channels[:, 1].sum(axis=1).mean())
    assert "right 6 of both" in repr(s)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: qt.polarization(s),
        lambda s: qt.mixing_conductance(s, lead="right"),
        lambda s: qt.transmitted_mixing_conductance(s),
        lambda s: qt.interface_parameters(s),
    ],
    ids=["polarization", "mixing", "transmitted mixing", "interface"],
)
def test_what_needs_a_spin_of_the_lead_is_refused_with_the_mend(call):
    s = qt.solve(slab(right=0.3), energy=0.1, kmesh=K)
    with pytest.raises(InputError, match="the right lead conserves no spin.*leave spin_orbit out") as refusal:
        call(s)
    assert "\n" not in str(refusal.value)


# mixing conductance


@pytest.mark.parametrize("right", [0.0, 0.3])
def test_mixing_conductance_with_spin_orbit_coupling_exceeds_what_both_spins_transmit_by_what_reflection_tells(right):
    s = qt.solve(slab(right=right, m=(0, 0, 1)), energy=0.1, kmesh=K)
    g, r = qt.mixing_conductance(s), s.reflection()
    excess = 2 * g.real - qt.transmission(s).sum(["spin_in", "spin_out"])
    square = np.abs(r[:, 0, 0] - r[:, 1, 1]) ** 2 + np.abs(r[:, 0, 1]) ** 2 + np.abs(r[:, 1, 0]) ** 2
    np.testing.assert_allclose(excess, square.sum(axis=(1, 2)), atol=IDENTITY)
    assert np.abs(r[:, 0, 1]).max() > 0.03


def test_up_is_the_majority_of_the_magnet_behind_its_spin_orbit_coupling():
    """Reversal of time takes r_up(k, m) to the transpose of r_up(-k, -m): g has to be the same."""
    m = np.array((6, -3, -2)) / 7
    ahead, reversed_ = (
        qt.solve(slab(m=sign * m), energy=0.1, kmesh=k) for sign, k in ((1, K), (-1, BACK))
    )
    for s, sign in ((ahead, 1), (reversed_, -1)):
        np.testing.assert_allclose(s.magnet_axes, np.tile(sign * m, (2, 1)), atol=1e-14)
    g = qt.mixing_conductance(ahead)
    np.testing.assert_allclose(qt.mixing_conductance(reversed_), g, atol=IDENTITY)
    assert np.abs(g.imag).max() > 0.1
    # From the amplitudes along z, turned by hand.
    U = su2(m)
    r = np.einsum("as,kabij,bt->kstij", U.conj(), ahead.reflection(), U)
    by_hand = ahead.open_channels[:, 0, 0] - np.einsum("kij,kij->k", r[:, 0, 0], r[:, 1, 1].conj())
    np.testing.assert_allclose(g, by_hand, atol=IDENTITY)


def test_magnets_of_two_directions_have_no_axis_and_parallel_ones_do():
    system = as_layered(valve())
    assert chain_axes(system.chain(1.0)) == (None, None)
    left, right = chain_axes(system.chain(0.0))
    np.testing.assert_allclose([left, right], [M_FIXED, M_FIXED], atol=1e-14)
    np.testing.assert_allclose(chain_axes(system.chain(np.pi)), [M_FIXED, -M_FIXED], atol=1e-14)
    with pytest.raises(InputError, match="not collinear"):
        qt.mixing_conductance(qt.solve(system, angle=1.0, energy=0.1, kmesh=K))


# torques


def region_green(chain, k, z):
    """G of the region at one momentum by one dense inverse, (layer, n, layer, n), and the two spectral functions."""
    sweeps = Sweeps(chain, Phases(k[None]), np.array([[z]]))
    H = [h.at(k[None])[0] for h in chain.onsite[1:-1]]
    count, n = len(H), len(H[0])
    dense = np.zeros((count, n, count, n), dtype=complex)
    for e, block in enumerate(H):
        dense[e, :, e] = block
    for e, bond in enumerate(chain.bond[1:-1]):
        V = bond.at(k[None])[0]
        dense[e, :, e + 1], dense[e + 1, :, e] = V, V.conj().T
    sigma = [sweeps.self_energy(p).full[0, 0, 0] for p in range(2)]
    dense[0, :, 0] += sigma[0]
    dense[-1, :, -1] += sigma[1]
    G = np.linalg.inv(z * np.eye(count * n) - dense.reshape(count * n, -1)).reshape(count, n, count, n)
    spectral = []
    for end, own in zip((0, -1), sigma, strict=True):
        column = G[:, :, end].reshape(-1, n)
        A = column @ (1j * (own - own.conj().T)) @ column.conj().T
        spectral.append(A.reshape(G.shape))
    return G, spectral


@pytest.mark.parametrize("right", [0.0, 0.3])
def test_exchange_and_lattice_torque_are_those_of_a_dense_density_matrix(right):
    """(1/2) m x Tr[D sigma A] and (i/2) Tr([sigma, H_so] A) from one dense inverse, against the two routes."""
    stack = valve(right=right)
    chain, k = as_layered(stack).chain(), momenta(1)
    # Between the contact layers of the leads: material, coupling and direction of every layer.
    pieces = [(1, 0.0, None), *[(2, 0.4, M_FIXED)] * 2, (3, 0.4, None), *[(4, 0.4, M_FREE)] * 2, (5, right, None)]
    count = len(pieces)
    cuts = Cuts(tuple(range(count + 1)), tuple(range(1, count + 1)))
    columns = window_kernel([chain], cuts, k, np.full((1, 1), 0.1))[0, 0]
    current, exchange = cuts.currents(columns)[:, 1:], cuts.torques(columns)
    lattice = current[:-1] - current[1:] - exchange
    scale = np.abs(current).max()
    A = 0.5 * np.subtract(*region_green(chain, k[0], 0.1)[1])
    sigma = [np.kron(np.eye(3), PAULI[a]) for a in (1, 2, 3)]
    for e, (seed, coupling, m) in enumerate(pieces):
        own, piece = A[e, :, e], material(seed, magnetic=m is not None, coupling=coupling)
        expected = np.zeros(3)
        if m is not None:
            spins = np.einsum("ij,ats,jsit->a", piece.exchange, PAULI[1:], own.reshape(3, 2, 3, 2)).real
            expected = 0.5 * np.cross(m, spins) / (2 * np.pi)
            assert np.abs(expected).max() > 0.01 * scale
        np.testing.assert_allclose(exchange[e], expected, atol=ROUTES * scale)
        expected = np.zeros(3)
        if coupling:
            H = sum(np.kron(piece.spin_orbit[a], PAULI[a + 1]) for a in range(3))
            expected = [0.5j * np.trace((s @ H - H @ s) @ own) / (2 * np.pi) for s in sigma]
            assert np.abs(expected).max() > 0.01 * scale
        np.testing.assert_allclose(lattice[e], np.real(expected), atol=ROUTES * scale)


def test_without_spin_orbit_coupling_the_lattice_takes_no_torque():
    stack = valve(fixed=0.0, spacer=0.0, free=0.0)
    d = qt.layer_torque(stack, angle=1.0, voltage=0.05, kmesh=K, tolerance=1e-5)
    assert np.abs(d["torque_lattice"]).max() < NO_LATTICE * np.abs(d["torque"]).max()
    assert d["torque_lattice"].attrs["units"] == d["torque"].attrs["units"]
    assert "torque_exchange" not in qt.linear_torkance(stack, angle=1.0, kmesh=K)


def test_torques_on_magnets_with_spin_orbit_coupling_are_the_sums_over_their_layers():
    stack, k = valve(left=0.3), qt.kpoints(momenta(1))
    sweep = {"angle": 1.0, "voltage": 0.02, "kmesh": k, "tolerance": 1e-7}
    d, layers = qt.spin_torque(stack, **sweep), qt.layer_torque(stack, **sweep)
    np.testing.assert_allclose(layers["torque_lattice"], layers["torque"] - layers["torque_exchange"], atol=1e-16)
    scale = np.abs(layers["torque"]).max().item()
    # The first and the last layer are contact layers of the leads; the spacer feels the lattice alone.
    np.testing.assert_allclose(layers["torque_exchange"].isel(layer=[0, 3, 6]), 0, atol=1e-12 * scale)
    for suffix, own in (("_fixed", [1, 2]), ("", [4, 5])):
        for name in ("torque", "torque_exchange"):
            expected = layers[name].isel(layer=own).sum("layer")
            np.testing.assert_allclose(d[name + suffix], expected, atol=1e-6 * scale)
        assert np.abs(d["torque" + suffix] - d["torque_exchange" + suffix]).max() > 0.01 * scale


def test_linear_response_is_the_slope_of_both_torques():
    stack, k, volt = valve(right=0.3), qt.kpoints(momenta(1)), 2e-3
    sweep = qt.spin_torque(stack, angle=1.0, voltage=[-volt, volt], kmesh=k, tolerance=1e-8)
    linear = qt.linear_torkance(stack, angle=1.0, kmesh=k)
    for name in ("torque", "torque_fixed", "torque_exchange", "torque_exchange_fixed"):
        slope = (sweep[name][0, 1] - sweep[name][0, 0]) / (2 * volt)
        np.testing.assert_allclose(linear[name][0], slope, rtol=1e-3, atol=1e-5)
    found = qt.torkance(sweep)
    np.testing.assert_allclose(found["torque_exchange"], linear["torque_exchange"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["damping_like"], linear["damping_like"], rtol=1e-3, atol=1e-5)
    # The divergence is not the torque on the magnetization, and a map has no azimuth.
    with pytest.raises(InputError, match="carries torque_exchange.*leave spin_orbit out of the magnets"):
        qt.TorqueMap.from_dataset(sweep)


def test_torque_on_the_magnetization_of_a_lead_is_known_without_spin_orbit_coupling_in_it_only():
    for coupling in (0.0, 0.4):
        d = qt.linear_torkance(magnetic_lead(coupling), angle=[0.8], kmesh=K)
        assert np.all(np.isfinite(d["torque"]))
        assert np.all(np.isfinite(d["torque_exchange_fixed"]))
        assert ("note" in d["torque_exchange"].attrs) == (coupling > 0)
        assert "note" not in d["torque_exchange_fixed"].attrs
        if coupling:
            assert np.all(np.isnan(d["torque_exchange"]))
            d = qt.spin_torque(magnetic_lead(coupling), angle=0.8, kmesh=qt.kpoints(momenta(1)), tolerance=0.1)
            assert np.all(np.isnan(d["torque_exchange"]))
            assert "not a number" in d["torque_exchange"].attrs["note"]
        else:
            np.testing.assert_array_equal(d["torque_exchange"], d["torque"])


@pytest.mark.parametrize("mirrored", [False, True])
def test_where_only_layers_in_front_of_a_lead_are_coupled_the_lead_takes_the_transverse_spin_current(mirrored):
    def magnet(coupling):
        return material(4, magnetic=True, coupling=coupling)

    pieces = [qt.Layer(material(2, magnetic=True), 1, magnet="other"), qt.Layer(material(3), 1)]
    pieces += [qt.Layer(magnet(0.0), 1, magnet="own"), qt.Layer(magnet(0.4), 2, magnet="own")]
    outer, inner = qt.Lead(magnet(0.0), magnet="own"), qt.Lead(material(1))
    if mirrored:
        stack = qt.Stack(left=outer, layers=pieces[::-1], right=inner, fixed="other", free="own")
    else:
        stack = qt.Stack(left=inner, layers=pieces, right=outer, fixed="other", free="own")
    d, system = qt.linear_torkance(stack, angle=1.0, kmesh=K), as_layered(stack)
    chain, m = system.chain(1.0), d["magnetization"].values[0]
    own = [e for e in system.free if 0 < e <= system.layers]
    coupled = [e for e in own if chain.spin_orbit_coupled[e]]
    assert len(coupled) == 2
    bond = coupled[0] - 1 if mirrored else coupled[-1]
    cuts = Cuts((bond,), tuple(range(1, system.layers + 1)))
    columns = window_kernel([chain], cuts, K.points, np.zeros((3, 1)))[:, 0].mean(axis=0)
    flow = cuts.currents(columns)[0, 1:] * (-1 if mirrored else 1)
    inside = [e for e in own if (e > bond if mirrored else e <= bond)]
    expected = cuts.torques(columns)[np.array(inside) - 1].sum(axis=0) + flow - m * (m @ flow)
    np.testing.assert_allclose(d["torque_exchange"][0], expected, atol=1e-13)
    assert np.abs(d["torque"][0] - expected).max() > 1e-3
    volt, one = 2e-3, qt.kpoints(momenta(1))
    sweep = qt.spin_torque(stack, angle=1.0, voltage=[-volt, volt], kmesh=one, tolerance=1e-6)["torque_exchange"][0]
    linear = qt.linear_torkance(stack, angle=1.0, kmesh=one)["torque_exchange"][0]
    np.testing.assert_allclose((sweep[1] - sweep[0]) / (2 * volt), linear, rtol=1e-2, atol=1e-4)


def test_at_0_and_pi_there_are_vectors_and_no_coefficients():
    d = qt.linear_torkance(valve(fixed=0, free=0), angle=[0.0, np.pi, 1.0], kmesh=K)
    assert np.all(np.isnan(d["damping_like"][:2]))
    assert np.all(np.isfinite(d["torque"]))
    assert np.isfinite(d["damping_like"][2])
    assert np.abs(d["torque"][:2]).min(dim="angle").max() > 1e-4
    # Nothing is solved beside them for limits that do not exist.
    assert len(_Response(valve(fixed=0, free=0), [0.0, np.pi], 0.0).every) == 2
    sweep = {"voltage": [-0.01, 0.01], "kmesh": qt.kpoints(momenta(1)), "tolerance": 1e-3}
    swept = qt.spin_torque(valve(fixed=0, free=0), angle=[0.0, 1.0], **sweep)
    np.testing.assert_array_equal(np.isnan(swept["field_like"]), [[True] * 2, [False] * 2])
    assert np.all(np.isfinite(swept["torque"]))
    assert "torque_exchange" not in swept
    np.testing.assert_array_equal(np.isnan(qt.torkance(swept)["damping_like"]), [True, False])


def one_orbital_valve(rashba, named=True):
    """F N F of one orbital in plain Kwant; `rashba` flips spins in the hoppings of the free magnet's first layer."""
    lattice = kwant.lattice.general(0.3 * np.eye(3), norbs=2)

    def along(m):
        return np.eye(2) - 0.75 * np.tensordot(m, PAULI[1:], axes=1)

    def fixed(site, m_a):
        return along(m_a)

    def free(site, m_b):
        return along(m_b)

    onsite = [np.eye(2), fixed, np.eye(2), free, free, np.eye(2)]
    region = kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0)))
    left, right = (
        kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3 * side))) for side in (-1, 1)
    )
    for builder, levels in ((region, onsite), (left, onsite[:1]), (right, onsite[:1])):
        for i, value in enumerate(levels):
            builder[lattice(0, 0, i)] = value
            builder[lattice(0, 0, i), lattice(1, 0, i)] = builder[lattice(0, 0, i), lattice(0, 1, i)] = -np.eye(2)
    for lead in (left, right):
        lead[lattice(0, 0, 0), lattice(0, 0, 1)] = -np.eye(2)
    for i in range(5):
        flip = 1j * rashba * (PAULI[2] + 0.5 * PAULI[1]) if i in (2, 3) else 0
        region[lattice(0, 0, i), lattice(0, 0, i + 1)] = -np.eye(2) + flip
    return qt.layered(
        region, left, right, magnetizations=("m_a", "m_b") if named else None,
        params=lambda angle, _: {"m_a": (0, 0, 1.0), "m_b": (np.sin(angle or 0), 0, np.cos(angle or 0))},
    )  # fmt: skip


@pytest.mark.parametrize("named", [True, False])
def test_hoppings_between_layers_that_flip_spins_count_as_spin_orbit_coupling(named):
    system, k = one_orbital_valve(0.4, named), qt.kpoints([[1.3, 0.9]])
    d = qt.linear_torkance(system, angle=[0.0, 1.0], kmesh=k)
    np.testing.assert_array_equal(np.isnan(d["damping_like"]), [True, False])
    chain, cuts = system.chain(1.0), Cuts((), tuple(system.free))
    assert [e for e in range(8) if chain.spin_orbit_coupled[e]] == [3, 4, 5]
    assert list(system.free) == [4, 5]
    exchange = cuts.torques(window_kernel([chain], cuts, k.points, np.zeros((1, 1)))[0, 0]).sum(axis=0)
    np.testing.assert_allclose(d["torque_exchange"][1], exchange, atol=1e-13)
    assert np.abs(d["torque"][1] - exchange).max() > 1e-2
    np.testing.assert_allclose(d["torque_exchange_fixed"], d["torque_fixed"], atol=1e-13)
    with pytest.raises(InputError, match="interlayer_coupling: spin-orbit coupling in the free magnet"):
        qt.interlayer_coupling(system, kmesh=k)


def test_a_lattice_of_one_orbital_without_spin_orbit_coupling_keeps_its_kernels_where_its_magnets_are_named():
    named, plain = (one_orbital_valve(0.0, named) for named in (True, False))
    assert named.chain(1.0).exchange is not None
    assert _single_orbital((named.chain(1.0),)) is not None
    assert _single_orbital((one_orbital_valve(0.4).chain(1.0),)) is None
    k = qt.kpoints([[1.3, 0.9]])
    a, b = (qt.layer_torque(system, angle=1.0, voltage=0.02, kmesh=k, tolerance=1e-3) for system in (named, plain))
    for name in ("torque", "torque_exchange"):
        np.testing.assert_allclose(a[name], b[name], atol=1e-15)
    assert "torque_exchange" not in qt.linear_torkance(named, angle=1.0, kmesh=k)


def test_equilibrium_exchange_torque_is_the_slope_of_the_grand_potential_anisotropy_included():
    """At one node of the contour: -y.(torque on m) and the derivative of ln det(z - H - Sigma) as m turns about y."""
    stack, k, z, step = valve(right=0.3, p=(0, 0, 1)), momenta(1), 0.1 + 0.4j, 0.3 + 0.2j
    system, angle, width = as_layered(stack), 1.0, 1e-3
    cuts = Cuts((), (5, 6))
    kernel = sea_kernel([system.chain(angle)], cuts, k, np.full((1, 1), z), np.full((1, 1), step))[0, 0]
    torque = cuts.torques(kernel).sum(axis=0)

    def potential(at):
        G = region_green(system.chain(at), k[0], z)[0]
        return -(step * np.log(np.linalg.det(G.reshape(G.shape[0] * G.shape[1], -1)))).imag / np.pi

    slope = (8 * (potential(angle + width) - potential(angle - width))
             - potential(angle + 2 * width) + potential(angle - 2 * width)) / (12 * width)  # fmt: skip
    assert -torque[1] == pytest.approx(slope, rel=1e-8)
    assert abs(slope) > 1e-3


def test_coupling_across_a_spacer_with_spin_orbit_coupling_drives_the_zero_bias_torque():
    stack, width = valve(left=0.3, free=0.0, p=(0, 0, 1)), 0.01
    angles = 1.0 + width * np.array([-2, -1, 1, 2])
    energy = qt.interlayer_coupling(stack, angle=angles, kmesh=qt.kpoints(momenta(1)), tolerance=1e-9)
    values = energy["grand_potential"].values
    slope = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * width)
    d = qt.spin_torque(stack, angle=1.0, kmesh=qt.kpoints(momenta(1)), tolerance=1e-8)
    assert -d["torque"][0, 0, 1].item() == pytest.approx(slope, rel=1e-5)
    with pytest.raises(InputError, match="interlayer_coupling: spin-orbit coupling in the free magnet"):
        qt.interlayer_coupling(valve(free=0.3), kmesh=K)
    with pytest.raises(InputError, match="interlayer_coupling: spin-orbit coupling in the free magnet"):
        qt.interlayer_coupling(valve(free=0.0, right=0.3), kmesh=K)


# half-metal


def p_orbitals(*, exchange=0.0, coupling=0.0, onsite=0.0):
    """Three p orbitals on a cubic lattice, sigma bonds of 1 eV, pi bonds of -0.4 eV, the majority at `onsite`."""
    levi_civita = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        levi_civita[a, b, c], levi_civita[a, c, b] = 1, -1
    bonds = [((1, 0, 0), 0), ((0, 1, 0), 1), ((0, 0, 1), 2)]
    return qt.Material(
        name="p",
        lattice=0.3 * np.eye(3),
        onsite=(onsite + 0.5 * exchange) * np.eye(3),
        exchange=exchange * np.eye(3),
        hoppings=tuple((v, np.diag([1.0 if i == a else -0.4 for i in range(3)])) for v, a in bonds),
        spin_orbit=-0.5j * coupling * levi_civita if coupling else None,
    )


def deviation(*, exchange, coupling, lead=0.0):
    """1 - P behind three monolayers of a half-metal."""
    half_metal = p_orbitals(exchange=exchange, coupling=coupling, onsite=0.3)
    stack = qt.Stack(
        left=qt.Lead(p_orbitals(coupling=lead)), layers=[qt.Layer(half_metal, 3)], right=qt.Lead(p_orbitals())
    )
    return 1 - qt.polarization(qt.solve(stack, energy=0.4, kmesh=qt.kpoints(momenta(6))))


def exponent(values, deviations):
    return np.polyfit(np.log(values), np.log(deviations), 1)[0]


@pytest.mark.parametrize("lead", [0.0, 0.2])
def test_half_metal_loses_its_polarization_as_the_square_of_coupling_over_splitting(lead):
    couplings, splittings = np.array([0.01, 0.02, 0.04, 0.08]), np.array([60.0, 120.0, 240.0])
    by_coupling = [deviation(exchange=60.0, coupling=c, lead=lead) for c in couplings]
    by_splitting = [deviation(exchange=D, coupling=0.04, lead=lead) for D in splittings]
    assert exponent(couplings, by_coupling) == pytest.approx(2, abs=EXPONENT)
    assert exponent(splittings, by_splitting) == pytest.approx(-2, abs=EXPONENT)
    # What tunnels without spin-orbit coupling is no part of it.
    assert deviation(exchange=60.0, coupling=0.0, lead=lead) < 0.02 * by_coupling[0]


def test_complex_bands_with_spin_orbit_coupling_solve_the_bulk_of_all_orbitals():
    m = material(2, magnetic=True, coupling=0.4)
    d = qt.complex_bands(m, energy=0.1, k=momenta(1)).isel(energy=0, k=0)
    assert d["spin"].values.tolist() == ["both"]
    assert d.sizes["band"] == 12
    chain = as_layered(qt.Stack(left=qt.Lead(m), right=qt.Lead(m))).chain()
    H, V = (block.at(momenta(1))[0] for block in (chain.onsite[0], chain.right_outward))
    for q in d["q"].values.ravel():
        bulk = H + V * np.exp(1j * q) + V.conj().T * np.exp(-1j * q)
        assert np.abs(np.linalg.eigvals(bulk) - 0.1).min() < 1e-9
    channels = qt.solve(qt.Stack(left=qt.Lead(m), right=qt.Lead(m)), energy=0.1, kmesh=qt.kpoints(momenta(1)))
    assert d["propagating"].sum() == 2 * channels.open_channels[0, 0].sum()


# drivers

SYSTEM = f"""
import numpy as np
import qtorque as qt

{getsource(p_orbitals)}

def build(*, fixed=0.0, free=0.0, lead=0.0, magnets=2):
    layers = [qt.Layer(p_orbitals(exchange=1.0, coupling=free), 2, magnet="free")]
    if magnets == 2:
        layers.insert(0, qt.Layer(p_orbitals(), 1))
        layers.insert(0, qt.Layer(p_orbitals(exchange=1.0, coupling=fixed), 1, magnet="fixed"))
    return qt.Stack(left=qt.Lead(p_orbitals()), layers=layers, right=qt.Lead(p_orbitals(coupling=lead)))
"""
ROOT = Path(__file__).parents[1]


def one_p_magnet(*, coupling):
    lead = qt.Lead(p_orbitals())
    return qt.Stack(left=lead, layers=[qt.Layer(p_orbitals(exchange=1.0, coupling=coupling), 2)], right=lead)


@pytest.fixture
def driven(within, tmp_path):
    """driven(driver, options, settings) runs a driver on that system."""
    path = tmp_path / "system.py"
    path.write_text(SYSTEM)

    def run(name, *options, **settings):
        chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return within(name, path, "--kmesh", 3, *chosen, *options, "--quiet", "-o", tmp_path / "x")

    return run


@pytest.mark.parametrize(
    ("name", "options", "settings", "said"),
    [
        ("interface", [], {"magnets": 1, "lead": 0.3}, "the right lead conserves no spin.*leave spin_orbit out"),
        ("mtj_torque", ["--angle", "1"], {"free": 0.3}, "a magnet has spin-orbit coupling.*leave spin_orbit out"),
        ("mtj_torque", ["--angle", "0,1"], {"lead": 0.3}, "--angle 0: with spin-orbit coupling.*leave these angles"),
    ],
)
def test_drivers_refuse_what_spin_orbit_coupling_makes_meaningless_before_they_start(
    driven, tmp_path, name, options, settings, said
):
    run = driven(name, *options, **settings)
    assert run.returncode != 0
    (line,) = run.stderr.strip().splitlines()[-1:]
    assert re.search(said, line)
    assert [path.name for path in tmp_path.iterdir()] == ["system.py"]


@pytest.fixture
def modules(monkeypatch):
    """The modules drivers/interface.py and drivers/layer_profile.py."""
    monkeypatch.syspath_prepend(ROOT / "drivers")
    return import_module("interface"), import_module("layer_profile")


def test_the_interface_driver_corrects_nothing_where_spins_flip(modules):
    interface, _ = modules
    system, mesh = as_layered(one_p_magnet(coupling=0.6)), qt.kmesh(2)
    few, why = interface.of_one_magnet(system, 0.0, mesh, "left")
    assert few is None
    _, sums = interface.observe(mesh, system, 0.0, "left", one_magnet=False)
    d = interface.complete(sums, "left", few, why, flips=True)
    assert not [name for name in d.variables if "corrected" in str(name)]
    lines = interface.table(d, system.area)
    assert "all that is Sharvin-corrected left out: the transmission flips spins" in lines[-1]
    assert not [line for line in lines[:-1] if "corrected" in line]


def test_the_profile_driver_reports_exchange_and_lattice_torques(modules):
    _, layer_profile = modules
    system = as_layered(valve(spacer=0.0))
    d = layer_profile.profile(system, qt.kpoints(momenta(1)), angle=1.0, voltage=0.01, tolerance=1e-4)
    whole = d["torque_exchange_response"] + d["torque_lattice_response"]
    np.testing.assert_allclose(whole, d["torque_response"], atol=1e-12)
    own = d["magnet"].values != ""
    assert np.abs(d["torque_exchange_response"][:, own]).min() > 0
    assert np.abs(d["torque_exchange_response"][:, ~own]).max() < 1e-12
    assert np.abs(d["torque_lattice_response"][:, own]).max() > 1e-4
    assert len([line for line in layer_profile.table(d) if line.startswith("exchange torque of these layers")]) == 1
