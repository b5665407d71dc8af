"""Linear response: one energy gives the slope of the whole bias dependence, at every momentum and angle."""

from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line
from qtorque.spin import PAULI
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN

SYSTEMS = Path(__file__).parents[1] / "systems"
ANGLES = np.array([0.0, 0.6, np.pi / 2, 2.4, np.pi])
COEFFICIENTS = ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed")
SMALL_VOLTAGE = 1e-5
"""V; the torque is linear in it up to a cubic term of some 1e-8 of it."""
SLOPE = 1e-6
"""Relative; the quadrature of the window over 1e-5 V, and the cubic term."""
EXACT = 1e-12
"""The same Green functions, summed in another order or turned."""
ROUTES = 1e-10
"""Scattering amplitudes of the parts against the Green function of the whole."""
LIMIT = 1e-6
"""The extrapolated coefficient at 0 and pi against one at 0.001 rad from it, relative to the largest."""


def valve(spacer=3, free=3, **parameters):
    return command_line.load_system(
        SYSTEMS / "spin_valve.py",
        [f"spacer_layers={spacer}", f"free_layers={free}", *(f"{a}={b}" for a, b in parameters.items())],
    )


def disordered(**parameters):
    settings = {"n": 2, "m": 1, "spacer_layers": 2, "fixed_layers": 2, "free_layers": 3, **parameters}
    return command_line.load_system(
        SYSTEMS / "disordered_spin_valve.py", [f"{name}={value!r}" for name, value in settings.items()]
    )


NORMAL = qt.single_band(onsite=2.5, hopping=-1.0, lattice_constant=0.3)
STRONG, WEAK = (
    qt.single_band(onsite=(up + down) / 2, exchange=down - up, hopping=-1.0, lattice_constant=0.3)
    for up, down in ((1.5, 4.0), (2.2, 3.4))
)


def between_magnets(spacer=2, p=(0.0, 0.0, 1.0)):
    """Two different semi-infinite magnets with a normal spacer between them, both along p."""
    left, right = (qt.Lead(metal, magnetization=p) for metal in (STRONG, WEAK))
    return qt.Stack(left=left, layers=[qt.Layer(NORMAL, spacer)], right=right)


def reflection(magnet, mesh):
    """Amplitudes of up and down from normal metal | magnet, (k, 2), seen from one layer before the magnet."""
    stack = qt.Stack(left=qt.Lead(NORMAL), layers=[qt.Layer(NORMAL, 1)], right=qt.Lead(magnet))
    s = qt.solve(stack, energy=0.0, kmesh=mesh)
    return s.reflection("left")[:, [0, 1], [0, 1], 0, 0], s.open_channels[:, 0, 0] > 0


@pytest.mark.parametrize("system", [valve(), between_magnets(), disordered()], ids=["valve", "leads", "supercell"])
def test_it_is_the_slope_of_torque_and_current_at_zero_bias(system):
    mesh = qt.kpoints([[0.4, 0.3], [1.0, -0.7], [-0.2, 1.6]], [0.5, 0.2, 0.3])
    d = qt.linear_torkance(system, angle=ANGLES, kmesh=mesh)
    biased = qt.spin_torque(system, angle=ANGLES, voltage=[-SMALL_VOLTAGE, SMALL_VOLTAGE], kmesh=mesh)

    def slope(x):
        return ((x[:, 1] - x[:, 0]) / (2 * SMALL_VOLTAGE)).values

    for name in (*COEFFICIENTS, "torque", "torque_fixed"):
        # The sea drops out of the difference but for its rounding, which is relative to the torque itself.
        rounding = EXACT * float(np.abs(biased[name]).max()) / SMALL_VOLTAGE
        largest = float(np.abs(d[name]).max())
        np.testing.assert_allclose(d[name].values, slope(biased[name]), rtol=0, atol=SLOPE * largest + rounding)
    current = slope(biased["charge_current"]) / CONDUCTANCE_QUANTUM_PER_SPIN
    np.testing.assert_allclose(d["conductance"].values, current, rtol=SLOPE, atol=EXACT)


@pytest.mark.parametrize("energy", [0.0, 0.3])
def test_its_conductance_is_landauers_at_every_angle(energy):
    mesh = qt.kmesh(4)
    landauer = qt.conductance(disordered(), energy=energy, kmesh=mesh, angle=ANGLES).sum(("spin_in", "spin_out"))
    found = qt.linear_torkance(disordered(), angle=ANGLES, kmesh=mesh, energy=energy)["conductance"]
    np.testing.assert_allclose(found, landauer, rtol=ROUTES)


