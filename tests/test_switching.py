"""Switching statistics against the Fokker-Planck equation, and that they stream, repeat and refuse."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from qtorque import llg, store
from qtorque.errors import InputError
from qtorque.llg.fokker_planck import fokker_planck, mean_switching_time
from qtorque.llg.passages import mean_and_variance, power_sums
from qtorque.llg.trajectories import CHUNK_TRAJECTORIES, wilson_interval
from qtorque.units import BOLTZMANN

SIGMAS = 4.5
"""Statistical tests use a fixed seed; this many standard errors fail once in 10^5 seeds."""
SHARE_ERROR = 0.006
"""Asked of the share that switched, 10^5 trajectories against Fokker-Planck at 20 times: three standard errors of
0.0016 and the error of a step of 1 ps."""
ROOT_ERROR = 0.2
"""Of the ratio 1/2 of errors in sqrt(dt) at steps of dt/4 and dt; sampling makes 0.1. Errors in dt would have 1/4."""
RESOLUTION = 1e-3
"""Relative error of Fokker-Planck on its default grid."""

TEMPERATURE = 300.0
VOLUME = 3e-25
SPHERE = (1 / 3, 1 / 3, 1 / 3)


def magnet(barrier=10.0, **changes):
    """Perpendicular and so small that it fluctuates fast; barrier in kT at 300 K."""
    values = {
        "Ms": 1.0e6, "thickness": 1e-9, "area": VOLUME / 1e-9, "alpha": 0.3, "demag": SPHERE,
        "anisotropy": barrier * BOLTZMANN * TEMPERATURE / VOLUME,
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


SOURCE = llg.Slonczewski(polarization=0.6, Lambda=1.3, epsilon_prime=0.1)
CRITICAL = 2.5e11
"""A/m^2, the critical current density of `magnet()` from antiparallel, rounded."""
QUICK = {"trajectories": 100, "dt": 1e-12, "temperature": TEMPERATURE, "seed": 3, "thermalisation": 1e-11}
PULSES = {"current_density": [0.8 * CRITICAL, 1.6 * CRITICAL], "length": [1e-10, 3e-10], "relaxation": 1e-10}


def standard_error(probability, trajectories):
    return np.sqrt(probability * (1 - probability) / trajectories)


def test_the_share_that_switched_follows_fokker_planck_at_twenty_times():
    free, times = magnet(), np.linspace(3e-11, 6e-10, 20)
    drive = {"current_density": 1.5 * CRITICAL, "duration": 6e-10, "times": times, "temperature": TEMPERATURE}
    r = llg.switching_times(free, SOURCE, trajectories=100_000, dt=1e-12, seed=1, **drive)
    exact = fokker_planck(free, SOURCE, **drive)
    assert float(exact["switched"][0]) < 0.01
    assert float(exact["switched"][-1]) > 0.8
    np.testing.assert_allclose(r["time"], times, rtol=1e-12)
    np.testing.assert_allclose(r["switched"][0], exact["switched"], atol=SHARE_ERROR)


@pytest.mark.slow
def test_first_passages_extrapolated_in_the_root_of_the_step_follow_fokker_planck():
    """Over a low barrier, where magnets creep across the equator and many steps end near it."""
    lowered = -7 * BOLTZMANN * TEMPERATURE / VOLUME
    free, times, trajectories = magnet(alpha=1.0, voltage_anisotropy=lowered), np.linspace(1e-10, 1e-9, 10), 60_000
    drive = {"voltage": 1.0, "duration": 1e-9, "times": times, "temperature": TEMPERATURE}
    exact = fokker_planck(free, None, **drive)["survival"].values
    coarse, fine = (
        llg.switching_times(free, None, trajectories=trajectories, dt=dt, seed=seed, **drive)
        for dt, seed in ((1e-12, 1), (2.5e-13, 2))
    )
    late = [(r["survival"][0].values - exact).mean() for r in (coarse, fine)]
    error = standard_error(exact, trajectories)
    found = llg.extrapolated_passages(coarse, fine)
    assert np.all(np.abs(found["survival"][0].values - exact) < SIGMAS * np.sqrt(5) * error)
    covered = (found["survival_interval"][0, :, 0] <= exact) & (exact <= found["survival_interval"][0, :, 1])
    assert covered.mean() >= 0.7
    assert late[0] > SIGMAS * error.mean()
    assert late[1] / late[0] == pytest.approx(0.5, abs=ROOT_ERROR)


def test_mean_and_median_switching_times_are_those_of_fokker_planck():
    """Over a barrier that becomes a well, whose creeping crowd passes late enough in steps for 16000 to show it."""
    free, trajectories = magnet(alpha=1.0, voltage_anisotropy=-14 * BOLTZMANN * TEMPERATURE / VOLUME), 16_000
    drive = {"voltage": 1.0, "temperature": TEMPERATURE}
    run = {**drive, "duration": 2.4e-9, "trajectories": trajectories}
    coarse, fine = (llg.switching_times(free, None, dt=dt, seed=s, **run) for dt, s in ((8e-13, 1), (4e-13, 2)))
    assert float(coarse["passed"][0]) == float(fine["passed"][0]) == 1
    expected = mean_switching_time(free, None, **drive)
    found = llg.extrapolated_passages(coarse, fine)
    error = float(found["mean_switching_time_error"][0])
    assert error < 0.02 * expected
    assert float(found["mean_switching_time"][0]) == pytest.approx(expected, abs=SIGMAS * error)
    for late in (coarse, fine):
        assert late["mean_switching_time"][0] - expected > SIGMAS * late["mean_switching_time_error"][0]
    exact = fokker_planck(free, None, duration=2.4e-9, times=fine["time"].values, **drive)
    median = float(np.interp(0.5, exact["survival"].values[::-1], exact["time"].values[::-1]))
    density = float(np.interp(median, exact["time"], exact["first_passage_density"]))
    late = 0.5 / np.sqrt(trajectories) / density
    assert float(fine["median_switching_time"][0]) == pytest.approx(median, abs=SIGMAS * late + 0.05 * median)


def test_the_mean_time_is_not_a_number_where_some_have_not_switched():
    r = llg.switching_times(magnet(), SOURCE, current_density=[0.0, 1.6 * CRITICAL], duration=2e-10, **QUICK)
    assert 0 < float(r["passed"][1]) < 1
    assert np.isnan(r["mean_switching_time"]).all()
    assert np.isnan(r["median_switching_time"][0])
    assert float(r["survival"][0, -1]) == 1


def test_at_zero_temperature_all_switch_at_the_same_step():
    """No fluctuation: every trajectory is the one of `run`."""
    free = magnet()
    tilted = (np.sin(0.1), 0.0, -np.cos(0.1))
    drive = {"current_density": 1.6 * CRITICAL, "duration": 1e-9, "dt": 1e-12, "initial": tilted}
    r = llg.switching_times(free, SOURCE, trajectories=70, **drive)
    path = llg.run(free, SOURCE, samples=1000, **drive)
    passage = float(path["time"][int(np.argmax(path["m"].values[:, 2] > 0))])
    assert float(r["mean_switching_time"][0]) == pytest.approx(passage, rel=1e-12)
    assert float(r["mean_switching_time_error"][0]) == 0
    assert np.all(np.isin(r["survival"], (0, 1)))


def test_what_has_switched_before_the_drive_counts_from_time_zero():
    free = magnet(barrier=0.5)
    r = llg.switching_times(free, None, voltage=0.0, duration=1e-12, **QUICK | {"thermalisation": 1e-9})
    assert 0.3 < float(r["switched"][0, 0]) < 0.7
    assert float(r["survival"][0, 0]) == pytest.approx(1 - float(r["switched"][0, 0]), abs=1e-12)


def test_write_errors_follow_fokker_planck_for_pulses_with_edges():
    free, trajectories = magnet(), 20_000
    pulses = {**PULSES, "rise": 5e-11, "fall": 3e-11, "temperature": TEMPERATURE}
    pulses["current_density"] = 1.6 * CRITICAL
    r = llg.switching_map(free, SOURCE, trajectories=trajectories, dt=1e-12, seed=2, **pulses)
    exact = llg.fokker_planck_switching_map(free, SOURCE, **pulses)
    expected = exact["write_error_rate"].values
    assert expected.max() > 0.4
    assert expected.min() < 0.02
    allowed = SIGMAS * standard_error(expected, trajectories) + SHARE_ERROR / 2
    assert np.all(np.abs(r["write_error_rate"].values - expected) < allowed)
    np.testing.assert_allclose(exact["write_error_rate"] + exact["switching_probability"], 1, atol=RESOLUTION)


@pytest.mark.parametrize("edge", ["rise", "fall"])
def test_each_edge_drives(edge):
    free = magnet()
    plain = {"current_density": 1.6 * CRITICAL, "length": 1e-10, "relaxation": 1e-10, "temperature": TEMPERATURE}
    with_edge = plain | {edge: 2e-10}
    base, rate = (
        float(llg.fokker_planck_switching_map(free, SOURCE, **pulses)["write_error_rate"][0, 0])
        for pulses in (plain, with_edge)
    )
    assert base - rate > 0.05
    sampled = llg.switching_map(free, SOURCE, trajectories=10_000, dt=1e-12, seed=4, **with_edge)
    allowed = SIGMAS * standard_error(rate, 10_000) + SHARE_ERROR / 2
    assert float(sampled["write_error_rate"][0, 0]) == pytest.approx(rate, abs=allowed)


def test_the_sign_is_read_after_the_relaxation():
    """Without a barrier nothing stays where it is: half of all are on either side in the end."""
    pulse = {"voltage": 0.0, "length": 1e-12, **QUICK, "trajectories": 1000, "thermalisation": 0.0}
    at_once, later = (
        float(llg.switching_map(magnet(barrier=0.0), None, relaxation=t, **pulse)["write_error_rate"][0, 0])
        for t in (0.0, 3e-9)
    )
    exact = llg.fokker_planck_switching_map(
        magnet(barrier=1.0), None, voltage=0.0, length=1e-11, relaxation=2e-8, temperature=TEMPERATURE, cells=100
    )
    assert float(exact["write_error_rate"][0, 0]) == pytest.approx(0.5, abs=RESOLUTION)
    assert at_once == 1
    assert later == pytest.approx(0.5, abs=SIGMAS * 0.5 / np.sqrt(1000))


def test_current_pulls_towards_the_fixed_magnet_and_back():
    """Positive current switches the antiparallel state alone, negative current the parallel one."""
    source = llg.Slonczewski(polarization=0.6)
    for initial, expected in (("antiparallel", (0, 1)), ("parallel", (1, 0))):
        r = llg.switching_map(
            magnet(), source, current_density=[-6e11, 6e11], length=3e-9, relaxation=1e-10, initial=initial, **QUICK
        )
        np.testing.assert_array_equal(r["switching_probability"].values[:, 0], expected)


def test_write_errors_and_switching_probabilities_are_counts_of_the_same_trajectories():
    r = llg.switching_map(magnet(), SOURCE, **PULSES, **QUICK)
    total = r["write_error_rate"] * 100 + r["switching_probability"] * 100
    np.testing.assert_allclose(total, 100, rtol=1e-12)
    for name in ("write_error_rate", "switching_probability"):
        interval = r[f"{name}_interval"]
        assert np.all(interval.sel(bound="lower") <= r[name])
        assert np.all(r[name] <= interval.sel(bound="upper"))


def test_memory_grows_neither_with_trajectories_nor_with_time():
    free = magnet()

    def peak(function, arguments, chunks, duration):
        tracemalloc.start()
        function(
            free, SOURCE, trajectories=chunks * CHUNK_TRAJECTORIES, dt=1e-12, temperature=TEMPERATURE,
            thermalisation=1e-12, current_density=CRITICAL, **arguments(duration),
        )  # fmt: skip
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for function, arguments in (
        (llg.switching_map, lambda t: {"length": t, "relaxation": t}),
        (llg.switching_times, lambda t: {"duration": t, "times": [t / 2, t]}),
    ):
        peak(function, arguments, 1, 1e-11)
        few, many = peak(function, arguments, 2, 1e-11), peak(function, arguments, 30, 1e-11)
        long = peak(function, arguments, 2, 1e-9)
        # An array of a number for each trajectory, or for each moment of one block at each step, would be 100 kB more.
        assert max(many, long) < few + 30_000


def test_results_describe_themselves(tmp_path):
    free = magnet()
    results = [
        llg.switching_map(free, SOURCE, **PULSES, **QUICK),
        llg.switching_times(free, SOURCE, current_density=CRITICAL, duration=1e-11, **QUICK),
        llg.fokker_planck_switching_map(
            free, SOURCE, current_density=CRITICAL, length=1e-10, relaxation=0.0, temperature=TEMPERATURE, cells=20
        ),
    ]
    fine = {"current_density": CRITICAL, "duration": 1e-11, "times": results[1]["time"].values, **QUICK, "dt": 5e-13}
    results.append(llg.extrapolated_passages(results[1], llg.switching_times(free, SOURCE, **fine | {"seed": 4})))
    for i, r in enumerate(results):
        for name, variable in r.variables.items():
            assert name == "bound" or {"units", "long_name"} <= variable.attrs.keys(), name
        assert r.attrs["free_Ms"] == 1e6
        store.save_dataset(r, tmp_path / f"{i}.nc")


class Memory:
    """A checkpoint in memory that refuses to compute again what it holds."""

    def __init__(self):
        self.results, self.parts, self.loaded = {}, {}, 0

    def load(self, index):
        self.loaded += index in self.results
        return self.results.get(index)

    def save(self, index, result):
        assert index not in self.results
        self.results[index] = result

    def part(self, name):
        return self.parts.setdefault(name, Memory())

    def stop_reason(self):
        return None


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (llg.switching_map, {**PULSES, **QUICK}),
        (llg.switching_times, {"current_density": [CRITICAL, 2 * CRITICAL], "duration": 1e-10, **QUICK}),
        (
            llg.fokker_planck_switching_map,
            {**PULSES, "current_density": CRITICAL, "length": 1e-10, "temperature": TEMPERATURE, "cells": 20},
        ),
    ],
)
def test_a_continued_run_loads_its_chunks_and_another_one_does_not(function, arguments):
    free, memory = magnet(), Memory()
    first = function(free, SOURCE, checkpoint=memory, **arguments)
    (part,) = memory.parts.values()
    again = function(free, SOURCE, checkpoint=memory, **arguments)
    assert part.loaded == len(part.results) > 0
    xr.testing.assert_identical(first, again)
    function(dataclasses.replace(free, alpha=0.31), SOURCE, checkpoint=memory, **arguments)
    function(free, SOURCE, checkpoint=memory, **arguments | {"temperature": 310.0})
    assert len(memory.parts) == 3


def test_a_checkpoint_does_not_answer_for_another_polarization():
    """At a current density resistance_area is without effect, though it makes both torques alike at a voltage."""
    pulses = {"current_density": CRITICAL, "length": 1e-10, "relaxation": 0.0, "temperature": TEMPERATURE, "cells": 40}
    weak, memory = llg.Slonczewski(polarization=0.3, resistance_area=1e-12), Memory()
    strong = dataclasses.replace(weak, polarization=0.6, resistance_area=2e-12)
    first = llg.fokker_planck_switching_map(magnet(), strong, checkpoint=memory, **pulses)
    second = llg.fokker_planck_switching_map(magnet(), weak, checkpoint=memory, **pulses)
    assert not np.array_equal(first["write_error_rate"], second["write_error_rate"])
    xr.testing.assert_identical(second, llg.fokker_planck_switching_map(magnet(), weak, **pulses))


def test_a_result_tells_the_times_that_were_simulated():
    """A time of whole steps stays as it was given, another one is that of its steps."""
    times = {"length": [1.4e-12, 3e-12], "rise": 2.6e-12, "fall": 0.3e-12, "relaxation": 1e-10}
    r = llg.switching_map(magnet(), SOURCE, current_density=CRITICAL, **times, **QUICK)
    np.testing.assert_allclose(r["length"], [1e-12, 3e-12], rtol=1e-12)
    assert float(r["length"][1]) == 3e-12
    found = [r.attrs[name] for name in ("rise", "fall", "relaxation")]
    np.testing.assert_allclose(found, [3e-12, 0, 1e-10], rtol=1e-12)


def test_squares_of_many_long_passages_do_not_overflow():
    """10^5 passages after 10^7 steps: their squares add up to 10^19, more than 64 bits with a sign hold."""
    chunk = power_sums(np.repeat([9_999_999, 10_000_001], CHUNK_TRAJECTORIES // 2))
    chunks = 400
    mean, variance = mean_and_variance(np.sum([chunk] * chunks, axis=0), chunks * CHUNK_TRAJECTORIES)
    assert mean == 1e7
    assert variance == pytest.approx(1, abs=1e14 * np.finfo(float).eps)


@pytest.mark.slow
@pytest.mark.mpi
def test_on_two_ranks_the_results_have_the_same_bits(mpirun, tmp_path):
    script = f"""
