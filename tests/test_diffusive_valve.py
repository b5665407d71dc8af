"""The driver of diffusive spin valves, what it hands to the dynamics and to export, and the non-local valve."""

import argparse
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line, llg, store
from qtorque.diffusion import (
    Circuit,
    Connection,
    Interface,
    Layer,
    Lead,
    Multilayer,
    Reservoir,
    magnetoresistance,
    solve_circuit,
    torque_map,
)
from qtorque.export import fit_slonczewski
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, HBAR, NM2

ROOT = Path(__file__).parents[1]
VALVE = ROOT / "systems" / "diffusive_spin_valve.py"
ROUNDING = 1e-10
"""Of solutions of one linear system whose conductances spread over six orders of magnitude."""
LONG = 1e-8
"""Resistors in series against layers of 1e-8 spin-diffusion lengths, and electrodes of ten of them (e^-20)."""
CIRCUIT = 1e-7
"""A node of circuit theory against a spacer whose resistance is 1e-8 of that of the magnets: less costs digits."""
G_UP, G_DOWN, G_MIX = 0.42e15, 0.38e15, (0.546 + 0.015j) * 1e15
"""S/m^2, and the torque per current of the symmetric valve of these at 90 degrees, in hbar/2e: the reference table of
circuit theory, to all its digits."""
TORQUE_ACROSS = 0.02889809
DIGITS = 1e-8
TINY = ["--angle", "0:pi:5", "--voltages", "-1e-3:1e-3:3", "--quiet"]
EXIT_INTERRUPTED = 75
ENSEMBLE = ["--trajectories", "2", "--duration", "3e-9", "--temperature", "0", "--alpha", "0.02"]


@pytest.fixture
def driver(monkeypatch):
    """The module drivers/diffusive_valve.py."""
    monkeypatch.syspath_prepend(ROOT / "drivers")
    return importlib.import_module("diffusive_valve")


@pytest.fixture
def options():
    return argparse.Namespace(free=None, fixed=None, profile_angle=math.pi / 2, angle=[0.0, 1.0], voltages=[1e-3])


def symmetric_valve():
    """Two lumped magnets with a spacer that is a node: circuit theory."""
    P = (G_UP - G_DOWN) / (G_UP + G_DOWN)
    shared = {"AR_star": 1 / ((G_UP + G_DOWN) * (1 - P**2)), "gamma": P, "mixing_conductance": G_MIX}
    fixed, free = (Interface(**shared, magnetization=(0, 0, 1), name=name) for name in ("fixed", "free"))
    return Multilayer(
        left=Reservoir(), elements=[fixed, Layer(thickness=1e-9, rho_star=1e-14), free], right=Reservoir()
    )


def series_resistors(settings):
    """R_P and R_AP of the valve as two channels in parallel, without spin flips."""
    v = settings

    def channels(magnet):
        return [
            2 * v["magnet_rho_star"] * (1 + sign * v["magnet_beta"]) * magnet
            + 4 * v["interface_AR_star"] * (1 + sign * v["interface_gamma"])
            for sign in (-1, 1)
        ]

    rest = 2 * v["normal_rho_star"] * (2 * v["contact_thickness"] + v["spacer_thickness"])
    first, second = channels(v["fixed_thickness"]), channels(v["free_thickness"])
    return [1 / sum(1 / (rest + a + b) for a, b in zip(first, other, strict=True)) for other in (second, second[::-1])]


def test_the_driver_writes_its_files_and_its_map_switches_the_free_layer_to_parallel(within, tmp_path):
    run = within("diffusive_valve", *TINY, "-o", tmp_path / "new" / "valve")
    assert run.returncode == 0, run.stderr
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"valve_diffusion.nc", "valve_diffusion.png", "valve_map.nc"}
    d, tmap = (store.load_dataset(tmp_path / "new" / f"valve_{name}.nc") for name in ("diffusion", "map"))
    assert all("units" in d[name].attrs and d[name].attrs["long_name"] for name in d.data_vars)
    for found in (d, tmap):
        assert json.loads(found.attrs["configuration"])["system_parameters"]["magnet_beta"] == 0.46
    R_P, R_AP = d["resistance_area"].values[[0, -1]]
    assert f"{100 * (R_AP / R_P - 1):.5g} %" in run.stdout
    assert f"{float(d['damping_like_efficiency'][2]):.6g} damping-like" in run.stdout
    assert tmap["voltage"].values.tolist() == [-1e-3, 0.0, 1e-3]
    pumped = tmap.attrs["mixing_conductance_real"] * CONDUCTANCE_QUANTUM_PER_SPIN / (tmap.attrs["cell_area"] * NM2)
    assert pumped == pytest.approx(2 * 0.55e15, rel=ROUNDING, abs=0)

    tilted = ["--field", "1e-3,0,0", *ENSEMBLE]
    chain = within("switching", tmp_path / "new/valve_map.nc", *tilted, "-o", tmp_path / "new/valve", "--quiet")
    assert chain.returncode == 0, chain.stderr
    switched = store.load_dataset(tmp_path / "new" / "valve_switching.nc")["switching_probability"]
    assert switched.values.tolist() == [0.0, 0.0, 1.0]

    again = within("diffusive_valve", *TINY, "-o", tmp_path / "new" / "valve")
    assert again.returncode == 2
    assert "--force" in again.stderr


