"""Lateral spin valve: Kirchhoff, reciprocity and the signs of the spin signal and of the pure spin current."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line, store
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN

ROOT = Path(__file__).parents[1]
DRIVER = str(ROOT / "drivers" / "nonlocal_spin_valve.py")
SYSTEM = str(ROOT / "systems" / "lateral_spin_valve.py")
ROUNDING = 1e-10
"""Kwant's sparse solver on a hundred sites, transmissions of order one to ten."""
SMALL = {"bar_width": 4, "electrode_width": 2, "electrode_height": 1, "separation": 4, "margin": 1}
TINY = ["--energy", "-0.1,0.05,0.2", *(word for name, n in SMALL.items() for word in ("--set", f"{name}={n}"))]


@pytest.fixture(scope="module")
def functions():
    """The functions of the driver."""
    sys.path.insert(0, str(ROOT / "drivers"))
    try:
        return runpy.run_path(DRIVER)
    finally:
        sys.path.remove(str(ROOT / "drivers"))


@pytest.fixture(scope="module")
def T(functions):
    """T(energy, ...) between all leads of the small system."""

    def transmissions(energy=0.05, **parameters):
        settings = [f"{name}={value!r}" for name, value in (SMALL | parameters).items()]
        return functions["transmissions"](command_line.load_system(SYSTEM, settings), energy)

    return transmissions


def total(T):
    return T.sum(axis=(2, 3))


def test_every_lead_sends_and_receives_all_its_channels(T):
    # Unitarity of the whole scattering matrix, by rows and by columns, in the middle of spin-orbit coupling too.
    found = total(T(angle=1.0, rashba=0.3))
    np.testing.assert_allclose(found.sum(axis=0), found.sum(axis=1), atol=ROUNDING)
    np.testing.assert_allclose(found.sum(axis=0), np.round(found.sum(axis=0)), atol=ROUNDING)
    assert found.sum() > 10


def test_probes_draw_no_current_and_what_enters_leaves(functions, T):
    found = total(T(angle=1.0, rashba=0.3))
    V = functions["potentials"](found[:, :, None, None], 0, 1)
    current = found.sum(axis=0) * V - found @ V
    np.testing.assert_allclose(current, [1, -1, 0, 0], atol=ROUNDING)
    assert V[1] == 0


def test_voltages_of_simple_networks_are_those_of_buettikers_formulas(functions):
    def network(conductances):
        return np.array(conductances, dtype=float)[:, :, None, None]

    two = network([[1, 2], [2, 1]])
    assert functions["resistance"](two, (0, 1), (0, 1)) == pytest.approx(0.5)
    # A probe between: V_2 = (T_20 V_0 + T_21 V_1)/(T_20 + T_21).
    three = network([[0, 2, 3], [2, 0, 1], [3, 1, 0]])
    V = functions["potentials"](three, 0, 1)
    assert V[2] == pytest.approx(0.75 * V[0])
    assert V[0] == pytest.approx(1 / (2 + 3 * 1 / (3 + 1)))


def test_resistances_are_reciprocal_when_all_magnetizations_turn_round(functions, T):
    # R_ij,kl(m) = R_kl,ij(-m), with spin-orbit coupling and without any symmetry of the magnetizations.
    state = {"angle": 1.0, "injector_angle": 0.4, "rashba": 0.4}
    forward, backward = T(**state), T(**(state | {"injector_angle": 0.4 + np.pi}))
    np.testing.assert_allclose(total(forward), total(backward).T, atol=ROUNDING)
    R = functions["resistance"](forward, (0, 1), (2, 3))
    assert functions["resistance"](backward, (2, 3), (0, 1)) == pytest.approx(R, abs=ROUNDING)
    # Not so with the magnetizations as they were: the relation says something.
    assert abs(functions["resistance"](forward, (2, 3), (0, 1)) - R) > 1e-4


def test_without_exchange_there_is_no_spin_signal_and_no_spin_current(functions, T):
    parallel, antiparallel = (T(angle=angle, onsite_up=1.5, onsite_down=1.5) for angle in (0.0, np.pi))
    np.testing.assert_allclose(total(parallel), total(antiparallel), atol=ROUNDING)
    V = functions["potentials"](parallel, 0, 1)
    np.testing.assert_allclose(functions["spin_current"](parallel, V, 3), 0, atol=ROUNDING)


def test_resistances_depend_on_the_angle_between_the_magnetizations_alone(functions, T):
    R = [functions["resistance"](T(angle=2.0, injector_angle=first), (0, 1), (2, 3)) for first in (0.0, 0.7, np.pi)]
    np.testing.assert_allclose(R, R[0], atol=ROUNDING)


