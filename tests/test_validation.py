"""Validation of semiclassical models: verdicts, errors, a user's table, the report, closed forms, and the physics."""

import csv
import dataclasses
import html.parser
import io
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import command_line, store, validation
from qtorque.diffusion import Layer
from qtorque.errors import InputError
from qtorque.spin import PAULI, direction_at
from qtorque.units import conductance_per_area
from qtorque.validation import CIRCUIT, DIFFUSION, PER_MOMENTUM, THICK, UNCORRECTED, Comparison, Section, judge
from qtorque.validation.models import QUANTITIES, mean_free_path, predictions, spacer_resistance, valve
from qtorque.validation.samples import mean_parameters, shifted_momenta
from qtorque.validation.specular import (
    antiparallel_sums,
    incoherent_quantities,
    incoherent_response,
    incoherent_transmission,
    mean_over_thickness,
    reflections,
)

ROOT = Path(__file__).parents[1]
ROUNDING = 1e-12
"""Closed forms and small dense solves."""
LIMIT = 1e-7
"""Coefficients of a torque, some of them limits of collinear magnets, against closed forms."""
THIN = 1e-6
"""A spacer with 1e-7 of the resistance of the magnets."""
PRINTED = 5e-7
"""Half of the last digit of a reference printed with six."""
PHASES = 1e-9
"""A mean over 1024 phases of a series that falls like 0.8^n."""
FINITE_THICKNESS = 1e-3
"""A smooth mean over 50 thicknesses, for momenta away from the edge of the band."""
PER_AREA = conductance_per_area(1, 0.09)
NOISE = 0.02
ANGLE = np.deg2rad([0.0, 60.0, 90.0, 180.0])
FIXED = qt.InterfaceParameters(
    conductance_up=0.36, conductance_down=0.13, mixing_conductance=0.42 + 0.10j,
    mixing_conductance_opposite=0.39 - 0.07j, mixing_transmitted=0.05 - 0.09j, mixing_transmitted_back=-0.06 + 0.08j,
    sharvin_left=(0.6, 0.6), sharvin_right=(0.5, 0.5), normal_leads=("left", "right"), area=0.09,
    sharvin_corrected=False,
)  # fmt: skip
FREE = dataclasses.replace(
    FIXED, conductance_up=0.30, conductance_down=0.17, mixing_conductance=0.37 - 0.05j,
    mixing_transmitted=0.03 + 0.11j, sharvin_left=(0.5, 0.5), sharvin_right=(0.7, 0.7),
)  # fmt: skip
RHO = 4e-7
"""Ohm m."""
DRIVER_OPTIONS = [
    "--set", "n=3", "--set", "m=3", "--configurations", "20", "--sweep-configurations", "20", "--momenta", "1",
    "--thicknesses", "4", "--disorders", "3.5", "--angle", "0", "--specular-kmesh", "4", "--specular-layers", "2",
    "--quiet",
]  # fmt: skip


def normal(conductance, contact=0.5):
    """Scattering values of a slab without magnetism."""
    slab = {name: complex(conductance) for name in ("mixing_transmitted", "mixing_transmitted_back")}
    mixing = {name: complex(conductance) for name in ("mixing_conductance", "mixing_conductance_opposite")}
    return dataclasses.replace(
        FIXED, conductance_up=conductance, conductance_down=conductance, sharvin_left=(contact, contact),
        sharvin_right=(contact, contact), **slab, **mixing,
    )  # fmt: skip


def spacer_of(thickness, contact=0.5):
    """A normal slab of resistivity RHO between leads: 1/g per spin is its own resistance and a contact."""
    return normal(1 / (1 / contact + 2 * RHO * thickness * PER_AREA), contact)


def compared(found, quantum=(1.0, 2.0), **named):
    named = {"quantity": "conductance", "unit": "1", "model": "one", "coordinate": "angle", "coordinate_unit": "deg",
             "at": np.arange(float(len(quantum)))} | named  # fmt: skip
    return Comparison(quantum=np.array(quantum), found=np.array(found), **named)


# --- verdicts ---------------------------------------------------------------------------------------------------


def test_a_model_within_the_tolerance_holds_and_one_outside_it_fails_where_it_is_worst():
    assert judge(compared([1.029, 2.0])).text == "holds: largest deviation +2.9 % at 0 deg"
    verdict = judge(compared([1.02, 1.9]))
    assert (verdict.kind, verdict.text) == ("fails", "fails by -5 % at 1 deg")


def test_within_two_standard_errors_nothing_fails_and_within_long_ones_nothing_is_decided():
    errors = {"quantum_error": np.array([0.03, 0.03]), "found_error": np.array([0.04, 0.04])}
    verdict = judge(compared([1.09, 2.0], **errors))
    assert verdict.kind == "undecided"
    assert verdict.text == "undecided: +9 % +- 5 % at 0 deg; more samples would tell"
    assert judge(compared([1.11, 2.0], **errors)).kind == "fails"
    # Agreement that a longer error bar than the tolerance leaves open is none.
    assert judge(compared([1.0, 2.0], **errors)).kind == "undecided"
    assert judge(compared([1.0, 2.0], quantum_error=np.array([0.014, 0.028]))).kind == "holds"
    assert judge(compared([1.029, 2.0], quantum_error=np.array([0.001, 0.001]))).kind == "holds"