@pytest.mark.parametrize(("start", "voltage"), [(math.pi - 0.2, 1e-3), (0.2, -1e-3)])
def test_electrons_from_the_fixed_magnet_turn_the_free_one_parallel_and_back_antiparallel(start, voltage):
    stack = command_line.load_system(VALVE)
    tmap = torque_map(stack, angle=np.linspace(0, math.pi, 9), voltage=[-1e-3, 0.0, 1e-3], area=1.0)
    free = llg.Macrospin(
        Ms=1.2e6, thickness=3e-9, area=1.26e-15, alpha=0.05, anisotropy=9.434e5, demag=(0.01, 0.01, 0.98)
    )
    r = llg.run(free, tmap, voltage=voltage, initial=(math.sin(start), 0.0, math.cos(start)), duration=2e-9, dt=1e-12)
    assert math.copysign(1, math.cos(start)) == -math.copysign(1, voltage)
    assert float(r["m"][-1, 2]) * math.copysign(1, voltage) > 0.9


def test_without_spin_flips_the_states_are_resistors_in_series(driver, options):
    texts = ["magnet_diffusion_length=1", "normal_diffusion_length=10"]
    settings = command_line.system_settings(VALVE, texts)
    stack = command_line.load_system(VALVE, texts)
    R_P, R_AP = series_resistors(settings)
    found = driver.summary(stack, options)
    np.testing.assert_allclose(found[:3], [R_P, R_AP, R_AP / R_P - 1], rtol=LONG)


def test_the_efficiency_of_the_symmetric_circuit_is_that_of_the_reference_table(driver, options):
    d = driver.versus_angle(symmetric_valve(), options, [math.pi / 2]).isel(angle=0)
    assert float(d["damping_like_efficiency"]) == pytest.approx(TORQUE_ACROSS, abs=DIGITS)
    assert abs(float(d["field_like_efficiency"])) < DIGITS
    # The torque on the fixed magnet pushes it away from the free one.
    assert float(d["damping_like_fixed_efficiency"]) == pytest.approx(-TORQUE_ACROSS, abs=DIGITS)


@pytest.mark.parametrize("p", [(0.0, 0.0, 1.0), (0.6, 0.0, -0.8), (0.48, -0.64, 0.6)])
def test_what_the_spin_current_of_the_profile_loses_in_the_free_magnet_is_its_torque(driver, options, p):
    texts = ["mixing_conductance_imaginary=0.2e15", "transverse_decay_length=1e-9", "mixing_transmitted=0.2e15"]
    stack = command_line.load_system(VALVE, texts)
    turned = stack.turned("free", p).turned("fixed", p) if p[2] < 1 else stack
    d = driver.profile(turned, options)
    across = driver.versus_angle(stack, options, [math.pi / 2]).isel(angle=0)
    free = int(np.flatnonzero(d["layer_name"] == "free")[0])
    z, j = d["position"].values, d["spin_current"].values
    before, after = (z < float(d["layer_start"][free])), (z >= float(d["layer_end"][free]))
    lost = j[before][-1] - j[after][0]
    # m = x, p = z: m x (p x m) = z and m x p = -y.
    assert lost[2] == pytest.approx(float(across["damping_like_efficiency"]), rel=ROUNDING, abs=0)
    assert lost[1] == pytest.approx(-float(across["field_like_efficiency"]), rel=1e-6, abs=0)
    assert abs(lost[1]) > 1e-3
    drop = d["potential"].values[[0, -1]]
    assert drop[0] - drop[1] == pytest.approx(float(across["resistance_area"]), rel=ROUNDING, abs=0)


