"""Spin diffusion in time: relaxation, Gaussian spreading, steady profiles, Hanle precession, conservation."""

import dataclasses
import math

import numpy as np
import pytest

from qtorque import InputError
from qtorque.diffusion.spin_diffusion import (
    DiffusiveLayer,
    einstein_diffusion_constant,
    hanle_signal,
    spin_accumulation_versus_time,
    spin_diffusion_length,
    spin_relaxation_time,
    steady_spin_accumulation,
)
from qtorque.units import ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO

COPPER = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8, spin_relaxation_time=1e-11)
PLATINUM = DiffusiveLayer(thickness=8e-9, diffusion_constant=5e-4, resistivity=2e-7, spin_relaxation_time=2e-14)
ROUNDING = 1e-10
"""Modes of 100 to 800 cells: the fastest is 1e6 times as fast as the slowest."""
SECOND_ORDER = 2e-3
"""Cells of 1/20 to 1/100 of the length over which a profile changes, squared."""


def test_a_uniform_accumulation_decays_with_the_relaxation_time():
    d = spin_accumulation_versus_time([COPPER], time=[0.0, 5e-12, 3e-11], initial=lambda z: (1e-6, 0, -2e-6))
    expected = np.exp([0, -0.5, -3])[:, None] * np.array([1e-6, 0, -2e-6])
    np.testing.assert_allclose(d["spin_accumulation"][:, 37], expected, atol=ROUNDING * 1e-6)


def test_spins_precess_about_the_field_as_gamma_b_cross_s():
    omega = GYROMAGNETIC_RATIO * 0.2
    t = np.array([0.0, 0.25, 0.6]) * 2 * math.pi / omega
    layer = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8)
    d = spin_accumulation_versus_time([layer], time=t, initial=lambda z: (1e-6, 0, 0), field=(0, 0, 0.2), cells=4)
    # A quarter of a turn takes x to y: omega x s with omega along z.
    expected = np.stack([np.cos(omega * t), np.sin(omega * t), 0 * t], axis=1)
    np.testing.assert_allclose(d["spin_accumulation"][:, 0] / 1e-6, expected, atol=ROUNDING)
    oblique = np.array([0.1, -0.2, 0.05])
    step = 1e-14
    d = spin_accumulation_versus_time([layer], time=[0, step], initial=lambda z: (0, 0, 1e-6), field=oblique, cells=4)
    rate = np.diff(d["spin_accumulation"][:, 0], axis=0)[0] / step
    np.testing.assert_allclose(rate, GYROMAGNETIC_RATIO * np.cross(oblique, [0, 0, 1e-6]), atol=1e-2 * abs(rate).max())


def test_a_packet_spreads_as_a_gaussian():
    D, width = 0.01, 5e-8
    layer = DiffusiveLayer(thickness=1e-6, diffusion_constant=D, resistivity=2e-8)

    def packet(z, variance):
        return np.exp(-((z - 5e-7) ** 2) / (2 * variance)) / np.sqrt(variance / width**2)

    t = 2e-13
    d = spin_accumulation_versus_time(
        [layer], time=[0, t], initial=lambda z: np.outer(packet(z, width**2), (0, 0, 1e-6)), cells=400
    )
    expected = 1e-6 * packet(d["z"].values, width**2 + 2 * D * t)
    found = d["spin_accumulation"].sel(component="z")[-1]
    np.testing.assert_allclose(found, expected, atol=SECOND_ORDER * expected.max())
    spread = float((found * (d["z"] - 5e-7) ** 2).sum() / found.sum())
    # Of the discrete operator the variance grows by exactly 2 D t while the walls are far.
    np.testing.assert_allclose(spread, width**2 + 2 * D * t, rtol=1e-6)


