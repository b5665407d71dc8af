"""Coupling and torkance versus thickness: periods, two routes, decay rates, what symmetry forbids; the driver."""

import functools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from cubic_zone import in_plane_energies

import qtorque as qt
from qtorque import parallel, plot, store
from qtorque.checkpoint import FolderCheckpoint

ROOT = Path(__file__).parents[1]
PERIOD = 0.02
"""Relative, of a period: a finite range of thicknesses and the next order in 1/n shift the peak by half a percent."""
SLOPE = 1e-6
"""Relative: a difference of fourth order with steps of 0.02 rad is good to 1e-8, integrals to 1e-10 of currents that
are up to a hundred times the torque."""
DECAY = 1e-5
"""Relative, of a torkance between 4 and 6 layers at 1 mV: standing waves in the barrier are exp(-2 kappa n) = 1e-5."""
REFINED = 1e-3
"""Relative, of a refined sum at tolerance 1e-3 and the integral over the energies of the plane."""
FORBIDDEN = 1e-6
"""Share of the even part below which the odd part of a torque is an error of the energy integrals."""


@pytest.fixture(scope="module")
def coupling_driver():
    """The names defined in drivers/coupling.py."""
    sys.path.insert(0, str(ROOT / "drivers"))
    try:
        import coupling
    finally:
        sys.path.remove(str(ROOT / "drivers"))
    return coupling


def zone(onsite, nodes):
    """The zone of `trilayer` with its default magnets: pieces end at the edges of the spacer's and both spins' bands,
    and beyond the last, w = -0.1, no state is filled."""
    return in_plane_energies([-4.0, 2 - onsite, -0.45, -0.1], [nodes, 12, 12])


def trilayer(layers, onsite, up=2.1, down=2.45):
    """F | N(layers) | F. Both spins of the default magnets are open wherever the spacer is, so that no state is bound
    in it, and what is summed over k is smooth up to the edge of the spacer's band."""
    magnet = qt.single_band(onsite=(up + down) / 2, exchange=down - up)
    spacer = qt.single_band(onsite=onsite)
    return qt.Stack(left=qt.Lead(magnet), layers=[qt.Layer(spacer, layers)], right=qt.Lead(magnet))


def coupling_energy(system, kset, tolerance=1e-4):
    """Omega(0) - Omega(pi), eV per cell."""
    omega = qt.interlayer_coupling(system, kmesh=kset, angle=[np.pi, 0.0], tolerance=tolerance)["grand_potential"]
    return float(omega[1] - omega[0])


def stationary_period(onsite):
    """Layers: 2 pi/(2 q) folded by whole layers, at the only stationary point of the spacer's Fermi surface."""
    d = qt.complex_bands(qt.single_band(onsite=onsite), energy=0.0, k=[(0, 0), (np.pi, 0), (np.pi, np.pi)])
    propagating = d["propagating"].isel(energy=0, spin=0)
    np.testing.assert_array_equal(propagating.any("band"), [True, False, False])
    q = abs(d["q"].isel(energy=0, spin=0, k=0, band=0).item().real)
    turn = 2 * q % (2 * np.pi)
    return 2 * np.pi / min(turn, 2 * np.pi - turn)


def test_the_energies_of_the_plane_stand_for_a_mesh():
    line, mesh = (coupling_energy(trilayer(2, 2.5), kset) for kset in (zone(2.5, 40), qt.kmesh(96)))
    assert line == pytest.approx(mesh, rel=1e-2)


def test_the_period_of_the_stationary_point_is_the_known_one():
    assert stationary_period(2.5) == pytest.approx(4.347, rel=1e-4)
    # cos q = (2.8 - 4)/2 = -0.6.
    assert stationary_period(2.8) == pytest.approx(2 * np.pi / (2 * np.pi - 2 * np.arccos(-0.6)), rel=1e-12)


@pytest.mark.parametrize("onsite", [2.5, 2.8])
def test_coupling_oscillates_with_the_period_of_the_spacers_stationary_point(onsite, coupling_driver):
    layers = np.arange(10, 40)
    coupling = [coupling_energy(trilayer(int(n), onsite), zone(onsite, 2 * int(n) + 40)) for n in layers]
    assert coupling_driver.period(layers, coupling) == pytest.approx(stationary_period(onsite), rel=PERIOD)
    size = np.abs(coupling)
    # It falls off as the square of the thickness: n^2 times it keeps its size.
    assert 0.6 < (layers**2 * size)[15:].max() / (layers**2 * size)[:15].max() < 1.6


