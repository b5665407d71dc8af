"""Sums over k as integrals over the in-plane band energy."""

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque.bloch import as_layered
from qtorque.cells import refine
from qtorque.density_of_states import HexagonalHoppings, Line, TwoHoppings, ladder, line
from qtorque.refinement import NestedMeshes
from qtorque.spin import PAULI

MOMENT = 1e-11
"""Moments of a band on a mesh of 64 x 64 are exact up to rounding, for trigonometric polynomials of low degree."""
DENSITY_OF_STATES = 1e-9
"""The bar set for g_mix of the step by this route."""
REFERENCE = 1e-12
"""Agreement of the reference integral with itself at half its step."""
MOST_POINTS = 450
"""A few hundred points: about 30 for each of the pieces, and again for those that were halved."""
FLAT = 1e-13
"""Two ways through the same formulas differ by rounding."""

STEP = {"N": 2.5, "up": 1.5, "down": 4.0}
"""On-site energies, eV, of the interface step of the reference values; |t| = 1, E_F = 0."""

BANDS = [
    (TwoHoppings(-1.0, -1.0, ((0, 1), (1, 0))), lambda a, b: -2 * np.cos(a) - 2 * np.cos(b)),
    (TwoHoppings(0.7, -1.2, ((0, 1), (1, 0))), lambda a, b: 1.4 * np.cos(b) - 2.4 * np.cos(a)),
    (TwoHoppings(0.7, 0.2, ((1, 1), (1, -1))), lambda a, b: 1.4 * np.cos(a + b) + 0.4 * np.cos(a - b)),
    (HexagonalHoppings(-0.8, ((0, 1), (1, 0)), 1), lambda a, b: -1.6 * (np.cos(a) + np.cos(b) + np.cos(a + b))),
    (HexagonalHoppings(0.8, ((0, 1), (1, 0)), -1), lambda a, b: 1.6 * (np.cos(a) + np.cos(b) + np.cos(a - b))),
]


def step():
    N = qt.single_band(onsite=STEP["N"])
    F = qt.single_band(onsite=(STEP["up"] + STEP["down"]) / 2, exchange=STEP["down"] - STEP["up"])
    return qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F, 1)], right=qt.Lead(F))


def random_stack(seed, normal):
    """Normal lead, one to three spacers with magnets behind them, a magnetic or a normal lead."""
    rng = np.random.default_rng(seed)
    up = (0, 0, 1)
    lead = qt.single_band(onsite=rng.uniform(-2, 3))
    layers = []
    for _ in range(rng.integers(1, 4)):
        spacer = qt.single_band(onsite=rng.uniform(-2, 5))
        magnet = qt.single_band(onsite=rng.uniform(-2, 3), exchange=rng.uniform(0.5, 3))
        layers += [qt.Layer(spacer, int(rng.integers(1, 5)))]
        layers += [qt.Layer(magnet, int(rng.integers(1, 6)), magnetization=up)]
    magnet = qt.single_band(onsite=rng.uniform(-2, 3), exchange=rng.uniform(0.5, 3))
    return qt.Stack(left=qt.Lead(lead), layers=layers, right=qt.Lead(lead if normal else magnet))


def hexagonal_material(onsite, exchange=0.0, sign=-1):
    lattice = 0.3 * np.array([[1, 0, 0], [-0.5 * sign, np.sqrt(0.75), 0], [0, 0, 1]])
    matrix = np.array([[-1.0]], dtype=complex)
    vectors = [(1, 0, 0), (0, 1, 0), (1, sign, 0), (0, 0, 1)]
    return qt.Material(
        name="hexagonal", lattice=lattice, onsite=onsite + 0 * matrix, exchange=exchange + 0 * matrix,
        hoppings=tuple((v, matrix) for v in vectors),
    )  # fmt: skip