def test_an_error_of_the_difference_replaces_the_sum_of_two_independent_ones():
    wide = {"quantum_error": np.array([0.1, 0.1]), "found_error": np.array([0.1, 0.1])}
    assert judge(compared([1.09, 2.0], **wide)).kind == "undecided"
    known = compared([1.09, 2.0], **wide, difference_error=np.array([0.01, 0.01]))
    assert judge(known).kind == "fails"
    np.testing.assert_allclose(known.deviation_error, [0.01, 0.005], rtol=ROUNDING)


def test_a_point_that_fails_counts_before_a_larger_deviation_that_chance_explains():
    mixed = compared([1.3, 2.2], quantum_error=np.array([0.5, 0.0]))
    assert mixed.verdicts.tolist() == ["undecided", "fails"]
    assert judge(mixed).text == "fails by +10 % at 1 deg"


def test_the_reason_of_a_failure_is_its_assumption_only_if_the_model_without_it_does_better():
    bad = compared([0.8, 2.0], assumption="thin", regime=["short", "long"])
    assert judge(bad, compared([0.99, 2.0])).text == "fails by -20 % at 0 deg: thin; without it -1 %"
    assert judge(bad, compared([0.91, 2.0])).text.endswith(": thin; without it -9 %")
    other = "fails by -20 % at 0 deg; not because of this: thin (without it "
    assert judge(bad, compared([0.85, 2.0])).text == other + "-15 %)"
    # Both could be the same by chance, unless their fluctuations are in common.
    unsure = compared([0.99, 2.0], found_error=np.array([0.1, 0.1]))
    assert judge(bad, unsure).text.startswith(other)
    left_out = np.random.default_rng(7).normal(0.0, 0.05, (20, 2))
    pair = (dataclasses.replace(c, left_out=c.found + left_out) for c in (bad, unsure))
    assert ": thin; without it" in judge(*pair).text
    # Without a better model the regime speaks, and of a model without a regime its assumption.
    assert judge(bad).text == "fails by -20 % at 0 deg: short"
    assert judge(compared([0.8, 2.0], assumption="thin")).text == "fails by -20 % at 0 deg: thin"


def test_the_reason_is_tested_on_the_reference_model_of_the_same_quantity():
    reference = compared([1.0, 2.0], model="reference")
    bad = compared([0.8, 2.0], assumption="thin")
    other = compared([0.8, 2.0], assumption="thin", quantity="torque")
    texts = [v.text for _, v in validation.judged([reference, bad, other], "reference")]
    assert texts[1].endswith(": thin; without it +0 %")
    assert texts[2].endswith(": thin")


def test_deviations_are_relative_to_the_scale_and_a_scale_of_zero_excuses_nothing():
    whole = {"scale": np.array([-1.0, 1.0]), "scale_name": "the whole"}
    small = compared([0.02, 0.0], quantum=[0.0, 0.0], **whole)
    np.testing.assert_array_equal(small.deviation, [0.02, 0.0])
    assert "of the whole" in judge(small).text
    assert judge(compared([0.0, 2.0], quantum=[0.0, 2.0])).kind == "holds"
    assert judge(compared([1e-9, 2.0], quantum=[0.0, 2.0])).kind == "fails"
    # Errors are compared as they are, not as infinite shares of nothing.
    almost = {"quantum": [0.0, 2.0], "quantum_error": np.array([1e-9, 0.0])}
    assert judge(compared([1e-9, 2.0], **almost)).kind == "undecided"
    assert "where there is none" in judge(compared([1e-3, 2.0], **almost)).text


def test_a_part_that_matters_has_to_be_right_to_a_quarter_of_itself():
    whole = {"scale": np.array([1.0]), "scale_name": "the whole"}
    # 2.8 % of the whole are 28 % of a part that is a tenth of it, and all of a part that is too small to matter.
    assert judge(compared([0.128], [0.1], **whole)).kind == "fails"
    assert judge(compared([0.122], [0.1], **whole)).kind == "holds"
    assert judge(compared([0.005], [0.025], **whole)).kind == "holds"


def test_a_part_of_the_wrong_sign_fails_though_it_is_small_against_the_whole():
    whole = {"scale": np.array([1.0, 1.0]), "scale_name": "the whole"}
    flipped = compared([0.01, 1.0], quantum=[-0.01, 1.0], **whole)
    assert judge(flipped).text == "fails by +2 % of the whole (+2e+02 % of itself) at 0 deg"
    assert judge(dataclasses.replace(flipped, found=np.array([-0.03, 1.0]))).kind == "holds"
    noisy = dataclasses.replace(flipped, difference_error=np.array([0.011, 0.001]))
    assert judge(noisy).kind == "holds"


