"""Spin currents, torques and interlayer coupling: reference values, two routes, symmetries, signs."""

import csv
from pathlib import Path

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque.bloch import as_layered
from qtorque.contour import Fermi, sea_integral, window_integral
from qtorque.green import Phases, Sweeps
from qtorque.quadrature import integrate
from qtorque.spin import PAULI, rotation
from qtorque.torque import Cuts, decompose, recompose, resonance_panels, sea_kernel, window_kernel
from qtorque.units import CURRENT_PER_EV

DATA = Path(__file__).parent / "data"
PEER_TOLERANCE = 1e-5
"""What the reference data claim of themselves."""
SMALLEST = 1e-12
"""eV, Pauli units: at zero bias the reference itself is rounding, below 1e-15."""
TIGHT = 1e-8
"""Energy tolerance of runs that are compared at the level of 1e-7."""
ROUTE_TOLERANCE = 1e-10
"""Identities that hold at every node of the quadrature; what is left is rounding, a few hundred operations deep."""
CANCELLATION = 1e-16
"""eV: torques of 1e-7 eV are differences of spectral functions of order one."""
INTEGRAL_TOLERANCE = 1e-6
"""Two quadratures of one number, each to 1e-8 of the largest spin current."""
DIFFERENCE_TOLERANCE = 1e-5
"""Central differences with a step of 0.01: relative error step^2/6 = 2e-5 of what is left after Richardson's 1/4."""
ANGLE = 1.1


def mtj(down=5.6, barrier=3, up=3.0, right_down=None, p=(0, 0, 1)):
    """The junction of the reference data; `right_down` makes it asymmetric."""

    def magnet(d):
        return qt.single_band(onsite=(up + d) / 2, exchange=d - up, hopping=-1.0, lattice_constant=0.3)

    oxide = qt.single_band(onsite=9.0, hopping=-1.0, lattice_constant=0.3)
    return qt.Stack(
        left=qt.Lead(magnet(down), magnetization=p),
        layers=[qt.Layer(oxide, barrier, barrier=True, name="oxide")],
        right=qt.Lead(magnet(down if right_down is None else right_down)),
    )


def spin_valve(spacer=2, free=2, p=(0, 0, 1)):
    """Two finite magnets of different strength between normal leads, a metallic spacer."""
    normal = qt.single_band(onsite=2.5)
    return qt.Stack(
        left=qt.Lead(normal),
        layers=[
            qt.Layer(qt.single_band(onsite=2.8, exchange=2.0), 3, magnetization=p),
            qt.Layer(normal, spacer),
            qt.Layer(qt.single_band(onsite=2.6, exchange=1.4), free),
        ],
        right=qt.Lead(normal),
    )


def two_orbital_junction():
    """Plain Kwant: two hybridised orbitals a site, an orbital-dependent splitting, a barrier of one layer."""
    lattice = kwant.lattice.general(0.3 * np.eye(3), norbs=4)
    onsite = np.array([[2.2, 0.3], [0.3, 3.1]])
    exchange = np.array([[1.6, 0.1], [0.1, 0.9]])
    hop_z = np.kron(np.array([[-1.0, 0.2], [0.1, -0.6]]), PAULI[0])
    hop_xy = np.kron(np.array([[-0.8, 0.1], [0.1, -0.5]]), PAULI[0])

    def magnet(m, shift):
        return np.kron(onsite + shift * np.eye(2), PAULI[0]) - 0.5 * np.kron(
            exchange, np.einsum("a,aij->ij", m, PAULI[1:])
        )

    def fixed(site, voltage, p):
        return magnet(p, voltage / 2)

    def free(site, voltage, m):
        return magnet(m, -voltage / 2)

    region = kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0)))
    region[lattice(0, 0, 0)] = fixed
    region[lattice(0, 0, 1)] = 6.0 * np.eye(4)
    region[lattice(0, 0, 2)] = region[lattice(0, 0, 3)] = free
    leads = []
    for step, value in ((-0.3, fixed), (0.3, free)):
        lead = kwant.Builder(kwant.TranslationalSymmetry((0.3, 0, 0), (0, 0.3, 0), (0, 0, step)))
        lead[lattice(0, 0, 0)] = value
        leads.append(lead)
    for builder in (region, *leads):
        builder[kwant.builder.HoppingKind((-1, 0, 0), lattice)] = hop_xy
        builder[kwant.builder.HoppingKind((0, -1, 0), lattice)] = hop_xy
        builder[kwant.builder.HoppingKind((0, 0, -1), lattice)] = hop_z

    def params(angle, voltage):
        angle = 0.0 if angle is None else angle
        return {"voltage": voltage, "p": (0, 0, 1), "m": (np.sin(angle), 0, np.cos(angle))}

    return qt.layered(region, *leads, params=params)