def dense_points(system, energies, share=8, number=2, **chain):
    """Momenta of a line cut `share` times finer than the pieces, 10 x 2^number Gauss points in each."""
    found = line([as_layered(system).chain(**chain)], energies)
    places = [np.linspace(a, b, share + 1)[:-1] for a, b in zip(found.places, found.places[1:], strict=False)]
    k = Line(found.band, np.concatenate([*places, found.places[-1:]])).rung(number)
    return qt.kpoints(k.points, k.weights)


@pytest.mark.parametrize(("band", "w"), BANDS)
def test_the_closed_forms_have_the_moments_of_their_bands(band, w):
    def moments(energies):
        return np.stack([energies**n for n in range(5)] + [np.exp(energies)], axis=-1)

    def evaluate(points, weights, stage):
        values = moments(w(points[..., 0], points[..., 1]))
        return np.einsum("cp,cpx->cx", weights, values), 1e-16 * np.abs(values).sum(axis=1)

    found = refine(Line(band, np.array(band.edges)), evaluate, tolerance=1e-12)
    mesh = qt.kmesh(64).points
    exact = moments(w(mesh[:, 0], mesh[:, 1])).mean(axis=0)
    assert np.abs(found.value - exact).max() < MOMENT * np.abs(exact).max()


@pytest.mark.parametrize(("band", "w"), BANDS)
def test_every_energy_of_the_band_has_its_momentum(band, w):
    energies = np.linspace(band.edges[0], band.edges[-1], 13)
    phases = band.phases(energies)
    assert np.abs(w(phases[:, 0], phases[:, 1]) - energies).max() < FLAT * 100


def reflection(onsite, w):
    """r of the step for one spin at in-plane energy w, from the closed form of the reference."""

    def factor(x):
        root = np.sqrt(x * x / 4 - 1 + 0j)
        inward, outward = x / 2 - root, x / 2 + root
        return inward if abs(inward) < 1 - 1e-15 else outward if abs(outward) < 1 - 1e-15 else x / 2 - 1j * abs(root)

    normal, other = factor(-STEP["N"] - w), factor(-onsite - w)
    return (1 / other - 1 / normal) / (normal - 1 / other)


def step_integral(points):
    """Int dw D(w) (1 - r_up r_dn^*) by the tanh-sinh rule on the pieces between thresholds and van Hove points."""
    ends = [-e + 2 * sign for e in STEP.values() for sign in (-1, 1)]
    places = np.unique([-4.0, 0.0, 4.0, *(x for x in ends if -4 < x < 4)])
    density, u = TwoHoppings(-1.0, -1.0, ((0, 1), (1, 0))).density, np.linspace(-3.8, 3.8, points)
    share = 1 / (1 + np.exp(np.pi * np.sinh(-u)))
    slope = np.pi * np.cosh(u) * share * share[::-1] * (u[1] - u[0])
    total = 0j
    for a, b in zip(places, places[1:], strict=False):
        for x, y, weight in zip(share, share[::-1], slope, strict=True):
            w = a + (b - a) * x if x < 0.5 else b - (b - a) * y
            if a < w < b and abs(w + STEP["N"]) < 2:
                mixing = 1 - reflection(STEP["up"], w) * np.conj(reflection(STEP["down"], w))
                total += weight * (b - a) * float(density(np.array(w))) * mixing
    return total


def test_the_mixing_conductance_of_the_step_is_that_of_the_closed_form():
    exact = step_integral(241)
    assert abs(exact - step_integral(121)) < REFERENCE
    found = qt.mixing_conductance(step(), energy=0.0, tolerance=1e-8)
    assert abs(complex(found) - exact) < DENSITY_OF_STATES
    assert found.attrs["k_error"] < 1e-8
    name, points = found.attrs["kmesh"].removesuffix(" points").split(", ")
    assert name == "density of states"
    assert int(points) < MOST_POINTS
    assert abs(complex(qt.mixing_conductance(step(), energy=0.0, kmesh=48)) - exact) > 1e-5