def test_rounding_of_a_part_that_is_not_there_has_no_sign():
    whole = {"scale": np.array([1.0]), "scale_name": "the whole", "quantum_error": np.array([1e-18])}
    assert judge(compared([-1e-17], [2e-17], **whole)).kind == "holds"


def test_a_comparison_refuses_what_is_not_finite_or_empty():
    with pytest.raises(InputError, match="found is not finite"):
        compared([np.nan, 1.0])
    with pytest.raises(InputError, match="no point"):
        compared([], quantum=[])


def test_the_nearest_model_is_the_one_whose_numbers_agree_to_the_tolerance():
    own, near, far = compared([1.0, 2.0]), compared([1.02, 2.0], model="near"), compared([1.0, 2.05], model="far")
    assert validation.nearest(own, [far, near]) is near
    assert validation.nearest(own, [compared([1.04, 2.0])]) is None
    assert validation.nearest(own, [dataclasses.replace(near, quantity="torque")]) is None


# --- errors of samples ------------------------------------------------------------------------------------------


def test_the_error_of_a_mean_is_that_of_the_group_means():
    x = np.random.default_rng(1).normal(3.0, 1.0, 200)
    groups = np.array([x[n :: validation.GROUPS].mean() for n in range(validation.GROUPS)])
    found = validation.jackknife(np.mean, x)
    assert float(found.value) == pytest.approx(x.mean(), rel=ROUNDING)
    assert float(found.error) == pytest.approx(groups.std(ddof=1) / np.sqrt(len(groups)), rel=1e-10)
    one_each = validation.jackknife(np.mean, x, groups=200)
    assert float(one_each.error) == pytest.approx(x.std(ddof=1) / np.sqrt(200), rel=1e-10)


def test_the_error_of_a_ratio_of_correlated_means_is_that_of_the_propagation_of_errors():
    generator = np.random.default_rng(2)
    a = generator.normal(2.0, 0.3, 4000)
    b = 0.5 * a + generator.normal(3.0, 0.2, 4000)
    found = validation.jackknife(lambda x, y: np.mean(x) / np.mean(y), a, b, groups=400)
    ratio = a.mean() / b.mean()
    linear = (a - ratio * b) / b.mean()
    assert float(found.error) == pytest.approx(linear.std(ddof=1) / np.sqrt(4000), rel=0.1)


def test_what_two_samples_have_in_common_cancels_in_their_difference():
    x = np.random.default_rng(3).normal(1.0, 0.5, 100)
    one, other = (validation.jackknife(lambda y, a=a: a + np.mean(y, keepdims=True), x) for a in (0.0, 2.0))
    difference = other.minus(one)
    np.testing.assert_allclose(difference.value, 2.0, rtol=ROUNDING)
    assert difference.error[0] < ROUNDING < one.error[0]
    part = validation.jackknife(lambda y: np.array([np.mean(y), 2.0]), x)[0]
    assert float(part.error) == pytest.approx(one.error[0], rel=1e-10)


def test_fewer_configurations_than_groups_are_refused():
    with pytest.raises(InputError, match="19 configurations"):
        validation.jackknife(np.mean, np.ones(30), np.ones(19))