@pytest.mark.parametrize("true", [4.347, 3.39, 9.1, 2.3])
def test_the_period_of_a_damped_sinusoid_is_found(true, coupling_driver):
    n = np.arange(4, 50)
    for phase in (0.0, 1.0, 2.5):
        values = 3e-5 * np.sin(2 * np.pi * n / true + phase) / n**2
        assert coupling_driver.period(n, values) == pytest.approx(true, rel=5e-3)


@pytest.mark.parametrize(
    ("system", "angle"),
    [(trilayer(4, 2.5, 3.0, 5.6), 0.8), (trilayer(3, 2.8, 1.5, 4.0), 2.0), (trilayer(7, 2.5), 1.3)],
)
def test_zero_bias_field_like_torque_is_the_slope_of_the_grand_potential(system, angle):
    kset, h = qt.kpoints([[0.3, 0.5], [1.2, 0.4], [2.0, 1.1]]), 0.02
    angles = [angle, angle - 2 * h, angle - h, angle + h, angle + 2 * h]
    omega = qt.interlayer_coupling(system, kmesh=kset, angle=angles, tolerance=1e-10)["grand_potential"].values[1:]
    slope = (8 * (omega[2] - omega[1]) - (omega[3] - omega[0])) / (12 * h)
    d = qt.spin_torque(system, angle=angle, voltage=0.0, kmesh=kset, tolerance=1e-10)
    assert slope / np.sin(angle) == pytest.approx(float(d["field_like"][0, 0]), rel=SLOPE)


def junction(layers=3, right_down=5.6):
    def magnet(down):
        return qt.single_band(onsite=(3.0 + down) / 2, exchange=down - 3.0)

    oxide = qt.Layer(qt.single_band(onsite=9.0), layers, barrier=True)
    return qt.Stack(left=qt.Lead(magnet(5.6)), layers=[oxide], right=qt.Lead(magnet(right_down)))


def odd_share(system):
    """Odd over even part of the field-like torque at 0.4 V."""
    d = qt.spin_torque(system, angle=np.pi / 2, voltage=[-0.4, 0.4], kmesh=qt.kmesh(6), tolerance=1e-8)
    minus, plus = d["field_like"].values[0]
    return (plus - minus) / (plus + minus)


def test_the_odd_part_of_the_field_like_torque_needs_unequal_magnets():
    assert abs(odd_share(junction())) < FORBIDDEN
    assert abs(odd_share(junction(right_down=4.5))) > 0.01


def test_magnets_exchanged_reverse_the_odd_part_of_the_field_like_torque():
    # tau_R(V) of the mirrored junction is tau_L(-V) of this one.
    d = qt.spin_torque(
        junction(right_down=4.5), angle=1.0, voltage=[-0.4, 0.4], kmesh=qt.kmesh(4), tolerance=1e-8
    )  # fmt: skip
    stack = junction(right_down=4.5)
    mirrored = qt.Stack(left=stack.right, layers=stack.layers, right=stack.left)
    other = qt.spin_torque(mirrored, angle=1.0, voltage=[-0.4, 0.4], kmesh=qt.kmesh(4), tolerance=1e-8)
    np.testing.assert_allclose(d["field_like"][0], other["field_like_fixed"][0, ::-1], rtol=1e-6)


@pytest.mark.parametrize("k", [(0.0, 0.0), (0.4, 0.2)])
def test_torkance_and_coupling_at_one_momentum_decay_as_the_barrier_says(k, coupling_driver):
    kset = qt.kpoints([k])
    d = qt.complex_bands(junction().layers[0].material, energy=0.0, k=k)
    kappa = float(d["kappa"].max()) * 0.3
    thin, thick = (
        coupling_driver.at_one_thickness(junction(n), kset, voltage=1e-3, temperature=0.0, tolerance=1e-8)
        for n in (4, 6)
    )
    rate = np.log(float(thick["damping_like_torkance"] / thin["damping_like_torkance"])) / 2
    assert rate == pytest.approx(-2 * kappa, rel=DECAY)
    # States below the Fermi energy decay faster: the coupling falls off a little more than the torkance.
    rate = np.log(float(thick["coupling_energy"] / thin["coupling_energy"])) / 2
    assert -2 * kappa - 0.5 < rate < -2 * kappa


def test_both_routes_of_the_driver_have_one_sign_and_size(coupling_driver):
    d = coupling_driver.at_one_thickness(junction(), qt.kmesh(16), voltage=0.01, temperature=0.0, tolerance=1e-7)
    # The sign check of the conventions: antiferromagnetic, Omega(0) - Omega(pi) = +8.2626e-7 eV per cell.
    assert float(d["coupling_energy"]) == pytest.approx(8.2626e-7, rel=2e-5)
    assert -2 * float(d["field_like"]) == pytest.approx(8.2626e-7, rel=2e-5)
    sweep = qt.spin_torque(junction(), angle=np.pi / 2, voltage=np.linspace(-0.02, 0.02, 5), kmesh=qt.kmesh(16))
    assert float(d["damping_like_torkance"]) == pytest.approx(float(qt.torkance(sweep)["damping_like"][0]), rel=1e-2)
    assert float(d["damping_like_torkance"]) > 0


