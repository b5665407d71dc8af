"""Thermopower, thermal current and thermal torque: closed forms, Sommerfeld's expansion, and one route against another.

Sommerfeld: Int dE F(E) [f_T(E) - theta(-E)] = (pi^2/6)(k_B T)^2 F'(0) + (7 pi^4/360)(k_B T)^4 F'''(0) + ...
"""

import warnings

import numpy as np
import pytest
from scipy import constants
from scipy.integrate import quad
from scipy.special import expit

import qtorque as qt
from qtorque.units import BOLTZMANN, BOLTZMANN_EV, CONDUCTANCE_QUANTUM_PER_SPIN, CURRENT_PER_EV

LOW = 40.0
"""K, k_B T = 3.4 meV: thresholds of the momenta below are 0.1 eV and more away, 30 k_B T."""
MOMENTA = qt.kpoints([[0.5, 0.9], [1.1, 0.3], [0.7, 0.7]], [0.5, 0.3, 0.2])
NEXT_ORDER = 3e-3
"""Sommerfeld's next term relative to the first, (7 pi^2/60)(k_B T)^2 F'''/F' with F'''/F' of some 100 /eV^2."""
ENERGY = 1e-8
"""Tolerance asked of the energy integrals."""
INTEGRAL = 1e-6
"""Two quadratures of one integral, each good to 1e-8 of the largest spin current or conductance."""
STEP = 2e-3
"""eV, of the five-point derivatives: their error (step)^4 F'''''/30 is 1e-6 of F'."""


def spin_valve(shift=0.0, asymmetry=0.0):
    """Two unlike magnets with a normal spacer and no barrier; all bands lowered by `shift`, which raises E_F by it."""
    left = qt.single_band(onsite=2.4 - shift, exchange=2.0)
    right = qt.single_band(onsite=2.6 + asymmetry - shift, exchange=1.4)
    normal = qt.single_band(onsite=1.8 - shift)
    return qt.Stack(left=qt.Lead(left), layers=[qt.Layer(normal, 2)], right=qt.Lead(right))


