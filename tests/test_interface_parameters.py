"""Interface parameters: reference values, the Sharvin correction by independent routes, signs, files, refusals."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import command_line, store
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN

PRINTED = 1e-6
"""Reference values are printed with six digits after the point."""
ROUNDING = 1e-10
"""Sums over a few thousand momenta and differences of resistances of one size."""
PHASES = 256
"""Equidistant phases of a spacer: the mean over them has an error |r_a r_b|^256, below rounding unless both reflect
0.93 of the amplitude."""

SHARED = {"hopping": -1.0, "lattice_constant": 0.3}
NORMAL = qt.single_band(onsite=2.5, **SHARED)
MAGNET = qt.single_band(onsite=2.75, exchange=2.5, **SHARED)
THIN = qt.single_band(onsite=3.0, exchange=0.8, **SHARED)
BARRIER = qt.single_band(onsite=4.5, **SHARED)
TUNNEL = qt.single_band(onsite=9.0, **SHARED)


def interface(right=MAGNET, left=NORMAL):
    return qt.Stack(left=qt.Lead(left), right=qt.Lead(right))


def slab(*layers, left=NORMAL, right=NORMAL):
    """Layers (material, monolayers) between two normal leads."""
    return qt.Stack(left=qt.Lead(left), layers=[qt.Layer(m, n) for m, n in layers], right=qt.Lead(right))


def one_momentum(system, k=(0.4, 0.9)):
    return qt.solve(system, kmesh=qt.kpoints([k]))


@pytest.fixture(scope="module")
def reference():
    return qt.solve(interface(), kmesh=qt.kmesh(200))


@pytest.fixture(scope="module")
def film():
    """An asymmetric magnetic slab that lets a good part of a transverse spin through."""
    return qt.solve(slab((THIN, 2), (BARRIER, 1)), kmesh=qt.kmesh(24))


def raw(s):
    return qt.interface_parameters(s, sharvin_corrected=False)


def admittance(p):
    """Currents into the slab from potentials on both sides, the transverse spin, unconjugated."""
    return np.array(
        [
            [p.mixing_conductance, -p.mixing_transmitted_back],
            [-p.mixing_transmitted, p.mixing_conductance_opposite],
        ]
    )


def in_series(first, second, between=0.0):
    """Admittance of two two-terminal elements joined at a node, with a resistance between them."""
    wire = np.array([[1.0, -1.0], [-1.0, 1.0]])
    if between:
        first = in_series(first, wire / between)
    inner = first[1, 1] + second[0, 0]
    return np.array(
        [
            [first[0, 0] - first[0, 1] * first[1, 0] / inner, -first[0, 1] * second[0, 1] / inner],
            [-second[1, 0] * first[1, 0] / inner, second[1, 1] - second[1, 0] * second[0, 1] / inner],
        ]
    )


def test_the_reference_step_gives_the_printed_values_and_the_hand_evaluated_correction(reference):
    p = raw(reference)
    assert p.sharvin_left == pytest.approx((0.387, 0.387), abs=PRINTED)
    assert p.mixing_conductance == pytest.approx(0.407227 + 0.066894j, abs=PRINTED)
    assert p.conductance_up == pytest.approx(0.296532, abs=PRINTED)
    assert p.conductance_down == pytest.approx(0.145341, abs=PRINTED)
    assert (p.normal_leads, p.mixing_transmitted, p.mixing_conductance_opposite) == (("left",), None, None)
    assert p.area == pytest.approx(0.09)
    q = qt.interface_parameters(reference)
    # Channels of the magnet on this mesh: 0.5716 up, 0.1851 down.
    assert 1 / q.conductance_up == pytest.approx(1 / 0.296532 - 0.5 * (1 / 0.387 + 1 / 0.5716), abs=3e-5)
    assert 1 / q.conductance_down == pytest.approx(1 / 0.145341 - 0.5 * (1 / 0.387 + 1 / 0.1851), abs=1e-4)
    assert 1 / q.mixing_conductance == pytest.approx(1 / (0.407227 + 0.066894j) - 0.5 / 0.387, abs=1e-5)
    assert (p.sharvin_corrected, q.sharvin_corrected) == (False, True)


def test_corrected_values_may_break_the_inequality_of_scattering():
    # The majority band is nearly that of the normal metal, and nearly transparent.
    s = qt.solve(interface(qt.single_band(onsite=3.4, exchange=2.0, **SHARED)), kmesh=qt.kmesh(40))
    scattering, corrected = raw(s), qt.interface_parameters(s)
    assert 2 * scattering.mixing_conductance.real > scattering.conductance_up + scattering.conductance_down
    assert 2 * corrected.mixing_conductance.real < corrected.conductance_up + corrected.conductance_down


def test_the_mirrored_interface_has_the_same_parameters(reference):
    s = qt.solve(interface(NORMAL, MAGNET), kmesh=qt.kmesh(200))
    p, q = qt.interface_parameters(s), qt.interface_parameters(reference)
    assert p.normal_leads == ("right",)
    assert p.sharvin_right == q.sharvin_left
    for name in ("conductance_up", "conductance_down", "mixing_conductance"):
        assert getattr(p, name) == pytest.approx(getattr(q, name), rel=ROUNDING, abs=0)


@pytest.mark.parametrize("m", [(0, 0, -1), (1, 0, 0), (0.6, -0.48, 0.64)])
@pytest.mark.parametrize("kind", ["interface", "slab"])
def test_spins_are_counted_along_the_magnet_wherever_it_points(kind, m):
    def system(m):
        if kind == "interface":
            return qt.Stack(left=qt.Lead(NORMAL), right=qt.Lead(MAGNET, magnetization=m))
        return qt.Stack(left=qt.Lead(NORMAL), layers=[qt.Layer(THIN, 2, magnetization=m)], right=qt.Lead(BARRIER))

    turned, upright = (raw(qt.solve(system(axis), kmesh=qt.kmesh(8))) for axis in (m, (0, 0, 1)))
    for name in ("conductance_up", "mixing_conductance", "mixing_transmitted", "mixing_conductance_opposite"):
        if getattr(upright, name) is not None:
            assert getattr(turned, name) == pytest.approx(getattr(upright, name), rel=ROUNDING, abs=0)
    assert turned.sharvin_right == pytest.approx(upright.sharvin_right)
    assert upright.conductance_up != pytest.approx(upright.conductance_down, rel=0.1, abs=0)


def test_resistances_in_SI_follow_from_both_spins(reference):
    p = qt.interface_parameters(reference)
    r_up, r_dn = (0.09e-18 / (G * CONDUCTANCE_QUANTUM_PER_SPIN) for G in (p.conductance_up, p.conductance_down))
    assert 2 * p.AR_star * (1 - p.gamma) == pytest.approx(r_up, rel=ROUNDING, abs=0)
    assert 2 * p.AR_star * (1 + p.gamma) == pytest.approx(r_dn, rel=ROUNDING, abs=0)
    assert p.conductance_up_per_area == pytest.approx(1 / r_up, rel=ROUNDING, abs=0)
    assert p.conductance_down_per_area == pytest.approx(1 / r_dn, rel=ROUNDING, abs=0)
    assert p.polarization == p.gamma > 0
    g = p.mixing_conductance_per_area
    assert g == pytest.approx(p.mixing_conductance * CONDUCTANCE_QUANTUM_PER_SPIN / 0.09e-18, rel=ROUNDING, abs=0)


def test_the_matrix_becomes_the_scalar_forms_where_one_spin_or_one_lead_is_left(film):
    p = raw(film)
    q = qt.without_sharvin_resistance(p)
    # A slab that treats both spins alike: the transverse spin is as good as the collinear one.
    s = qt.solve(slab((BARRIER, 2), right=BARRIER), kmesh=qt.kmesh(24))
    alike = qt.interface_parameters(s)
    expected = 1 / float(qt.conductance(s)[0, 0])
    expected -= 0.5 * sum(1 / float(qt.sharvin_conductance(s, lead)[0]) for lead in ("left", "right"))
    for name in ("conductance_up", "conductance_down", "mixing_conductance", "mixing_conductance_opposite"):
        assert 1 / getattr(alike, name) == pytest.approx(expected, rel=ROUNDING, abs=0)
    assert alike.mixing_transmitted == pytest.approx(alike.mixing_conductance, rel=ROUNDING, abs=0)
    # A slab that lets no transverse spin through: each side for itself.
    opaque = dataclasses.replace(p, mixing_transmitted=0, mixing_transmitted_back=0)
    opaque = qt.without_sharvin_resistance(opaque)
    for name in ("mixing_conductance", "mixing_conductance_opposite"):
        expected = 1 / getattr(p, name) - 0.5 / p.sharvin_left[0]
        assert 1 / getattr(opaque, name) == pytest.approx(expected, rel=ROUNDING, abs=0)
        assert abs(1 / getattr(q, name) - expected) > 0.1
    assert (opaque.mixing_transmitted, opaque.mixing_transmitted_back) == (0, 0)


def test_a_ballistic_contact_keeps_its_contact_resistance(film, reference):
    p, Y = raw(film), admittance(raw(film))
    for number, side in enumerate(("left", "right")):
        q = qt.without_sharvin_resistance(p, corrected_sides=(side,))
        without_contact = 1 / p.conductance_up - 0.5 / p.sharvin_left[0]
        assert 1 / q.conductance_up == pytest.approx(without_contact, rel=ROUNDING, abs=0)
        # i = Y (mu + S i), solved for the potentials that drive a given current.
        S = np.zeros((2, 2))
        S[number, number] = 0.5 / p.sharvin_left[0]
        np.testing.assert_allclose(np.linalg.inv(admittance(q)), np.linalg.inv(Y) - S, rtol=ROUNDING)
        assert q.attributes["corrected_sides"] == side
    first = qt.interface_parameters(reference, corrected_sides=("right",))
    assert first.mixing_conductance == raw(reference).mixing_conductance
    assert 1 / first.conductance_up == pytest.approx(1 / 0.296532 - 0.5 / 0.5716, abs=3e-5)


def test_without_the_contacts_the_mixing_matrix_is_the_cayley_transform_of_what_scatters(film):
    p = raw(film)
    g = p.sharvin_left[0]
    X = np.eye(2) - admittance(p) / g
    expected = 2 * g * (np.eye(2) - X) @ np.linalg.inv(np.eye(2) + X)
    corrected = admittance(qt.without_sharvin_resistance(p))
    np.testing.assert_allclose(corrected, expected, rtol=ROUNDING)
    # What scatters is no more than what comes in, so the slab absorbs transverse spin and never emits it.
    assert np.linalg.eigvalsh(corrected + corrected.conj().T).min() > 0


def spin_resolved(s):
    """r, t, r', t' of both spins at one momentum with one channel: each shape (2,)."""
    left, right = 0, 1
    blocks = ((left, left), (right, left), (right, right), (left, right))
    return [np.diagonal(s.amplitudes[pair][0, :, :, 0, 0]) for pair in blocks]


def joined_coherently(first, second, phase):
    """Amplitudes of two scatterers with a spacer that adds a phase, the same for both spins, to each passage."""
    (r1, t1, b1, u1), (r2, t2, b2, u2) = first, second
    e = np.exp(1j * phase)
    return (
        r1 + u1 * e * r2 * e * t1 / (1 - b1 * r2 * e**2),
        t2 * e * t1 / (1 - b1 * r2 * e**2),
        b2 + t2 * e * b1 * e * u2 / (1 - b1 * r2 * e**2),
        u1 * e * u2 / (1 - b1 * r2 * e**2),
    )


def test_over_all_phases_of_a_spacer_quantum_slabs_are_joined_like_corrected_resistors():
    """Quantum mechanics averaged over the phase of a spacer, at one momentum, against two corrected slabs in series."""
    slabs = [one_momentum(slab((THIN, 2), (BARRIER, 1))), one_momentum(slab((MAGNET, 1), (BARRIER, 2)))]
    amplitudes = [spin_resolved(s) for s in slabs]
    phases = np.pi * np.arange(PHASES) / PHASES
    joined = [joined_coherently(*amplitudes, phase) for phase in phases]
    mean = [np.mean([x[block][0] * x[block][1].conj() for x in joined]) for block in range(4)]
    transmitted = np.mean([abs(x[1]) ** 2 for x in joined], axis=0)

    corrected = [qt.interface_parameters(s) for s in slabs]
    for spin, name in enumerate(("conductance_up", "conductance_down")):
        resistance = sum(1 / getattr(p, name) for p in corrected)
        assert 1 / transmitted[spin] == pytest.approx(resistance + 1, rel=ROUNDING, abs=0)
    node = in_series(*(admittance(p) for p in corrected))
    # Both ends are reservoirs: half a Sharvin resistance each, here 1/(2 x 1), comes back.
    whole = np.linalg.inv(np.linalg.inv(node) + 0.5 * np.eye(2))
    scattered = np.array([[1 - mean[0], -mean[3]], [-mean[1], 1 - mean[2]]])
    np.testing.assert_allclose(whole, scattered, rtol=1e-9)
    # Uncorrected slabs in series are something else altogether.
    uncorrected = in_series(*(admittance(raw(s)) for s in slabs))
    assert np.abs(uncorrected - scattered).max() > 0.05 * np.abs(scattered).max()


def test_transmitted_spins_are_those_of_the_two_directions():
    """Amplitudes that differ for the two directions, as no stack without magnetic flux has them, tell them apart."""
    s = one_momentum(slab((THIN, 2), (BARRIER, 1)))
    blocks = {pair: s.amplitudes[pair].copy() for pair in ((0, 0), (0, 1), (1, 0), (1, 1))}
    blocks[1, 0][:, 0, 0] *= 1j  # up, left to right
    changed, p = raw(dataclasses.replace(s, amplitudes=blocks)), raw(s)
    assert changed.mixing_transmitted == pytest.approx(1j * p.mixing_transmitted)
    assert changed.mixing_transmitted_back == pytest.approx(p.mixing_transmitted_back)
    assert abs(p.mixing_transmitted.imag) > 0.1
    corrected = qt.interface_parameters(dataclasses.replace(s, amplitudes=blocks))
    Y = admittance(changed)
    np.testing.assert_allclose(np.linalg.inv(admittance(corrected)), np.linalg.inv(Y) - 0.5 * np.eye(2), rtol=ROUNDING)


def test_a_transparent_interface_has_no_resistance_of_its_own():
    p = qt.interface_parameters(qt.solve(interface(NORMAL), kmesh=qt.kmesh(20)))
    assert (p.conductance_up, p.conductance_down) == (math.inf, math.inf)
    assert (p.AR_star, p.gamma) == (0, 0)
    for name in ("", "_opposite"):
        assert getattr(p, f"mixing_conductance{name}") == complex(math.inf, 0)
    assert p.mixing_transmitted == p.mixing_transmitted_back == complex(math.inf, 0)
    assert p.mixing_conductance_per_area == complex(math.inf, 0)
    # Not so where one lead is the reservoir: half a Sharvin resistance is left.
    q = qt.interface_parameters(qt.solve(interface(NORMAL), kmesh=qt.kmesh(20)), corrected_sides=("left",))
    assert q.conductance_up == pytest.approx(2 * q.sharvin_left[0], rel=ROUNDING, abs=0)


@pytest.mark.parametrize("rounding", [-4e-16, 0, 4e-16])
def test_one_transparent_spin_is_told_from_rounding(rounding):
    given = GIVEN | {"sharvin_right": (0.387, 0.387)}  # 2 Re g_mix = 0.8 is above G_up + G_dn = 0.537
    for name, gamma in (("conductance_up", 1), ("conductance_down", -1)):
        both = {"conductance_up": 0.15, "conductance_down": 0.15, name: 0.387 * (1 + rounding)}
        p = qt.without_sharvin_resistance(qt.InterfaceParameters(**(given | both)))
        assert getattr(p, name) == math.inf
        assert p.gamma == gamma
        other = p.conductance_down_per_area if gamma == 1 else p.conductance_up_per_area
        assert p.AR_star == pytest.approx(0.25 / other, rel=ROUNDING, abs=0)


def test_a_spin_that_conducts_nothing_keeps_an_infinite_resistance():
    half_metal = qt.single_band(onsite=5.5, exchange=8.0, **SHARED)
    p = qt.interface_parameters(qt.solve(interface(half_metal), kmesh=qt.kmesh(20)))
    assert p.conductance_down == 0
    assert p.sharvin_right[1] == 0
    assert (p.AR_star, p.gamma) == (math.inf, 1)
    assert math.isfinite(p.conductance_up)


def test_a_file_gives_back_what_was_saved(tmp_path, film, reference):
    infinite = qt.interface_parameters(qt.solve(interface(NORMAL), kmesh=qt.kmesh(4)))
    for number, p in enumerate([raw(film), qt.interface_parameters(reference), infinite]):
        p.save(tmp_path / f"{number}.nc")
        loaded = qt.InterfaceParameters.load(tmp_path / f"{number}.nc")
        assert loaded == p
        assert loaded.attributes == p.attributes
    with pytest.raises(qt.InputError, match="exists"):
        p.save(tmp_path / "0.nc")
    d = p.to_dataset()
    assert all({"units", "long_name"} <= set(v.attrs) for v in d.variables.values())
    with pytest.raises(qt.InputError, match="'conductance_up'"):
        qt.InterfaceParameters.from_dataset(d.drop_vars("conductance_up"))
    with pytest.raises(qt.InputError, match="'conductance_up'"):
        qt.InterfaceParameters.from_dataset(xr.Dataset())


GIVEN = {
    "conductance_up": 0.30,
    "conductance_down": 0.15,
    "mixing_conductance": 0.4 + 0.07j,
    "sharvin_left": (0.387, 0.387),
    "sharvin_right": (0.57, 0.185),
    "normal_leads": ("left",),
    "area": 0.09,
    "sharvin_corrected": False,
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"conductance_up": math.nan}, "conductance_up=nan is not a number"),
        ({"conductance_down": -0.1}, "conductance_down=-0.1 is negative"),
        ({"conductance_up": 0.5}, "above the Sharvin conductance"),
        ({"mixing_conductance": complex(0.4, math.nan)}, "mixing_conductance=.* is not a number"),
        ({"mixing_conductance": -0.4 + 0.1j}, "negative real part"),
        ({"mixing_conductance": 0.2 + 0.3j}, "2 Re g_mix is below"),
        ({"mixing_conductance": "0.4"}, "mixing_conductance='0.4'"),
        ({"mixing_transmitted": 0.1}, "mixing_transmitted=0.1 does not fit"),
        ({"normal_leads": ("left", "right"), "sharvin_right": (0.5, 0.5)}, "mixing_conductance_opposite=None"),
        ({"normal_leads": ("right",)}, "sharvin_right=.* is not that of a normal lead"),
        ({"normal_leads": ()}, "normal_leads"),
        ({"normal_leads": ("middle",)}, "normal_leads"),
        ({"sharvin_left": 0.387}, r"sharvin_left=0.387 is not of two spins"),
        ({"area": 0.0}, "area=0.0"),
        ({"sharvin_corrected": "no"}, "sharvin_corrected='no'"),
        ({"attributes": {"mesh": [1, 2]}}, "attributes"),
        ({"attributes": None}, "attributes=None"),
        ({"normal_leads": None}, "normal_leads=None"),
        ({"normal_leads": 1}, "normal_leads=1"),
        ({"normal_leads": (None,)}, "normal_leads"),
        ({"area": True}, "area=True"),
        ({"sharvin_left": (math.inf, math.inf)}, "sharvin_left=.* is infinite"),
        ({"sharvin_left": (0.0, 0.0), "sharvin_corrected": True}, "sharvin_left=.* is not that of a normal lead"),
        ({"mixing_conductance": complex(math.inf, 0)}, r"\|g_mix - g_N\| is above"),
        ({"mixing_conductance": 0.4 + 0.4j}, r"\|g_mix - g_N\| is above"),
        ({"mixing_conductance": 0.8 + 0j}, r"\|g_mix - g_N\| is above"),
    ],
)
def test_parameters_that_nothing_has_are_refused_in_one_line(changed, words):
    assert qt.InterfaceParameters(**GIVEN).gamma == pytest.approx(1 / 3)
    with pytest.raises(qt.InputError, match=words) as refused:
        qt.InterfaceParameters(**(GIVEN | changed))
    assert "\n" not in str(refused.value)


SLAB = GIVEN | {
    "sharvin_right": (0.5, 0.5), "normal_leads": ("left", "right"), "mixing_conductance_opposite": 0.45,
    "mixing_transmitted": 0.1j, "mixing_transmitted_back": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mixing_conductance_opposite", 0.2),
        ("mixing_conductance_opposite", 1.01),
        ("mixing_conductance_opposite", complex(math.inf, 0)),
        ("mixing_transmitted", 0.2123j),  # sqrt(0.30 x 0.15) = 0.21213
        ("mixing_transmitted_back", -0.2123),
        ("mixing_transmitted_back", complex(math.inf, 0)),
    ],
)
def test_slabs_that_no_scattering_matrix_has_are_refused(name, value):
    assert qt.InterfaceParameters(**SLAB | {"mixing_conductance_opposite": 0.99, "mixing_transmitted": 0.212})
    with pytest.raises(qt.InputError, match=rf"{name}=.*which scattering excludes"):
        qt.InterfaceParameters(**(SLAB | {name: value}))
    corrected = qt.InterfaceParameters(**(SLAB | {name: value, "sharvin_corrected": True}))
    assert getattr(corrected, name) == value


@pytest.mark.parametrize("monolayers", [8, 16])
@pytest.mark.parametrize("right", [MAGNET, NORMAL])
def test_tunnel_barriers_have_parameters_though_rounding_exceeds_their_conductance(monolayers, right):
    films = [] if right is MAGNET else [(MAGNET, 2)]
    s = qt.solve(slab((TUNNEL, monolayers), *films, right=right), kmesh=qt.kmesh(8))
    p, q = raw(s), qt.interface_parameters(s)
    assert 0 < p.conductance_up < 10.0 ** -(1.2 * monolayers)
    # The contacts are nothing beside a barrier.
    for name in ("conductance_up", "conductance_down"):
        assert getattr(q, name) == pytest.approx(getattr(p, name), rel=1e-6, abs=0)
    assert abs(q.mixing_conductance) < 1e-9


def test_momenta_without_channels_have_parameters_but_no_correction():
    small = qt.single_band(onsite=5.0, **SHARED)  # open around the centre of the zone only
    s = qt.solve(interface(MAGNET, small), kmesh=qt.kpoints([(3.0, 3.0), (3.1, 2.9)]))
    p = raw(s)
    assert (p.sharvin_left, p.conductance_up, p.mixing_conductance) == ((0, 0), 0, 0)
    with pytest.raises(qt.InputError, match=r"sharvin_left=\(0, 0\)"):
        qt.interface_parameters(s)


def test_a_spin_without_channels_stays_without_conductance_whatever_rounding_left_of_it():
    closed = GIVEN | {"sharvin_right": (0.57, 0.0), "conductance_down": 1e-30}
    p = qt.without_sharvin_resistance(qt.InterfaceParameters(**closed))
    assert (p.conductance_down, p.gamma) == (0, 1)


def test_the_inequality_is_asked_of_scattering_values_only():
    corrected = GIVEN | {"mixing_conductance": 0.2 + 0.1j, "conductance_up": 2.0, "sharvin_corrected": True}
    assert qt.InterfaceParameters(**corrected).conductance_up == 2.0


def test_what_is_no_interface_of_one_magnet_is_refused(reference):
    two = qt.Stack(
        left=qt.Lead(NORMAL),
        layers=[
            qt.Layer(THIN, 1, magnet="a"),
            qt.Layer(NORMAL, 1),
            qt.Layer(THIN, 1, magnet="b", magnetization=(0, 0, -1)),
        ],
        right=qt.Lead(NORMAL),
    )
    for system, words in ((interface(MAGNET, MAGNET), "both leads are magnetic"), (two, "several directions")):
        with pytest.raises(qt.InputError, match=words):
            qt.interface_parameters(one_momentum(system))
    with pytest.raises(qt.InputError, match="several directions"):
        qt.interface_parameters(qt.solve(two, angle=1.0, kmesh=qt.kmesh(8)))
    with pytest.raises(qt.InputError, match="area"):
        qt.interface_parameters(dataclasses.replace(reference, area=None))
    s = one_momentum(slab((THIN, 2)))
    blocks = {pair: s.amplitudes[pair].copy() for pair in ((0, 0), (0, 1), (1, 0), (1, 1))}
    blocks[1, 0][:, 0, 1] = 0.1
    with pytest.raises(qt.InputError, match="flips spins"):
        qt.interface_parameters(dataclasses.replace(s, amplitudes=blocks))
    corrected = qt.interface_parameters(reference)
    with pytest.raises(qt.InputError, match="taken off already"):
        qt.without_sharvin_resistance(corrected)
    for sides in ((), ("middle",), ("left", "left")):
        with pytest.raises(qt.InputError, match="corrected_sides="):
            qt.interface_parameters(reference, corrected_sides=sides)


def test_a_mixing_conductance_that_the_correction_makes_infinite_is_refused():
    # Both spins come back whole and with opposite phase: g_mix = 2 g_N, all of it contact.
    nothing = {"conductance_up": 0.0, "conductance_down": 0.0}
    p = qt.InterfaceParameters(**(GIVEN | nothing | {"mixing_conductance": 0.774}))
    with pytest.raises(qt.InputError, match="is infinite without the contacts"):
        qt.without_sharvin_resistance(p)


SYSTEM = """
import qtorque as qt