COLLINEAR = """
from qtorque.diffusion import Interface, Layer, Multilayer, Reservoir

def build(*, thickness=3e-9, mixing_conductance=0.0):
    F = dict(rho_star=75e-9, beta=0.46, spin_diffusion_length=60e-9, magnetization=(0, 0, 1))
    wall = Interface(AR_star=0.51e-15, gamma=0.77, mixing_conductance=mixing_conductance or None)
    spacer = Layer(thickness=5e-9, rho_star=6e-9, spin_diffusion_length=450e-9, name="Cu")
    first, last = (Layer(thickness=thickness, name=name, **F) for name in ("first", "last"))
    return Multilayer(left=Reservoir(), elements=[first, wall, spacer, wall, last], right=Reservoir())
"""
"""A stack in the notation of Valet and Fert alone."""


def test_a_stack_without_mixing_conductances_has_its_magnetoresistance_and_profile_and_no_map(within, tmp_path):
    system = tmp_path / "valet_fert.py"
    system.write_text(COLLINEAR)
    vary = ["--vary", "thickness", "--values", "3e-9,6e-9"]
    run = within("diffusive_valve", system, *vary, *TINY, "-o", tmp_path / "new" / "x")
    assert run.returncode == 0, run.stderr
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"x_diffusion.nc", "x_diffusion.png", "x_thickness.nc", "x_thickness.png"}
    found = magnetoresistance(command_line.load_system(system, []))
    assert found.ratio > 0.5
    assert f"{1e15 * found.parallel:.6g} fOhm m^2 parallel, {1e15 * found.antiparallel:.6g} antiparallel" in run.stdout
    assert f"{100 * found.ratio:.5g} %" in run.stdout
    assert run.stdout.count("need mixing_conductance=") == 1
    d, varied = (store.load_dataset(tmp_path / "new" / f"x_{name}.nc") for name in ("diffusion", "thickness"))
    assert d.attrs["profile_angle"] == math.pi
    assert "angle" not in d
    drop = d["potential"].values[[0, -1]]
    assert drop[0] - drop[1] == pytest.approx(found.antiparallel, rel=ROUNDING, abs=0)
    assert set(varied.data_vars) == {"resistance_area_parallel", "resistance_area_antiparallel", "magnetoresistance"}
    assert varied["magnetoresistance"].values[0] == pytest.approx(found.ratio, rel=ROUNDING, abs=0)

    tilted = within("diffusive_valve", system, "--profile-angle", "1", *TINY, "-o", tmp_path / "y")
    assert tilted.returncode == 2
    assert "mixing_conductance" in tilted.stderr or "transverse_decay_length" in tilted.stderr
    mixed = ["--vary", "mixing_conductance", "--values", "0,1e15"]
    both = within("diffusive_valve", system, *mixed, *TINY, "-o", tmp_path / "y")
    assert both.returncode == 2
    assert "some stacks have torques, others none" in both.stderr


def test_a_lumped_magnet_pumps_through_both_faces_less_what_passes(driver):
    m, omega = np.array([0.0, 0.0, 1.0]), np.array([3e11, 2e11, 0.0])
    magnet = Interface(
        AR_star=1e-15, gamma=0.3, magnetization=m, name="free", mixing_conductance=(5 + 0.4j) * 1e14,
        mixing_conductance_opposite=(7 - 0.3j) * 1e14, mixing_transmitted=(1 + 0.5j) * 1e14,
        mixing_transmitted_back=(0.5 - 1j) * 1e14,
    )  # fmt: skip
    fixed = Interface(AR_star=1e-15, gamma=0.3, magnetization=m, name="fixed", mixing_conductance=3e14)
    stack = Multilayer(left=Reservoir(), elements=[fixed, magnet], right=Reservoir())
    G = driver.pumping_conductance(stack, "free")
    # A second way: the torque of its own pumping on the magnet between sinks.
    circuit = Circuit(
        nodes={}, terminals={"a": Reservoir(), "b": Reservoir()},
        connections=[Connection(source="a", target="b", element=magnet, area=1.0, precession=omega, name="F")],
    )  # fmt: skip
    mu = -HBAR / ELEMENTARY_CHARGE * omega
    expected = HBAR / (2 * ELEMENTARY_CHARGE) * (G.real * np.cross(m, np.cross(mu, m)) + G.imag * np.cross(mu, m))
    np.testing.assert_allclose(solve_circuit(circuit).torque("F"), expected, rtol=ROUNDING)
    assert driver.pumping_conductance(stack, "fixed") == pytest.approx(6e14, rel=ROUNDING)