def test_every_configuration_has_its_own_shift_of_one_mesh():
    first, again, other = (shifted_momenta(3, 5, configuration).points for configuration in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_allclose(first - first[0], shifted_momenta(3, 6, 4).points - shifted_momenta(3, 6, 4).points[0])


# --- models against closed forms ----------------------------------------------------------------------------------


def spinor_circuit(fixed, free, resistance, angle, corrected):
    """`QUANTITIES` by 2 x 2 current matrices in both nodes, contacts taken off by hand.

    A. Brataas, Yu. V. Nazarov, G. E. W. Bauer, Phys. Rev. Lett. 84, 2481 (2000) (from memory).
    """

    def loses(m, up, down, mixing):
        """f -> G_up u f u + G_dn d f d + g u f d + g* d f u, as a 4 x 4 matrix of the elements of f."""
        u, d = (0.5 * (np.eye(2) + s * np.tensordot(m, PAULI[1:], axes=1)) for s in (1, -1))
        pairs = ((up, u, u), (down, d, d), (mixing, u, d), (np.conj(mixing), d, u))
        return sum(g * np.kron(a, b.T) for g, a, b in pairs)

    def slab(p, mixing, transmitted, sharvin):
        half = 0.5 / sharvin if corrected else 0.0
        G = [PER_AREA / (1 / x - half) for x in (p.conductance_up, p.conductance_down)]
        return G, PER_AREA * mixing / (1 - half * mixing), PER_AREA * transmitted / (1 - half * mixing)

    p, m = direction_at(0.0, (0, 0, 1)), direction_at(angle, (0, 0, 1))
    G1, g1, t1 = slab(fixed, fixed.mixing_conductance_opposite, fixed.mixing_transmitted_back, fixed.sharvin_right[0])
    G2, g2, t2 = slab(free, free.mixing_conductance, free.mixing_transmitted, free.sharvin_left[0])
    between = np.eye(4) / (2 * resistance)
    first, second = loses(p, *G1, g1), loses(m, *G2, g2)
    matrix = np.block([[first + between, -between], [-between, second + between]])
    driven = loses(p, *G1, 0) @ np.eye(2).ravel()
    f = np.linalg.solve(matrix, np.concatenate([driven, np.zeros(4)])).reshape(2, 4)
    found = [np.trace(((f[0] - f[1]) / (2 * resistance)).reshape(2, 2)).real]
    for own, other, g, t, node in ((m, p, g2, t2, f[1]), (p, m, g1, t1, f[0])):
        lost = (loses(own, 0, 0, g - t) @ node).reshape(2, 2)
        torque = np.einsum("aij,ji->a", PAULI[1:], lost).real
        axes = (np.cross(own, np.cross(other, own)), np.cross(own, other))
        found += [torque @ axis / (axis @ axis) for axis in axes]
    return np.array(found)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("angle", [0.6, 1.9])
def test_the_valve_is_that_of_current_matrices_with_the_contacts_of_the_spacers_side_taken_off(angle, corrected):
    # Every conductance differs, complex ones too: a flipped side, sign or conjugate shows.
    spacer = Layer(thickness=2e-9, rho_star=RHO)
    found = predictions(valve(FIXED, FREE, spacer, sharvin_corrected=corrected), [angle])[:, 0]
    expected = spinor_circuit(FIXED, FREE, RHO * 2e-9, angle, corrected)
    np.testing.assert_allclose(found, expected, rtol=LIMIT, atol=ROUNDING * PER_AREA)


def test_the_valve_of_equal_magnets_is_the_closed_form_of_circuit_theory():
    # Only what faces the spacer counts, and it is the same for both.
    equal = dataclasses.replace(
        FIXED, mixing_conductance_opposite=FIXED.mixing_conductance, mixing_transmitted=0j, mixing_transmitted_back=0j
    )
    P, total = equal.polarization, (equal.conductance_up + equal.conductance_down) * PER_AREA
    eta = 2 * equal.mixing_conductance / (equal.conductance_up + equal.conductance_down)
    square = np.tan(ANGLE[1:3] / 2) ** 2
    expected = 0.5 * total * (1 - P**2 * square / (square + abs(eta) ** 2 / eta.real))
    thin = Layer(thickness=1e-9, rho_star=1e-13)
    found = predictions(valve(equal, equal, thin, sharvin_corrected=False), ANGLE[1:3])
    np.testing.assert_allclose(found[0], expected, rtol=THIN)
    # Seen from the other side the current is the opposite one, and so are both torques.
    np.testing.assert_allclose(found[3:], -found[1:3], rtol=0, atol=LIMIT * abs(found).max())
    assert np.all(found[1] > 0)


def test_the_resistance_of_a_spacer_is_what_is_left_without_its_contacts_and_gives_its_mean_free_path():
    slab = normal(0.2)
    both_spins = (1 / 0.2 - 1 / 0.5) / 2 / PER_AREA
    assert spacer_resistance(slab) == pytest.approx(both_spins, rel=ROUNDING, abs=0)
    # G = G_Sharvin/(1 + t/l), both spins in parallel.
    l = mean_free_path(both_spins, 3e-9, 1.0, 0.09)
    assert l == pytest.approx(3e-9 / (0.5 / 0.2 - 1), rel=ROUNDING, abs=0)


def test_spacers_of_one_resistivity_lie_on_one_line_through_zero():
    spacers = {t: [spacer_of(t)] * count for t, count in ((1e-9, 20), (3e-9, 40))}
    line = validation.resistance_of_spacers(spacers)
    np.testing.assert_allclose(line["resistance"], RHO * line["thickness"].values, rtol=1e-10)
    assert float(line["resistivity"]) == pytest.approx(RHO, rel=1e-10, abs=0)
    assert float(line["resistivity_error"]) < 1e-10 * RHO


@pytest.mark.parametrize(("name", "contact"), [(CIRCUIT, 0.0), (UNCORRECTED, 1.0)])
def test_one_magnet_behind_a_metal_adds_its_resistance_to_each_conductance_and_keeps_the_sign_of_its_phase(
    name, contact
):
    rows, spacer = [FREE] * 20, [spacer_of(2e-9)] * 20
    # The feeding half of a contact makes up for the one taken off; without correction it is counted twice.
    further = 2 * RHO * 2e-9 + contact / (2 * 0.5 * PER_AREA)
    up, down, g = (
        1 / (1 / (PER_AREA * x) + further)
        for x in (FREE.conductance_up, FREE.conductance_down, FREE.mixing_conductance)
    )
    expected = [up + down, (up - down) / (up + down), g.real, g.imag]
    found = [c for c in validation.single_magnet_comparisons(rows, rows, spacer, 1.0) if c.model == name]
    np.testing.assert_allclose([c.found[0] for c in found], expected, rtol=1e-9)
    measured = [FREE.mixing_conductance.real * PER_AREA, FREE.mixing_conductance.imag * PER_AREA]
    np.testing.assert_allclose([c.quantum[0] for c in found[2:]], measured, rtol=ROUNDING)


# --- synthetic samples: models and a user's table ------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic():
    """A valve that is the corrected model but for fluctuations, of the spacer too: (samples, models)."""
    generator = np.random.default_rng(4)
    thickness = 2e-9
    spacer = [spacer_of(thickness * (1 + NOISE * x)) for x in generator.normal(size=20)]
    parts = validation.Parts(fixed=[FIXED] * 20, free=[FREE] * 20)
    twice = [spacer_of(2 * thickness)] * 40
    models = validation.angular_models(parts, {thickness: spacer, 2 * thickness: twice}, spacer, thickness, ANGLE)
    rows = models[CIRCUIT].value[: len(QUANTITIES)] * (1 + NOISE / 2 * generator.normal(size=(20, 1, 1)))
    names = zip(QUANTITIES, np.moveaxis(rows, 1, 0), strict=True)
    return xr.Dataset({name: (("configuration", "angle"), x) for name, x in names}), models


def test_the_models_differ_as_they_should(synthetic):
    samples, models = synthetic
    # Its resistivity is that of the thicker spacer, which does not fluctuate.
    np.testing.assert_allclose(models[DIFFUSION].value, models[CIRCUIT].value, rtol=NOISE, atol=NOISE)
    assert np.all(models[DIFFUSION].error[0] < ROUNDING * models[CIRCUIT].value[0])
    quiet = validation.angular_models(
        validation.Parts(fixed=[FIXED] * 20, free=[FREE] * 20), {2e-9: [spacer_of(2e-9)] * 20, 5e-9: [spacer_of(5e-9)]
        * 20}, [spacer_of(2e-9)] * 20, 2e-9, ANGLE[1:2],
    )  # fmt: skip
    np.testing.assert_allclose(quiet[DIFFUSION].value, quiet[CIRCUIT].value, rtol=1e-9)
    np.testing.assert_allclose(models[THICK].value[0, [0, 3]], models[CIRCUIT].value[0, [0, 3]], rtol=1e-9)
    assert np.all(models[UNCORRECTED].value[0] < 0.9 * models[CIRCUIT].value[0])
    thick = spinor_circuit(
        dataclasses.replace(FIXED, mixing_transmitted_back=0j), dataclasses.replace(FREE, mixing_transmitted=0j),
        RHO * 2e-9, ANGLE[1], True,
    )  # fmt: skip
    np.testing.assert_allclose(models[THICK].value[: len(QUANTITIES), 1], thick, rtol=NOISE)
    R = 1 / models[CIRCUIT].value[0]
    np.testing.assert_allclose(models[CIRCUIT].value[-1], R / R[0] - 1, atol=ROUNDING)
    judged = validation.judged(validation.angular_comparisons(samples, models, ANGLE, 2.0), CIRCUIT)
    verdicts = {(c.quantity, c.model): v for c, v in judged}
    assert verdicts["conductance", CIRCUIT].kind == "holds"
    for quantity, model, assumption in (
        ("conductance", UNCORRECTED, "no Sharvin correction"), ("damping-like torque, free", THICK, "thin magnet")
    ):  # fmt: skip
        assert re.search(rf"fails by .*: {assumption}[^;]*; without it ", verdicts[quantity, model].text)
    # A field-like torque is judged as a part of the whole torque.
    (field,) = [c for c, _ in judged if (c.quantity, c.model) == ("field-like torque, free", CIRCUIT)]
    measured = [samples[name].mean("configuration").values for name in ("damping_like", "field_like")]
    np.testing.assert_allclose(field.scale, np.hypot(*measured), rtol=1e-10)
    assert field.scale_name == "the whole torque"


def table_of(path, conductance, coefficient):
    """A user's CSV file, angles in descending order."""
    rows = [
        ",".join(repr(float(x)) for x in (np.rad2deg(a), G, c * np.sin(a), c * np.sin(a) / G))
        for a, G, c in zip(ANGLE, conductance, coefficient, strict=True)
    ]
    path.write_text("# mine\nangle,conductance,torque,torque_efficiency\n" + "\n".join(rows[::-1]) + "\n")
    return validation.read_user_table(path)


def test_a_table_of_quantum_values_holds_and_one_of_the_uncorrected_model_is_told_so(synthetic, tmp_path):
    samples, models = synthetic
    quantum = [samples[name].mean("configuration").values for name in QUANTITIES[:2]]
    table = table_of(tmp_path / "right.csv", *quantum)
    np.testing.assert_allclose(table.angle, ANGLE, rtol=ROUNDING)
    right = validation.user_comparisons(table, samples, models, ANGLE)
    assert [c.quantity for c, *_ in right] == ["conductance", "damping-like torque", "damping-like torque per current"]
    assert not any(v.kind == "fails" for _, v, _ in right)
    assert right[0][1].text.startswith("holds: ")
    # Collinear magnets have no torque to be judged.
    assert [c.at.size for c, *_ in right] == [4, 2, 2]
    np.testing.assert_allclose(right[1][0].quantum, (quantum[1] * np.sin(ANGLE))[1:3], rtol=1e-10)
    wrong = validation.user_comparisons(
        table_of(tmp_path / "wrong.csv", *models[UNCORRECTED].value[:2]), samples, models, ANGLE
    )
    for _, verdict, _ in wrong[:2]:
        assert verdict.kind == "fails"
        assert f"; these are the numbers of {UNCORRECTED}: no Sharvin correction" in verdict.text
    nobody = validation.user_comparisons(
        table_of(tmp_path / "nobody.csv", 3 * quantum[0], 3 * quantum[1]), samples, models, ANGLE
    )
    assert nobody[0][1].text.endswith("near none of the models of this report")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no numbers"),
        ("angle,conductance\n", "no numbers"),
        ("angle,conductance,spin\n0,1,2\n", "'spin' is unknown"),
        ("conductance\n1\n", "give 'angle'"),
        ("angle\n1\n", "give 'angle'"),
        ("angle,conductance,conductance\n0,1,1\n", "once each"),
        ("angle,conductance\n0,one\n", "'one' in line 1"),
        ("angle,conductance\n0,1\n90,inf\n", "'inf' in line 2"),
        ("angle,conductance\n0,1,2\n", "3 cells"),
        ("angle,conductance\n0,1\n0,2\n", "each once"),
        ("angle,conductance\n190,1\n", "0 to 180"),
        ("angle,conductance\n-1,1\n", "0 to 180"),
        ("angle,torque\n0,1\n180,1\n", "0 and 180"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(tmp_path, text, word):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(word)) as refused:
        validation.read_user_table(tmp_path / "x.csv")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_absent_or_no_text_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long.csv").write_text('angle,conductance\n0,"' + "1" * 200000 + '"\n')
    for name in ("absent.csv", "x.csv", "long.csv", "."):
        with pytest.raises(InputError, match="cannot be read"):
            validation.read_user_table(tmp_path / name)


# --- the report -----------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """What a page refers to, its tags and its text."""

    def __init__(self, text):
        super().__init__()
        self.references, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def alone(page):
    """Whether a page needs no other file."""
    inside = all(reference.startswith("data:") for reference in page.references)
    return inside and not {"script", "link", "iframe"} & {*page.tags}


def test_the_report_stands_alone_and_escapes_what_it_is_given():
    evil = "<script>alert(1)</script> & 'x'"
    comparison = compared([0.8, 2.0], model=evil, quantity=evil, assumption=evil)
    section = Section(
        title=evil, text=evil, comparisons=[(comparison, judge(comparison))], pictures=[(evil, b"\x89PNG")],
        tables=[validation.Table(caption=evil, header=[evil], rows=[[evil]])],
    )  # fmt: skip
    page = Page(validation.as_html(evil, [section], evil))
    assert alone(page)
    assert len(page.references) == 1
    # Title of the page twice, of the section, text, quantity, model, verdict, caption of figure and table, two cells,
    # provenance.
    assert page.text.count(evil) == 12


def test_the_csv_holds_every_number_in_full():
    generator = np.random.default_rng(5)
    quantum, found, at = (generator.normal(size=7) for _ in range(3))
    errors = {"quantum_error": abs(generator.normal(size=7)) / 50, "found_error": np.full(7, 1 / 3)}
    comparison = compared(found, quantum, at=at, model='a, "b"', **errors)
    text = validation.as_csv([Section(title="One, two", text="", comparisons=[(comparison, judge(comparison))])])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 7
    assert {(row["section"], row["model"]) for row in rows} == {("One, two", 'a, "b"')}
    for name in ("at", "quantum", "quantum_error", "found", "found_error", "deviation", "deviation_error"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], getattr(comparison, name))
    assert [row["verdict"] for row in rows] == comparison.verdicts.tolist()
    assert len({*comparison.verdicts}) > 1


