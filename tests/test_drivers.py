"""Every script in drivers/ and benchmarks/ runs; bad input ends with one line; ranks change no bit of a result."""

import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import command_line, store

ROOT = Path(__file__).parents[1]
DRIVERS = ("interface", "mtj_torque", "switching", "pipeline")
EVERY_DRIVER = sorted(path.stem for path in (ROOT / "drivers").glob("[!_]*.py"))
MAP_DRIVERS = ("export", "oscillator", "phase_diagram", "resonance", "switching", "trajectory", "write_error")
MAGNET_DRIVERS = ("bulk", "interface_table", "lifetime", "spin_hall_bilayer", "spin_hall_conductivity")
"""Without a system: all they need are options."""
EXIT_INTERRUPTED = 75
MOST_STOPS = 60
"""More stops than any of the tiny runs has chunks."""
HELP_SECONDS = 1.0
ROUNDING = 1e-12
"""Sums over k in another order, and solves of other blocks."""
TINY_TORQUE = ["--kmesh", "4", "--angle", "0:pi:3", "--voltage", "-1:1:3", "--tolerance", "1e-4"]
TINY_ENSEMBLE = ["--trajectories", "3", "--duration", "1e-10", "--temperature", "300", "--seed", "5"]
TINY = {
    "interface": ["--kmesh", "8"],
    "mtj_torque": TINY_TORQUE,
    "switching": TINY_ENSEMBLE,
    "pipeline": TINY_TORQUE + TINY_ENSEMBLE,
    "spin_hall_bilayer": ["--thicknesses", "1e-9:3e-9:3"],
    "spin_hall_conductivity": ["Nb", "--mesh", "3", "--window=-1:1:3"],
    "bulk": ["Cu", "--mesh", "4", "--kmesh", "4", "--points", "12", "--energies", "-10:5:7", "--plane-points", "9"],
    "interface_table": ["--interfaces", "Cu/Co:111", "--coarsest", "4", "--finest", "8", "--films", "none"],
    "diffusive_valve": ["--angle", "0:pi:3", "--voltages", "-1e-3:1e-3:3"],
    "valve_torque": [
        "--set", "fixed_layers=2", "--set", "free_layers=2", "--kmesh", "3", "--layers", "2:5", "--angle", "0:pi:5",
    ],
    "validate_diffusion": [
        "--set", "n=2", "--set", "m=2", "--configurations", "20", "--sweep-configurations", "20", "--momenta", "1",
        "--thicknesses", "4", "--disorders", "5", "--specular-kmesh", "6", "--specular-layers", "4",
    ],
}
TINY_MAP = {
    "switching": TINY_ENSEMBLE,
    "write_error": ["--voltage", "0.5,1", "--length", "1e-10,3e-10", "--exact-length", "1e-10", "--relaxation", "1e-10",
                    "--trajectories", "300", "--duration", "3e-10", "--alpha", "0.1", "--seed", "5"],
    "phase_diagram": ["--alpha", "0.05", "--duration", "2e-8", "--dwell", "1e-9", "--voltage=-1:1:3",
                      "--applied-field=-0.15:0.15:3"],
    "oscillator": ["--voltage", "0.2,0.4", "--trajectories", "2", "--duration", "2e-9", "--settle", "0",
                   "--segment", "5e-10"],
    "resonance": ["--frequency", "5e9:9e9:9", "--applied-field", "0.1,0.15", "--amplitude", "1e-2", "--settle", "1e-9",
                  "--alpha", "0.1"],
}  # fmt: skip
PIPELINE_FILES = {
    "mtj_transmission.nc", "mtj_torque.nc", "mtj_map.nc", "mtj_switching.nc",
    "mtj_transmission.png", "mtj_torque_voltage.png", "mtj_torque_angle.png", "mtj_switching.png",
}  # fmt: skip