def derivative(function, step=STEP):
    """Of a function of one number, at 0."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)


def transmitted(energy, system=None, angle=1.0):
    stack = spin_valve() if system is None else system
    return float(qt.conductance(stack, energy=float(energy), kmesh=MOMENTA, angle=angle).sum())


def torque(**arguments):
    system = arguments.pop("system", spin_valve())
    settings = {"angle": 1.0, "voltage": 0.0, "kmesh": MOMENTA, "tolerance": ENERGY} | arguments
    return qt.spin_torque(system, **settings)


def thermal(first, second, name, **arguments):
    """A coefficient with the leads at two temperatures, less that with the temperatures exchanged."""
    hot, cold = (torque(temperature=pair, **arguments)[name] for pair in ((first, second), (second, first)))
    return float((hot - cold).values[0, 0])


def test_a_band_edge_has_the_thermopower_of_its_closed_form():
    # One momentum of a uniform chain: both spins are transmitted from the bottom of the band to its top, 4 eV above.
    T, k = 400.0, (0.8, 1.9)
    bottom = 0.05
    onsite = bottom + 2 + 2 * (np.cos(k[0]) + np.cos(k[1]))
    metal = qt.single_band(onsite=onsite)
    stack = qt.Stack(left=qt.Lead(metal), right=qt.Lead(metal))
    d = qt.thermopower(stack, temperature=T, kmesh=qt.kpoints([k]), tolerance=1e-7)
    x = bottom / (BOLTZMANN_EV * T)
    L0 = 2 * expit(-x)
    L1 = 2 * (x * expit(-x) + np.log1p(np.exp(-x)))
    L2 = 2 * quad(lambda y: y**2 / (4 * np.cosh(y / 2) ** 2), x, 60)[0]
    heat = BOLTZMANN**2 * T / constants.h * (L2 - L1**2 / L0)
    assert float(d["conductance"]) == pytest.approx(L0, rel=INTEGRAL)
    assert float(d["heat_conductance"]) == pytest.approx(heat, rel=INTEGRAL)
    assert float(d["thermopower"]) == pytest.approx(-BOLTZMANN_EV * L1 / L0, rel=INTEGRAL)
    assert float(d["thermopower"]) < -1e-4
    assert abs(float(d["conductance"]) - L0) < 10 * float(d["energy_error"].sel(order=0))


def test_the_thermopower_of_holes_is_positive():
    # The same band with its top below the Fermi energy: transmission falls with energy.
    k = (0.8, 1.9)
    metal = qt.single_band(onsite=-0.05 - 2 + 2 * (np.cos(k[0]) + np.cos(k[1])))
    stack = qt.Stack(left=qt.Lead(metal), right=qt.Lead(metal))
    d = qt.thermopower(stack, temperature=400.0, kmesh=qt.kpoints([k]))
    assert float(d["thermopower"]) > 1e-4


def test_at_low_temperature_the_thermopower_is_motts():
    d = qt.thermopower(spin_valve(), temperature=LOW, kmesh=MOMENTA, angle=1.0, tolerance=ENERGY)
    slope = derivative(lambda E: np.log(transmitted(E)))
    mott = -(np.pi**2 / 3) * BOLTZMANN_EV**2 * LOW * slope
    assert abs(slope) > 0.05
    assert float(d["thermopower"]) == pytest.approx(mott, rel=NEXT_ORDER)


def test_what_mott_leaves_out_falls_with_the_square_of_the_temperature():
    slope = derivative(lambda E: np.log(transmitted(E)))
    missed = []
    for T in (LOW, LOW / 2):
        d = qt.thermopower(spin_valve(), temperature=T, kmesh=MOMENTA, angle=1.0, tolerance=1e-9)
        missed.append(float(d["thermopower"]) / (-(np.pi**2 / 3) * BOLTZMANN_EV**2 * T * slope) - 1)
    assert missed[0] / missed[1] == pytest.approx(4, rel=0.05)


def test_at_low_temperature_heat_follows_wiedemann_and_franz():
    d = qt.thermopower(spin_valve(), temperature=LOW, kmesh=MOMENTA, angle=1.0, tolerance=ENERGY)
    lorenz = np.pi**2 / 3 * BOLTZMANN_EV**2
    G = CONDUCTANCE_QUANTUM_PER_SPIN * float(d["conductance"])
    assert float(d["heat_conductance"]) == pytest.approx(lorenz * G * LOW, rel=NEXT_ORDER)


def test_at_low_temperature_the_conductance_is_that_at_the_fermi_energy():
    d = qt.thermopower(spin_valve(), temperature=LOW, kmesh=MOMENTA, angle=1.0, tolerance=ENERGY)
    assert float(d["conductance"]) == pytest.approx(transmitted(0.0), rel=NEXT_ORDER)


def test_a_higher_chemical_potential_is_the_same_as_lower_bands():
    shared = {"temperature": 300.0, "kmesh": MOMENTA, "angle": 1.0, "tolerance": ENERGY}
    raised, lowered = qt.thermopower(spin_valve(), energy=0.3, **shared), qt.thermopower(spin_valve(0.3), **shared)
    assert float(raised["thermopower"]) == pytest.approx(float(lowered["thermopower"]), rel=INTEGRAL)
    assert float(raised["conductance"]) == pytest.approx(float(lowered["conductance"]), rel=INTEGRAL)


def test_the_thermal_voltage_stops_the_thermal_current():
    # Signs of the thermopower, of the voltage and of the current in one: V = S (T_L - T_R), mu_L - mu_R = eV.
    T, dT = 300.0, 2.0
    S = float(qt.thermopower(spin_valve(), temperature=T, kmesh=MOMENTA, angle=1.0, tolerance=ENERGY)["thermopower"])
    pair = (T + dT / 2, T - dT / 2)
    open_circuit, short = (
        float(torque(voltage=V, temperature=pair)["charge_current"].values[0, 0]) for V in (S * dT, 0.0)
    )
    # What is left is of second order in dT/T, and odd orders only count: current of third order.
    assert abs(open_circuit) < 1e-4 * abs(short)


def test_the_current_at_two_temperatures_is_the_integral_of_the_transmission():
    pair = (350.0, 200.0)
    found = float(torque(temperature=pair)["charge_current"].values[0, 0])
    # Gauss-Legendre on the pieces between the band edges of these momenta.
    thermal_energies = [BOLTZMANN_EV * T for T in pair]

    def integrand(E):
        return transmitted(E) * (expit(-E / thermal_energies[0]) - expit(-E / thermal_energies[1]))

    node, weight = np.polynomial.legendre.leggauss(28)
    # 0.6 eV is 20 k_B T of the hotter lead.
    edges = np.sort([-0.6, 0.6, 0.0, *(e for e in band_edges() if abs(e) < 0.6)])
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        # E = middle - half cos(pi u): square-root onsets at both ends become smooth.
        u = 0.5 * (node + 1)
        E = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(np.pi * u)
        jacobian = 0.5 * (high - low) * np.pi * np.sin(np.pi * u) * 0.5
        total += sum(w * j * integrand(e) for w, j, e in zip(weight, jacobian, E, strict=True))
    assert found == pytest.approx(CURRENT_PER_EV * total, rel=INTEGRAL)
    assert abs(found) > 1e-9


def band_edges():
    """Bottom and top of both leads' bands, spin by spin, at every momentum of the tests."""
    plane = -2 * np.cos(MOMENTA.points).sum(axis=1)
    onsite = [2.4 - 1.0, 2.4 + 1.0, 2.6 - 0.7, 2.6 + 0.7]
    return [float(o + p + side) for o in onsite for p in plane for side in (-2, 2)]