def steady_two_layers(z, current):
    """Injection at z = 0 into copper, platinum behind it, a closed end: amplitudes of exponentials."""
    d1, d2 = COPPER.thickness, PLATINUM.thickness
    l1, l2 = COPPER.spin_diffusion_length, PLATINUM.spin_diffusion_length
    G1, G2 = 1 / (2 * COPPER.resistivity * l1), 1 / (2 * PLATINUM.resistivity * l2)
    load = G2 * math.tanh(d2 / l2)
    c, s = math.cosh(d1 / l1), math.sinh(d1 / l1)
    # mu = a cosh(z/l1) - (j/G1) sinh(z/l1)
    a = current / G1 * (G1 * c + load * s) / (G1 * s + load * c)
    joint = a * c - current / G1 * s
    before = a * np.cosh(z / l1) - current / G1 * np.sinh(z / l1)
    return np.where(z < d1, before, joint * np.cosh((d1 + d2 - z) / l2) / np.cosh(d2 / l2))


def test_the_steady_state_is_the_piecewise_exponential_one_to_second_order_in_the_cell():
    errors = []
    for cells in (40, 80, 160):
        d = steady_spin_accumulation([COPPER, PLATINUM], left_current=(0, 3e9, 0), cells=cells)
        expected = steady_two_layers(d["z"].values, 3e9)
        errors.append(np.abs(d["spin_accumulation"].sel(component="y") - expected).max() / expected.max())
    assert errors[2] < SECOND_ORDER
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1, abs=0)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1, abs=0)


def test_what_is_injected_for_long_ends_in_the_steady_state_with_any_ends_and_field():
    arguments = {
        "left_current": (1e9, 0, 2e9), "right_current": (0, -1e9, 0), "field": (0.3, 0, -0.1), "cells": 30,
        "left_conductance": 2e13, "right_conductance": 1e15,
        "source": lambda z: np.outer(np.exp(-z / 2e-7), (0, 1e15, 0)),
    }  # fmt: skip
    late = spin_accumulation_versus_time([COPPER, PLATINUM], time=[0, 1e-11, 1e-9], **arguments)
    late, steady = late["spin_accumulation"][-1], steady_spin_accumulation([COPPER, PLATINUM], **arguments)
    steady = steady["spin_accumulation"]
    np.testing.assert_allclose(late, steady, atol=ROUNDING * np.abs(steady).max())


@pytest.mark.parametrize("conductance", [1e6, 1e3, 10.0])
def test_a_weak_sink_draws_all_that_is_injected_where_nothing_relaxes(conductance):
    layer = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8)
    for injected in ("left", "right"):
        d = steady_spin_accumulation(
            [layer], cells=800, right_conductance=conductance, **{f"{injected}_current": (0, 1e9, -2e9)}
        )
        drawn = conductance * d["spin_accumulation"][-1]
        # Half a cell, of 2 rho times its thickness, is between the last centre and the sink.
        np.testing.assert_allclose(drawn, [0, 1e9, -2e9], rtol=2 * conductance * 2e-8 * 1e-6, atol=1e-3)


@pytest.mark.parametrize("conductance", [1e6, 10.0])
def test_a_weak_sink_and_a_field_lose_what_is_injected_and_turn_the_rest(conductance):
    # So weak a sink and so small a field leave mu_s uniform: C gamma B x mu_s = G mu_s - j.
    layer = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8)
    capacity = layer.thickness / (2 * layer.resistivity * layer.diffusion_constant)
    B = np.array([0.3, -0.5, 0.8]) * conductance / (capacity * GYROMAGNETIC_RATIO)
    d = steady_spin_accumulation([layer], left_current=(0, 1e9, 2e9), right_conductance=conductance, field=B, cells=200)
    wB = capacity * GYROMAGNETIC_RATIO * B
    cross = np.array([[0, -wB[2], wB[1]], [wB[2], 0, -wB[0]], [-wB[1], wB[0], 0]])
    expected = np.linalg.solve(conductance * np.eye(3) - cross, [0, 1e9, 2e9])
    np.testing.assert_allclose(d["spin_accumulation"][100], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("relaxation_time", [1e-9, 1e-3])
def test_a_thin_layer_that_relaxes_slowly_takes_what_a_layer_without_relaxation_gets(relaxation_time):
    pure = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8)
    leaky = dataclasses.replace(pure, thickness=1e-9, spin_relaxation_time=relaxation_time)
    l = leaky.spin_diffusion_length
    d = steady_spin_accumulation([pure, leaky], left_current=(0, 0, 1e9))
    expected = 1e9 * 2 * leaky.resistivity * l / math.tanh(leaky.thickness / l)
    np.testing.assert_allclose(d["spin_accumulation"][-1, 2], expected, rtol=1e-7)


