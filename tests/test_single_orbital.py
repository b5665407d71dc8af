"""The compiled path of single-orbital stacks: against the general engine, closed forms, and where it is hard."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qtorque as qt
from qtorque import amplitudes, joins, scattering, torque
from qtorque import single_orbital as so
from qtorque.bloch import as_layered
from qtorque.torque import Cuts

AGREEMENT = 1e-11
"""Two recursions over twenty layers; amplitudes are of order one."""
COLUMN_AGREEMENT = 1e-11
"""The same for integrands, relative to the largest of them."""
COLUMN_ROUNDING = 1e-13
"""Next to a lead they are differences of spectral functions, which are of order one and more."""
RELATIVE = 1e-11
"""Of a transmission, however small: its amplitude is a product of Green functions."""
RANDOM = settings(max_examples=30, deadline=None)


def stack(*pieces, left=None, right=None):
    normal = qt.single_band(onsite=2.5)
    return as_layered(qt.Stack(left=qt.Lead(left or normal), layers=list(pieces), right=qt.Lead(right or normal)))


def magnet(onsite=2.75, exchange=2.5):
    return qt.single_band(onsite=onsite, exchange=exchange)


def three_magnets():
    """Magnets along z, along x and one that turns: no half but the leads has one axis."""
    normal = qt.single_band(onsite=2.5)
    return stack(
        qt.Layer(magnet(), 3, magnet="first"),
        qt.Layer(normal, 2),
        qt.Layer(magnet(3.0, 1.7), 2, magnet="second", magnetization=(1, 0, 0)),
        qt.Layer(normal, 3),
        qt.Layer(magnet(), 2, magnet="third"),
    )


def barrier_junction():
    return stack(
        qt.Layer(qt.single_band(onsite=9.0), 3, barrier=True), left=magnet(4.3, 2.6), right=magnet(4.3, 2.6)
    )


def valve_along_x():
    """Normal left lead, whose spins are counted along z, magnets along x, right lead antiparallel to them."""
    along_x = {"magnetization": (1, 0, 0)}
    layers = [
        qt.Layer(magnet(), 3, magnet="a", **along_x),
        qt.Layer(qt.single_band(onsite=2.5), 2),
        qt.Layer(magnet(), 2, magnet="b", **along_x),
    ]
    right = qt.Lead(magnet(4.3, 2.6), magnetization=(-1, 0, 0))
    return as_layered(qt.Stack(left=qt.Lead(qt.single_band(onsite=2.5)), layers=layers, right=right))


STACKS = {"three magnets": three_magnets, "barrier": barrier_junction, "along x": valve_along_x}
ANGLES = (0.0, 0.7, np.pi / 2, np.pi)


def momenta(number, seed=1):
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (number, 2))


def general_solution(monkeypatch, system, angle, k, energy):
    with monkeypatch.context() as m:
        m.setattr(scattering, "_compiled", lambda chain: None)
        return qt.solve(system, energy=energy, kmesh=qt.kpoints(k), angle=angle)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("name", STACKS)
def test_all_amplitudes_are_those_of_the_general_engine(monkeypatch, name, angle):
    system, k = STACKS[name](), momenta(60)
    compiled = qt.solve(system, energy=0.1, kmesh=qt.kpoints(k), angle=angle)
    general = general_solution(monkeypatch, system, angle, k, 0.1)
    assert isinstance(compiled.amplitudes, scattering.SingleChannel)
    assert not isinstance(general.amplitudes, scattering.SingleChannel)
    for pair, expected in general.amplitudes.items():
        np.testing.assert_allclose(compiled.amplitudes[pair], expected, rtol=0, atol=AGREEMENT)
        probabilities = np.abs(expected[..., 0, 0].swapaxes(1, 2)) ** 2
        np.testing.assert_allclose(compiled.probabilities(pair[1], pair[0]), probabilities, rtol=0, atol=AGREEMENT)
    np.testing.assert_array_equal(compiled.open_channels, general.open_channels)
    assert compiled.unitarity_error.max() < AGREEMENT
    assert compiled.magnet_axes == general.magnet_axes


@pytest.mark.parametrize("name", STACKS)
def test_integrands_of_all_cuts_and_layers_are_those_of_the_general_engine(monkeypatch, name):
    system = STACKS[name]()
    cuts = Cuts(tuple(range(system.layers + 1)), tuple(range(1, system.layers + 1)))
    chains = [system.chain(angle, 0.2) for angle in ANGLES]
    rng = np.random.default_rng(2)
    k = momenta(12)
    energy = rng.uniform(-0.5, 0.5, (12, 15))
    z, step = energy + 1j * rng.uniform(1e-6, 2, energy.shape), rng.normal(size=energy.shape) + 1j

    def integrands():
        return (
            torque.window_kernel(chains, cuts, k, energy),
            torque.sea_kernel(chains, cuts, k, z, step),
            torque.log_determinants(chains, 1, k, z),
        )

    compiled = integrands()
    monkeypatch.setattr(torque, "_single_orbital", lambda chains: None)
    for own, expected in zip(compiled, integrands(), strict=True):
        assert own.shape == expected.shape
        assert np.abs(own - expected).max() < COLUMN_AGREEMENT * np.abs(expected).max() + COLUMN_ROUNDING


def test_an_energy_that_is_one_row_serves_all_momenta(monkeypatch):
    system, k = barrier_junction(), momenta(5)
    chains, cuts = [system.chain(0.7, 0.2)], Cuts((0, system.layers))
    energy = np.linspace(-0.1, 0.1, 15)[None]
    one = torque.window_kernel(chains, cuts, k, energy)
    np.testing.assert_array_equal(one, torque.window_kernel(chains, cuts, k, np.repeat(energy, 5, axis=0)))


@RANDOM
@given(seed=st.integers(0, 2**32 - 1))
def test_random_chains_of_random_magnets_agree_with_the_general_engine(seed):
    rng = np.random.default_rng(seed)

    def material():
        return qt.single_band(onsite=rng.uniform(-2, 6), exchange=rng.uniform(0.1, 3), hopping=-rng.uniform(0.3, 1.5))

    def direction():
        v = rng.normal(size=3)
        return tuple(v / np.linalg.norm(v))

    lead = qt.single_band(onsite=rng.uniform(-2, 2), exchange=rng.uniform(0, 1))
    pieces = [
        qt.Layer(material(), int(rng.integers(1, 6)), magnetization=direction(), magnet=f"m{i}") for i in range(4)
    ]
    system = as_layered(qt.Stack(left=qt.Lead(lead), layers=pieces, right=qt.Lead(lead)))
    k, energy = rng.uniform(0, 2 * np.pi, (8, 2)), rng.uniform(-1, 1)
    chain = system.chain()
    own = scattering.solve_points(chain, qt.kpoints(k), energy, None)
    expected = scattering._solve_chain_at(chain, k, energy)
    assert isinstance(own.amplitudes, scattering.SingleChannel)
    for pair, block in expected.amplitudes.items():
        # Narrow resonances of random wells multiply rounding by their height.
        np.testing.assert_allclose(own.amplitudes[pair], block, rtol=0, atol=1e3 * AGREEMENT)


def chebyshev_transmission(n, q, kappa):
    """ln T of n barrier sites between equal leads with q, all hoppings equal; U_n = sinh((n + 1) kappa)/sinh kappa."""
    # ln U_n, and the others as ratios to it: no overflow.
    log_u = (n + 1) * kappa + np.log1p(-np.exp(-2 * (n + 1) * kappa)) - np.log(2 * np.sinh(kappa))

    def ratio(m):
        return np.exp((m - n) * kappa) * np.expm1(-2 * (m + 1) * kappa) / np.expm1(-2 * (n + 1) * kappa)

    D = 1 - 2 * ratio(n - 1) * np.exp(1j * q) + ratio(n - 2) * np.exp(2j * q)
    return np.log(4 * np.sin(q) ** 2) - 2 * log_u - 2 * np.log(np.abs(D))


@pytest.mark.parametrize("layers", [1, 2, 3, 15, 60, 100])
def test_the_transmission_of_a_thick_barrier_keeps_its_relative_accuracy(layers):
    # exp(-2 kappa n) down to 1e-200.
    system = stack(qt.Layer(qt.single_band(onsite=9.0), layers, barrier=True))
    k = np.array([[0.3, 0.2], [1.0, 0.5], [0.1, 1.3]])
    T = qt.transmission(qt.solve(system, energy=0.1, kmesh=qt.kpoints(k))).sel(spin_in="up", spin_out="up").values
    w = -2 * np.cos(k).sum(axis=1)
    q, kappa = np.arccos((0.1 - 2.5 - w) / 2), np.arccosh(np.abs(0.1 - 9.0 - w) / 2)
    # Barrier bands lie above the energy: U_n(-x) = (-1)^n U_n(x), which the phase pi - q takes up.
    expected = np.array([chebyshev_transmission(layers, np.pi - a, b) for a, b in zip(q, kappa, strict=True)])
    np.testing.assert_allclose(np.log(T), expected, rtol=0, atol=RELATIVE * max(layers, 10))
    if layers == 100:
        assert T.max() < 1e-100
        # The general engine keeps it too, noncollinear leads included.
        assert T.min() > 0


@pytest.mark.parametrize("angle", [0.0, 1.0])
def test_four_hundred_layers_stay_unitary_and_agree_with_the_general_engine(monkeypatch, angle):
    normal = qt.single_band(onsite=2.5)
    system = stack(
        qt.Layer(magnet(), 150, magnet="a"), qt.Layer(normal, 100), qt.Layer(magnet(), 150, magnet="b")
    )
    k = momenta(20)
    own = qt.solve(system, energy=0.1, kmesh=qt.kpoints(k), angle=angle)
    general = general_solution(monkeypatch, system, angle, k, 0.1)
    assert own.unitarity_error.max() < 1e-10
    for pair in general.amplitudes:
        np.testing.assert_allclose(own.amplitudes[pair], general.amplitudes[pair], rtol=0, atol=1e-9)


def test_thick_half_metallic_magnets_do_not_overflow():
    # Spin down decays over 400 layers by exp(-700): zero in double precision, and nothing else breaks.
    system = stack(qt.Layer(magnet(8.0, 11.0), 400, magnet="a"))
    s = qt.solve(system, energy=0.1, kmesh=qt.kpoints(momenta(10)))
    T = qt.transmission(s)
    assert np.all(np.isfinite(T.values))
    assert float(T.sel(spin_in="down", spin_out="down").max()) < 1e-200
    assert s.unitarity_error.max() < 1e-10


@pytest.mark.parametrize("energy", [-2.0, 2.0])
def test_band_edges_of_the_cubic_lattice_are_solved_and_marked(energy):
    # With onsite 0 and E = +-2t many midpoints of the mesh lie on an edge, where plain Kwant raises an error.
    lead = qt.single_band(onsite=0.0)
    system = as_layered(qt.Stack(left=qt.Lead(lead), layers=[qt.Layer(lead, 3)], right=qt.Lead(lead)))
    s = qt.solve(system, energy=energy, kmesh=qt.kmesh(16))
    # A clean chain transmits as many electrons as there are channels.
    T = qt.transmission(s).sum(["spin_in", "spin_out"]).values
    np.testing.assert_allclose(T, s.open_channels[:, 0].sum(axis=1), atol=1e-4)
    assert 0 < s.shifted.sum() < s.kset.size // 4


def test_a_lead_without_hopping_is_an_isolated_atom_and_conducts_nothing():
    flat = qt.single_band(onsite=0.3, hopping=-1.0)
    chain = stack(qt.Layer(flat, 2), left=flat, right=flat).chain()
    dead = chain.left_outward.__class__(chain.left_outward.vectors, 0 * chain.left_outward.matrices)
    isolated = chain.__class__(chain.onsite, chain.bond, dead, chain.right_outward)
    s = scattering.solve_points(isolated, qt.kpoints(momenta(5)), 0.1, None)
    assert np.all(s.open_channels[:, 0] == 0)
    assert np.all(qt.transmission(s).values == 0)
    np.testing.assert_allclose(np.abs(s.amplitudes[1, 1][:, 0, 0, 0, 0])[s.open_channels[:, 1, 0] == 1], 1, atol=1e-12)


def test_hoppings_with_phases_give_the_amplitudes_of_the_general_engine(monkeypatch):
    # A layer shifted in the plane, as in hexagonal and fcc stacking: V(k) = -1 - 0.4 exp(i k.a1).
    import kwant

    lattice = kwant.lattice.general([(1, 0, 0), (0, 1, 0), (0, 0, 1)], [(0, 0, 0)], norbs=2)
    (site,) = lattice.sublattices
    one = np.eye(2)

    def builder(symmetry):
        b = kwant.Builder(symmetry)
        shape = [site(0, 0, z) for z in (range(4) if symmetry.num_directions == 2 else range(1))]
        b[shape] = 0.2 * one + 0.3 * np.diag([-1, 1])
        b[kwant.builder.HoppingKind((1, 0, 0), site)] = -one
        b[kwant.builder.HoppingKind((0, 1, 0), site)] = -one
        b[kwant.builder.HoppingKind((0, 0, 1), site)] = -(0.8 + 0.3j) * one
        b[kwant.builder.HoppingKind((1, 0, 1), site)] = -0.4 * one
        return b

    plane = ((1, 0, 0), (0, 1, 0))
    region = builder(kwant.TranslationalSymmetry(*plane))
    left = builder(kwant.TranslationalSymmetry(*plane, (0, 0, -1)))
    right = builder(kwant.TranslationalSymmetry(*plane, (0, 0, 1)))
    system, k = qt.layered(region, left, right), momenta(40)
    own = qt.solve(system, energy=0.1, kmesh=qt.kpoints(k))
    general = general_solution(monkeypatch, system, None, k, 0.1)
    assert isinstance(own.amplitudes, scattering.SingleChannel)
    for pair in general.amplitudes:
        np.testing.assert_allclose(own.amplitudes[pair], general.amplitudes[pair], rtol=0, atol=AGREEMENT)
    assert np.abs(np.angle(own.amplitudes[1, 0][:, 0, 0, 0, 0])).max() > 0.1


def test_a_run_is_cut_before_its_polynomials_overflow():
    # (E - h)/v = 1e6 in a barrier of 60 layers: U_60 = 1e360 is no number, its pieces are.
    weak = qt.single_band(onsite=9.0, hopping=-1e-5)
    c = so.single_orbital(stack(qt.Layer(weak, 60, barrier=True)).chain(), so.Catalogue())
    materials, runs = amplitudes._runs(c, 0.1)
    lengths = [materials[run[1], 2] if run[1] >= 0 else 1 for run in runs]
    assert max(lengths) < 60
    assert sum(lengths) == len(c.onsite) - 3
    s = qt.solve(stack(qt.Layer(weak, 20, barrier=True)), energy=0.1, kmesh=qt.kpoints(momenta(4)))
    assert np.all(np.isfinite(qt.transmission(s).values))


def test_mesh_shapes_by_rows_are_those_point_by_point():
    c = so.single_orbital(three_magnets().chain(), so.Catalogue())
    mesh = qt.kmesh(40, 70)
    rows = np.concatenate([shapes for _, shapes in amplitudes._blocks(c, mesh)], axis=1)
    np.testing.assert_allclose(rows, c.catalogue.shapes(mesh.points), rtol=0, atol=1e-14)


def test_states_are_only_ruled_out_where_there_are_none():
    barrier = so.single_orbital(barrier_junction().chain(0.3), so.Catalogue())
    assert not barrier.may_have_states(-0.5, 0.5)
    assert barrier.may_have_states(3.0, 12.0)
    well = so.single_orbital(three_magnets().chain(0.3), so.Catalogue())
    assert well.may_have_states(-0.5, 0.5)


def test_only_single_orbital_chains_without_spin_in_the_hopping_are_compiled():
    spin_dependent = qt.single_band(onsite=2.5)
    c = stack(qt.Layer(spin_dependent, 2)).chain()
    V = c.bond[1]
    coupled = V.__class__(V.vectors, V.matrices @ np.diag([1.0, 0.8]))
    changed = c.__class__(c.onsite, (c.bond[0], coupled, *c.bond[2:]), c.left_outward, c.right_outward)
    assert so.single_orbital(c, so.Catalogue()) is not None
    assert so.single_orbital(changed, so.Catalogue()) is None


def test_turned_magnets_share_their_solved_halves():
    system = barrier_junction()
    chains = so.single_orbital_chains([system.chain(angle, 0.2) for angle in np.linspace(0, np.pi, 13)])
    cuts = joins.Joins(chains, momenta(3), np.zeros((3, 15)))
    # The ends of both magnets, each of which is a lead with its contact layer.
    cuts.window((1, system.layers - 1), ())
    # Every element is added once to either half, whatever the number of angles.
    assert len(cuts._known) == 2 * system.layers


@pytest.mark.slow
def test_the_first_compilation_is_announced_and_a_second_call_is_not(tmp_path, monkeypatch, capfd):
    import subprocess
    import sys

    code = (
        "import qtorque as qt\n"
        "N = qt.single_band(onsite=2.5)\n"
        "s = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N, 2)], right=qt.Lead(N))\n"
        "qt.solve(s, energy=0.1, kmesh=4); qt.solve(s, energy=0.1, kmesh=4)\n"
    )
    # On a busy machine reading a kernel from the disk takes longer than the usual patience.
    patient = "import qtorque.compiling\nqtorque.compiling.PATIENCE = 10\n"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def run(program):
        command = [sys.executable, "-W", "ignore", "-c", program]
        return subprocess.run(command, capture_output=True, text=True)

    def cached():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}

    assert run(code).stderr.count("compiling kernels") == 1
    before = cached()
    assert before
    assert "compiling" not in run(patient + code).stderr
    assert cached() == before


@pytest.mark.parametrize("spin", ["up", "down"])
def test_a_band_edge_of_one_spin_is_solved_beside_it_and_marked(spin):
    # Bands of the two spins at 0 and 1 eV: at E = -2 and -1 momenta of the mesh lie on an edge of one of them alone.
    lead = qt.single_band(onsite=0.5, exchange=1.0)
    system = stack(qt.Layer(lead, 2), left=lead, right=lead)
    s = qt.solve(system, energy=-2.0 if spin == "up" else -1.0, kmesh=qt.kmesh(8))
    T = qt.transmission(s)
    assert s.shifted.any()
    assert np.all(np.isfinite(T.values))
    for name, channels in zip(("up", "down"), s.open_channels[:, 0].T, strict=True):
        own = T.sel(spin_in=name, spin_out=name).values
        np.testing.assert_allclose(own, channels, atol=1e-4)


def test_reflection_from_the_right_is_solved_beside_a_pole_that_electrons_from_the_left_do_not_meet():
    system = stack(qt.Layer(qt.single_band(onsite=3.5), 1), left=qt.single_band(onsite=1.5), right=magnet(4.3, 0.6))
    s = qt.solve(system, energy=0.0, kmesh=qt.kpoints([[0.0, 0.0]]))
    R = qt.transmission(s, "right", "right").values[0]
    assert np.all(np.isfinite(R))
    open_right = s.open_channels[0, 1]
    np.testing.assert_allclose(np.diag(R)[open_right == 1], 1.0, atol=1e-4)


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8)])
def test_behind_a_spin_filter_the_weak_spin_keeps_its_relative_accuracy(direction):
    # Spin up sees a barrier of 7 eV, spin down one of 12: their amplitudes differ by 1e-18 after 40 layers.
    across = (direction[2], 0.0, -direction[0])

    def transmission(layers):
        barrier = qt.Layer(magnet(9.5, 5.0), layers, magnet="a", magnetization=direction)
        lead = qt.Lead(magnet(4.3, 2.6), magnetization=direction)
        free = qt.Layer(magnet(4.3, 2.6), 2, magnet="b", magnetization=across)
        pieces = [barrier, qt.Layer(qt.single_band(onsite=2.5), 2), free]
        system = as_layered(qt.Stack(left=lead, layers=pieces, right=qt.Lead(qt.single_band(onsite=2.5))))
        return qt.transmission(qt.solve(system, energy=0.1, kmesh=qt.kpoints([[0.3, 0.2]]))).values[0]

    kappa = np.arccosh((9.5 + np.array([-2.5, 2.5]) - 0.1 - 2 * (np.cos(0.3) + np.cos(0.2))) / 2)
    slope = np.log(transmission(50) / transmission(40)).mean(axis=1) / 10
    np.testing.assert_allclose(slope, -2 * kappa, rtol=1e-8)


def test_a_declared_symmetry_that_only_reflection_breaks_is_refused():
    # The leads have no channels in common: nothing is transmitted, whatever the symmetry.
    def material(onsite, exchange, hopping_y):
        hoppings = (((1, 0, 0), [[-1.0]]), ((0, 1, 0), [[hopping_y]]), ((0, 0, 1), [[-1.0]]))
        return qt.Material(
            name="x", lattice=0.3 * np.eye(3), onsite=np.array([[onsite]]), exchange=np.array([[exchange]]),
            hoppings=tuple((R, np.array(h)) for R, h in hoppings),
        )  # fmt: skip

    layers = [qt.Layer(material(2.0, 1.5, -0.5), 3)]
    system = qt.Stack(left=qt.Lead(material(5.0, 0.0, -1.0)), layers=layers, right=qt.Lead(material(-5.0, 0.0, -1.0)))
    assert float(qt.conductance(system, energy=0.0, kmesh=16).sum()) == 0
    with pytest.raises(qt.InputError, match="symmetry"):
        qt.solve(system, energy=0.0, kmesh=qt.kmesh(16, symmetry="square"))


def test_open_leads_are_found_on_a_mesh_whose_equal_steps_lie_on_its_diagonal():
    # In-plane hoppings of opposite sign: at E = -3 the lead is open far from the line k1 = k2 only.
    hoppings = (((1, 0, 0), [[1.0]]), ((0, 1, 0), [[-1.0]]), ((0, 0, 1), [[-0.5]]))
    lead = qt.Material(
        name="x", lattice=0.3 * np.eye(3), onsite=np.zeros((1, 1)), exchange=np.zeros((1, 1)),
        hoppings=tuple((R, np.array(h)) for R, h in hoppings),
    )  # fmt: skip
    chain = as_layered(qt.Stack(left=qt.Lead(lead), layers=[qt.Layer(lead, 1)], right=qt.Lead(lead))).chain()
    for n in (64, 1024, 4096):
        scattering.require_open_leads(chain, qt.kmesh(n), -3.0)


def test_a_solution_can_be_sent_to_another_process():
    s = qt.solve(three_magnets(), energy=0.1, kmesh=qt.kpoints(momenta(5)))
    copy = pickle.loads(pickle.dumps(s))
    for pair in s.amplitudes:
        np.testing.assert_array_equal(copy.amplitudes[pair], s.amplitudes[pair])


def test_arguments_that_mean_nothing_beside_a_solution_are_refused():
    s = qt.solve(three_magnets(), energy=0.1, kmesh=qt.kpoints(momenta(5)))
    for arguments in ({"energy": 0.2}, {"kmesh": 8}, {"angle": 1.0}, {"voltage": 0.1}, {"tolerance": 1e-3}):
        with pytest.raises(qt.InputError, match=next(iter(arguments))):
            qt.conductance(s, **arguments)
    with pytest.raises(qt.InputError, match="angle"):
        qt.conductance(three_magnets(), energy=0.1, kmesh=4, angle=[])


def test_a_list_of_angles_gives_the_conductance_at_each():
    angles = [0.0, 0.7, np.pi]
    G = qt.conductance(three_magnets(), energy=0.1, kmesh=8, angle=angles)
    assert G.dims == ("angle", "spin_in", "spin_out")
    for own, angle in zip(G, angles, strict=True):
        expected = qt.conductance(three_magnets(), energy=0.1, kmesh=8, angle=angle)
        np.testing.assert_allclose(own.values, expected.values, rtol=0, atol=1e-13)