@pytest.mark.parametrize("seed", range(10))
def test_the_declared_tolerance_is_honoured_on_random_stacks(seed):
    # Quantum wells of several monolayers: resonances of every width, against many more points in every piece.
    system = random_stack(seed, normal=seed % 2 == 0)
    points = dense_points(system, [0.0])
    for call in (qt.conductance, qt.mixing_conductance):
        exact = call(system, energy=0.0, kmesh=points).values
        scale = max(np.abs(exact.real).max(), np.abs(exact.imag).max())
        for tolerance in (1e-3, 1e-6):
            found = call(system, energy=0.0, tolerance=tolerance)
            assert np.abs(found.values - exact).max() <= tolerance * scale
            assert found.attrs["k_error"] <= (tolerance + FLAT) * scale


def well(barriers, onsite, before=0):
    """A level between two barriers of one band, behind some layers of the left lead."""
    N, B, W = (qt.single_band(onsite=x) for x in (1.0, 9.0, onsite))
    layers = [qt.Layer(B, barriers), qt.Layer(W, 1), qt.Layer(B, barriers)]
    return qt.Stack(left=qt.Lead(N), layers=[*([qt.Layer(N, before)] if before else []), *layers], right=qt.Lead(N))


@pytest.mark.parametrize(("onsite", "place"), [(0.225005, 3e-5), (0.225066, -3e-5), (0.173761, 0.05)])
def test_resonances_beside_a_van_hove_point_are_met(onsite, place):
    # Some 1e-7 eV wide; the reference has pieces of every size around the place.
    system = well(4, onsite)
    pieces = line([as_layered(system).chain()], [0.0]).places
    assert np.abs(pieces - place).min() < 0.1 * abs(place)
    found = line([as_layered(system).chain()], [0.0], widths=())
    reach = np.concatenate([[0.0], np.geomspace(1e-9, 1.0, 60)])
    edges = np.unique(np.concatenate([found.places, place + reach, place - reach]))
    k = Line(found.band, edges[(edges >= found.places[0]) & (edges <= found.places[-1])]).rung(2)
    exact = float(qt.conductance(system, energy=0.0, kmesh=qt.kpoints(k.points, k.weights))[0, 0])
    G = qt.conductance(system, energy=0.0, tolerance=1e-4)
    assert float(G[0, 0]) == pytest.approx(exact, rel=1e-4)
    assert int(G.attrs["kmesh"].split()[-2]) < 2000


def test_layers_like_the_lead_do_not_end_the_search_for_resonances():
    alone, behind = (qt.conductance(well(6, 0.5, n), energy=0.0, tolerance=1e-4) for n in (0, 101))
    assert behind.attrs["kmesh"] == alone.attrs["kmesh"]
    assert np.abs(behind - alone).max() < FLAT * 10 * alone.max()


def test_a_peak_met_by_one_point_leaves_no_errors_behind():
    # Its first point makes the sum, and so the error allowed, a hundred times too large for a while.
    band = BANDS[0][0]
    width, place = 1e-6, 1.2345

    def evaluate(points, weights, stage):
        w = -2 * np.cos(points).sum(axis=-1)
        values = 1 / (1 + ((w - place) / width) ** 2)
        return np.einsum("cp,cp->c", weights, values)[:, None], 1e-16 * np.einsum("cp,cp->c", weights, values)[:, None]

    # The margin is the band's curvature over the tails of the peak.
    result = refine(Line(band, np.array([*band.edges[:-1], 1.2, band.edges[-1]])), evaluate, tolerance=1e-4)
    exact = np.pi * width * float(band.density(np.array(place)))
    assert result.converged
    assert result.value[0] == pytest.approx(exact, rel=2e-4)
    assert result.points < 5000


def test_k_error_counts_the_rounding_that_no_momenta_lower():
    G = qt.conductance(step(), energy=0.0, tolerance=1e-6)
    assert G.attrs["k_error"] > 1e-15 * float(G.max())
    with pytest.warns(UserWarning, match="the sum over k ends at"):
        qt.conductance(step(), energy=0.0, tolerance=1e-15)


