"""Files: what comes back, what is refused, what a failure leaves behind."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr

from qtorque import store
from qtorque.errors import InputError


@pytest.fixture
def dataset():
    """One variable of each kind, complex ones with signed zeros and infinities in their parts, and a complex index."""
    return xr.Dataset(
        {
            "torque": (("energy", "xyz"), np.arange(6.0).reshape(2, 3), {"units": "eV", "long_name": "torque"}),
            "g_mix": ("energy", np.array([complex(-0.0, np.inf), complex(np.nan, -0.0)]), {"units": "e^2/h"}),
            "single": ((), np.complex64(1 - 2j)),
            "failed": ("energy", np.array([True, False])),
            "count": ("energy", np.array([1, -2])),
        },
        coords={"xyz": ["x", "y", "z"], "energy": [0.1, 1j], "phase": ("energy", np.array([1j, -1j]))},
        attrs={"title": "test"},
    )


def test_every_kind_of_variable_comes_back_bit_for_bit(dataset, tmp_path):
    path = tmp_path / "d.nc"
    store.save_dataset(dataset, path)
    loaded = store.load_dataset(path)
    assert set(loaded.variables) == set(dataset.variables)
    assert set(loaded.coords) == set(dataset.coords)
    assert loaded.attrs == dataset.attrs
    for name, variable in dataset.variables.items():
        assert loaded[name].dims == variable.dims
        assert loaded[name].dtype == variable.dtype
        assert loaded[name].values.tobytes() == variable.values.tobytes()
        assert loaded[name].attrs == variable.attrs


def test_complex_variables_are_stored_as_plain_netcdf(dataset, tmp_path):
    store.save_dataset(dataset, tmp_path / "d.nc")
    with h5py.File(tmp_path / "d.nc") as file:
        assert {"g_mix_real", "g_mix_imag"} <= set(file)
        # A compound type, as HDF5 would store complex numbers, has kind "V".
        assert all(variable.dtype.kind != "V" for variable in file.values())


def test_a_name_in_the_way_of_a_complex_part_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="'single_real' stands where"):
        store.save_dataset(dataset.assign(single_real=1.0), tmp_path / "d.nc")
    assert list(tmp_path.iterdir()) == []


def test_saving_leaves_the_data_set_as_it_was(dataset, tmp_path):
    before = dataset.copy(deep=True)
    store.save_dataset(dataset, tmp_path / "d.nc", provenance={"seed": 7})
    xr.testing.assert_identical(dataset, before)


def test_an_existing_file_is_replaced_only_by_force(dataset, tmp_path):
    path = tmp_path / "d.nc"
    store.save_dataset(dataset, path)
    with pytest.raises(InputError, match="exists; give another name, or force"):
        store.save_dataset(dataset[["count"]], path)
    assert "torque" in store.load_dataset(path)
    store.save_dataset(dataset[["count"]], path, force=True)
    assert "torque" not in store.load_dataset(path)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(dataset, tmp_path, monkeypatch):
    path = tmp_path / "d.nc"
    store.save_dataset(dataset, path)
    before = path.read_bytes()

    def fill_the_disk(self, target, **options):
        target.write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        store.save_dataset(dataset, path, force=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_data_set_written_in_blocks_is_the_one_written_at_once(tmp_path, size):
    k = np.arange(7.0)
    whole = xr.Dataset(
        {
            "transmission": (("state", "k"), np.stack([k / 3, k / 7]), {"units": "1", "long_name": "transmission"}),
            "g_mix": ("k", k / 3 - 1j * k, {"units": "e^2/h"}),
            "failed": ("k", k > 3),
        },
        coords={"state": ["parallel", "antiparallel"], "weight": ("k", k / 21)},
    )
    rest = xr.Dataset({"mean": ("state", [1.0, 2.0]), "sum": ((), 1 - 2j)}, attrs={"title": "test"})
    with store.growing_dataset(tmp_path / "blocks.nc", "k") as file:
        for start in range(0, 7, size):
            file.append(whole.isel(k=slice(start, start + size)))
        file.finish(rest, provenance={"seed": 7})
    store.save_dataset(whole.merge(rest).assign_attrs(rest.attrs), tmp_path / "once.nc", provenance={"seed": 7})
    blocks, once = (store.load_dataset(tmp_path / name) for name in ("blocks.nc", "once.nc"))
    xr.testing.assert_identical(blocks, once)
    assert all(blocks[name].values.tobytes() == once[name].values.tobytes() for name in once.variables)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.nc", "once.nc"]


def test_a_data_set_that_does_not_grow_to_its_end_leaves_the_old_file_and_nothing_else(dataset, tmp_path):
    path = tmp_path / "d.nc"
    store.save_dataset(dataset, path)
    before = path.read_bytes()

    def fail_after_a_block():
        with store.growing_dataset(path, "energy", force=True) as file:
            file.append(dataset[["count"]])
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail_after_a_block()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="exists"), store.growing_dataset(path, "energy"):
        pass


def test_output_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"folder .*missing' does not exist; create it"):
        store.refuse_existing(tmp_path / "missing" / "d.nc")
    with pytest.raises(InputError, match="is a folder"):
        store.refuse_existing(tmp_path, force=True)

    def read_only(**options):
        raise PermissionError(13, "Permission denied")

    # Not by chmod: root, as which tests in a container run, may write anywhere.
    monkeypatch.setattr(store.tempfile, "TemporaryFile", read_only)
    with pytest.raises(InputError, match=r"cannot write to the folder .*Permission denied"):
        store.refuse_existing(tmp_path / "d.nc")


def test_asking_leaves_nothing_behind(tmp_path):
    store.refuse_existing(tmp_path / "d.nc")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_netcdf_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no file; check the name"):
        store.load_dataset(tmp_path / "d.nc")
    (tmp_path / "d.nc").write_text("angle torque\n0.0 1.0\n")
    with pytest.raises(InputError, match="is not a NetCDF file"):
        store.load_dataset(tmp_path / "d.nc")


def test_provenance_survives_the_file(dataset, tmp_path):
    configuration = {"angle": np.linspace(0, 1, 3), "kmesh": np.int64(64), "system": tmp_path}
    store.save_dataset(
        dataset, tmp_path / "d.nc", provenance=store.provenance(configuration, seed=7, temperature=300.0, wall_time=1.5)
    )
    attributes = store.load_dataset(tmp_path / "d.nc").attrs
    assert json.loads(attributes["configuration"]) == {"angle": [0, 0.5, 1], "kmesh": 64, "system": str(tmp_path)}
    assert (attributes["seed"], attributes["temperature"], attributes["session_wall_time"]) == (7, 300.0, 1.5)
    assert attributes["ranks"] == 1
    assert attributes["numpy_version"] == np.__version__
    assert sys.argv[0] in attributes["command_line"]
    assert attributes["title"] == "test"


def test_the_commit_is_recorded_only_from_a_checkout_of_qtorque_itself(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    (tmp_path / "store.py").write_text("tracked\n")
    (tmp_path / "installed.py").write_text("not tracked\n")
    git("init", "--quiet")
    git("add", "store.py")
    git("commit", "--quiet", "--message", "first")
    monkeypatch.setattr(store, "__file__", str(tmp_path / "installed.py"))
    assert "git_commit" not in store.provenance({})
    monkeypatch.setattr(store, "__file__", str(tmp_path / "store.py"))
    commit = store.provenance({})["git_commit"]
    assert len(commit) == 40
    (tmp_path / "store.py").write_text("changed\n")
    assert store.provenance({})["git_commit"] == f"{commit}-dirty"


def test_provenance_needs_no_git(monkeypatch):
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    assert "git_commit" not in store.provenance({})