def test_a_layer_pumps_through_its_faces_to_normal_metals_only(driver):
    wall = Interface(
        AR_star=1e-15, mixing_conductance=5e14 + 1e13j, mixing_conductance_opposite=9e14, mixing_transmitted=1e14
    )
    magnet = {"rho_star": 1e-7, "magnetization": (0, 0, 1), "spin_diffusion_length": 1e-8}
    layer = Layer(thickness=1e-9, transverse_decay_length=1e-9, name="free", **magnet)
    for elements, right, faces in (
        ([wall, layer, wall], Reservoir(), 2),
        ([wall, layer], Reservoir(), 1),
        ([wall, layer, wall, layer, wall], Reservoir(), 2),
        ([wall, layer, wall], Lead(transverse_decay_length=1e-9, **magnet), 1),
    ):
        stack = Multilayer(left=Reservoir(), elements=elements, right=right)
        assert driver.pumping_conductance(stack, "free") == pytest.approx(faces * (5e14 + 1e13j), rel=ROUNDING)
    bare = Multilayer(left=Reservoir(), elements=[layer], right=Reservoir())
    assert driver.pumping_conductance(bare, "free") is None


def test_the_profile_shows_both_sides_of_every_interface(driver, options):
    d = driver.profile(command_line.load_system(VALVE), options)
    assert np.all(np.diff(d["position"]) > 0)
    assert d.sizes["position"] == 5 * driver.LAYER_POINTS
    assert d["layer_name"].values.tolist() == ["contact", "fixed", "spacer", "free", "contact"]
    assert d["magnetic"].values.tolist() == [0, 1, 0, 1, 0]
    step = d["spin_accumulation"].sel(component="z").values.reshape(5, -1)
    # Majority spins pile up before the interface that passes fewer of them: the jump is that of 2 AR* in the table.
    assert step[2, 0] - step[1, -1] > 0.1e-15
    assert d.attrs["profile_angle"] == math.pi / 2


def test_the_fit_to_a_diffusive_map_is_the_closed_form_of_circuit_theory():
    G, P = G_UP + G_DOWN, (G_UP - G_DOWN) / (G_UP + G_DOWN)
    eta = 2 * G_MIX / G
    A = abs(eta) ** 2 / eta.real
    square = A / (1 - P**2)
    tmap = torque_map(symmetric_valve(), angle=np.linspace(0, math.pi, 9), voltage=[-1e-3, 0.0, 1e-3], area=1.0)
    # The polarisation of the fit counts hbar/2 an electron, twice that of the circuit: P/2 stands for P. At a fixed
    # voltage the resistance turns Lambda^2 into A; the polarisation comes with the current at 90 degrees.
    at_voltage = fit_slonczewski(tmap, voltage=1e-3).forms[0]
    assert at_voltage.Lambda**2 == pytest.approx(A, rel=CIRCUIT, abs=0)
    assert at_voltage.polarization == pytest.approx(P / 2 * square * (1 + A) / (A * (1 + square)), rel=CIRCUIT, abs=0)
    assert at_voltage.epsilon_prime == pytest.approx(0, abs=CIRCUIT)
    # At a fixed current the form is the textbook one.
    density = tmap.charge_current / (tmap.area * NM2)
    nominal = density[4, 2]
    scale = np.divide(nominal, density[:, [2]])
    fixed_current = qt.TorqueMap(
        angle=tmap.angle, voltage=tmap.voltage, area=tmap.area,
        charge_current=tmap.charge_current * scale,
        **{name: getattr(tmap, name) * scale for name in (
            "damping_like", "field_like", "damping_like_fixed", "field_like_fixed",
        )},
    )  # fmt: skip
    at_current = fit_slonczewski(fixed_current, voltage=1e-3).forms[0]
    assert at_current.Lambda**2 == pytest.approx(square, rel=CIRCUIT, abs=0)
    assert at_current.polarization == pytest.approx(P / 2, rel=CIRCUIT, abs=0)
    assert max(at_current.damping_like_residual, at_voltage.damping_like_residual) < CIRCUIT