def test_the_transmitted_mixing_conductance_streams_to_the_same_sum():
    system = random_stack(2, normal=True)
    scattering = qt.solve(system, energy=0.1, kmesh=qt.kmesh(12))
    expected = complex(qt.k_average(qt.transmitted_mixing_conductance(scattering)))
    assert complex(qt.transmitted_mixing_conductance(system, energy=0.1, kmesh=12)) == pytest.approx(expected, rel=FLAT)
    exact = complex(qt.transmitted_mixing_conductance(system, energy=0.1, kmesh=dense_points(system, [0.1])))
    found = qt.transmitted_mixing_conductance(system, energy=0.1, tolerance=1e-6)
    assert abs(complex(found) - exact) < 2e-6 * abs(exact)


def test_a_streamed_mixing_conductance_feels_the_voltage():
    N, B, F = qt.single_band(onsite=2.0), qt.single_band(onsite=5.0), qt.single_band(onsite=2.5, exchange=1.5)
    layers = [qt.Layer(F, 2, magnetization=(0, 0, 1)), qt.Layer(B, 1, barrier=True)]
    stack = qt.Stack(left=qt.Lead(N), layers=layers, right=qt.Lead(N))
    for call in (qt.mixing_conductance, qt.transmitted_mixing_conductance):
        biased, unbiased = (qt.solve(stack, energy=0.1, kmesh=qt.kmesh(8), voltage=V) for V in (0.4, 0.0))
        expected = complex(qt.k_average(call(biased)))
        assert complex(call(stack, energy=0.1, kmesh=8, voltage=0.4)) == pytest.approx(expected, rel=FLAT)
        assert abs(expected - complex(qt.k_average(call(unbiased)))) > 1e-3 * abs(expected)
        found = call(stack, energy=0.1, tolerance=1e-6, voltage=0.4)
        exact = complex(call(stack, energy=0.1, kmesh=dense_points(stack, [0.1], voltage=0.4), voltage=0.4))
        assert abs(complex(found) - exact) < 2e-6 * abs(exact)


def test_the_tolerance_is_that_of_both_conductances_of_a_magnetoresistance():
    exact = qt.tmr(junction(), tolerance=1e-9)
    assert qt.tmr(junction(), tolerance=1e-3) == pytest.approx(exact, rel=2e-3)
    assert qt.tmr(junction(), kmesh=qt.kmesh(300, symmetry="square")) == pytest.approx(exact, rel=1e-3)


def valve():
    F, N = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=2.0)
    up = (0, 0, 1)
    layers = [qt.Layer(F, 2, magnetization=up), qt.Layer(N, 2), qt.Layer(F, 3, magnetization=up)]
    return qt.Stack(left=qt.Lead(N), layers=layers, right=qt.Lead(N))


def junction():
    F, B = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=9.0)
    return qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 3, barrier=True)], right=qt.Lead(F))


@pytest.mark.parametrize(("system", "voltage"), [(junction(), 0.4), (valve(), 0.08)])
def test_the_declared_tolerance_is_honoured_by_torques(system, voltage):
    options = {"angle": [1.0], "voltage": [voltage]}
    found = line([as_layered(system).chain(1.0, voltage)], [voltage / 2, -voltage / 2], widths=())
    k = found.rung(3)
    exact = qt.spin_torque(system, kmesh=qt.kpoints(k.points, k.weights), tolerance=1e-8, **options)
    scale = float(np.abs(exact["spin_current"]).max())
    for tolerance in (1e-2, 1e-4):
        d = qt.spin_torque(system, tolerance=tolerance, **options)
        assert np.abs(d["spin_current"] - exact["spin_current"]).max() <= tolerance * scale
        assert d["k_error"].max() <= tolerance * scale * (1 + FLAT)
        assert d["energy_error"].max() <= tolerance * scale
        assert d.attrs["kmesh"].startswith("density of states")
        assert d.attrs["tolerance"] == tolerance