def reference_rows(name):
    with open(DATA / f"mtj_single_band_{name}.csv") as file:
        return [{key: float(text) for key, text in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize(("name", "components"), [("sea", [0, 1, 2]), ("window", [0, 2])])
def test_the_tunnel_junction_reproduces_every_row_of_the_reference(name, components):
    rows = reference_rows(name)
    assert len(rows) == {"sea": 6, "window": 33}[name]
    for down, layers, mesh in {(r["edn"], r["NB"], r["Nk"]) for r in rows}:
        mine = [r for r in rows if (r["edn"], r["NB"], r["Nk"]) == (down, layers, mesh)]
        angles = sorted({r["theta"] for r in mine})
        for angle in angles:
            some = [r for r in mine if r["theta"] == angle]
            voltages = [r["V"] for r in some]
            d = qt.spin_torque(
                mtj(down, int(layers)), angle=[angle], voltage=voltages, kmesh=qt.kmesh(int(mesh)), tolerance=1e-7
            )
            for i, row in enumerate(some):
                expected = np.array([[row[f"Q{c}{side}"] for c in "xyz"] for side in "LR"])[:, components]
                found = 4 * np.pi * d["spin_current"].values[0, i][:, components]
                scale = max(np.abs(expected).max(), SMALLEST)
                assert np.abs(found - expected).max() <= PEER_TOLERANCE * scale
                charge = float(d["charge_current"][0, i]) / CURRENT_PER_EV
                assert abs(charge - row["Ic"]) <= PEER_TOLERANCE * max(abs(row["Ic"]), scale)


@pytest.mark.parametrize(
    "system", [mtj(), mtj(right_down=4.5, p=(0.48, 0.6, 0.64)), spin_valve(), two_orbital_junction()]
)
@pytest.mark.parametrize("temperature", [0.0, 400.0])
def test_divergence_of_the_spin_current_is_the_exchange_torque_on_every_layer(system, temperature):
    angles = [0.3, ANGLE, 2.0]
    d = qt.layer_torque(
        system, angle=angles, voltage=[0.08], kmesh=qt.kmesh(3), temperature=temperature, tolerance=1e-4
    )
    largest = np.abs(d["torque"]).max()
    assert largest > 1e-8
    assert np.abs(d["torque"] - d["torque_exchange"]).max() < ROUTE_TOLERANCE * largest + CANCELLATION


def dense_currents(system, k, energy, angle, voltage):
    """Spin currents through every inner cut from one dense matrix, per window of left and right lead; Kwant's leads."""
    stack = as_layered(system)
    fsyst = stack.wrapped()
    params = {**stack.params(angle, voltage), "k_x": k[0], "k_y": k[1]}
    used = {n: params[n] for n in fsyst.parameters}
    H = fsyst.hamiltonian_submatrix(params=used)
    order = np.argsort([site.pos[2] for site in fsyst.sites], kind="stable")
    n = len(H) // len(order)
    index = np.concatenate([np.arange(n * i, n * i + n) for i in order])
    H = H[np.ix_(index, index)]
    G_inverse = energy * np.eye(len(H)) - H
    sigma = []
    for lead, where in ((fsyst.leads[0], slice(0, n)), (fsyst.leads[1], slice(len(H) - n, len(H)))):
        needed = {name: params[name] for name in lead.parameters}
        sigma.append((lead.selfenergy(energy, params=needed), where))
        G_inverse[where, where] -= sigma[-1][0]
    G = np.linalg.inv(G_inverse)
    currents = []
    for S, where in sigma:
        A = G[:, where] @ (1j * (S - S.conj().T)) @ G[:, where].conj().T
        cuts = []
        for left in range(0, len(H) - n, n):
            V = H[left : left + n, left + n : left + 2 * n]
            across = A[left : left + n, left + n : left + 2 * n]
            spins = [np.kron(np.eye(n // 2), s) for s in PAULI]
            W = [0.5 * (V.conj().T @ s + s @ V.conj().T) for s in spins]
            cuts.append([np.trace(w @ across).imag for w in W])
        currents.append(cuts)
    return (np.array(currents[0]) - np.array(currents[1])) / (4 * np.pi)


@pytest.mark.kwant
@pytest.mark.parametrize("system", [mtj(), spin_valve(p=(0.6, 0.48, 0.64)), two_orbital_junction()])
def test_window_currents_equal_those_of_one_dense_inverse_with_kwants_leads(system):
    stack = as_layered(system)
    rng = np.random.default_rng(5)
    bonds = tuple(range(1, stack.layers))
    for k in rng.uniform(0, 2 * np.pi, (4, 2)):
        found = window_kernel([stack.chain(ANGLE, 0.05)], Cuts(bonds), k[None], np.array([[0.07]]))
        expected = dense_currents(system, k, 0.07, ANGLE, 0.05)
        assert np.abs(found.reshape(len(bonds), 4) - expected).max() < 1e-10


@pytest.mark.parametrize("system", [mtj(), two_orbital_junction()])
@pytest.mark.parametrize("angle", [0.0, np.pi])
def test_collinear_magnets_feel_no_torque(system, angle):
    d = qt.layer_torque(system, angle=[angle], voltage=[0.3], kmesh=qt.kmesh(8), tolerance=1e-3)
    scale = float(np.abs(d["spin_current"]).max())
    assert scale > 1e-8
    assert np.abs(d["torque"]).max() < 1e-9 * scale
    assert np.abs(d["torque_exchange"]).max() < 1e-9 * scale


def test_without_exchange_there_is_no_spin_current():
    metal = qt.single_band(onsite=2.5)
    stack = qt.Stack(left=qt.Lead(metal), layers=[qt.Layer(metal, 2)], right=qt.Lead(metal))
    d = qt.layer_torque(stack, angle=[0.0], voltage=[0.05], kmesh=qt.kmesh(3), tolerance=1e-3)
    assert np.abs(d["spin_current"]).max() == 0


def test_turning_all_magnets_turns_the_torques():
    p = np.array([0.48, 0.6, 0.64])
    options = {"angle": [0.4, ANGLE], "voltage": [0.4], "kmesh": qt.kmesh(3), "tolerance": TIGHT}
    straight = qt.spin_torque(mtj(right_down=4.5), **options)
    turned = qt.spin_torque(mtj(right_down=4.5, p=tuple(p)), **options)
    for name in ("torque", "torque_fixed"):
        expected = straight[name].values @ rotation(p).T
        assert np.abs(turned[name].values - expected).max() < INTEGRAL_TOLERANCE * np.abs(expected).max()
    for name in ("damping_like", "field_like", "charge_current"):
        np.testing.assert_allclose(turned[name], straight[name], rtol=INTEGRAL_TOLERANCE)


def test_symmetric_junction_has_mirrored_torques_and_even_field_like_part():
    d = qt.spin_torque(mtj(), angle=[0.0, ANGLE, np.pi], voltage=[-0.5, 0.5], kmesh=qt.kmesh(8), tolerance=TIGHT)
    for kind in ("damping_like", "field_like"):
        left, right = d[f"{kind}_fixed"].values, d[kind].values
        np.testing.assert_allclose(right, left[:, ::-1], rtol=INTEGRAL_TOLERANCE)
    np.testing.assert_allclose(d["field_like"][:, 0], d["field_like"][:, 1], rtol=INTEGRAL_TOLERANCE)
    assert np.all(np.abs(d["damping_like"][:, 0] + d["damping_like"][:, 1]) > 0.1 * np.abs(d["damping_like"][:, 1]))


def test_asymmetric_junction_has_an_odd_field_like_part():
    d = qt.spin_torque(mtj(right_down=4.5), angle=[ANGLE], voltage=[-0.5, 0.5], kmesh=qt.kmesh(4))
    odd = float(d["field_like"][0, 1] - d["field_like"][0, 0])
    assert abs(odd) > 1e-2 * abs(float(d["field_like"][0, 0]))


def test_positive_voltage_pulls_the_free_magnet_towards_the_fixed_one():
    d = qt.spin_torque(mtj(), angle=[ANGLE], voltage=[0.6], kmesh=qt.kmesh(4))
    assert float(d["damping_like"][0, 0]) > 0
    assert float(d["charge_current"][0, 0]) > 0
    towards = np.array([0.0, 0.0, 1.0]) @ d["torque"].values[0, 0]
    assert towards > 0


def test_coefficients_at_0_and_pi_continue_those_nearby():
    near = 2e-3
    d = qt.spin_torque(mtj(), angle=[0.0, near, np.pi - near, np.pi], voltage=[0.5], kmesh=qt.kmesh(3), tolerance=TIGHT)
    for name in ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed"):
        c = d[name].values[:, 0]
        # The coefficients differ by order near^2 = 4e-6 times their curvature.
        np.testing.assert_allclose(c[[0, 3]], c[[1, 2]], rtol=1e-6)
    assert np.abs(d["torque"].values[[0, 3]]).max() < 1e-20


def test_decomposition_is_the_inverse_of_the_definition():
    rng = np.random.default_rng(1)
    m, p = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    torque = 0.7 * np.cross(m, np.cross(p, m)) - 0.3 * np.cross(m, p)
    np.testing.assert_allclose(decompose(torque, m, p), (0.7, -0.3), rtol=1e-12)
    np.testing.assert_allclose(recompose(np.array(0.7), np.array(-0.3), m, p), torque, rtol=1e-12)


def test_interlayer_coupling_has_the_sign_and_size_of_the_reference():
    # Sign check of the conventions: Omega(0) - Omega(pi) = +8.2626e-7 eV per cell, tau_FL(90 degrees) = -4.1313e-7 eV,
    # antiferromagnetic; the reference junction with 16 x 16 momenta.
    omega = qt.interlayer_coupling(mtj(), kmesh=qt.kmesh(16), angle=[np.pi, 0.0], tolerance=TIGHT)["grand_potential"]
    assert float(omega[1] - omega[0]) == pytest.approx(8.2626e-7, rel=2e-5)
    d = qt.spin_torque(mtj(), angle=[np.pi / 2], voltage=[0.0], kmesh=qt.kmesh(16), tolerance=TIGHT)
    assert float(d["field_like"][0, 0]) == pytest.approx(-4.1313e-7, rel=2e-5)
    assert abs(float(d["damping_like"][0, 0])) < 1e-6 * 4.1313e-7


@pytest.mark.parametrize(("system", "temperature"), [(mtj(), 0.0), (mtj(right_down=4.5), 600.0), (spin_valve(), 600.0)])
def test_zero_bias_field_like_torque_is_the_slope_of_the_grand_potential(system, temperature):
    h = 0.02
    angles = [ANGLE - 2 * h, ANGLE - h, ANGLE + h, ANGLE + 2 * h]
    omega = qt.interlayer_coupling(
        system, kmesh=qt.kmesh(3), angle=[ANGLE, *angles], temperature=temperature, tolerance=1e-10
    )["grand_potential"].values[1:]
    slope = (8 * (omega[2] - omega[1]) - (omega[3] - omega[0])) / (12 * h)
    d = qt.spin_torque(system, angle=[ANGLE], voltage=[0.0], kmesh=qt.kmesh(3), temperature=temperature, tolerance=1e-9)
    assert slope / np.sin(ANGLE) == pytest.approx(float(d["field_like"][0, 0]), rel=DIFFERENCE_TOLERANCE)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_contour_gives_the_sea_of_the_real_axis(temperature):
    # All states of a junction of two bands that overlap at every energy come from the leads, so that filling them along
    # the real axis is another, slower way to the sea.
    chain = as_layered(mtj(barrier=2)).chain(ANGLE, 0.0)
    cuts = Cuts((1, 3))
    k = np.array([[0.3, 0.5], [0.9, 0.2]])
    weights = np.array([0.5, 0.5])
    fermi = Fermi(0.0, temperature)
    reference = cuts.is_spin_current
    contour = sea_integral(
        lambda q, z, step: sea_kernel([chain], cuts, q, z, step), fermi, chain.lowest_energy, k, weights,
        tolerance=TIGHT, reference=reference,
    )  # fmt: skip

    def all_states(index, energy):
        sweeps = Sweeps(chain, Phases(k[index]), energy)
        both = np.concatenate([sum(sweeps.join(b).window_currents()) for b in cuts.bonds]) / (2 * np.pi)
        return fermi(energy)[..., None] * np.moveaxis(both, 0, -1)

    real = integrate(
        all_states, chain.lowest_energy, 40 * fermi.kT, weights, tolerance=1e-7, reference=reference,
        breakpoints=[np.array([-20 * fermi.kT, 20 * fermi.kT])] * 2,
    )  # fmt: skip
    largest = np.abs(real.value[reference]).max()
    assert largest > 1e-9
    assert np.abs(contour.value - real.value)[reference].max() < 1e-5 * largest


def test_low_temperature_meets_zero_temperature():
    options = {"angle": [ANGLE], "voltage": [0.4], "kmesh": qt.kmesh(3), "tolerance": 1e-7}
    cold = qt.spin_torque(mtj(), temperature=0.0, **options)
    # Sommerfeld: corrections of order (pi kT)^2/6 per eV^2, 1e-6 at 10 K, for a smooth integrand.
    cool = qt.spin_torque(mtj(), temperature=10.0, **options)
    for name in ("damping_like", "field_like", "charge_current"):
        np.testing.assert_allclose(cool[name], cold[name], rtol=1e-4)
    hot = qt.spin_torque(mtj(), temperature=1000.0, **options)
    assert abs(float(hot["damping_like"][0, 0] / cold["damping_like"][0, 0]) - 1) > 1e-3


def test_a_hotter_left_lead_drives_the_thermal_current_of_its_transmission():
    # I = (e/h) Int dE T(E) (f_L - f_R), with the left lead hot; the two leads exchanged reverse it.
    options = {"angle": [0.0], "voltage": [0.0], "kmesh": qt.kmesh(4)}
    hot_left = float(qt.spin_torque(mtj(), temperature=(600.0, 300.0), **options)["charge_current"][0, 0])
    hot_right = float(qt.spin_torque(mtj(), temperature=(300.0, 600.0), **options)["charge_current"][0, 0])
    assert hot_right == pytest.approx(-hot_left, rel=1e-5)
    energy = np.linspace(-2.0, 2.0, 801)
    chain, mesh = as_layered(mtj()).chain(0.0, 0.0), qt.kmesh(4)
    currents = Sweeps(chain, Phases(mesh.points), energy[None]).join(2).window_currents()[0][0]
    difference = Fermi(0.0, 600.0)(energy) - Fermi(0.0, 300.0)(energy)
    integral = np.trapezoid(2 * mesh.weights @ currents * difference, energy)
    # A trapezoid of 5 meV over the square roots of the thresholds.
    assert hot_left == pytest.approx(CURRENT_PER_EV * integral, rel=2e-2)
    assert abs(hot_left) > 1e-12


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.5])
def test_thermal_edges_narrower_than_the_nodes_are_not_missed(temperature):
    options = {"angle": [ANGLE], "voltage": [0.4], "kmesh": qt.kmesh(4), "tolerance": 1e-7}
    cold, cool = (qt.spin_torque(mtj(), temperature=T, **options) for T in (0.0, temperature))
    # Sommerfeld: (pi kT)^2/6 per eV^2 is below 1e-7; to which the quadratures add their 1e-7 each.
    np.testing.assert_allclose(cool["damping_like"], cold["damping_like"], rtol=1e-6)


def three_magnets(direction):
    """A tunnel junction and, behind its free layer and a metal, a third magnet along `direction`."""
    magnet, oxide = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=9.0)
    return qt.Stack(
        left=qt.Lead(magnet, magnet="p"),
        layers=[
            qt.Layer(oxide, 2, barrier=True),
            qt.Layer(magnet, 2, magnet="m"),
            qt.Layer(qt.single_band(onsite=2.5), 2),
        ],
        right=qt.Lead(magnet, magnet="q", magnetization=direction),
        fixed="p",
        free="m",
    )


def swapped(stack, fixed, free):
    """The same stack with named roles."""
    return qt.Stack(left=stack.left, layers=stack.layers, right=stack.right, fixed=fixed, free=free)


@pytest.mark.parametrize(
    "system",
    [mtj(), swapped(mtj(), "F2", "F1"), spin_valve(), swapped(spin_valve(), "F2", "F1"), three_magnets((1, 0, 0))],
)
def test_a_list_of_angles_gives_what_each_angle_gives_alone(system):
    # Halves of the chain are shared between angles; nothing of one angle may be left in another.
    stack = as_layered(system)
    chains = [stack.chain(angle, 0.1) for angle in (0.0, 0.7, 2.0, np.pi)]
    cuts = Cuts(tuple(range(stack.layers + 1)), tuple(range(1, stack.layers + 1)))
    k, energy = np.array([[0.3, 0.5], [0.9, 0.2]]), np.array([[0.02, -0.03]])
    z, step = energy + 0.3j, np.ones((2, 2), dtype=complex)
    together = window_kernel(chains, cuts, k, energy), sea_kernel(chains, cuts, k, z, step)
    alone = (
        np.concatenate([window_kernel([c], cuts, k, energy) for c in chains], axis=-1),
        np.concatenate([sea_kernel([c], cuts, k, z, step) for c in chains], axis=-1),
    )
    for shared, own in zip(together, alone, strict=True):
        assert np.abs(own).max() > 1e-6
        assert np.abs(shared - own).max() < 1e-12


def test_swapped_roles_exchange_the_two_torques():
    options = {"angle": [0.0, ANGLE], "voltage": [0.3], "kmesh": qt.kmesh(4), "tolerance": TIGHT}
    given = qt.spin_torque(mtj(right_down=4.5), **options)
    other = qt.spin_torque(swapped(mtj(right_down=4.5), "F2", "F1"), **options)
    for kind in ("damping_like", "field_like"):
        np.testing.assert_allclose(other[kind], given[f"{kind}_fixed"], rtol=INTEGRAL_TOLERANCE)
        np.testing.assert_allclose(other[f"{kind}_fixed"], given[kind], rtol=INTEGRAL_TOLERANCE)


def test_coupling_is_the_same_whichever_magnet_turns():
    options = {"kmesh": qt.kmesh(4), "tolerance": TIGHT}
    right = qt.interlayer_coupling(mtj(right_down=4.5), **options)["grand_potential"]
    left = qt.interlayer_coupling(swapped(mtj(right_down=4.5), "F2", "F1"), **options)["grand_potential"]
    np.testing.assert_allclose(left[1], right[1], rtol=INTEGRAL_TOLERANCE)


def test_torque_on_a_finite_magnet_is_the_sum_over_its_layers_and_stands_across_it():
    options = {"angle": [ANGLE], "voltage": [0.05], "kmesh": qt.kmesh(4), "tolerance": TIGHT}
    total = qt.spin_torque(spin_valve(), **options)
    layers = qt.layer_torque(spin_valve(), **options)["torque"].values[0, 0]
    stack = as_layered(spin_valve())
    for name, magnet in (("torque", stack.free), ("torque_fixed", stack.fixed)):
        expected = layers[magnet.start - 1 : magnet.stop - 1].sum(axis=0)
        largest = np.abs(expected).max()
        assert np.abs(total[name].values[0, 0] - expected).max() < INTEGRAL_TOLERANCE * largest
    junction = qt.spin_torque(mtj(), angle=[ANGLE], voltage=[0.5], kmesh=qt.kmesh(4))
    m = junction["magnetization"].values[0]
    largest = np.abs(junction["torque"]).max()
    assert abs(junction["torque"].values[0, 0] @ m) < 1e-12 * largest
    assert abs(junction["torque_fixed"].values[0, 0, 2]) < 1e-12 * largest


def test_a_third_magnet_off_the_axis_leaves_vectors_where_there_are_no_coefficients():
    options = {"voltage": [0.1], "kmesh": qt.kmesh(4)}
    d = qt.spin_torque(three_magnets((1, 0, 0)), angle=[0.0, 1e-3], **options)
    at, near = d["torque"].values[:, 0]
    assert np.abs(at).max() > 1e-6
    assert np.abs(at - near).max() < 1e-2 * np.abs(at).max()
    assert np.isnan(d["damping_like"][0, 0])
    with pytest.raises(qt.InputError, match="finite"):
        qt.TorqueMap.from_dataset(d)
    along = qt.spin_torque(three_magnets((0, 0, -1)), angle=[0.0, np.pi], **options)
    assert np.all(np.isfinite(along["damping_like"]))


def test_narrow_resonances_of_a_double_barrier_are_found():
    magnet, oxide, well = (qt.single_band(onsite=o, exchange=e) for o, e in ((4.3, 2.6), (9.0, 0.0), (0.0, 0.0)))
    layers = [qt.Layer(oxide, 3, barrier=True), qt.Layer(well, 3), qt.Layer(oxide, 3, barrier=True)]
    stack = qt.Stack(left=qt.Lead(magnet), layers=layers, right=qt.Lead(magnet))
    mesh = qt.kmesh(4)
    d = qt.spin_torque(stack, angle=[ANGLE], voltage=[0.5], kmesh=mesh)
    chain, cuts = as_layered(stack).chain(ANGLE, 0.5), Cuts((2,))
    brute = integrate(
        lambda index, energy: window_kernel([chain], cuts, mesh.points[index], energy), -0.25, 0.25, mesh.weights,
        tolerance=1e-5, reference=cuts.is_spin_current, breakpoints=[np.linspace(-0.25, 0.25, 4001)] * mesh.size,
    )  # fmt: skip
    expected = 4 * np.pi * CURRENT_PER_EV * brute.value[0]
    assert float(d["charge_current"][0, 0]) == pytest.approx(expected, rel=1e-4)


def test_a_resonance_that_is_bound_in_the_middle_of_a_thermal_window_is_found():
    # At this momentum the bands of both leads begin at 0.015 eV, above the middle of the window, where the state of the
    # well has no width at all; at its own energy, 0.17 eV, it decays in 10^-8 eV and carries all of the current.
    lead, oxide, well = (qt.single_band(onsite=o, exchange=e) for o, e in ((2.015, 0.002), (9.0, 0.0), (0.4, 0.0)))
    layers = [qt.Layer(oxide, 4, barrier=True), qt.Layer(well, 1), qt.Layer(oxide, 4, barrier=True)]
    stack = qt.Stack(left=qt.Lead(lead), layers=layers, right=qt.Lead(lead))
    k = qt.kpoints([[np.pi / 2, np.pi / 2]])
    chain, cuts = as_layered(stack).chain(ANGLE, 0.02), Cuts((3,))
    fermis = (Fermi(0.01, 300.0), Fermi(-0.01, 300.0))
    accuracy = {"tolerance": 1e-6, "reference": np.array([True, True, True, True])}
    integral = window_integral(
        lambda q, energy: window_kernel([chain], cuts, q, energy), fermis, k.points, k.weights,
        resonances=lambda low, high: resonance_panels([chain], k.points, low, high), **accuracy,
    )  # fmt: skip
    # 7.15e-15 A by a direct integral of the transmission over the peak.
    assert 4 * np.pi * CURRENT_PER_EV * integral.value[0] == pytest.approx(7.15e-15, rel=1e-2)


def test_rounding_is_part_of_the_reported_error():
    d = qt.spin_torque(mtj(barrier=10), angle=[np.pi / 2], voltage=[0.0], kmesh=qt.kmesh(4))
    # Nothing but rounding: the coupling through ten layers is about 1e-17 eV.
    assert float(d["energy_error"][0]) > 1e-19
    assert float(d["energy_error"][0]) < 1e-13


def test_principal_layers_that_hold_two_magnets_are_refused():
    made = two_orbital_junction()
    region, left, right = made.builders
    lattice = next(iter(region.sites())).family
    region[lattice(0, 0, 0), lattice(0, 0, 3)] = 1e-3 * np.eye(4)
    grouped = qt.layered(region, left, right, params=made.params)
    with pytest.raises(qt.InputError, match="no single direction"):
        qt.spin_torque(grouped, angle=[ANGLE], voltage=[0.0], kmesh=qt.kmesh(2))


def test_window_integral_of_occupations_is_the_bias():
    k, weights = np.zeros((1, 2)), np.ones(1)
    for temperature in (0.0, 300.0):
        fermis = (Fermi(0.15, temperature), Fermi(-0.15, temperature))
        integral = window_integral(
            lambda q, energy: np.ones((*energy.shape, 1)),
            fermis,
            k,
            weights,
            tolerance=1e-10,
            reference=np.array([True]),
        )
        assert integral.value[0] == pytest.approx(0.3, rel=1e-10)
    assert window_integral(None, (Fermi(0.0, 300.0), Fermi(0.0, 300.0)), k, weights) is None


def test_conductance_is_the_slope_of_the_current():
    V = 1e-3
    d = qt.spin_torque(mtj(), angle=[0.0, np.pi], voltage=[V], kmesh=qt.kmesh(8), tolerance=TIGHT)
    G = [float(qt.conductance(mtj(), energy=0.0, kmesh=qt.kmesh(8), angle=a).sum()) for a in (0.0, np.pi)]
    np.testing.assert_allclose(d["charge_current"][:, 0], CURRENT_PER_EV * V * np.array(G), rtol=1e-4)


def test_collinear_currents_give_the_torque_asymptotically():
    # Q_perp(R) = (1/2) sin [Q_z(P) + Q_z(AP)], Q_perp(L) = (1/2) sin [Q_z(P) - Q_z(AP)]: exact for thick barriers.
    # I. Theodonis et al., Phys. Rev. Lett. 97, 237205 (2006) (from memory).
    # The torque on the left magnet is minus the spin current that leaves it.
    errors = []
    for barrier in (1, 3, 5):
        d = qt.spin_torque(mtj(barrier=barrier), angle=[0.0, ANGLE, np.pi], voltage=[0.4], kmesh=qt.kmesh(4))
        parallel, antiparallel = d["spin_current"].values[[0, 2], 0, 0, 2]
        free, fixed = float(d["damping_like"][1, 0]), float(d["damping_like_fixed"][1, 0])
        errors.append((free / (0.5 * (parallel + antiparallel)) - 1, -fixed / (0.5 * (parallel - antiparallel)) - 1))
    size = np.abs(errors).max(axis=1)
    # Each two layers suppress multiple crossings by exp(-4 kappa), about 1/500 for this barrier.
    assert np.all(size[1:] < 0.02 * size[:-1])
    assert size[-1] < 1e-4


def test_torkance_is_the_derivative_of_the_sweep():
    d = qt.spin_torque(mtj(), angle=[ANGLE], voltage=np.linspace(-0.2, 0.2, 5), kmesh=qt.kmesh(3))
    slope = qt.torkance(d, at_voltage=0.0)
    step = 1e-3
    fine = qt.spin_torque(mtj(), angle=[ANGLE], voltage=[-step, step], kmesh=qt.kmesh(3), tolerance=TIGHT)
    expected = float(fine["damping_like"][0, 1] - fine["damping_like"][0, 0]) / (2 * step)
    assert float(slope["damping_like"][0]) == pytest.approx(expected, rel=2e-3)
    assert slope["damping_like"].attrs["units"] == "eV/V per cell"
    # An even field-like part has no slope at zero bias.
    assert abs(float(slope["field_like"][0])) < 1e-3 * abs(expected)
    with pytest.raises(qt.InputError, match="at_voltage"):
        qt.torkance(d, at_voltage=0.5)
    with pytest.raises(qt.InputError, match="two"):
        qt.torkance(d.isel(voltage=[0]))


def test_reported_error_bounds_the_true_error():
    options = {"angle": [0.0, ANGLE], "voltage": [0.7], "kmesh": qt.kmesh(4)}
    best = qt.spin_torque(mtj(), tolerance=1e-10, **options)
    largest = float(np.abs(best["spin_current"]).max())
    for tolerance in (1e-3, 1e-5):
        d = qt.spin_torque(mtj(), tolerance=tolerance, **options)
        true = float(np.abs(d["spin_current"] - best["spin_current"]).max())
        assert true <= float(d["energy_error"][0]) + 1e-10 * largest
        assert float(d["energy_error"][0]) <= 2 * tolerance * largest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angle": [np.nan]}, "angle"),
        ({"voltage": [np.inf]}, "voltage"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": "cold"}, "temperature"),
        ({"angle": "wide"}, "angle"),
        ({"kmesh": "fine"}, "kmesh"),
        ({"system": spin_valve().left}, "Stack"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(change, message):
    arguments = {"system": mtj(), "angle": [ANGLE], "voltage": [0.1], "kmesh": qt.kmesh(2), **change}
    system = arguments.pop("system")
    with pytest.raises(qt.InputError, match=message) as caught:
        qt.spin_torque(system, **arguments)
    assert "\n" not in str(caught.value)


def test_a_stack_with_one_magnet_is_refused():
    stack = qt.Stack(left=qt.Lead(qt.single_band(onsite=2.5)), right=qt.Lead(qt.single_band(onsite=2.5, exchange=1.0)))
    with pytest.raises(qt.InputError, match="two"):
        qt.spin_torque(stack, angle=[ANGLE], voltage=[0.0], kmesh=qt.kmesh(2))


def test_leads_without_channels_are_refused_before_the_solve():
    insulator = qt.single_band(onsite=9.0, exchange=1.0)
    stack = qt.Stack(
        left=qt.Lead(insulator), layers=[qt.Layer(qt.single_band(onsite=9.0), 1)], right=qt.Lead(insulator)
    )
    with pytest.raises(qt.InputError, match="no open channel"):
        qt.spin_torque(stack, angle=[ANGLE], voltage=[0.0], kmesh=qt.kmesh(4))


def test_params_that_point_elsewhere_are_refused():
    made = two_orbital_junction()
    crooked = qt.layered(*made.builders, params=lambda angle, voltage: made.params(2 * (angle or 0), voltage))
    with pytest.raises(qt.InputError, match="degrees"):
        qt.spin_torque(crooked, angle=[ANGLE], voltage=[0.0], kmesh=qt.kmesh(2))


def test_a_bias_without_barrier_warns():
    with pytest.warns(UserWarning, match="barrier"):
        qt.spin_torque(spin_valve(), angle=[ANGLE], voltage=[0.3], kmesh=qt.kmesh(4), tolerance=1e-2)


def test_only_cuts_without_exchange_between_them_share_a_spin_current():
    from qtorque.torque import conserved

    N, M = qt.single_band(onsite=2.5), qt.single_band(onsite=2.75, exchange=2.5)
    layers = [qt.Layer(M, 2, magnet="a"), qt.Layer(N, 2), qt.Layer(M, 1, magnet="b")]
    system = as_layered(qt.Stack(left=qt.Lead(N), layers=layers, right=qt.Lead(N)))
    # Elements: lead 0, contact 1, magnet 2 3, spacer 4 5, magnet 6, contact 7, lead 8.
    assert conserved(system.chain(), [0, 1, 2, 3, 4, 5, 6, 7]) == [0, 0, 2, 3, 3, 3, 6, 6]
    d = qt.layer_torque(system, angle=0.8, voltage=0.05, kmesh=4)
    Q = d["spin_current"].squeeze(["angle", "voltage"]).values
    for i, first in enumerate(conserved(system.chain(), range(8))):
        np.testing.assert_allclose(Q[i], Q[first], rtol=0, atol=1e-6 * np.abs(Q).max())
    assert np.abs(Q[2] - Q[0]).max() > 1e-3 * np.abs(Q).max()


def test_both_torques_come_from_one_cut_of_a_barrier_and_from_all_cuts_of_the_layers():
    F, B = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=9.0)
    mtj = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 2, barrier=True)], right=qt.Lead(F))
    d = qt.spin_torque(mtj, angle=0.8, voltage=0.3, kmesh=4)
    assert d.sizes["bond"] == 2
    left, right = d["spin_current"].squeeze(["angle", "voltage"]).values
    np.testing.assert_array_equal(left, right)
    # The barrier passes on what the fixed magnet gives: its transverse parts, with opposite signs, are the torques.
    p, m = np.array([0, 0, 1.0]), d["magnetization"].values[0]
    np.testing.assert_allclose(d["torque"].squeeze(["angle", "voltage"]), right - m * (m @ right), atol=1e-18)
    np.testing.assert_allclose(d["torque_fixed"].squeeze(["angle", "voltage"]), -(left - p * (p @ left)), atol=1e-18)