def test_a_varied_parameter_is_continued_and_gives_what_each_stack_gives_alone(within, driver, options, tmp_path):
    vary = ["--vary", "free_thickness", "--values", "1e-9,9e-9", *TINY]
    codes = []
    while not codes or codes[-1] == EXIT_INTERRUPTED:
        codes.append(within("diffusive_valve", *vary, "-o", tmp_path / "x", "--max-seconds", "1e-3").returncode)
        assert len(codes) < 9
    assert len(codes) > 1
    assert codes[-1] == 0
    found = store.load_dataset(tmp_path / "x_free_thickness.nc")
    assert found["value"].attrs["units"] == "m"
    for i, value in enumerate(("1e-9", "9e-9")):
        alone = driver.summary(command_line.load_system(VALVE, [f"free_thickness={value}"]), options)
        np.testing.assert_array_equal([float(found[name][i]) for name in driver.SUMMARY], alone)
    assert (tmp_path / "x_free_thickness.png").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_writes_nothing(within, tmp_path):
    run = within("diffusive_valve", *TINY, "--dry-run", "-o", tmp_path / "new" / "x")
    assert run.returncode == 0, run.stderr
    assert "nothing written" in run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["systems/mtj.py"], "Multilayer"),
        (["--vary", "nothing", "--values", "1,2"], "no such parameter"),
        (["--vary", "magnet_beta"], "both"),
        (["--vary", "magnet_beta", "--values", "0.1,1.0"], "beta"),
        (["--vary", "magnet_beta", "--values", "0.1,0.1"], "repeated"),
        (["--vary", "magnet_beta", "--values", "0.1,0.2", "--set", "magnet_beta=0.3"], "--values"),
        (["--set", "transverse_decay_length=1e-9"], "mixing_transmitted"),
        (["--set", "spacer_thickness=-1e-9"], "thickness"),
        (["--free", "nobody"], "nobody"),
        (["--angle", "0:4:5"], "angle"),
        (["--angle", "pi/2"], "angle"),
    ],
)
def test_bad_input_to_the_driver_is_refused_in_one_line(within, tmp_path, arguments, word):
    run = within("diffusive_valve", *arguments, "--quiet", "-o", tmp_path / "new" / "x")
    assert run.returncode == 2
    assert word in run.stderr
    assert run.stderr.strip().count("\n") == 0
    assert list(tmp_path.iterdir()) == []


# --- the non-local valve ----------------------------------------------------------------------------------------------


def lateral(*texts):
    path = ROOT / "systems" / "lateral_circuit.py"
    return command_line.system_settings(path, texts), solve_circuit(command_line.load_system(path, texts))


def nonlocal_resistance(solution):
    return (solution.potential("detector") - solution.potential("right")) / solution.terminal_current("injector")


@pytest.mark.parametrize("distance", [1e-7, 6e-7])
def test_the_nonlocal_resistance_is_that_of_takahashi_and_maekawa(distance):
    # S. Takahashi, S. Maekawa, Phys. Rev. B 67, 052409 (2003), from memory, and by hand from the two nodes.
    v, solution = lateral(f"distance={distance}")
    bar = v["normal_rho_star"] * v["normal_diffusion_length"] / (v["wire_width"] * v["wire_thickness"])
    foot = v["wire_width"] * v["contact_width"]
    magnet = v["magnet_rho_star"] * v["magnet_diffusion_length"]
    driving = (v["interface_gamma"] * v["interface_AR_star"] + v["magnet_beta"] * magnet) / foot
    contact = (v["interface_AR_star"] + magnet) / foot
    x = distance / v["normal_diffusion_length"]
    expected = 2 * bar * math.exp(-x) * (driving / bar) ** 2 / ((1 + 2 * contact / bar) ** 2 - math.exp(-2 * x))
    assert nonlocal_resistance(solution) == pytest.approx(expected, rel=LONG, abs=0)
    _, reversed_detector = lateral(f"distance={distance}", "angle=pi")
    assert nonlocal_resistance(reversed_detector) == pytest.approx(-expected, rel=LONG, abs=0)


def test_the_detector_sees_a_pure_spin_current_and_nothing_across_its_magnetisation():
    _, solution = lateral("angle=pi/2")
    driven = solution.terminal_current("injector")
    assert driven > 0
    for name in ("A-B", "B-right", "detector contact"):
        assert abs(solution.current(name)) < ROUNDING * driven
    entering, leaving = solution.spin_currents("A-B")
    assert entering[2] > leaving[2] > 0.01 * driven
    assert abs(nonlocal_resistance(solution)) < LONG
    # The spins of the injector pull the detector towards themselves.
    torque = solution.torque("detector contact")
    assert torque[2] > 0
    assert abs(torque[0]) < ROUNDING * torque[2]