# --- a specular spacer ------------------------------------------------------------------------------------------


def clean(spacer_layers):
    """The valve with a clean spacer; its step is N 2.5, up 1.5, down 4.0 eV."""
    return command_line.load_system(ROOT / "systems" / "specular_spin_valve.py", [f"spacer_layers={spacer_layers}"])


@pytest.fixture(scope="module")
def amplitudes():
    """Reflection amplitudes of some interfaces, up and down, and one that is closed for both."""
    generator = np.random.default_rng(6)
    size, phase = generator.uniform(0.2, 0.9, (2, 5)), generator.uniform(0, 2 * np.pi, (2, 5))
    return np.concatenate([size * np.exp(1j * phase), np.ones((2, 1))], axis=1)


def test_the_mean_over_the_phase_is_resistors_in_series_for_collinear_magnets(amplitudes):
    up, down = amplitudes
    T_up, T_down = (1 - abs(r) ** 2 for r in amplitudes)
    with np.errstate(divide="ignore"):
        parallel, antiparallel = (
            1 / (1 / T[0] + 1 / T[1] - 1) + 1 / (1 / T[2] + 1 / T[3] - 1)
            for T in ((T_up, T_up, T_down, T_down), (T_up, T_down, T_down, T_up))
        )
    np.testing.assert_allclose(incoherent_response(up, down, 0.0)[0], parallel, atol=ROUNDING)
    np.testing.assert_allclose(incoherent_response(up, down, np.pi)[0], antiparallel, atol=ROUNDING)
    np.testing.assert_allclose(2 * incoherent_transmission(T_up, T_down), antiparallel, atol=ROUNDING)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.2, np.pi])