def test_the_spin_current_turns_with_the_injector_and_carries_no_charge(functions, T):
    flows = []
    for first in (0.0, np.pi):
        found = T(injector_angle=first)
        flows.append(functions["spin_current"](found, functions["potentials"](found, 0, 1), 3))
    np.testing.assert_allclose(flows[0].sum(), 0, atol=ROUNDING)
    np.testing.assert_allclose(flows[1], flows[0][::-1], atol=ROUNDING)
    assert flows[0][0] > 0.05


def test_the_spin_current_is_counted_along_z_and_an_injector_across_it_shows_none(functions, T):
    across = T(injector_angle=np.pi / 2)
    np.testing.assert_allclose(
        np.diff(functions["spin_current"](across, functions["potentials"](across, 0, 1), 3)), 0, atol=ROUNDING
    )


def test_charge_that_enters_at_one_electrode_leaves_through_the_bar_spin_by_spin(functions, T):
    # Out of lead 1 comes all the charge, and without spin-orbit coupling each spin is conserved on its own.
    found = T()
    V = functions["potentials"](found, 0, 1)
    flows = np.array([functions["spin_current"](found, V, lead) for lead in range(4)])
    np.testing.assert_allclose(flows.sum(axis=1), [-1, 1, 0, 0], atol=ROUNDING)
    # All axes are z here, and majority is up.
    np.testing.assert_allclose(flows.sum(axis=0), 0, atol=ROUNDING)


def test_parallel_electrodes_see_the_higher_voltage(functions):
    # F1 injects majority electrons; they accumulate, and a parallel F2 floats to the potential of its own majority.
    states = [command_line.load_system(SYSTEM, [f"angle={angle!r}"]) for angle in (0.0, np.pi)]
    signal = []
    for energy in np.linspace(-0.3, 0.3, 5):
        R = [functions["resistance"](functions["transmissions"](s, energy), (0, 1), (2, 3)) for s in states]
        signal.append(R[0] - R[1])
    assert min(signal) > 0.01


def test_an_energy_below_the_band_of_the_bar_is_refused(T):
    with pytest.raises(qt.InputError, match="lead 1 has no open channel"):
        T(energy=0.0, onsite_normal=6.0)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"separation": 2}, "separation"), ({"bar_width": 0}, "bar_width"), ({"onsite_down": 1.0}, "onsite_down")],
)
def test_a_shape_that_cannot_be_is_refused(T, parameters, word):
    with pytest.raises(qt.InputError, match=word):
        T(**parameters)


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A tiny run of the driver: the CompletedProcess and its data set."""
    folder = tmp_path_factory.mktemp("lateral")
    command = [sys.executable, DRIVER, *TINY, "-o", folder / "x"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stderr
    assert (folder / "x_nonlocal.png").read_bytes().startswith(b"\x89PNG")
    return run, store.load_dataset(folder / "x_nonlocal.nc")


def test_the_driver_writes_resistances_in_ohm_and_the_spin_current(functions, T, driven):
    run, d = driven
    for state, angle in (("parallel", 0.0), ("antiparallel", np.pi)):
        found, at = T(energy=0.05, angle=angle), d.sel(energy=0.05, state=state)
        R = functions["resistance"](found, (0, 1), (2, 3)) / CONDUCTANCE_QUANTUM_PER_SPIN
        assert float(at["nonlocal_resistance"]) == pytest.approx(R, rel=1e-9)
        up, down = functions["spin_current"](found, functions["potentials"](found, 0, 1), 3)
        assert float(at["spin_current"]) == pytest.approx(up - down, abs=ROUNDING)
    difference = d["nonlocal_resistance"].sel(state="parallel") - d["nonlocal_resistance"].sel(state="antiparallel")
    np.testing.assert_array_equal(d["spin_signal"], difference)
    assert abs(d["charge_current"]).max() < ROUNDING
    assert f"{float(d['spin_signal'].mean()):.4f}" in run.stdout
    assert "I_s,z/I" in run.stdout
    assert "along z" in d["spin_current"].attrs["long_name"]


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_write_the_same_bits(driven, mpirun, tmp_path):
    run = mpirun(2, [DRIVER, SYSTEM, *TINY, "-o", tmp_path / "x"])
    assert run.returncode == 0, run.stderr
    two = store.load_dataset(tmp_path / "x_nonlocal.nc")
    for name, variable in driven[1].variables.items():
        assert variable.values.tobytes() == two[name].values.tobytes(), name


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["systems/mtj.py"], "angle"),
        (["--set", "separation=1"], "separation"),
        (["--energy", "x"], "energy"),
        (["--set", "angle=1.0"], "--set angle="),
    ],
)
def test_the_driver_refuses_bad_input_in_one_line(monkeypatch, capsys, arguments, word, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "drivers")
    monkeypatch.setattr(sys, "argv", [DRIVER, *arguments, "-o", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(DRIVER, run_name="__main__")
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert list(tmp_path.iterdir()) == []