def test_without_a_mesh_coupling_and_torkance_are_those_of_the_integral_over_the_plane(coupling_driver):
    options = {"voltage": 0.01, "temperature": 0.0}
    refined = coupling_driver.at_one_thickness(trilayer(3, 2.5), tolerance=1e-3, **options)
    plane = coupling_driver.at_one_thickness(trilayer(3, 2.5), zone(2.5, 60), tolerance=1e-6, **options)
    for name in ("coupling_energy", "field_like", "damping_like_torkance"):
        assert float(refined[name]) == pytest.approx(float(plane[name]), rel=REFINED), name
    for name in ("coupling_energy", "field_like", "torkance"):
        assert float(refined[f"{name}_k_error"]) < float(refined[f"{name}_energy_error"]) + 1e-2
        assert f"{name}_k_error" not in plane
    # Errors are absolute: the coupling is known to its tolerance.
    assert float(refined["coupling_energy_k_error"]) < 1e-3 * abs(float(refined["coupling_energy"]))


@pytest.fixture
def run(within):
    """run(*arguments) runs the driver in this process; the CompletedProcess, output as text."""
    return functools.partial(within, "coupling")


TINY = ["systems/mtj.py", "--parameter", "barrier_layers", "--layers", "1:3", "--kmesh", "3", "--tolerance", "1e-3"]