def test_band_edges_keep_their_distance_from_the_fermi_energy():
    # What makes Sommerfeld's expansion hold in all the tests here.
    assert min(abs(e) for e in band_edges()) > 25 * BOLTZMANN_EV * LOW


def test_the_thermal_current_is_sommerfelds():
    # I = (e/h)(pi^2/6) k_B^2 (T_L^2 - T_R^2) T'(E_F), electrons from left to right counted positive.
    first, second = LOW, LOW / 2
    slope = derivative(transmitted)
    expected = CURRENT_PER_EV * np.pi**2 / 6 * BOLTZMANN_EV**2 * (first**2 - second**2) * slope
    assert float(torque(temperature=(first, second))["charge_current"].values[0, 0]) == pytest.approx(
        expected, rel=NEXT_ORDER
    )


@pytest.mark.parametrize("name", ["damping_like", "field_like", "damping_like_fixed", "field_like_fixed"])
def test_the_thermal_torque_is_the_slope_of_the_torkance(name):
    # Without a barrier a voltage moves occupations alone: d tau/dV = (tau_L - tau_R)/2 at E_F, with tau_L and tau_R the
    # torques of the states from either lead. Exchanging the temperatures leaves twice
    # (pi^2/6) k_B^2 (T_L^2 - T_R^2) d/dE of it.
    first, second = LOW, LOW / 2

    def torkance(energy):
        def at(voltage):
            return float(torque(system=spin_valve(shift=energy), voltage=voltage)[name].values[0, 0])

        return derivative(at, step=4e-3)

    expected = 2 * np.pi**2 / 6 * BOLTZMANN_EV**2 * (first**2 - second**2) * derivative(torkance, step=5e-3)
    assert abs(expected) > 1e-8
    assert thermal(first, second, name) == pytest.approx(expected, rel=NEXT_ORDER)


def test_the_thermal_torque_adds_up_to_what_the_equilibrium_one_lacks():
    # The damping-like torque is zero in equilibrium at every temperature, so the thermal
    # one changes sign with T_L - T_R.
    first, second = LOW, LOW / 2
    hot, cold = (
        float(torque(temperature=pair)["damping_like"].values[0, 0]) for pair in ((first, second), (second, first))
    )
    assert hot == pytest.approx(-cold, abs=1e-4 * abs(hot))
    even = float(torque(temperature=LOW)["damping_like"].values[0, 0])
    assert abs(even) < 1e-4 * abs(hot)