def test_spins_leave_through_a_weak_sink_as_slowly_as_it_lets_them():
    layer = DiffusiveLayer(thickness=1e-6, diffusion_constant=0.01, resistivity=2e-8)
    capacity = layer.thickness / (2 * layer.resistivity * layer.diffusion_constant)
    t = np.array([0, 1.0]) * capacity / 10.0
    d = spin_accumulation_versus_time(
        [layer], time=t, initial=lambda z: (0, 0, 1e-6), right_conductance=10.0, cells=200
    )
    np.testing.assert_allclose(d["spin"][1], np.exp(-1) * d["spin"][0], rtol=1e-9)


@pytest.mark.parametrize("duration", [1.0, 1e3])
@pytest.mark.parametrize("layers", [[PLATINUM], [COPPER, PLATINUM]])
def test_very_long_times_end_in_the_steady_state(layers, duration):
    late = spin_accumulation_versus_time(layers, time=[0, duration], left_current=(0, 0, 1e9))["spin_accumulation"][-1]
    steady = steady_spin_accumulation(layers, left_current=(0, 0, 1e9))["spin_accumulation"]
    np.testing.assert_allclose(late, steady, atol=ROUNDING * float(np.abs(steady).max()))


def test_spin_is_the_accumulation_times_sigma_over_2D_and_outflows_belong_to_their_ends():
    sinks = {"left_conductance": 3e13, "right_conductance": 1e14}
    d = spin_accumulation_versus_time(
        [COPPER], time=[0, 1e-12], initial=lambda z: np.outer(1 - z / 2e-6, (0, 0, 1e-6)), cells=50,
        left_current=(2e9, 0, 0), right_current=(0, 5e8, 0), **sinks,
    )  # fmt: skip
    # e times n_up - n_dn, the mean of the profile being 3/4; sigma/2D = e^2 nu/2.
    spin = 1e-6 / (2 * COPPER.resistivity * COPPER.diffusion_constant) * 0.75e-6
    np.testing.assert_allclose(d["spin"][0], [0, 0, spin], rtol=ROUNDING)
    # Half a cell, of 2 rho times its thickness, in series with the sink; what is injected comes in between.
    half = COPPER.resistivity * 1e-6 / 50
    for side, end, current in (("left", 0, np.array([2e9, 0, 0])), ("right", -1, np.array([0, 5e8, 0]))):
        mu, G = d["spin_accumulation"][:, end], sinks[f"{side}_conductance"]
        at_the_end = (mu + half * current) / (1 + half * G)
        np.testing.assert_allclose(d[f"{side}_outflow"], G * at_the_end, rtol=1e-9)


def test_perfect_and_leaky_sinks_draw_the_steady_current_of_the_closed_form():
    layer = DiffusiveLayer(thickness=3e-7, diffusion_constant=0.01, resistivity=2e-8, spin_relaxation_time=1e-11)
    l = layer.spin_diffusion_length
    G = 1 / (2 * layer.resistivity * l)
    x = layer.thickness / l
    for conductance in (math.inf, 3e13):
        d = spin_accumulation_versus_time(
            [layer], time=[0, 1e-9], left_current=(0, 0, 1e9), right_conductance=conductance, cells=200
        )
        passing = 1 / (math.cosh(x) + G / conductance * math.sinh(x))
        np.testing.assert_allclose(d["right_outflow"][-1, 2], 1e9 * passing, rtol=1e-4)
        np.testing.assert_array_equal(d["left_outflow"], 0)