from qtorque import llg, parallel
from qtorque.store import save_dataset
free = llg.Macrospin(Ms=1e6, thickness=1e-9, area=3e-16, alpha=0.3, anisotropy=1.4e5, demag=(0.1, 0.2, 0.7))
source = llg.Slonczewski(polarization=0.6)
comm = parallel.world()
quick = {QUICK | {"trajectories": 2 * CHUNK_TRAJECTORIES + 100}!r}
results = [
    llg.switching_map(free, source, comm=comm, **{PULSES!r}, **quick),
    llg.switching_times(free, source, current_density=[7e10, 2e11], duration=1e-10, comm=comm, **quick),
]
for name, r in zip(("pulses", "times"), results):
    if comm is None or comm.rank == comm.size - 1:
        save_dataset(r, rf"{tmp_path}/{{name}}" + ("1.nc" if comm is None else "2.nc"))
"""
    exec(script, {})
    result = mpirun(2, script)
    assert result.returncode == 0, result.stderr
    for name in ("pulses", "times"):
        serial, shared = (store.load_dataset(tmp_path / f"{name}{n}.nc") for n in (1, 2))
        xr.testing.assert_equal(serial, shared)


MAP_ARGUMENTS = {**PULSES, **QUICK}
TIMES_ARGUMENTS = {"current_density": CRITICAL, "duration": 1e-10, **QUICK}


@pytest.mark.parametrize(
    ("function", "given", "other", "word"),
    [
        (llg.switching_map, MAP_ARGUMENTS, {"length": []}, "length"),
        (llg.switching_map, MAP_ARGUMENTS, {"length": [1e-10, -1e-10]}, "length"),
        (llg.switching_map, MAP_ARGUMENTS, {"length": np.nan}, "length"),
        (llg.switching_map, MAP_ARGUMENTS, {"length": [1e-10, 4e-13]}, "length"),
        (llg.switching_map, MAP_ARGUMENTS, {"relaxation": -1e-10}, "relaxation"),
        (llg.switching_map, MAP_ARGUMENTS, {"rise": -1.0}, "rise"),
        (llg.switching_map, MAP_ARGUMENTS, {"fall": np.inf}, "fall"),
        (llg.switching_map, MAP_ARGUMENTS, {"trajectories": 0}, "trajectories"),
        (llg.switching_map, MAP_ARGUMENTS, {"seed": -1}, "seed"),
        (llg.switching_map, MAP_ARGUMENTS, {"dt": 0.0}, "dt"),
        (llg.switching_map, MAP_ARGUMENTS, {"dt": 1e-10}, "dt"),
        (llg.switching_map, MAP_ARGUMENTS, {"thermalisation": -1.0}, "thermalisation"),
        (llg.switching_map, MAP_ARGUMENTS, {"initial": (1, 0, 0)}, "initial"),
        (llg.switching_map, MAP_ARGUMENTS, {"voltage": 1.0}, "voltage"),
        (llg.switching_map, MAP_ARGUMENTS, {"current_density": llg.sine(1.0, 1e9)}, "amplitudes"),
        (llg.switching_times, TIMES_ARGUMENTS, {"times": [2e-10]}, "times"),
        (llg.switching_times, TIMES_ARGUMENTS, {"times": [1e-11, 1e-12]}, "times"),
        (llg.switching_times, TIMES_ARGUMENTS, {"times": []}, "times"),
        (llg.switching_times, TIMES_ARGUMENTS, {"duration": -1e-10}, "duration"),
        (llg.switching_times, TIMES_ARGUMENTS, {"trajectories": 1.5}, "trajectories"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(function, given, other, word):
    with pytest.raises(InputError, match=word) as refusal:
        function(magnet(), SOURCE, **given | other)
    assert "\n" not in str(refusal.value)


def test_passages_with_other_times_or_steps_in_the_wrong_order_are_refused():
    coarse = llg.switching_times(magnet(), SOURCE, **TIMES_ARGUMENTS)
    fine = llg.switching_times(magnet(), SOURCE, **TIMES_ARGUMENTS | {"dt": 5e-13})
    with pytest.raises(InputError, match="smaller step second"):
        llg.extrapolated_passages(fine, coarse)
    with pytest.raises(InputError, match="other drives or times"):
        llg.extrapolated_passages(coarse, fine)


def two_steps(**numbers):
    """Results with steps of 1 and 0.25 ps of different seeds."""
    run = TIMES_ARGUMENTS | {"times": [5e-11, 1e-10]} | numbers
    return [
        llg.switching_times(magnet(), SOURCE, **run | {"dt": dt, "seed": s}) for dt, s in ((1e-12, 1), (2.5e-13, 2))
    ]


def test_passages_are_extrapolated_along_a_straight_line_in_the_root_of_the_step():
    found = llg.extrapolated_passages(*(
        r.assign(
            survival=r["survival"] * 0 + 0.3 + 1e5 * np.sqrt(r.attrs["dt"]),
            mean_switching_time=r["mean_switching_time"].fillna(0) * 0 + 1e-10 + 1e-5 * np.sqrt(r.attrs["dt"]),
            mean_switching_time_error=r["mean_switching_time_error"].fillna(0) * 0 + error,
        )
        for r, error in zip(two_steps(), (4e-12, 1.5e-12), strict=True)
    ))  # fmt: skip
    np.testing.assert_allclose(found["survival"], 0.3, rtol=1e-12)
    np.testing.assert_allclose(found["mean_switching_time"], 1e-10, rtol=1e-12)
    # The line goes twice the fine result, minus the coarse one.
    np.testing.assert_allclose(found["mean_switching_time_error"], 5e-12, rtol=1e-12)


def test_twenty_extrapolated_passages_are_not_certain():
    """Where none have passed, and where all have: as wide as the Wilson intervals that count, in their weights."""
    coarse, fine = two_steps(trajectories=20)
    for share, bound, other in ((0.0, 1, 0), (1.0, 0, 1)):
        interval = wilson_interval(20 * share, 20)
        same = [
            r.assign(survival=r["survival"] * 0 + share, survival_interval=r["survival_interval"] * 0 + interval)
            for r in (coarse, fine)
        ]
        found = llg.extrapolated_passages(*same)["survival_interval"].values
        # The interval of the coarse steps has no length on the side where theirs would count.
        np.testing.assert_allclose(found[..., bound], share + 2 * (interval[bound] - share), rtol=1e-12)
        np.testing.assert_array_equal(found[..., other], share)


def test_an_extrapolated_survival_is_a_probability_within_its_interval():
    coarse, fine = two_steps()
    steep = coarse.assign(
        survival=coarse["survival"] * 0 + 0.2, survival_interval=coarse["survival_interval"] * 0 + 0.2
    )
    none = fine.assign(survival=fine["survival"] * 0, survival_interval=fine["survival_interval"] * 0 + [0.0, 0.05])
    found = llg.extrapolated_passages(steep, none)
    np.testing.assert_array_equal(found["survival"], 0)
    np.testing.assert_allclose(found["survival_interval"], np.broadcast_to([0, 0.1], (1, 2, 2)), rtol=1e-12)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"free": magnet(alpha=0.31)}, "free_alpha"),
        ({"source": llg.Slonczewski(polarization=0.3)}, "torque"),
        ({"temperature": 310.0}, "temperature"),
        ({"initial": "parallel"}, "initial"),
        ({"thermalisation": 0.0}, "thermalisation"),
        ({"field": llg.FieldDrive(direction=(1, 0, 0), waveform=llg.constant(0.01))}, "field_drive"),
        ({"seed": 1}, "seed"),
    ],
)
def test_passages_of_another_process_or_of_the_same_numbers_are_refused(other, word):
    given = {"free": magnet(), "source": SOURCE, **TIMES_ARGUMENTS, "times": [5e-11, 1e-10], "trajectories": 5}
    coarse = llg.switching_times(**given | {"seed": 1})
    fine = llg.switching_times(**given | {"seed": 2, "dt": 2.5e-13} | other)
    with pytest.raises(InputError, match=word) as refusal:
        llg.extrapolated_passages(coarse, fine)
    assert "\n" not in str(refusal.value)


def test_passages_are_extrapolated_from_files_too(tmp_path):
    coarse, fine = two_steps()
    store.save_dataset(coarse, tmp_path / "coarse.nc", provenance=store.provenance({"dt": 1e-12}))
    loaded = store.load_dataset(tmp_path / "coarse.nc")
    xr.testing.assert_equal(llg.extrapolated_passages(loaded, fine), llg.extrapolated_passages(coarse, fine))