def build(*, m=(0, 0, 1), barrier=0, half=0, antiparallel=0, small=0):
    shared = {"hopping": -1.0, "lattice_constant": 0.3}
    normal = qt.single_band(onsite=5.0 if small else 2.5, **shared)
    magnet = qt.single_band(onsite=5.5 if half else 3.0, exchange=8.0 if half else 0.8, **shared)
    if half:
        return qt.Stack(left=qt.Lead(magnet, magnetization=m), right=qt.Lead(normal))
    layers = [qt.Layer(magnet, 2, magnetization=m, magnet="first")]
    if barrier:
        layers.append(qt.Layer(qt.single_band(onsite=9.0, **shared), int(barrier), barrier=True))
    if antiparallel:
        layers += [qt.Layer(normal, 1), qt.Layer(magnet, 3, magnetization=(0, 0, -1), magnet="second")]
    layers.append(qt.Layer(qt.single_band(onsite=4.5, **shared), 1))
    return qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal))
"""


@pytest.fixture
def driven(within, tmp_path):
    """driven(options, settings): what the driver wrote and printed, and the same system in this process."""
    path = tmp_path / "system.py"
    path.write_text(SYSTEM)

    def run(*options, mesh=8, **settings):
        chosen = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        out = ["-o", tmp_path / "x", "--quiet", "--force"]
        ran = within("interface", path, "--kmesh", mesh, *chosen, *options, *out)
        assert ran.returncode == 0, ran.stderr
        system = command_line.load_system(path, [f"{name}={value}" for name, value in settings.items()])
        return store.load_dataset(tmp_path / "x_interface.nc"), ran.stdout, qt.solve(system, kmesh=qt.kmesh(mesh))

    return run


@pytest.mark.parametrize(("lead", "m"), [("left", "1,0,0"), ("right", "0.6,0.48,-0.64")])
def test_the_driver_prints_and_keeps_the_extracted_interface_wherever_the_magnet_points(driven, lead, m):
    d, printed, s = driven("--lead", lead, m=m)
    own, p = raw(s), qt.interface_parameters(s)
    np.testing.assert_allclose(s.magnet_axes[0], [float(x) for x in m.split(",")], atol=ROUNDING)
    assert float(d["AR_star"]) == pytest.approx(p.AR_star, rel=ROUNDING, abs=0)
    assert float(d["gamma"]) == pytest.approx(p.gamma, rel=ROUNDING, abs=0)
    assert abs(p.gamma) > 0.05
    assert f"AR* = {p.AR_star * 1e15:.7g} fOhm m^2, gamma = {p.gamma:.6f}" in printed
    for ending, parameters in (("", own), ("_corrected", p)):
        both = parameters.conductance_up, parameters.conductance_down
        np.testing.assert_allclose(d[f"conductance{ending}"], both, rtol=ROUNDING)
        g = parameters.mixing_conductance if lead == "left" else parameters.mixing_conductance_opposite
        assert d[f"g_mix{ending}"].item() == pytest.approx(g, rel=ROUNDING, abs=0)
    assert own.mixing_conductance != pytest.approx(own.mixing_conductance_opposite, rel=1e-3, abs=0)
    np.testing.assert_allclose(d["sharvin"], [own.sharvin_left, own.sharvin_right], rtol=ROUNDING)


def test_the_driver_takes_barriers_chunks_without_channels_and_half_metals(driven):
    d, _, s = driven(barrier=16)
    assert float(d["AR_star"]) == pytest.approx(qt.interface_parameters(s).AR_star, rel=1e-6, abs=0)
    d, _, s = driven(small=1, mesh=48)  # 5 chunks of 512 momenta
    assert d.sizes["k"] == 2304
    assert float(d["AR_star"]) == pytest.approx(qt.interface_parameters(s).AR_star, rel=ROUNDING, abs=0)
    d, printed, s = driven("--lead", "right", half=1, m="1,0,0")
    p = qt.interface_parameters(s)
    np.testing.assert_allclose(d["sharvin"], [p.sharvin_right, p.sharvin_left], rtol=ROUNDING)
    assert d["g_mix_corrected"].item() == pytest.approx(p.mixing_conductance, rel=ROUNDING, abs=0)
    assert d["conductance_corrected"].values.tolist()[1] == 0
    assert (float(d["AR_star"]), float(d["gamma"])) == (math.inf, 1)
    assert "nan" not in printed


def test_the_driver_says_why_there_is_no_resistance_of_two_magnets(driven):
    d, printed, s = driven(antiparallel=1)
    assert not {"AR_star", "gamma"} & set(d.variables)
    (line,) = [line for line in printed.splitlines() if line.startswith("AR*")]
    assert "left out: the magnets have several directions" in line
    assert d["g_mix"].item() == pytest.approx(complex(qt.k_average(qt.mixing_conductance(s))), rel=ROUNDING, abs=0)
    G, channels = qt.conductance(s).sum("spin_in").values, qt.sharvin_conductance(s, "left").values
    np.testing.assert_allclose(d["conductance"], G, rtol=ROUNDING)
    np.testing.assert_allclose(1 / d["conductance_corrected"], 1 / G - 1 / channels, rtol=ROUNDING)