def test_without_relaxation_and_sinks_spin_is_conserved_and_grows_by_what_is_injected():
    layers = [
        DiffusiveLayer(thickness=4e-7, diffusion_constant=0.01, resistivity=2e-8),
        DiffusiveLayer(thickness=1e-7, diffusion_constant=0.002, resistivity=3e-7),
    ]
    t = np.array([0.0, 1e-12, 2.5e-12, 1e-10])
    wave = lambda z: np.outer(np.sin(2e7 * z), (1e-6, 0, 2e-6))  # noqa: E731
    start = spin_accumulation_versus_time(layers, time=t, initial=wave)["spin"]
    np.testing.assert_allclose(start, np.broadcast_to(start[0], (4, 3)), atol=ROUNDING * np.abs(start).max())
    current = np.array([[0, 0, 0], [1e9, 0, 0], [-3e9, 0, 2e9], [5e8, 0, 0]])
    grown = spin_accumulation_versus_time(layers, time=t, left_current=current)["spin"]
    parts = np.diff(t)[:, None] * (current[1:] + current[:-1]) / 2
    injected = np.concatenate([[np.zeros(3)], np.cumsum(parts, axis=0)])
    np.testing.assert_allclose(grown, injected, atol=ROUNDING * np.abs(injected).max())


def test_in_the_steady_state_what_is_injected_leaves_through_the_sinks_where_nothing_relaxes():
    layer = DiffusiveLayer(thickness=3e-7, diffusion_constant=0.01, resistivity=2e-8)
    sinks = {"left_conductance": 3e13, "right_conductance": 1e14}
    d = spin_accumulation_versus_time([layer], time=[0, 1e-8], left_current=(0, 1e9, 0), cells=10, **sinks)
    d = d.isel(time=-1)
    ends = 1 / 3e13, 1 / 1e14 + 2 * layer.resistivity * layer.thickness
    expected = 1e9 * np.array([ends[1], ends[0]]) / sum(ends)
    np.testing.assert_allclose([d["left_outflow"][1], d["right_outflow"][1]], expected, rtol=1e-9)


def test_a_drive_in_straight_lines_is_exact_however_the_times_are_cut():
    def end(time):
        ramp = np.outer(time / 1e-11, (0, 1e9, 0))
        d = spin_accumulation_versus_time([COPPER], time=time, left_current=ramp, field=(0.5, 0, 0))
        return d["spin_accumulation"][-1]

    few, many = end(np.array([0, 1e-11])), end(np.linspace(0, 1e-11, 24))
    np.testing.assert_allclose(few, many, atol=ROUNDING * np.abs(many).max())


def test_the_hanle_curve_of_a_long_channel_is_its_closed_form():
    tau, D = 1e-11, 0.01
    l = spin_diffusion_length(D, tau)
    layer = DiffusiveLayer(thickness=16 * l, diffusion_constant=D, resistivity=2e-8, spin_relaxation_time=tau)
    cells, distance = 401, 1.5 * l
    h = layer.thickness / cells
    middle = layer.thickness / 2

    def signal(B):
        d = steady_spin_accumulation(
            [layer], source=lambda z: np.outer(np.abs(z - middle) < h / 2, (0, 0, 1e15)), field=(B, 0, 0), cells=cells
        )
        return d["spin_accumulation"].sel(component="z").interp(z=middle + distance, method="cubic")

    fields = np.array([0.1, 0.4, 0.8, -0.8, 1.5])
    found = [float(signal(B) / signal(0.0)) for B in fields]
    expected = hanle_signal(fields, distance=distance, diffusion_constant=D, spin_relaxation_time=tau)
    np.testing.assert_allclose(found, expected, atol=SECOND_ORDER)
    assert expected.min() < -0.01  # the spins have turned over on their way
    at_the_contact = hanle_signal(0.3, distance=0.0, diffusion_constant=D, spin_relaxation_time=tau)
    x = GYROMAGNETIC_RATIO * 0.3 * tau
    np.testing.assert_allclose(at_the_contact, math.sqrt((1 + math.sqrt(1 + x**2)) / (2 * (1 + x**2))), rtol=1e-12)