def test_coupling_and_layer_torques_are_refined_too():
    points = dense_points(junction(), [0.0], share=2)
    omega = qt.interlayer_coupling(junction(), tolerance=1e-4)
    exact = qt.interlayer_coupling(junction(), kmesh=points, tolerance=1e-7)
    difference = np.abs(omega["grand_potential"] - exact["grand_potential"]).max()
    assert difference <= 1e-4 * np.abs(exact["grand_potential"]).max()
    assert set(omega["k_error"].dims) == {"angle"}
    d = qt.layer_torque(junction(), angle=[1.0], voltage=[0.1], tolerance=1e-3)
    assert np.abs(d["torque"] - d["torque_exchange"]).max() < 1e-9 * np.abs(d["spin_current"]).max()
    assert d["k_error"].dims == ("voltage",)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_hexagonal_net_has_a_density_of_states_of_its_own(sign):
    N, F = (hexagonal_material(1.0, exchange, sign) for exchange in (0.0, 2.0))
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F, 3, magnetization=(0, 0, 1))], right=qt.Lead(N))
    assert isinstance(line([as_layered(stack).chain()], [0.0]).band, HexagonalHoppings)
    found = qt.conductance(stack, energy=0.0, tolerance=1e-6)
    name = "hexagonal" if sign == -1 else "hexagonal-120"
    mesh = qt.conductance(stack, energy=0.0, kmesh=qt.kmesh(1200, symmetry=name))
    assert np.abs(found - mesh).max() < 2e-4 * np.abs(mesh).max()


def rashba(strength, hopping=-1.0):
    """Plain Kwant: normal leads, one magnetic layer along x with Rashba hopping in it."""
    lattice = kwant.lattice.general(0.3 * np.eye(3), norbs=2)
    unit = PAULI[0]
    along_x = hopping * unit + 1j * strength * PAULI[2]
    along_y = hopping * unit - 1j * strength * PAULI[1]
    in_plane = [((1, 0, 0), along_x), ((0, 1, 0), along_y)]

    def fill(builder, heights, onsite, spin_orbit):
        for z in heights:
            builder[lattice(0, 0, z)] = onsite(z)
            for vector, matrix in in_plane:
                builder[lattice(*vector[:2], z), lattice(0, 0, z)] = matrix if spin_orbit(z) else hopping * unit

    region = kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0)))
    fill(region, range(3), lambda z: 2.0 * unit - (0.8 * PAULI[1] if z == 1 else 0 * unit), lambda z: z == 1)
    leads = []
    for direction in (-1, 1):
        lead = kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3 * direction)))
        fill(lead, [0], lambda z: 2.0 * unit, lambda z: False)
        lead[lattice(0, 0, 1), lattice(0, 0, 0)] = -unit
        leads.append(lead)
    for z in range(2):
        region[lattice(0, 0, z + 1), lattice(0, 0, z)] = -unit
    return qt.layered(region, *leads)


def test_spin_orbit_coupling_and_unequal_bands_fall_back_to_meshes():
    def ladder_of(system):
        return ladder([as_layered(system).chain()], [0.0])

    A, B = qt.single_band(onsite=2.0), qt.single_band(onsite=2.0, hopping=-1.1)
    unequal = qt.Stack(left=qt.Lead(A), layers=[qt.Layer(B, 2)], right=qt.Lead(A))
    assert isinstance(ladder_of(unequal), NestedMeshes)
    assert isinstance(ladder_of(rashba(0.3)), NestedMeshes)
    assert isinstance(ladder_of(rashba(0.0)), Line)
    assert isinstance(ladder_of(step()), Line)


def test_spin_orbit_coupling_breaks_a_declared_square_symmetry():
    square = qt.kmesh(8, symmetry="square")
    qt.conductance(rashba(0.0), energy=0.0, kmesh=square)
    with pytest.raises(qt.InputError, match=r"symmetry='square' does not hold: under .*k\.a1.* changes by 0?\.?\d"):
        qt.conductance(rashba(0.3), energy=0.0, kmesh=square)