def test_a_spacer_that_is_magnetic_under_bias_only_takes_its_torque():
    import kwant

    lattice = kwant.lattice.general(0.3 * np.eye(3), norbs=2)
    one, sx, sy, sz = PAULI

    def onsite(z, field):
        if z == 0:
            return lambda site, angle, voltage: 4.3 * one - 1.3 * sz
        if z == 4:
            return lambda site, angle, voltage: 4.3 * one - 1.3 * (np.sin(angle) * sx + np.cos(angle) * sz)
        return lambda site, angle, voltage: 9.0 * one - field(voltage) * sy

    def junction(field):
        def fill(builder, layers, hops):
            for z in layers:
                builder[lattice(0, 0, z)] = onsite(z, field)
                builder[lattice(1, 0, z), lattice(0, 0, z)] = -one
                builder[lattice(0, 1, z), lattice(0, 0, z)] = -one
            for z in hops:
                builder[lattice(0, 0, z + 1), lattice(0, 0, z)] = -one
            return builder

        plane = (0.3, 0, 0), (0, 0.3, 0)
        region = fill(kwant.Builder(kwant.TranslationalSymmetry(*plane)), range(5), range(4))
        ends = ((-0.3, 0), (0.3, 4))
        leads = [fill(kwant.Builder(kwant.TranslationalSymmetry(*plane, (0, 0, d))), [z], [z]) for d, z in ends]
        return qt.layered(region, *leads, params=lambda angle, voltage: {"angle": angle or 0.0, "voltage": voltage})

    arguments = {"angle": 1.0, "voltage": 0.3, "kmesh": 4}
    sudden = qt.spin_torque(junction(lambda voltage: 0.5 * (voltage != 0)), **arguments)
    always = qt.spin_torque(junction(lambda voltage: 0.5 if voltage else 1e-6), **arguments)
    np.testing.assert_allclose(sudden["torque"], always["torque"], rtol=1e-5)