def test_the_driver_writes_a_table_two_figures_and_where_they_come_from(run, tmp_path):
    done = run(*TINY, "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "new"
    assert {p.name for p in folder.iterdir()} == {"x_coupling.nc", "x_coupling.png", "x_torkance.png"}
    d = store.load_dataset(folder / "x_coupling.nc")
    np.testing.assert_array_equal(d["layers"], [1, 2, 3])
    assert all(d[name].attrs["units"] and d[name].attrs["long_name"] for name in d.data_vars)
    assert json.loads(d.attrs["configuration"])["layers"] == [1, 2, 3]
    assert "Omega(0)-Omega(pi)" in done.stdout


def table_of(coupling_driver, coupling, error):
    """The lines of the driver's table for a coupling over layers from 3 on."""
    layers = np.arange(3, 3 + len(coupling))
    zero = np.zeros(len(coupling))
    names = ("field_like", "damping_like_torkance", "field_like_torkance")
    d = xr.Dataset(
        {"coupling_energy": ("layers", coupling), "coupling_energy_energy_error": ("layers", zero + error)}
        | dict.fromkeys(names, ("layers", zero)),
        coords={"layers": layers},
        attrs={"cell_area": 0.09},
    )
    return coupling_driver.table(d)


def test_a_period_is_printed_only_where_the_coupling_oscillates_above_its_error(coupling_driver):
    n = np.arange(3, 27)
    wave = np.sin(2 * np.pi * n / 5.3 + 0.4) / n**2
    (line,) = (x for x in table_of(coupling_driver, wave, 1e-6) if x.startswith("period"))
    assert float(line.split()[-2]) == pytest.approx(5.3, rel=PERIOD)
    # A decay, one period in the whole range, and rounding that changes its sign all the time.
    decay, drift, noise = np.exp(-n.astype(float)), np.cos(2 * np.pi * n / 24) / n**2, 1e-18 * (-1.0) ** n
    for values, error in ((decay, 0.0), (drift, 0.0), (noise, 1e-17), (decay + noise, 1e-17)):
        assert not any(x.startswith("period") for x in table_of(coupling_driver, values, error))


def test_figures_leave_out_what_is_not_larger_than_its_error():
    names = {"coupling_energy": 1.0, "field_like": -0.5, "damping_like_torkance": 2.0, "field_like_torkance": 1.0}
    sizes, errors = np.array([1.0, 1e-3, -1e-6]), np.array([1e-5, 1e-5, 1e-5])
    d = xr.Dataset(
        {name: ("layers", factor * sizes) for name, factor in names.items()}
        | {f"{name}_energy_error": ("layers", errors) for name in ("coupling_energy", "field_like", "torkance")}
        | {"torkance_k_error": ("layers", [0.0, 1.2e-3, 0.0])},
        coords={"layers": ("layers", [1, 2, 3], {"long_name": "thickness"})},
        attrs={"cell_area": 0.09},
    )
    panel = plot.coupling_versus_thickness(d).axes[0]
    assert [np.isfinite(line.get_ydata()).tolist() for line in panel.lines[:2]] == [[True, True, False]] * 2
    (panel,) = plot.torkance_versus_thickness(d).axes
    shown = [line.get_xdata().tolist() for line in panel.lines if line.get_marker() == "None" and len(line.get_xdata())]
    # The error of the sum over k counts: 1e-3 is known to 1.2e-3 only, 2e-3 is above it.
    assert shown == [[1, 2], [1]]


def test_a_lead_without_open_channels_is_refused_before_any_solve(run, monkeypatch, tmp_path):
    def solved(*_, **__):
        raise AssertionError("solved")

    monkeypatch.setattr(qt, "interlayer_coupling", solved)
    done = run(*TINY, "--set", "onsite_up=20", "--set", "onsite_down=22", "-o", tmp_path / "x")
    assert done.returncode == 2, done.stderr
    assert "open channel" in done.stderr
    assert list(tmp_path.iterdir()) == []


REFINED_RUN = ["systems/mtj.py", "--parameter", "barrier_layers", "--layers", "1:2"]


def test_without_a_mesh_the_driver_prints_and_keeps_the_errors(run, tmp_path):
    done = run(*REFINED_RUN, "-o", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    assert "largest estimated errors: coupling_energy " in done.stdout
    d = store.load_dataset(tmp_path / "x_coupling.nc")
    assert {"coupling_energy_k_error", "field_like_k_error", "torkance_k_error"} <= set(d.data_vars)
    assert json.loads(d.attrs["configuration"])["tolerance"] > 0


def test_without_a_mesh_an_interrupted_thickness_continues_to_the_same_bits(coupling_driver, tmp_path):
    def work(checkpoint=None):
        return coupling_driver.at_one_thickness(
            junction(2), voltage=0.01, temperature=0.0, tolerance=1e-2, checkpoint=checkpoint
        )

    def after(checks):
        """Says to stop at the check of this number."""
        counted = iter(range(checks))
        return lambda: "told to" if next(counted, None) is None else None

    interrupted = 0
    for attempt in range(1, 20):
        kept = FolderCheckpoint.open(tmp_path / "x", {}, stop_reason=after(attempt))
        try:
            continued = work(kept)
            break
        except parallel.Interrupted:
            interrupted += 1
        finally:
            kept.close()
    assert interrupted >= 2
    xr.testing.assert_identical(continued, work())


@pytest.mark.slow
@pytest.mark.mpi
def test_without_a_mesh_the_driver_gives_the_same_bits_on_two_ranks(run, mpirun, tmp_path):
    assert run(*REFINED_RUN, "-o", tmp_path / "one").returncode == 0
    arguments = [ROOT / REFINED_RUN[0], *REFINED_RUN[1:], "-o", tmp_path / "two"]
    two = mpirun(2, [ROOT / "drivers" / "coupling.py", *arguments])
    assert two.returncode == 0, two.stderr
    first, second = (store.load_dataset(tmp_path / f"{name}_coupling.nc") for name in ("one", "two"))
    for name in first.variables:
        assert first[name].values.tobytes() == second[name].values.tobytes(), name


def test_without_a_mesh_a_dry_run_says_what_it_would_do(run, tmp_path):
    done = run(*REFINED_RUN, "--dry-run", "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    assert "2 thicknesses x k refined to" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.mpi
def test_the_driver_gives_the_same_bits_on_two_ranks(run, mpirun, tmp_path):
    assert run(*TINY, "-o", tmp_path / "one").returncode == 0
    two = mpirun(2, [ROOT / "drivers" / "coupling.py", ROOT / TINY[0], *TINY[1:], "-o", tmp_path / "two"])
    assert two.returncode == 0, two.stderr
    first, second = (store.load_dataset(tmp_path / f"{name}_coupling.nc") for name in ("one", "two"))
    for name in first.variables:
        assert first[name].values.tobytes() == second[name].values.tobytes(), name


def test_a_dry_run_of_the_driver_writes_nothing(run, tmp_path):
    done = run(*TINY, "--dry-run", "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    assert re.search(r"time: about [\d.e+-]+ s", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--layers", "5:3"], "thicknesses"),
        (["--layers", "1.5"], "thicknesses"),
        (["--voltage", "0"], "voltage"),
        (["--set", "spacer_layers=3"], "spacer_layers"),
        (["--parameter", "cap_layers"], "cap_layers"),
        (["systems/nf_interface.py", "--parameter", "onsite_up"], "magnet"),
    ],
)
def test_bad_input_to_the_driver_ends_with_one_line(run, arguments, word, tmp_path):
    done = run(*arguments, "--quiet", "-o", tmp_path / "x")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("qtorque: ")
    assert word in line
    assert list(tmp_path.iterdir()) == []
