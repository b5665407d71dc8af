"""The drivers of write errors and of a trajectory: files with and without Fokker-Planck, refusals."""

import numpy as np

import qtorque as qt
from qtorque import store


def linear_map():
    """Damping-like torque in proportion to the voltage, 1 V about 1.5 times the critical one of the driver's magnet."""
    angle, voltage = np.linspace(0, np.pi, 7), np.array([-1.0, 0.0, 1.0])
    push = np.broadcast_to(voltage, (7, 3)) * 2.3e-7
    zeros = np.zeros((7, 3))
    return qt.TorqueMap(
        angle=angle, voltage=voltage, area=0.09, charge_current=1e3 * push, damping_like=push, field_like=zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros,
    )  # fmt: skip


TINY = [
    "--trajectories", "20", "--voltage", "0.5,1", "--length", "1e-10,3e-10", "--exact-length", "1e-10",
    "--relaxation", "1e-10", "--duration", "3e-10", "--alpha", "0.1", "--seed", "5", "--quiet",
]  # fmt: skip


def test_the_driver_writes_counts_and_fokker_planck_where_the_magnet_is_axial(within, tmp_path):
    linear_map().save(tmp_path / "map.nc")
    run = within("write_error", tmp_path / "map.nc", *TINY, "-o", tmp_path / "a")
    assert run.returncode == 0, run.stderr
    assert "write error rate" in run.stdout
    exact = store.load_dataset(tmp_path / "a_write_error_exact.nc")
    assert exact.sizes == {"voltage": 2, "length": 1}
    assert store.load_dataset(tmp_path / "a_switching_times_exact.nc")["survival"].sizes["time"] == 201
    sampled = store.load_dataset(tmp_path / "a_write_error.nc")
    assert sampled.attrs["seed"] == 5
    skew = within("write_error", tmp_path / "map.nc", *TINY, "--demag", "0.02,0.01,0.97", "-o", tmp_path / "b")
    assert skew.returncode == 0, skew.stderr
    assert "not axially symmetric" in skew.stdout
    assert {path.name for path in tmp_path.glob("*_*")} == {
        *(f"{x}_{name}" for x in "ab" for name in (
            "write_error.nc", "write_error.png", "switching_times.nc", "switching_times.png",
        )),
        "a_write_error_exact.nc", "a_switching_times_exact.nc",
    }  # fmt: skip


def test_a_dry_run_of_the_driver_writes_nothing_and_bad_input_ends_with_one_line(within, tmp_path):
    linear_map().save(tmp_path / "map.nc")
    run = within("write_error", tmp_path / "map.nc", *TINY, "--dry-run", "-o", tmp_path / "a")
    assert run.returncode == 0, run.stderr
    assert "runs of Fokker-Planck" in run.stdout
    for option, value in (
        ("--voltage", "2"),
        ("--length", "-1e-9"),
        ("--length", "1e-16"),
        ("--rise", "-1"),
        ("--exact-length", "0"),
    ):
        refused = within("write_error", tmp_path / "map.nc", *TINY, "--dry-run", option, value, "-o", tmp_path / "a")
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert option.split("-")[-1] in line
    assert [path.name for path in tmp_path.iterdir()] == ["map.nc"]


def test_pulses_that_round_to_the_same_steps_have_a_line_each(within, tmp_path):
    linear_map().save(tmp_path / "map.nc")
    lengths = ["--length", "1.001e-10,1.002e-10", "--temperature", "0", "--output", tmp_path / "a"]
    run = within("write_error", tmp_path / "map.nc", *TINY, *lengths)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(" ... ") == 4


def test_the_driver_of_a_trajectory_does_not_drop_a_bias(within, tmp_path):
    linear_map().save(tmp_path / "map.nc")
    (tmp_path / "voltage.txt").write_text("0 0\n1e-10 0.5\n")
    given = ["--waveform", tmp_path / "voltage.txt", "--duration", "1e-11", "-o", tmp_path / "a"]
    refused = within("trajectory", tmp_path / "map.nc", *given, "--bias", "0.1")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "--bias" in line
    accepted = within("trajectory", tmp_path / "map.nc", *given, "--bias", "0")
    assert accepted.returncode == 0, accepted.stderr