def test_electrons_that_come_through_the_fixed_magnet_pull_the_free_one_towards_it():
    # A half-metallic valve: the majority passes, the minority does not. V > 0 drives electrons from left to right.
    d = qt.linear_torkance(valve(onsite_up=2.5, onsite_down=9.0), angle=np.pi / 2, kmesh=qt.kmesh(12))
    assert float(d["damping_like"][0]) > 0
    # The same electrons, reflected by the free magnet, push the fixed one away.
    assert float(d["damping_like_fixed"][0]) < 0
    np.testing.assert_array_less(0, d["torque"].values[0] @ [0, 0, 1])


@pytest.mark.parametrize("spacer", [2, 5])
def test_at_every_momentum_it_is_that_of_spins_that_bounce_between_two_interfaces(spacer):
    # An independent route: 2 x 2 amplitudes of either interface, a phase for the way between them, and no more.
    mesh, angle = qt.kmesh(8), 1.1
    (left, open_channels), (right, _) = reflection(STRONG, mesh), reflection(WEAK, mesh)
    left, right = left[open_channels], right[open_channels]
    # Both amplitudes are seen from within the spacer's own layers; cos kz follows from the band.
    wave = np.exp(1j * np.arccos((2.5 - 2 * np.cos(mesh.points[open_channels]).sum(axis=1)) / 2))
    way = (wave ** (2 * (spacer - 3)))[:, None, None]
    turn = np.array([[np.cos(angle / 2), -np.sin(angle / 2)], [np.sin(angle / 2), np.cos(angle / 2)]])

    def diagonal(x):
        return x[:, :, None] * np.eye(2)

    def adjoint(x):
        return x.conj().swapaxes(1, 2)

    r_left, t_left = diagonal(left), diagonal(1 - np.abs(left) ** 2)
    r_right, t_right = (turn @ diagonal(x) @ turn.T for x in (right, 1 - np.abs(right) ** 2))
    ahead, back = (np.linalg.inv(np.eye(2) - way * x) for x in (r_left @ r_right, r_right @ r_left))
    from_left, from_right = ahead @ t_left @ adjoint(ahead), back @ t_right @ adjoint(back)
    current = 0.5 * (from_left - r_right @ from_left @ adjoint(r_right))
    current += 0.5 * (from_right - r_left @ from_right @ adjoint(r_left))
    spin = np.einsum("aij,kji->ka", PAULI[1:], current).real / (4 * np.pi)

    d = qt.k_resolved_torkance(between_magnets(spacer), angle=angle, kmesh=mesh).isel(angle=0, k=open_channels)
    m, p = np.array([np.sin(angle), 0, np.cos(angle)]), np.array([0.0, 0, 1])
    np.testing.assert_allclose(d["conductance"], np.trace(current, axis1=1, axis2=2).real, atol=ROUTES)
    np.testing.assert_allclose(d["torque"], spin - np.outer(spin @ m, m), atol=ROUTES)
    np.testing.assert_allclose(d["torque_fixed"], np.outer(spin @ p, p) - spin, atol=ROUTES)
    # Both parts are there to be compared, and the coefficients make the vectors again.
    for suffix, own, other in (("", m, p), ("_fixed", p, m)):
        parts = [d["damping_like" + suffix].values, d["field_like" + suffix].values]
        assert all(np.abs(part).max() > 1e-3 for part in parts)
        vectors = np.outer(parts[0], np.cross(own, np.cross(other, own))) + np.outer(parts[1], np.cross(own, other))
        np.testing.assert_allclose(vectors, d["torque" + suffix], atol=EXACT)


def test_the_sum_over_momenta_is_that_of_the_resolved_response():
    mesh = qt.kmesh(5, 4)
    total = qt.linear_torkance(valve(), angle=ANGLES, kmesh=mesh)
    resolved = qt.k_resolved_torkance(valve(), angle=ANGLES, kmesh=mesh)
    assert set(total) == set(resolved)
    for name in set(total) - {"magnetization"}:
        assert resolved[name].dims == ("k", *total[name].dims)
        np.testing.assert_allclose(qt.k_average(resolved[name]), total[name], atol=EXACT)
        assert {"units", "long_name"} <= set(resolved[name].attrs)


def test_one_angle_alone_gives_what_it_gives_among_others():
    together = qt.linear_torkance(disordered(), angle=ANGLES, kmesh=qt.kmesh(2))
    for i, angle in enumerate(ANGLES):
        alone = qt.linear_torkance(disordered(), angle=angle, kmesh=qt.kmesh(2))
        for name in ("conductance", *COEFFICIENTS):
            np.testing.assert_allclose(alone[name][0], together[name][i], rtol=ROUTES, atol=EXACT)


def test_coefficients_at_0_and_pi_continue_those_beside_them():
    beside = [0.001, np.pi - 0.001]
    d = qt.linear_torkance(valve(), angle=[0.0, np.pi, *beside], kmesh=qt.kmesh(6))
    for name in COEFFICIENTS:
        largest = float(np.abs(d[name]).max())
        np.testing.assert_allclose(d[name][:2], d[name][2:], atol=LIMIT * largest)
    np.testing.assert_allclose(d["torque"][:2], 0, atol=EXACT)


