"""Data sets on disk: NetCDF with provenance, written whole or not at all.

A complex variable `x` is stored as `x_real` and `x_imag`, which every NetCDF reader understands, and joined on loading.
What differs between equal calculations (ranks, wall time, time stamp) is kept in attributes only, so that the variables
of two files can be compared bit for bit.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import glob
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qtorque.errors import InputError

if TYPE_CHECKING:
    import h5netcdf
    import xarray as xr
    from mpi4py.MPI import Intracomm

RECORDED_PACKAGES = ("qtorque", "kwant", "numpy", "scipy", "numba", "mpi4py")
COMPLEX_PART = "complex_part"
"""Attribute that marks the stored parts of a complex variable: "real" or "imag"."""
DISK_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
)  # fmt: skip
"""What a full, failing or forbidden disk answers, and no mistake of a program."""
HDF5_OVERHEAD = 2**18
"""Bytes for names, attributes and the tree of the blocks; those of the files here are some 100 kB at most."""
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""What a file system that knows no locks answers."""
HDF5_ERROR_NUMBER = re.compile(r"errno = (\d+)")
"""How HDF5 hides the number of an error in its text."""


def refuse_existing(path: str | os.PathLike, force: bool = False) -> None:
    """InputError unless `path` can be written: call it before a long calculation, not after."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"output={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first")
    if path.is_dir():
        raise InputError(f"output={str(path)!r} is a folder; give the name of a file in it")
    if path.exists() and not force:
        raise InputError(f"output={str(path)!r} exists; give another name, or force (--force) to replace it")
    # Asking the file system by trying: os.access knows nothing of quotas, read-only mounts or root.
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise InputError(
            f"output={str(path)!r}: cannot write to the folder {str(path.parent)!r} ({error.strerror}); "
            "choose another folder"
        ) from None


def save_bytes(content: bytes, path: str | os.PathLike, force: bool = False) -> None:
    """Write a file; an existing one is replaced only with `force`, otherwise InputError."""
    refuse_existing(path, force)
    with replacement_of(Path(path)) as temporary:
        _require_room(temporary, len(content))
        temporary.write_bytes(content)


def save_dataset(
    dataset: xr.Dataset,
    path: str | os.PathLike,
    *,
    force: bool = False,
    provenance: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write a data set as NetCDF; a reader never sees half a file, and a failure leaves an old one as it was.

    Parameters
    ----------
    dataset
        Real, complex, integer, boolean or string variables; the attributes must be numbers, strings or lists of them.
    path
        Refused if it exists, unless `force`.
    provenance
        Attributes added to those of the data set; see the function `provenance`.
    """
    refuse_existing(path, force)
    stored = _split_complex(dataset).assign_attrs(provenance or {})
    with replacement_of(Path(path)) as temporary:
        _require_room(temporary, stored.nbytes)
        stored.to_netcdf(temporary, engine="h5netcdf")


class GrowingDataset:
    """A data set that is written block by block along one dimension; made by `growing_dataset`."""

    def __init__(self, path: Path, dim: str):
        self.path, self.dim, self.size = path, dim, 0
        self.file: h5netcdf.File | None = None

    def append(self, block: xr.Dataset) -> None:
        """Write the next block. All have the same variables; those without the dimension are taken from the first."""
        import h5netcdf

        stored = _split_complex(block)
        _require_room(self.path, stored.nbytes)
        start, self.size = self.size, self.size + stored.sizes[self.dim]
        if self.file is None:
            stored.to_netcdf(self.path, engine="h5netcdf", unlimited_dims=[self.dim])
            self.file = h5netcdf.File(self.path, "r+")
            return
        self.file.resize_dimension(self.dim, self.size)
        for name, variable in stored.variables.items():
            if self.dim in variable.dims:
                place = tuple(slice(start, None) if dim == self.dim else slice(None) for dim in variable.dims)
                self.file.variables[str(name)][place] = variable.values

    def finish(self, rest: xr.Dataset, provenance: Mapping[str, str | int | float] | None = None) -> None:
        """Add variables without the dimension, and the attributes; at least one block must have been written.

        InputError if the file with the blocks is gone: a new one in its place would lack them.
        """
        self.close()
        if not self.path.is_file():
            raise InputError(
                f"{str(self.path)!r} was removed while it was written; rerun the same command, and leave it alone"
            )
        _split_complex(rest).assign_attrs(provenance or {}).to_netcdf(self.path, mode="a", engine="h5netcdf")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


