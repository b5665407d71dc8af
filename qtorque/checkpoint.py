"""Finished chunks of a long run in a folder, so that a run that was ended, in whatever way, goes on where it was.

    PREFIX.DRIVER.checkpoint/configuration.json   what the results depend on
    PREFIX.DRIVER.checkpoint/rank-0-1f2e3d.chunks the records of one process, one after the other
    PREFIX.DRIVER.checkpoint/lock                 held by the run that is going on, by its first rank

A record is a head (name of the sweep, number of the chunk, length), the pickled result, and a checksum of both. It is
appended in one go after its chunk is finished, and never changed. A process that is killed while it writes leaves a
torn record at the end of a file of its own: it is recognised and its chunk computed again. Every rank can read every
record, so that a run may go on with another number of ranks; all of them must see the folder.

Pickle runs code of whoever made the file. That is safe enough here, and no more so than the system and the driver that
are run as Python beside it: only files are read that bear the digest of the present configuration, in a folder that
belongs to the output of the same run. Do not take such a folder from a stranger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pickle
import platform
import secrets
import signal
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from qtorque import store
from qtorque.errors import InputError

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

CONFIGURATION = "configuration.json"
LOCK = "lock"
INFORMATIVE = ("git_commit",)
"""Told where a configuration has changed, but no change of its own: the sources themselves are compared, and a commit
of something else must not cost a week of work."""
SIGNATURE = b"qtorque chunks 1 "
"""First bytes of a file of records; the digest of the configuration follows."""
DIGEST_BYTES = 16
SIZES = struct.Struct("<II Q")
"""Bytes of the key, a constant that marks a head, bytes of the result."""
HEAD_MARK = 0x71746F72
EXCERPT = 48
"""Characters shown of an option that has changed."""
SHOWN_CHANGES = 6
APPEARANCE_SECONDS = 60.0
"""For so long a network file system may remember that a folder did not exist."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Why a run is to end before its work is done: a signal, its time, or a file.

    Call it for the reason as a text, None if there is none. It hears signals only inside `listening`.

    Parameters
    ----------
    max_seconds
        From now on; None for no limit.
    files
        A run ends once one of these exists.

    Attributes
    ----------
    progress
        Whether this process has computed a chunk; before that its time is not up. Otherwise a limit shorter than a
        chunk, or than the way to it, would end every run of a chain of jobs with nothing done.
    """

    def __init__(self, max_seconds: float | None = None, files: Sequence[Path] = ()):
        if max_seconds is not None and not max_seconds > 0:
            raise InputError(f"max_seconds={max_seconds!r} leaves no time to run; give a positive number of seconds")
        for file in files:
            if file.exists():
                raise InputError(f"the file {str(file)!r} ends every run here; remove it to start one")
        self.max_seconds, self.files = max_seconds, tuple(files)
        self.begin = time.monotonic()
        self.signal: str | None = None
        self.progress: Callable[[], bool] = lambda: True

    def __call__(self) -> str | None:
        if self.signal is not None:
            return f"received {self.signal}"
        time_is_up = self.max_seconds is not None and time.monotonic() - self.begin >= self.max_seconds
        if time_is_up and self.progress():
            return f"reached {self.max_seconds:g} s"
        found = next((file for file in self.files if file.exists()), None)
        return None if found is None else f"found the file {str(found)!r}, to be removed"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGUSR1 become reasons to end, in place of what they did before."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: object) -> None:
        # What a signal handler may safely do is little; the sweep asks between two chunks.
        self.signal = signal.Signals(number).name


def run_for_ever() -> None:
    """No reason to end: the default of `FolderCheckpoint.open`."""
    return


@dataclasses.dataclass(frozen=True)
class FolderCheckpoint:
    """A `parallel.Checkpoint` in a folder; made by `FolderCheckpoint.open`.

    Attributes
    ----------
    records
        Of all sweeps of the run.
    stop_reason
        Asked before every chunk; see `StopRequest`.
    sweep
        Names of the part of a part of ... the run that this one is for.
    """

    records: Records
    stop_reason: Callable[[], str | None] = run_for_ever
    sweep: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike,
        configuration: Mapping[str, Any],
        *,
        comm: Intracomm | None = None,
        stop_reason: Callable[[], str | None] = run_for_ever,
        force: bool = False,
    ) -> FolderCheckpoint:
        """Go on with the unfinished run in `folder`, or begin one there. Collective.

        Parameters
        ----------
        folder
            Made if it does not exist. All ranks must see it.
        configuration
            All that the results depend on; `complete_configuration` adds this package.
        stop_reason
            Such as a `StopRequest`.
        force
            Begin anew where the folder holds a run of another configuration.

        Raises
        ------
        InputError
            If it does, something of it is finished and there is no `force`: the line shows the difference. If another
            run is writing there, or the folder cannot be written or read.
        """
        folder, present = Path(folder), _normal(complete_configuration(configuration))
        root = comm is None or comm.rank == 0
        refusal, found, made, lock = None, {}, [], None
        if root:
            try:
                with store.telling_disk_errors(folder):
                    made = _make(folder)
                    lock = store.FileLock(folder / LOCK, folder)
                    _prepare(folder, present, force)
                    found = _find_records(folder, _digest(present))
            except InputError as error:
                refusal = str(error)
                if lock is not None:
                    lock.release()
                _remove_empty(made)
        if comm is not None:
            refusal, found = comm.bcast((refusal, found))
        if refusal is not None:
            raise InputError(refusal)
        if not _appears(folder):
            raise InputError(
                f"the folder {str(folder)!r} is not to be seen on the host {platform.node()}; "
                "give an output on a file system that all hosts share"
            )
        rank = 0 if comm is None else comm.rank
        return cls(Records(folder, _digest(present), rank, found, tuple(made), lock), stop_reason)

    def part(self, name: str) -> FolderCheckpoint:
        """The checkpoint of another sweep of the same run."""
        return dataclasses.replace(self, sweep=(*self.sweep, name))

    def load(self, index: int) -> Any | None:
        """The result of chunk `index`, None if it is not finished or its record is damaged."""
        return self.records.load(_key(self.sweep, index))

    def save(self, index: int, result: Any) -> None:
        """Keep the result of chunk `index`."""
        self.records.save(_key(self.sweep, index), result)

    def remove(self, comm: Intracomm | None = None) -> None:
        """Remove the files of a finished run, and the folder if nothing else is in it. Collective."""
        self.records.close_file()
        if comm is not None:
            # A file deleted while it is open lives on under a hidden name on a network file system, with its folder.
            comm.barrier()
        if self.records.rank == 0:
            _remove_files(self.records.folder)
        self.close()
        if self.records.rank == 0:
            _remove_empty([self.records.folder])

    def close(self) -> None:
        """Let another run go on with what is finished. Not collective; the end of the process does the same."""
        self.records.close()

    def has_computed(self) -> bool:
        """Whether this process has finished a chunk, in this session."""
        return self.records.has_saved

    @property
    def is_empty(self) -> bool:
        """Whether no chunk was finished, neither before nor by any process of this run."""
        return not (self.records.found or self.has_computed() or any(self.records.folder.glob("*.chunks")))

    def discard(self) -> None:
        """Leave nothing of a run that was refused, no folder made for it either. Not collective."""
        self.remove()
        _remove_empty(self.records.made)


class Records:
    """Records of all chunks that were finished when the folder was opened, and a file for those of this process.

    Parameters
    ----------
    found
        Key -> file, position and number of bytes of the pickled result with its checksum.
    made
        Folders that this process made, the innermost first.
    lock
        Of the folder, None on ranks but the first.
    """

    def __init__(
        self,
        folder: Path,
        digest: bytes,
        rank: int,
        found: Mapping[bytes, tuple[str, int, int]],
        made: tuple[Path, ...],
        lock: store.FileLock | None,
    ):
        self.folder, self.digest, self.rank, self.found, self.made = folder, digest, rank, found, made
        self.lock = lock
        self.has_saved = False
        self.file: BinaryIO | None = None
        self.used: set[bytes] = set()

    def load(self, key: bytes) -> Any | None:
        self._refuse_another_sweep(key)
        if key not in self.found:
            return None
        name, position, size = self.found[key]
        path = self.folder / name
        if not path.is_file():
            return None
        with store.telling_disk_errors(path), open(path, "rb") as file:
            file.seek(position)
            content = file.read(size)
        payload, checksum = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if _checksum(key, payload) != checksum:
            return None
        self.used.add(key)
        return pickle.loads(payload)

    def save(self, key: bytes, result: Any) -> None:
        self._refuse_another_sweep(key)
        self.used.add(key)
        payload = pickle.dumps(result, protocol=5)
        head = SIZES.pack(len(key), HEAD_MARK, len(payload) + DIGEST_BYTES)
        try:
            with store.telling_disk_errors(self.folder):
                if self.file is None:
                    # A file of its own for every process: nothing is ever written behind a torn record. Not by
                    # tempfile, whose files a colleague who goes on with the run could not read.
                    self.file = open(self.folder / f"rank-{self.rank}-{secrets.token_hex(6)}.chunks", "xb")  # noqa: SIM115
                    self.file.write(SIGNATURE + self.digest)
                self.file.write(b"".join((head, key, payload, _checksum(key, payload))))
                self.file.flush()
        except InputError:
            # What is still in the buffer fails again when the file is closed, and has been reported.
            with contextlib.suppress(OSError):
                self.close_file()
            raise
        self.has_saved = True

    def close_file(self) -> None:
        if self.file is not None:
            file, self.file = self.file, None
            file.close()

    def close(self) -> None:
        self.close_file()
        if self.lock is not None:
            self.lock.release()

    def _refuse_another_sweep(self, key: bytes) -> None:
        # Chunk 3 of one sweep for chunk 3 of another would be a wrong result that nobody notices.
        if key in self.used:
            names, index = json.loads(key)
            raise InputError(
                f"checkpoint: chunk {index} of part {'/'.join(names)!r} was used before in this run; "
                "give every sweep a part of its own, checkpoint=checkpoint.part(name)"
            )


def complete_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run with the versions of the package and of what it computes with, and its source."""
    return {**configuration, "qtorque_source": source_digest(Path(__file__).parent), **store.versions()}