def python(*arguments):
    """Run Python from the root of the repository and return the CompletedProcess, output as text."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)


def driver(name, *arguments):
    return python(ROOT / "drivers" / f"{name}.py", *arguments)


@pytest.fixture
def stages(monkeypatch):
    """The module drivers/_stages.py."""
    monkeypatch.syspath_prepend(ROOT / "drivers")
    return importlib.import_module("_stages")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """A tiny pipeline: the CompletedProcess and the folder it made."""
    folder = tmp_path_factory.mktemp("serial") / "results"
    return driver("pipeline", *TINY["pipeline"], "-o", folder / "mtj"), folder


@pytest.mark.parametrize("name", EVERY_DRIVER)
def test_help_answers_at_once(name):
    start = time.perf_counter()
    run = driver(name, "--help")
    assert time.perf_counter() - start < HELP_SECONDS
    assert run.returncode == 0
    assert "--dry-run" in run.stdout


def test_the_pipeline_makes_its_folder_writes_every_file_and_ends_with_a_summary(serial):
    run, folder = serial
    assert run.returncode == 0, run.stderr
    assert {path.name for path in folder.iterdir()} == PIPELINE_FILES
    for words in ("TMR", "torkance", "coupling", "barrier", "critical voltage", "switching probability"):
        assert words in run.stdout


def test_every_file_says_what_it_was_made_from(serial):
    _, folder = serial
    for path in folder.glob("*.nc"):
        attributes = store.load_dataset(path).attrs
        made_from = json.loads(attributes["configuration"])
        assert made_from["system_parameters"]["barrier_layers"] == 3
        assert "def build" in made_from["system_source"]
        assert made_from["kmesh"] == 4
        assert made_from["seed"] == 5
        assert attributes["ranks"] == 1


@pytest.mark.slow
@pytest.mark.mpi
def test_the_pipeline_does_not_depend_on_the_number_of_ranks(serial, mpirun, tmp_path):
    _, folder = serial
    run = mpirun(2, [ROOT / "drivers/pipeline.py", ROOT / "systems/mtj.py", *TINY["pipeline"], "-o", tmp_path / "mtj"])
    assert run.returncode == 0, run.stderr
    for path in folder.glob("*.nc"):
        one, two = store.load_dataset(path), store.load_dataset(tmp_path / path.name)
        assert set(one.variables) == set(two.variables)
        for name in one.variables:
            assert one[name].values.tobytes() == two[name].values.tobytes(), f"{name} in {path.name}"


def test_what_is_written_chunk_by_chunk_is_every_momentum_in_its_order(within, tmp_path):
    # 24 chunks of momenta that are no divisor of the mesh.
    run = within("interface", "--kmesh", "110", "-o", tmp_path / "nf", "--quiet")
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "nf_interface.nc")
    s = qt.solve(command_line.load_system(ROOT / "systems/nf_interface.py"), kmesh=qt.kmesh(110))
    np.testing.assert_allclose(d["mixing_conductance"], qt.mixing_conductance(s), atol=ROUNDING)
    np.testing.assert_allclose(d["g_mix"], qt.k_average(d["mixing_conductance"]), rtol=ROUNDING)
    np.testing.assert_allclose(d["conductance"], qt.conductance(s).sum("spin_in"), rtol=ROUNDING)
    np.testing.assert_array_equal(d["k1"], qt.kmesh(110).points[:, 0])
    assert d.attrs["shifted_weight"] == 0


def test_a_figure_shows_the_momenta_nearest_to_those_it_has_room_for(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "PICTURE_POINTS", 4)
    monkeypatch.setattr(stages, "SCATTERING_CHUNK", 10)

    def observe(k):
        sums = xr.Dataset({"sum": float(k.weights.sum())})
        return xr.Dataset({"first": ("k", k.points[:, 0]), "second": ("k", k.points[:, 1])}), sums

    found = stages.solve_over_k(
        observe, lambda sums: sums, qt.kmesh(12, 3), tmp_path / "x.nc", dict,
        force=False, comm=None, checkpoint=None, progress=None,
    )  # fmt: skip
    assert found.mesh == qt.kmesh(4, 3)
    shown = np.stack([found.picture["first"], found.picture["second"]], axis=-1)
    # Midpoints of three cells each: the mesh of the figure is part of the whole mesh.
    np.testing.assert_allclose(shown, qt.kmesh(4, 3).points, rtol=ROUNDING)
    assert float(found.complete["sum"]) == pytest.approx(1, rel=ROUNDING)
    assert store.load_dataset(tmp_path / "x.nc").sizes["k"] == 36


ON_AN_EDGE = """
import dataclasses
import runpy
import sys

import qtorque as qt
from qtorque.scattering import solve


def on_an_edge(*arguments, **named):
    # Which momenta an engine has to shift is its own affair; here it is those of the first row.
    s = solve(*arguments, **named)
    return dataclasses.replace(s, shifted=s.kset.points[:, 0] < 6.2831853 / {mesh})


