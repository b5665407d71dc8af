"""Options, settings of a system, and how a driver ends."""

import argparse
import math
import subprocess
import sys

import pytest

from qtorque import command_line
from qtorque.errors import InputError

SYSTEM = """
def build(layers=3, exchange=2.6, symmetric=True, material="Fe", magnetization=(0, 0, 1), shift=None):
    return dict(locals())
"""
DRIVER = """
from pathlib import Path

from qtorque import command_line


def run(options, comm):
    system = command_line.load_system(options.system, options.set)
    if not options.dry_run and (comm is None or comm.rank == 0):
        Path(options.output).write_text(f"{system} {options.voltage}")


if __name__ == "__main__":
    parser = command_line.parser("Test.", system="system.py", output="out")
    parser.add_argument("--voltage", type=command_line.grid, default="0")
    command_line.main(run, parser)
"""


@pytest.fixture
def system(tmp_path):
    path = tmp_path / "numpy.py"  # a name that must not get in the way of the package
    path.write_text(SYSTEM)
    return path


@pytest.fixture
def driver(tmp_path, system):
    """driver(*arguments): a serial run that works on `system` and writes to `tmp_path/out`."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)

    def run(*arguments):
        command = [sys.executable, script, system, "-o", tmp_path / "out", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


def test_importing_loads_the_standard_library_alone():
    code = "import sys, qtorque.command_line; print([m for m in ('numpy', 'xarray', 'kwant') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("layers=5", "layers", 5),
        ("exchange=-2", "exchange", -2.0),
        ("exchange=pi/2", "exchange", math.pi / 2),
        ("symmetric=no", "symmetric", False),
        ("material=Co=Fe", "material", "Co=Fe"),
        ("magnetization=(0.6, 0, 0.8)", "magnetization", (0.6, 0, 0.8)),
        ("shift=0.1", "shift", 0.1),
        ("shift=auto", "shift", "auto"),
    ],
)
def test_settings_are_read_as_the_type_of_the_default(system, setting, name, value):
    built = command_line.load_system(system, [setting])
    assert built[name] == value
    assert type(built[name]) is type(value)


def test_settings_for_provenance_hold_the_defaults_too(system):
    settings = command_line.system_settings(system, ["layers=5"])
    assert settings == command_line.load_system(system, ["layers=5"])
    assert settings["exchange"] == 2.6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("layer=5", "has no parameter 'layer'; it has: layers, exchange, symmetric, material, magnetization, shift"),
        ("layers", "give name=value"),
        ("layers=2.5", r"give an integer \(the default is 3\)"),
        ("exchange=large", "give a number"),
        ("exchange=nan", "give a number"),
        ("exchange=pi/0", "give a number"),
        ("symmetric=maybe", "give true or false"),
        ("magnetization=z", "give numbers separated by commas"),
    ],
)
def test_a_bad_setting_is_refused_with_the_mend(system, setting, message):
    with pytest.raises(InputError, match=f"--set '{setting}'.*{message}"):
        command_line.load_system(system, [setting])


def test_a_parameter_without_default_must_be_given(tmp_path):
    (tmp_path / "s.py").write_text("def build(angle): return angle")
    with pytest.raises(InputError, match="needs angle; give --set angle=VALUE"):
        command_line.load_system(tmp_path / "s.py")
    assert command_line.load_system(tmp_path / "s.py", ["angle=2"]) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.py", None, "is no file"),
        ("system.txt", "", "ends in .py"),
        ("empty.py", "", "defines no function build"),
    ],
)
def test_a_file_that_is_no_system_is_refused(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        command_line.load_system(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:3", [0, 0.5, 1]),
        ("0:pi:3", [0, math.pi / 2, math.pi]),
        ("-0.5:0.5:2", [-0.5, 0.5]),
        ("0,pi/2,0.5pi,2*pi,-pi", [0, math.pi / 2, math.pi / 2, 2 * math.pi, -math.pi]),
        ("1e-3", [0.001]),
    ],
)
def test_grids_hold_both_ends_and_know_pi(text, values):
    assert command_line.grid(text) == values


@pytest.mark.parametrize("text", ["", "0:1", "0:1:1", "0:1:2.5", "a", "0:inf:3", "nan", "1,,2"])
def test_what_is_no_grid_is_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no grid; give start:stop:count"):
        command_line.grid(text)


def test_a_driver_writes_its_output(driver, tmp_path):
    run = driver("--set", "layers=4", "--voltage", "-0.5:0.5:3")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("qtorque ")
    assert (tmp_path / "out").read_text().endswith("[-0.5, 0.0, 0.5]")
    assert "'layers': 4" in (tmp_path / "out").read_text()


def test_a_quiet_driver_prints_nothing(driver):
    assert driver("--quiet").stdout == ""


def test_help_is_printed_and_ends_well(driver):
    run = driver("--help")
    assert run.returncode == 0
    assert "--dry-run" in run.stdout


@pytest.mark.parametrize(
    "arguments", [["--voltage", "high"], ["--colour"], ["--set", "layer=1"], ["--set", "layers=few", "--force"]]
)
def test_bad_input_ends_with_code_2_one_line_and_nothing_written(driver, tmp_path, arguments):
    run = driver(*arguments)
    assert run.returncode == 2
    assert run.stderr.startswith("qtorque: ")
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.mpi
@pytest.mark.parametrize("arguments", [["--colour"], ["--set", "layer=1"]])
def test_bad_input_on_two_ranks_ends_the_same_way(mpirun, driver, system, tmp_path, arguments):
    run = mpirun(2, [tmp_path / "driver.py", system, "-o", tmp_path / "out", *arguments])
    assert run.returncode == 2
    assert run.stderr == driver(*arguments).stderr
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.mpi
def test_only_one_rank_prints_the_header(mpirun, driver, system, tmp_path):
    run = mpirun(2, [tmp_path / "driver.py", system, "-o", tmp_path / "out"])
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("ranks x threads 2 x ") == 1