def source_digest(folder: Path) -> str:
    """Digest of the names and contents of all Python files under a folder."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_unfinished(folder: str | os.PathLike, configuration: Mapping[str, Any]) -> bool:
    """Whether `folder` holds an unfinished run of this configuration. Not collective."""
    path = Path(folder)
    return _stored(path) is not None and not difference(path, _normal(complete_configuration(configuration)))


def difference(folder: Path, present: Mapping[str, Any]) -> list[str]:
    """What has changed since the run in `folder`, as "name: old -> new"; empty if nothing has or there is no run."""
    stored = _stored(folder)
    if stored is None:
        return []
    names = [name for name in {**stored, **present} if stored.get(name) != present.get(name)]
    if all(name in INFORMATIVE for name in names):
        return []
    return [f"{name}: {' -> '.join(_excerpts(stored.get(name), present.get(name)))}" for name in names]


def _excerpts(old: Any, new: Any) -> tuple[str, str]:
    """Both values on one line, where they are long from a little before the first difference on."""
    texts = [" ".join((value if isinstance(value, str) else json.dumps(value)).split()) for value in (old, new)]
    long = max(map(len, texts)) > EXCERPT
    first = max(0, len(os.path.commonprefix(texts)) - EXCERPT // 4) if long else 0

    def excerpt(text: str) -> str:
        return "..." * (first > 0) + text[first : first + EXCERPT] + "..." * (len(text) > first + EXCERPT)

    return excerpt(texts[0]), excerpt(texts[1])


def _normal(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration is once it has been in a file."""
    return json.loads(store.as_json(configuration))