qt.solve = on_an_edge
sys.argv = [{driver!r}, {system!r}, "--kmesh", "{mesh}", "-o", {output!r}, "--quiet"]
sys.path.insert(0, {folder!r})
runpy.run_path({driver!r}, run_name="__main__")
"""


@pytest.mark.mpi
@pytest.mark.parametrize(("mesh", "code"), [(24, 3), (120, 0)])
def test_momenta_on_a_band_edge_are_reported_and_too_many_end_with_code_3(mpirun, tmp_path, mesh, code):
    paths = {"driver": "drivers/interface.py", "folder": "drivers", "system": "systems/nf_interface.py"}
    paths = {name: str(ROOT / path) for name, path in paths.items()} | {"output": str(tmp_path / "nf")}
    run = mpirun(2, ON_AN_EDGE.format(mesh=mesh, **paths))
    assert run.returncode == code, run.stderr
    assert "abort" not in run.stderr.lower()
    weight = store.load_dataset(tmp_path / "nf_interface.nc").attrs["shifted_weight"]
    assert weight == pytest.approx(1 / mesh, rel=ROUNDING)
    assert f"weight {weight:.3g} of k solved" in run.stdout
    assert ("more than the limit 0.01" in run.stdout) == (code == 3)
    assert (tmp_path / "nf_interface.png").exists()
    assert not (tmp_path / "nf.interface.checkpoint").exists()


@pytest.mark.parametrize("name", ["interface", "mtj_torque", "pipeline"])
def test_a_dry_run_says_what_the_k_resolved_output_takes(within, name, tmp_path):
    run = within(name, *TINY[name], "--kmesh", "2048", "--dry-run", "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    megabytes = float(re.search(r"k-resolved output ([\d.e+]+) MB on disk", run.stdout)[1])
    # k1, k2 and the weight; a complex number, or four probabilities in two states.
    doubles = 3 + (2 if name == "interface" else 8)
    assert megabytes == pytest.approx(2048**2 * 8 * doubles / 1e6, rel=0.01)


@pytest.mark.parametrize("name", TINY)
def test_a_dry_run_reports_work_memory_and_time_and_writes_nothing(serial, within, name, tmp_path):
    _, folder = serial
    inputs = [folder / "mtj_map.nc"] if name == "switching" else []
    run = within(name, *inputs, *TINY[name], "--dry-run", "-o", tmp_path / "new" / "x")
    assert run.returncode == 0, run.stderr
    assert re.search(r"memory: at least \d+ MB", run.stdout)
    assert re.search(r"time: about [\d.e+-]+ s", run.stdout)
    assert list(tmp_path.iterdir()) == []


def test_switching_from_the_saved_map_equals_the_pipeline(serial, tmp_path):
    _, folder = serial
    run = driver("switching", folder / "mtj_map.nc", *TINY["switching"], "-o", tmp_path / "mtj")
    assert run.returncode == 0, run.stderr
    again, first = (store.load_dataset(where / "mtj_switching.nc") for where in (tmp_path, folder))
    np.testing.assert_array_equal(again["m_final"], first["m_final"])


@pytest.mark.parametrize("name", TINY_MAP)
def test_a_driver_of_a_map_that_is_stopped_again_and_again_writes_the_same_bits(serial, within, name, tmp_path):
    _, folder = serial
    arguments = [name, folder / "mtj_map.nc", *TINY_MAP[name], "--quiet"]
    assert within(*arguments, "-o", tmp_path / "at_once").returncode == 0
    codes = []
    while not codes or codes[-1] == EXIT_INTERRUPTED:
        codes.append(within(*arguments, "-o", tmp_path / "in_parts", "--max-seconds", "1e-3").returncode)
        assert len(codes) < MOST_STOPS
    assert codes[-1] == 0
    assert len(codes) > 1
    written = sorted(path.name.removeprefix("at_once") for path in tmp_path.glob("at_once*.nc"))
    assert written
    for ending in written:
        whole, parts = (store.load_dataset(tmp_path / f"{prefix}{ending}") for prefix in ("at_once", "in_parts"))
        xr.testing.assert_equal(whole, parts)


@pytest.mark.parametrize("system", ["spin_valve", "hand_written_kwant"])
def test_the_torque_driver_takes_any_system_with_two_magnets(within, system, tmp_path):
    path = ROOT / "systems" / f"{system}.py"
    sweep = ["--kmesh", "4", "--angle", "pi/2", "--voltage", "0,0.05", "--tolerance", "1e-3"]
    run = within("mtj_torque", path, *sweep, "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "x_map.nc").exists()


def test_the_interface_driver_prints_a_table_and_refuses_to_run_over_its_output(within, tmp_path):
    arguments = ["interface", *TINY["interface"], "-o", tmp_path / "nf"]
    run = driver(*arguments)
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "nf_interface.nc")
    assert f"{complex(d['g_mix']).real:.6f}" in run.stdout
    before = (tmp_path / "nf_interface.nc").read_bytes()
    assert refusal(driver(*arguments)).endswith("or force (--force) to replace it")
    assert (tmp_path / "nf_interface.nc").read_bytes() == before
    assert within(*arguments, "--force").returncode == 0


@pytest.mark.parametrize("name", ["mtj_torque", "switching", "pipeline"])
def test_a_second_run_over_existing_output_is_refused(serial, within, name):
    _, folder = serial
    inputs = [folder / "mtj_map.nc"] if name == "switching" else []
    assert "exists" in refusal(within(name, *inputs, *TINY[name], "-o", folder / "mtj"))


BAD_INPUT = [
    ("interface", ["systems/mtj.py"], "magnetic"),
    ("interface", ["--kmesh", "0"], "kmesh"),
    ("interface", ["--kmesh", "8", "--energy", "50"], "energy"),
    ("interface", ["--set", "onsite_cobalt=1"], "onsite_cobalt"),
    ("interface", ["--kmesh", "8", "-o", "/proc/none/x"], "/proc/none"),
    ("mtj_torque", ["systems/nf_interface.py"], "magnet"),
    ("mtj_torque", ["systems/absent.py"], "absent.py"),
    ("mtj_torque", ["--angle", "0:4:5"], "angle"),
    ("mtj_torque", ["--voltage", "1,0"], "voltage"),
    ("mtj_torque", ["--tolerance", "2"], "tolerance"),
    ("mtj_torque", ["--electron-temperature", "-1"], "temperature"),
    ("mtj_torque", ["--set", "onsite_up=50", "--set", "onsite_down=51", "--kmesh", "4"], "channel"),
    ("pipeline", ["--alpha", "-1"], "alpha"),
    ("pipeline", ["--angle", "0:pi/2:3"], "angle"),
    ("pipeline", ["--trajectories", "0"], "trajectories"),
    ("pipeline", ["--dt", "1e-10"], "dt"),
    ("pipeline", ["--demag", "1,1,1"], "demag"),
    ("pipeline", ["--no-such-option"], "no-such-option"),
    ("spin_hall_bilayer", ["--thicknesses", "-1e-9"], "thickness"),
    ("spin_hall_bilayer", ["--mixing", "1,2,3"], "mixing"),
    ("bulk", ["Unobtainium"], "Unobtainium"),
    ("bulk", ["Cu", "--facet", "210"], "facet"),
    ("bulk", ["Cu", "--plane", "0,0,0"], "normal"),
    ("bulk", ["Cu", "--energies", "1,0"], "energies"),
    ("bulk", ["Cu", "--mesh", "1"], "mesh"),
    ("bulk", ["Cu", "--kmesh", "0"], "kmesh"),
    ("bulk", ["Cu", "--path", "G-H"], "'H'"),
    ("bulk", ["W", "--spin-orbit"], "spin-orbit"),
    ("bulk", ["Cu", "--lattice-constant", "0.6"], "lattice_constant"),
    ("valve_torque", ["systems/mtj.py"], "fixed_layers"),
    ("valve_torque", ["--set", "free_layers=0"], "free_layers=0"),
    ("valve_torque", ["--set", "spacer_layers=3"], "spacer_layers"),
    ("valve_torque", ["--set", "facet=123"], "facet"),
    ("valve_torque", ["--layers", "5"], "--layers 5"),
    ("valve_torque", ["--angle", "0,pi/2"], "--angle"),
    ("valve_torque", ["--angle", "1,2,3,4"], "--angle"),
    ("valve_torque", ["--kmesh", "0"], "kmesh"),
    ("valve_torque", ["--kmesh", "3", "--energy", "-50"], "no open channel"),
    ("valve_torque", ["--kmesh", "3", "--symmetry", "inversion"], "--symmetry inversion"),
    ("validate_diffusion", ["systems/mtj.py"], "fixed_layers"),
    ("validate_diffusion", ["--set", "disorder=0"], "disorder"),
    ("validate_diffusion", ["--set", "free_layers=0"], "free_layers"),
    ("validate_diffusion", ["--set", "configuration=3"], "configuration"),
    ("validate_diffusion", ["--configurations", "5"], "5 configurations"),
    ("validate_diffusion", ["--sweep-configurations", "5"], "5 configurations"),
    ("validate_diffusion", ["--momenta", "0"], "momenta"),
    ("validate_diffusion", ["--angle", "0,4"], "angle"),
    ("validate_diffusion", ["--thicknesses", "0"], "thicknesses"),
    ("validate_diffusion", ["--table", "absent.csv"], "absent.csv"),
    ("validate_diffusion", ["--specular-system", "systems/mtj.py"], "spacer_layers"),
    ("validate_diffusion", ["--specular-kmesh", "0"], "kmesh"),
    ("validate_diffusion", ["--specular-layers", "0"], "layers"),
    ("validate_diffusion", ["--seed", "-1"], "seed"),
    ("validate_diffusion", ["--specular-layers", "1"], "specular-layers 1"),
    ("validate_diffusion", ["--configurations", "20", "--sweep-configurations", "60"], "is more than --configurations"),
    ("validate_diffusion", ["--specular-set", "onsite_normal=50"], "no open channel"),
    ("validate_diffusion", ["--specular-set", "spacer_layers=3"], "--specular-set spacer_layers=3"),
    ("validate_diffusion", ["--field-like-set", "disorder=3"], "--field-like-set disorder=3"),
    ("validate_diffusion", ["--thicknesses", "4.5"], "--thicknesses"),
    ("validate_diffusion", ["--thicknesses", "6"], "--thicknesses 6"),
    ("validate_diffusion", ["--set", "free_layers=1"], "free_layers"),
    ("validate_diffusion", ["--field-like-set", "no_such=1"], "no_such"),
]


@pytest.mark.parametrize(("name", "arguments", "word"), BAD_INPUT, ids=lambda x: "_".join(x) if type(x) is list else x)
def test_bad_input_ends_with_one_line_and_nothing_written(within, name, arguments, word, tmp_path):
    output = [] if "-o" in arguments else ["-o", tmp_path / "new" / "x"]
    line = refusal(within(name, *arguments, *output))
    assert word in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MAP_DRIVERS)
def test_every_driver_of_a_map_refuses_a_missing_one_with_one_line(within, name, tmp_path):
    line = refusal(within(name, "absent.nc", "-o", tmp_path / "new" / "x"))
    assert "absent.nc" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted({*EVERY_DRIVER} - {*MAP_DRIVERS, *MAGNET_DRIVERS}))
def test_every_driver_of_a_system_refuses_a_parameter_that_it_has_not_with_one_line(within, name, tmp_path):
    line = refusal(within(name, "--set", "no_such_parameter=1", "-o", tmp_path / "new" / "x"))
    assert "build() in " in line
    assert "has no parameter 'no_such_parameter'" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--voltage", "2"], ["--duration", "-1"], ["--seed", "-1"], ["--easy-axis", "1,1"]]
)
def test_bad_input_to_a_good_map_ends_with_one_line_and_nothing_written(serial, within, arguments, tmp_path):
    _, folder = serial
    line = refusal(within("switching", folder / "mtj_map.nc", *arguments, "-o", tmp_path / "x"))
    assert arguments[0].strip("-").replace("-", "_") in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("layered_against_kwant", ["--layers", "5"]),
        ("interface_table", ["--interfaces", "Cu/Co:111", "--momenta", "2", "--mesh", "4"]),
        ("torque_map", ["--kmesh", "4", "--voltages", "3", "--angles", "3", "--repeats", "1"]),
    ],
)
def test_benchmarks_run_at_a_small_size(script, arguments):
    run = python(ROOT / "benchmarks" / f"{script}.py", *arguments, "--repeats", "1")
    assert run.returncode == 0, run.stderr


def test_the_script_in_the_readme_runs(tmp_path):
    script, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "script.py").write_text(script)
    run = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def refusal(run):
    """The one line on stderr of a run that was refused."""
    assert run.returncode == 2, run.stdout + run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith("qtorque: ")
    return line


def test_a_step_too_long_for_the_real_torque_keeps_the_transport_and_says_how_to_go_on(tmp_path):
    # One layer of barrier: the torque, unknown before the transport, is strong enough for the step to be too long.
    run = driver(
        "pipeline", *TINY["pipeline"], "--set", "barrier_layers=1", "--dt", "5.1e-12", "--duration", "1e-10",
        "-o", tmp_path / "x",
    )  # fmt: skip
    assert run.returncode == 2
    (line,) = [text for text in run.stderr.splitlines() if "too long" in text]
    assert "drivers/switching.py" in line
    assert (tmp_path / "x_map.nc").exists()
    assert "TMR" in run.stdout