def test_the_mean_over_the_phase_is_that_of_concatenated_amplitudes(amplitudes, angle):
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    turn = np.array([[c, -s], [s, c]])
    left = np.zeros((6, 2, 2), dtype=complex)
    left[:, 0, 0], left[:, 1, 1] = amplitudes
    right = turn @ left @ turn.T
    phases = np.exp(2j * np.pi * (np.arange(1024)[:, None, None, None] + 0.5) / 1024)
    # Spinors that bounce to and fro, one phase at a time, and then intensities of their sum.
    to_and_fro = np.linalg.inv(np.eye(2) - phases * (left @ right)[:5])
    rho = np.mean(to_and_fro @ (np.eye(2) - left @ left.conj().swapaxes(1, 2))[:5]
                  @ to_and_fro.conj().swapaxes(-1, -2), axis=0)  # fmt: skip
    j = rho - right[:5] @ rho @ right[:5].conj().swapaxes(1, 2)
    G, spin = incoherent_response(*amplitudes, angle)
    np.testing.assert_allclose(G[:5], np.trace(j, axis1=1, axis2=2).real, atol=PHASES)
    np.testing.assert_allclose(spin[:5], np.einsum("aij,kji->ka", PAULI[1:], j).real, atol=PHASES)
    assert (G[5], *spin[5]) == pytest.approx((0, 0, 0, 0), abs=ROUNDING)


