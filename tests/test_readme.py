"""The programs in README.md run; long ones with less of everything."""

import re
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import llg
from qtorque.units import ELEMENTARY_CHARGE

README = Path(__file__).parents[1] / "README.md"
LESS = {
    "trajectories=10000": "trajectories=63", "trajectories=64": "trajectories=2", "41)": "3)", "81)": "7)",
    "duration=1e-6": "duration=8e-9", "settle=2e-8": "settle=1e-10", "length=[1e-8, 2e-8]": "length=[1e-10, 2e-10]",
    "relaxation=1e-9": "relaxation=1e-10", "duration=100e-9": "duration=10e-9", "duration=10e-9": "duration=1e-9",
    "duration=2e-7": "duration=1e-9", "5e-9, rise": "5e-10, rise",
}  # fmt: skip
"""What a test has no time for, and what it takes in its place."""


@pytest.fixture
def names(tmp_path):
    """What the program about the dynamics finds: a free layer, and the file of a torque map beside it."""
    angle, voltage = np.linspace(0, np.pi, 7), np.linspace(-1, 1, 5)
    shape = (angle.size, voltage.size)
    zeros = np.zeros(shape)
    free = llg.Macrospin(
        Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.05, anisotropy=9.434e5, demag=(0.01, 0.01, 0.98)
    )
    pull = 0.02 * free.moment * (0.09e-18 / free.area) / ELEMENTARY_CHARGE * voltage
    conductance = 1e-9 * (1 + 0.3 * np.cos(angle))[:, np.newaxis]
    qt.TorqueMap(
        angle=angle, voltage=voltage, area=0.09, damping_like=pull + zeros, field_like=zeros, damping_like_fixed=zeros,
        field_like_fixed=zeros, charge_current=conductance * voltage,
    ).save(tmp_path / "map.nc")  # fmt: skip
    return {"np": np, "qt": qt, "llg": llg, "free": free}, tmp_path / "map.nc"


def test_the_program_about_the_dynamics_runs(names):
    known, path = names
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = next(text for text in programs if text.startswith("source = "))
    for long, short in LESS.items():
        assert long in program
        program = program.replace(long, short, 1)
    assert "results/mtj_map.nc" in program
    exec(program.replace("results/mtj_map.nc", str(path)), known)
    assert known["path"]["m"].shape[1] == 3
    assert np.all(known["exact"] > 0)
    for name in ("errors", "diagram", "noise", "line"):
        assert all(variable.attrs.get("long_name") for variable in known[name].data_vars.values())


def test_the_program_about_diffusion_runs_from_the_lattice_to_the_critical_voltage():
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = next(text for text in programs if "diffusion.Multilayer(" in text)
    known = {"np": np, "qt": qt}
    exec(program.replace("qt.kmesh(64)", "qt.kmesh(8)"), known)
    parallel, free, tmap = known["parallel"], known["free"], known["tmap"]
    assert parallel.current_density == pytest.approx(1e12, rel=1e-9)
    # Electrons from the fixed to the free magnet turn it parallel: the resistance rises with the angle, V > 0 switches.
    assert np.all(np.diff(known["R"]) > 0)
    assert llg.critical_voltage(free, tmap, "antiparallel").voltage > 0


def test_three_lines_give_the_mixing_conductance_of_copper_and_cobalt():
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = next(text for text in programs if "slater_koster(" in text)
    known = {"qt": qt}
    exec(program, known)
    assert complex(qt.per_area(known["g"], known["interface"])) == pytest.approx(5.04e14 - 9e12j, abs=5e12)