def _digest(configuration: Mapping[str, Any]) -> bytes:
    compared = {name: value for name, value in configuration.items() if name not in INFORMATIVE}
    return hashlib.blake2b(json.dumps(compared, sort_keys=True).encode(), digest_size=DIGEST_BYTES).digest()


def _stored(folder: Path) -> dict[str, Any] | None:
    path = folder / CONFIGURATION
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{str(path)!r} is not the configuration of an unfinished run; remove its folder") from None


def refuse_another(folder: str | os.PathLike, configuration: Mapping[str, Any]) -> None:
    """InputError if `folder` holds finished chunks of another configuration: the line shows the difference."""
    _refuse_another(Path(folder), _normal(complete_configuration(configuration)))


def _refuse_another(folder: Path, present: Mapping[str, Any]) -> None:
    changes = difference(folder, present)
    # Of a run that was refused or killed before its first chunk there is nothing to lose.
    if not changes or not _find_records(folder, _digest(_stored(folder) or {})):
        return
    more = f"; {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
    raise InputError(
        f"{str(folder)!r} holds an unfinished run of another configuration "
        f"({'; '.join(changes[:SHOWN_CHANGES])}{more}); give another --output, or --force to begin anew"
    )


def _make(folder: Path) -> list[Path]:
    """Make the folder; returns the folders made, the innermost first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {str(folder)!r} ({error.strerror}); give another --output") from None
    return made


def _prepare(folder: Path, configuration: Mapping[str, Any], force: bool) -> None:
    """Write the configuration; what is there of another one is refused or removed. Under the lock."""
    if not force:
        _refuse_another(folder, configuration)
    if difference(folder, configuration):
        _remove_files(folder)
    with store.replacement_of(folder / CONFIGURATION) as temporary:
        temporary.write_text(json.dumps(configuration, indent=1), encoding="utf-8")


def _appears(folder: Path) -> bool:
    """Whether the folder that the first rank has made is there for this one too, in time."""
    deadline = time.monotonic() + APPEARANCE_SECONDS
    while not folder.is_dir():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _remove_files(folder: Path) -> None:
    """Remove what this module has written but the lock, the configuration last."""
    for path in [*folder.glob("*.chunks"), *folder.glob(f".{CONFIGURATION}.*"), folder / CONFIGURATION]:
        path.unlink(missing_ok=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of some folders that are empty, the first one first."""
    for folder in folders:
        # Refused for a folder that is not empty, or that another run has just begun to use.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _key(sweep: tuple[str, ...], index: int) -> bytes:
    return json.dumps([sweep, index]).encode()


def _checksum(key: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(key + payload, digest_size=DIGEST_BYTES).digest()


def _find_records(folder: Path, digest: bytes) -> dict[bytes, tuple[str, int, int]]:
    """Key -> file, position and length of every whole record of this configuration."""
    found = {}
    for path in sorted(folder.glob("*.chunks")):
        with open(path, "rb") as file:
            if file.read(len(SIGNATURE) + DIGEST_BYTES) != SIGNATURE + digest:
                continue
            end = path.stat().st_size
            # Heads alone are read; the checksum is for `load` to look at.
            while len(head := file.read(SIZES.size)) == SIZES.size:
                key_size, mark, size = SIZES.unpack(head)
                if mark != HEAD_MARK or file.tell() + key_size + size > end:
                    break
                key = file.read(key_size)
                found[key] = (path.name, file.tell(), size)
                file.seek(size, os.SEEK_CUR)
    return found