def test_a_thermal_spin_current_flows_without_a_charge_current_at_the_thermal_voltage():
    T, dT = 300.0, 10.0
    S = float(qt.thermopower(spin_valve(), temperature=T, kmesh=MOMENTA, angle=1.0, tolerance=ENERGY)["thermopower"])
    d = torque(voltage=S * dT, temperature=(T + dT / 2, T - dT / 2))
    spin = float(abs(d["damping_like"]).max())
    charge = float(abs(d["charge_current"]).max()) / CURRENT_PER_EV
    assert spin > 100 * charge / (4 * np.pi)


def skewed():
    """A band with a hopping along one diagonal of the layer: k and -k are alike, mirror images are not."""
    one = np.array([[1.0]])
    vectors = {(1, 0, 0): -1.0, (0, 1, 0): -1.0, (0, 0, 1): -1.0, (1, 1, 0): -0.4}
    metal = qt.Material(
        name="skewed", lattice=0.3 * np.eye(3), onsite=2.0 * one, exchange=0 * one,
        hoppings=tuple((vector, t * one) for vector, t in vectors.items()),
    )  # fmt: skip
    return qt.Stack(left=qt.Lead(metal), layers=[qt.Layer(qt.single_band(onsite=2.5), 2)], right=qt.Lead(metal))


def test_a_declared_symmetry_that_holds_gives_the_thermopower_of_the_whole_mesh():
    found = [
        qt.thermopower(system, temperature=300.0, kmesh=qt.kmesh(6, symmetry=name))
        for system, names in ((spin_valve(), (None, "square")), (skewed(), (None, "inversion")))
        for name in names
    ]
    for whole, part in (found[:2], found[2:]):
        assert float(part["thermopower"]) == pytest.approx(float(whole["thermopower"]), rel=INTEGRAL)
        assert float(part["conductance"]) == pytest.approx(float(whole["conductance"]), rel=INTEGRAL)


def test_a_declared_symmetry_that_does_not_hold_is_refused():
    with pytest.raises(qt.InputError, match="symmetry='square' does not hold"):
        qt.thermopower(skewed(), temperature=300.0, kmesh=qt.kmesh(6, symmetry="square"))


def double_barrier(thickness):
    metal, oxide = qt.single_band(onsite=2.5), qt.single_band(onsite=9.0)
    barrier = qt.Layer(oxide, thickness, barrier=True)
    return qt.Stack(left=qt.Lead(metal), layers=[barrier, qt.Layer(metal, 7), barrier], right=qt.Lead(metal))


def test_a_tolerance_that_is_not_met_is_said_and_its_error_is_that_of_each_moment():
    # Seven layers on either side leave resonances narrower than rounding of the energy lets one follow.
    with pytest.warns(UserWarning, match="see energy_error"):
        missed = qt.thermopower(double_barrier(7), temperature=300.0, kmesh=qt.kmesh(4))
    assert (missed["energy_error"] > 10 * 1e-6 * abs(missed["moment"]).max()).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        met = qt.thermopower(double_barrier(2), temperature=300.0, kmesh=qt.kmesh(4))
    assert met["energy_error"].dims == ("order",)
    assert (met["energy_error"] < 1e-6 * abs(met["moment"]).max()).all()
    # By two tolerances: the stated error of every moment bounds what is left in it.
    exact = qt.thermopower(double_barrier(2), temperature=300.0, kmesh=qt.kmesh(4), tolerance=1e-10)
    assert (abs(met["moment"] - exact["moment"]) < met["energy_error"]).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": (300.0, 200.0)}, "temperature"),
        ({"temperature": 300.0, "tolerance": 2.0}, "tolerance"),
        ({"temperature": 300.0, "energy": np.nan}, "energy"),
        ({"temperature": 300.0, "energy": 40.0, "kmesh": qt.kmesh(2)}, "channel"),
        ({"temperature": 3.0, "energy": 40.0}, "transmission"),
    ],
)
def test_bad_input_to_the_thermopower_is_refused(arguments, word):
    with pytest.raises(qt.InputError, match=word):
        qt.thermopower(spin_valve(), **({"kmesh": MOMENTA} | arguments))