def test_turning_all_spins_turns_the_vectors_and_leaves_the_coefficients():
    p = np.array([0.48, 0.6, 0.64])
    upright, turned = (
        qt.linear_torkance(between_magnets(p=tuple(axis)), angle=0.8, kmesh=qt.kmesh(4)) for axis in (np.eye(3)[2], p)
    )
    for name in ("conductance", *COEFFICIENTS):
        np.testing.assert_allclose(turned[name], upright[name], atol=EXACT)
    m = turned["magnetization"].values[0]
    damping_like, field_like = float(turned["damping_like"][0]), float(turned["field_like"][0])
    expected = damping_like * np.cross(m, np.cross(p, m)) + field_like * np.cross(m, p)
    np.testing.assert_allclose(turned["torque"].values[0], expected, atol=EXACT)


def test_the_parts_of_a_disordered_valve_are_those_of_the_whole():
    whole = disordered(spacer_layers=3).layers
    fixed, spacer, free = (
        disordered(**{"fixed_layers": 0, "spacer_layers": 0, "free_layers": 0, name: count}).layers
        for name, count in (("fixed_layers", 2), ("spacer_layers", 3), ("free_layers", 3))
    )
    assert [layer.material.name for layer in whole] == [layer.material.name for layer in (*fixed, *spacer, *free)]
    for own, other in zip(whole, (*fixed, *spacer, *free), strict=True):
        np.testing.assert_array_equal(own.material.onsite, other.material.onsite)
        np.testing.assert_array_equal(own.material.exchange, other.material.exchange)
    other = disordered(spacer_layers=3, configuration=1).layers
    assert all((a.material.onsite != b.material.onsite).any() for a, b in zip(whole[3:6], other[3:6], strict=True))


def test_mixing_exchanges_whole_sites_and_keeps_every_magnet_in_one_piece():
    for configuration in range(8):
        system = disordered(mixing=0.5, configuration=configuration)
        exchange = [np.count_nonzero(np.diag(layer.material.exchange)) for layer in system.layers]
        assert exchange == [1, 1, 1, 1, 0, 0, 1, 1, 2, 1, 1]
    clean = disordered(mixing=0.0)
    assert [layer.material.exchange.any() for layer in clean.layers] == [0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"angle": []}, "angle="),
        ({"angle": [0.0, np.nan]}, "angle="),
        ({"energy": np.inf}, "energy="),
        ({"energy": 20.0}, "no open channel"),
        ({"kmesh": "fine"}, "kmesh="),
        ({"system": qt.Stack(left=qt.Lead(NORMAL), layers=[qt.Layer(STRONG, 2)], right=qt.Lead(NORMAL))}, "magnet"),
        (
            {
                "system": qt.Stack(
                    left=qt.Lead(STRONG), layers=[qt.Layer(NORMAL, 2, barrier=True)], right=qt.Lead(STRONG)
                )
            },
            "shift with the bias",
        ),
    ],
)
@pytest.mark.parametrize("function", [qt.linear_torkance, qt.k_resolved_torkance])
def test_bad_input_is_refused_before_any_solve(function, arguments, named):
    given = {"system": valve(), "angle": 0.5, "kmesh": qt.kmesh(4), **arguments}
    with pytest.raises(qt.InputError, match=named):
        function(given.pop("system"), **given)


@pytest.mark.parametrize(
    "settings",
    [
        {"disorder": -1.0},
        {"mixing": 0.7},
        {"free_layers": 1},
        {"fixed_layers": 0, "spacer_layers": 0, "free_layers": 0},
        {"spacer_layers": -1},
    ],
)
def test_a_disordered_valve_that_cannot_be_is_refused(settings):
    with pytest.raises(qt.InputError, match=next(iter(settings))):
        disordered(**settings)


def test_a_symmetry_that_disorder_breaks_is_refused():
    with pytest.raises(qt.InputError, match="symmetry"):
        qt.linear_torkance(disordered(n=2, m=2, fixed_layers=2), angle=1.0, kmesh=qt.kmesh(2, symmetry="square"))


def test_a_finished_part_is_read_from_the_checkpoint(tmp_path):
    mesh, angle = qt.kmesh(4), [0.4, 1.0]
    calls = []

    class Memory:
        def __init__(self):
            self.kept = {}

        def load(self, index):
            return self.kept.get(index)

        def save(self, index, result):
            calls.append(index)
            self.kept[index] = result

        def part(self, name):
            return self

        def stop_reason(self):
            return None

    memory = Memory()
    first = qt.linear_torkance(valve(), angle=angle, kmesh=mesh, checkpoint=memory)
    again = qt.linear_torkance(valve(), angle=angle, kmesh=mesh, checkpoint=memory)
    assert len(calls) == len(memory.kept) == 1
    assert first.identical(again)