@contextlib.contextmanager
def growing_dataset(path: str | os.PathLike, dim: str, *, force: bool = False) -> Iterator[GrowingDataset]:
    """Write a data set larger than memory as NetCDF, in blocks along `dim`; like `save_dataset` whole or not at all."""
    refuse_existing(path, force)
    with replacement_of(Path(path)) as temporary:
        dataset = GrowingDataset(temporary, dim)
        try:
            yield dataset
        finally:
            dataset.close()


def load_dataset(path: str | os.PathLike) -> xr.Dataset:
    """The data set that `save_dataset` wrote, in memory; the file is closed again."""
    import xarray as xr

    if not Path(path).is_file():
        raise InputError(f"input={str(path)!r} is no file; check the name")
    try:
        stored = xr.load_dataset(path, engine="h5netcdf")
    except OSError as error:
        raise InputError(
            f"input={str(path)!r} is not a NetCDF file ({error}); give a file that qtorque saved"
        ) from None
    return _join_complex(stored)


@contextlib.contextmanager
def replacement_of(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` (a rename works only within one file system) that replaces it if all goes well.

    Raises
    ------
    InputError
        If another run is writing the same file at this moment, or the disk takes no more.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with telling_disk_errors(path):
        lock = FileLock(path.with_name(f".{path.name}.lock"), path)
    try:
        # Who holds the lock is the only writer: these are what killed runs have left, and nobody else finds them.
        for left_behind in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            left_behind.unlink(missing_ok=True)
        with telling_disk_errors(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        lock.release()


class FileLock:
    """The right of one process to write something, from here to `release` or to the end of the process, however ended.

    Parameters
    ----------
    path
        A file for this lock alone, made here and removed by `release`. The lock is one of the kernel (`flock`).
    what
        What is being written, for the refusal.

    Raises
    ------
    InputError
        If another process, or this one, holds it.
    """

    def __init__(self, path: Path, what: str | os.PathLike):
        self.path = path
        while True:
            self.file = open(path, "a+b")  # noqa: SIM115 -- open as long as the lock is held
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.file.seek(0)
                holder = self.file.read().decode(errors="replace") or "it has just begun"
                self.file.close()
                raise InputError(
                    f"another run is writing {os.fspath(what)!r} ({holder}); wait for it or give another --output"
                ) from None
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    self.file.close()
                    raise
                warnings.warn(
                    f"the file system of {os.fspath(what)!r} knows no locks ({error.strerror}); "
                    "start no second run with this output",
                    stacklevel=2,
                )
            if self._is_at_its_path():
                break
            # The one before has removed it between the two calls: that lock is nobody's.
            self.file.close()
        self.file.truncate(0)
        self.file.write(f"host {platform.node()}, process {os.getpid()}".encode())
        self.file.flush()

    def _is_at_its_path(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if not self.file.closed:
            # Removed while it is held: nobody can hold a lock on a file of this name that is about to go.
            self.path.unlink(missing_ok=True)
            self.file.close()


def _require_room(path: Path, size: int) -> None:
    """The error of the disk unless a file at `path` can grow by `size` bytes and what HDF5 needs beside them.

    HDF5 brings the whole program down, without a word, some time after it has found a disk full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    grown = path.stat().st_size if path.exists() else 0
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        try:
            os.posix_fallocate(probe.fileno(), grown, size + HDF5_OVERHEAD)
        except OSError as error:
            if error.errno in DISK_ERRORS:
                raise


@contextlib.contextmanager
def telling_disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """A full, read-only or foreign disk under `path` becomes an `InputError` of one line; other errors pass."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = HDF5_ERROR_NUMBER.search(str(error))
        number = int(found[1]) if found else getattr(error, "errno", None)
        if number not in DISK_ERRORS:
            raise
        raise InputError(
            f"cannot read and write {os.fspath(path)!r} ({os.strerror(number)}); "
            "make room there or mend its permissions and rerun the same command, or give another --output"
        ) from error


def _split_complex(dataset: xr.Dataset) -> xr.Dataset:
    for name in [str(name) for name, variable in dataset.variables.items() if variable.dtype.kind == "c"]:
        values = dataset.variables[name]
        parts = {}
        for part in ("real", "imag"):
            stored = f"{name}_{part}"
            if stored in dataset.variables:
                raise InputError(f"variable {stored!r} stands where a part of complex {name!r} is stored; rename it")
            attributes = values.attrs | {COMPLEX_PART: part}
            parts[stored] = (values.dims, getattr(values.values, part), attributes)
        is_coordinate = name in dataset.coords
        dataset = dataset.drop_vars(name)
        dataset = dataset.assign_coords(parts) if is_coordinate else dataset.assign(parts)
    return dataset


def _join_complex(dataset: xr.Dataset) -> xr.Dataset:
    for stored in [str(name) for name, v in dataset.variables.items() if v.attrs.get(COMPLEX_PART) == "real"]:
        name = stored.removesuffix("_real")
        real, imag = dataset.variables[stored], dataset.variables[f"{name}_imag"]
        # Part by part: real + 1j * imag would turn an infinite or negative zero part into another number.
        values = np.empty(real.shape, dtype=np.result_type(real.dtype, np.complex64))
        values.real, values.imag = real.values, imag.values
        whole = {name: (real.dims, values, {k: v for k, v in real.attrs.items() if k != COMPLEX_PART})}
        is_coordinate = stored in dataset.coords
        dataset = dataset.drop_vars([stored, f"{name}_imag"])
        dataset = dataset.assign_coords(whole) if is_coordinate else dataset.assign(whole)
    return dataset


def provenance(
    configuration: Mapping[str, Any],
    comm: Intracomm | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    wall_time: float | None = None,
) -> dict[str, str | int | float]:
    """Where a result comes from, as flat attributes of a file.

    Parameters
    ----------
    configuration
        Everything the result depends on, kept as JSON (`as_json`).
    seed, temperature, wall_time
        The random seed, the temperature in K, where there are any, and the seconds since this session of the run began,
        kept as `session_wall_time`: those of earlier sessions that were ended are not in it.
    """
    attributes: dict[str, str | int | float] = {
        "configuration": as_json(configuration),
        "command_line": shlex.join(sys.orig_argv),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "ranks": 1 if comm is None else comm.size,
        "python_version": platform.python_version(),
    }
    found = {"seed": seed, "temperature": temperature, "session_wall_time": wall_time}
    return attributes | versions() | {name: value for name, value in found.items() if value is not None}


def versions() -> dict[str, str]:
    """Versions of the package and of what it computes with, and the git commit where it runs from a checkout."""
    found = {f"{name}_version": importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    commit = _git_commit()
    return found if commit is None else found | {"git_commit": commit}


def as_json(configuration: Mapping[str, Any]) -> str:
    """JSON of a configuration: arrays become lists, other objects their `str`."""
    return json.dumps(configuration, default=_plain)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _git_commit() -> str | None:
    """The commit of the checkout that qtorque runs from, with "-dirty" if tracked files differ; None outside of one."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        # An installed copy may lie in a virtual environment inside somebody else's repository, which does not track it.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