def test_length_time_and_diffusion_constant_belong_together():
    assert spin_diffusion_length(0.01, 1e-11) == pytest.approx(math.sqrt(1e-13), abs=0)
    assert spin_relaxation_time(0.01, spin_diffusion_length(0.01, 1e-11)) == pytest.approx(1e-11, abs=0)
    assert COPPER.spin_diffusion_length == spin_diffusion_length(0.01, 1e-11)
    states = 1.8e28 / ELEMENTARY_CHARGE  # 1.8e28 per eV and m^3, copper
    D = einstein_diffusion_constant(2e-8, states)
    assert pytest.approx(1 / 2e-8) == ELEMENTARY_CHARGE**2 * states * D
    assert 0.01 < D < 0.03


def test_a_variable_has_its_unit():
    d = spin_accumulation_versus_time([COPPER], time=[0, 1e-12], cells=3)
    assert all("units" in v.attrs for name, v in d.variables.items() if name != "component")
    assert d.sizes == {"time": 2, "z": 3, "component": 3}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"time": [0, 0]}, "ascending"),
        ({"layers": []}, "layers"),
        ({"left_conductance": -1.0}, "left_conductance"),
        ({"left_current": (1, 2)}, "left_current"),
        ({"initial": lambda z: z}, "initial"),
        ({"field": (0, 0, math.nan)}, "field"),
        ({"cells": 0}, "cells"),
        ({"layers": COPPER}, "layers"),
        ({"layers": None}, "layers"),
        ({"time": ["a"]}, "time"),
        ({"time": None}, "time"),
        ({"time": np.array([0, 1e-12j])}, "time"),
        ({"left_conductance": "a"}, "left_conductance"),
        ({"left_conductance": None}, "left_conductance"),
        ({"right_conductance": True}, "right_conductance"),
        ({"right_conductance": 1j}, "right_conductance"),
        ({"right_conductance": math.nan}, "right_conductance"),
        ({"left_current": "x"}, "left_current"),
        ({"right_current": abs}, "right_current"),
        ({"right_current": np.ones((3, 3))}, "right_current"),
        ({"initial": (0, 0, 1)}, "initial"),
        ({"initial": lambda z: "x"}, "initial"),
        ({"source": lambda z: (0, 0, 1j)}, "source"),
        ({"field": "x"}, "field"),
        ({"field": (0, 0, 1j)}, "field"),
        ({"field": None}, "field"),
    ],
)
def test_impossible_runs_are_refused_in_one_line(change, word):
    with pytest.raises(InputError, match=word) as refused:
        spin_accumulation_versus_time(**{"layers": [COPPER], "time": [0, 1e-12], **change})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["a", None, True, 1j, abs, [0.1, math.nan], np.ones((4, 4, 50)) * 1j])
def test_a_hanle_field_that_is_no_number_is_refused_in_one_line(value):
    with pytest.raises(InputError, match="^field=") as refused:
        hanle_signal(value, distance=1e-6, diffusion_constant=0.01, spin_relaxation_time=1e-11)
    assert "\n" not in str(refused.value)


def test_impossible_layers_and_endless_accumulation_are_refused():
    with pytest.raises(InputError, match="thickness"):
        DiffusiveLayer(thickness=-1.0, diffusion_constant=1.0, resistivity=1.0)
    for time in (0.0, "a", True, None, 1j, math.nan):
        with pytest.raises(InputError, match="spin_relaxation_time"):
            DiffusiveLayer(thickness=1.0, diffusion_constant=1.0, resistivity=1.0, spin_relaxation_time=time)
    with pytest.raises(InputError, match="spin_diffusion_length"):
        spin_relaxation_time(0.01, math.inf)
    layer = DiffusiveLayer(thickness=1e-7, diffusion_constant=0.01, resistivity=2e-8)
    with pytest.raises(InputError, match="no steady state"):
        steady_spin_accumulation([layer], left_current=(1e9, 0, 0))