@pytest.mark.slow
def test_quantum_transport_averaged_over_the_thickness_is_the_incoherent_sum_at_every_momentum():
    # The first momentum is closed for the minority.
    k = qt.kpoints([[0.4, 1.6], [0.9, 1.1], [0.3, 0.8]])
    s = qt.solve(clean(0), kmesh=k)
    up, down = reflections(s)
    T = [1 - abs(r) ** 2 for r in (up, down)]
    angle = [np.deg2rad(70)]
    mean = mean_over_thickness(clean, kset=k, layers=range(1, 51), angle=angle, energy=0.0, run=validation.Run())
    assert T[0].min() > 0.1
    assert (T[1] > 0.1).tolist() == [False, True, True]
    np.testing.assert_allclose(mean.transmission, incoherent_transmission(*T), atol=FINITE_THICKNESS)
    incoherent = incoherent_quantities(up, down, k.weights, angle, s.area)
    np.testing.assert_allclose(mean.quantities, incoherent, rtol=2 * FINITE_THICKNESS)


def test_the_reference_step_gives_the_printed_sums_over_momenta():
    s = qt.solve(clean(0), kmesh=qt.kmesh(200, symmetry="square"))
    summed, circuit = antiparallel_sums(s)
    assert summed == pytest.approx(0.097976, abs=PRINTED)
    assert circuit == pytest.approx(0.130400, abs=PRINTED)
    with pytest.raises(InputError, match="one normal band"):
        reflections(qt.solve(clean(2), kmesh=qt.kmesh(2)))


# --- the driver, and the physics of what it finds -----------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run of the driver that is stopped twice and goes on: (exit codes, folder, rows of the CSV)."""
    folder = tmp_path_factory.mktemp("validation")
    (folder / "mine.csv").write_text("angle,conductance,torque\n0,1e15,0\n90,8e14,1e14\n")
    arguments = [*DRIVER_OPTIONS, "--table", str(folder / "mine.csv"), "-o", str(folder / "out" / "x")]
    script = ROOT / "drivers" / "validate_diffusion.py"
    codes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.syspath_prepend(ROOT / "drivers")
        for stop in (["--max-seconds", "1e-3"], ["--max-seconds", "0.3"], []):
            patch.setattr(sys, "argv", [str(script), *arguments, *stop])
            try:
                runpy.run_path(str(script), run_name="__main__")
                codes.append(0)
            except SystemExit as end:
                codes.append(end.code)
    with open(folder / "out" / "x_validation.csv", newline="") as file:
        return codes, folder / "out", list(csv.DictReader(file))


def test_the_driver_stops_and_goes_on_and_writes_one_page_with_every_section(report):
    codes, folder, rows = report
    assert codes == [75, 75, 0]
    pictures = {f"x_validation_{x}.png" for x in ("angles", "thickness", "disorder", "magnet", "phase", "spacer")}
    files = {"x_validation.html", "x_validation.csv", "x_validation.nc", "x_validation_specular.png"}
    assert {path.name for path in folder.iterdir()} == files | pictures | {"x_fixed.nc", "x_free.nc"}
    page = Page((folder / "x_validation.html").read_text())
    assert alone(page)
    # Seven figures in files, and one of the user's table.
    assert page.tags.count("img") == 8
    sections = list(dict.fromkeys(row["section"] for row in rows))
    assert len(sections) == 7
    assert sections[-1] == "Your table mine.csv"
    for section in sections:
        assert section in page.text
    assert "Provenance" in page.text
    assert {row["model"] for row in rows} == {CIRCUIT, UNCORRECTED, THICK, DIFFUSION, PER_MOMENTUM, "mine.csv"}
    # A table of invented numbers fails.
    assert {row["verdict"] for row in rows if row["model"] == "mine.csv"} == {"fails"}


def test_what_the_driver_samples_is_what_the_functions_sample(report):
    _, folder, _ = report
    d = store.load_dataset(folder / "x_validation.nc")
    assert all("units" in v.attrs and v.attrs["long_name"] for v in d.data_vars.values())

    def build(**changed):
        texts = [f"{name}={value!r}" for name, value in ({"n": 3, "m": 3} | changed).items()]
        return command_line.load_system(ROOT / "systems" / "disordered_spin_valve.py", texts)

    sampling = validation.Sampling(configurations=2, momenta=1, seed=1)
    found = validation.sample_valve(build, d["angle"].values, sampling, validation.Run())
    for name in QUANTITIES:
        np.testing.assert_array_equal(d[name][:2], found[name])
    free = qt.InterfaceParameters.load(folder / "x_free.nc")
    assert free.attributes["configurations"] == 20
    # Parts of a configuration are the samples that they are in its valve.
    alone = validation.sample_magnet(build, "free", sampling, validation.Run())
    mean = mean_parameters(alone)
    assert mean.conductance_up == pytest.approx(np.mean([p.conductance_up for p in alone]), rel=ROUNDING)
    assert mean.sharvin_left == pytest.approx(np.mean([p.sharvin_left for p in alone], axis=0).tolist(), rel=ROUNDING)
    magnet = build(configuration=1, spacer_layers=0, fixed_layers=0).layers
    same = zip(magnet, build(configuration=1).layers[-len(magnet) :], strict=True)
    assert all(np.array_equal(one.material.onsite, other.material.onsite) for one, other in same)


def values(rows, section, model, quantity):
    found = [r for r in rows if r["section"].startswith(section) and (r["model"], r["quantity"]) == (model, quantity)]
    assert found
    names = ("quantum", "quantum_error", "found", "found_error", "deviation", "deviation_error")
    return {name: np.array([float(row[name]) for row in found]) for name in names}


def test_circuit_theory_of_a_disordered_valve_needs_the_sharvin_correction(report):
    rows = report[2]
    for section in ("Disordered valve", "Thickness"):
        right, wrong = (values(rows, section, model, "conductance") for model in (CIRCUIT, UNCORRECTED))
        assert np.all((abs(right["deviation"]) < 0.03) | (abs(right["deviation"]) < 2 * right["deviation_error"]))
        assert np.all(wrong["deviation"] + 2 * wrong["deviation_error"] < -0.10)
    # What disorder does to the valve it does to its parts: the difference is known better than both alone.
    apart = np.hypot(right["quantum_error"], right["found_error"]) / right["quantum"]
    assert np.all(right["deviation_error"] < apart)
    right, wrong = (values(rows, "Disordered", m, "damping-like torque, free") for m in (CIRCUIT, UNCORRECTED))
    assert np.all(abs(right["deviation"]) < 2 * right["deviation_error"])
    assert np.all(right["quantum"] > 0)
    assert np.all(wrong["deviation"] < -0.2)


def test_the_phase_of_the_mixing_conductance_comes_out_with_its_sign(report):
    found = values(report[2], "One magnet with a large Im", CIRCUIT, "Im g_mix, field-like")
    # Relative to |g_mix|: the other sign would be off by twice a fifth.
    assert found["quantum"][0] < 0 > found["found"][0]
    assert abs(found["deviation"][0]) < 0.15
    real = values(report[2], "One magnet with a large Im", CIRCUIT, "Re g_mix, damping-like")
    assert -found["quantum"][0] / real["quantum"][0] > 0.15
