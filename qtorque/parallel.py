"""Work shared between MPI ranks, with results that do not depend on their number.

The only module that imports mpi4py, and only inside functions: a serial run needs no MPI library. `comm=None` means
serial everywhere. Work is cut into chunks by the problem, never by the number of ranks, and results come back in the
order of the chunks on every rank; a caller that adds them up in that order gets the same bits on 1, 2, 3 or 8 ranks.

A run that is to end before its work is done learns so from its checkpoint: the ranks agree and all raise `Interrupted`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from qtorque.errors import InputError

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PALS_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables in which MPICH and Intel MPI, Open MPI, MVAPICH2, Cray PALS and srun give a process the number of ranks."""
RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PALS_RANKID", "PMIX_RANK")
"""The same for the rank. SLURM_PROCID is not among them: a batch script that never called srun has it too."""
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
LOG_INTERVAL = 5.0
"""Seconds between two lines of progress in a log."""
BAR_INTERVAL = 0.1
"""Seconds between two redraws of the bar on a terminal."""
BAR_WIDTH = 30
ERROR_GRACE = 5.0
"""Seconds that a rank with bad input waits for the others to report the same before it ends them all."""
ABORT_DELAY = 0.2
"""Seconds for a launcher to pass on what a rank has printed before it is told to kill it."""
DIGEST_BYTES = 16
"""128 bits: two calls among any number a run can make do not share a digest by accident."""


def world() -> Intracomm | None:
    """MPI.COMM_WORLD of a run that an MPI launcher started, otherwise None.

    A launcher shows by a rank in `RANK_VARIABLES` or by more than one task in `SIZE_VARIABLES`. Without one MPI is not
    even imported. A launcher whose ranks cannot find each other (no MPI library, or the mpiexec of another one) is
    refused: every rank would silently repeat the whole calculation.
    """
    sizes = [os.environ[name] for name in SIZE_VARIABLES if name in os.environ]
    size = int(sizes[0]) if sizes and sizes[0].isdigit() else 1
    if size == 1 and not any(name in os.environ for name in RANK_VARIABLES):
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if size == 1:
            return None
        reason = str(error).splitlines()[0]
        raise InputError(
            f"a launcher started {size} ranks but mpi4py finds no MPI library ({reason}); "
            "install one (pip install mpich) or load the cluster's MPI module, or run without the launcher"
        ) from None
    if size > 1 and MPI.COMM_WORLD.size == 1:
        raise InputError(
            f"a launcher started {size} ranks but each is alone: it belongs to another MPI library than mpi4py's "
            f"({MPI.Get_library_version().split(',')[0].splitlines()[0].strip()}); start with the mpiexec beside "
            f"{sys.executable}, or under Slurm with srun --mpi=pmi2 or --mpi=pmix"
        )
    return MPI.COMM_WORLD


class Interrupted(Exception):  # noqa: N818 -- no error: the run ends as it was told to
    """A run ends before its work is done. All ranks of a sweep raise it together; what is finished is kept."""


class Checkpoint(Protocol):
    """Keeps the results of finished chunks, each under its number, and says when the run is to end.

    Ranks load and save their own chunks only. Numbers are those of one sweep: each further sweep needs a part of its
    own.
    """

    def load(self, index: int) -> Any | None:
        """The result of chunk `index`, None if it is not finished."""

    def save(self, index: int, result: Any) -> None:
        """Keep the result of chunk `index`."""

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of another sweep of the same run; parts have parts."""

    def stop_reason(self) -> str | None:
        """Why the run is to end now, None to go on. Asked before every chunk; ranks may differ for a while."""


def checkpoint_part(checkpoint: Checkpoint | None, function: str, *arguments: Any) -> Checkpoint | None:
    """The part of a checkpoint that belongs to one call of a function with these arguments; None of None.

    Its name holds a digest of the arguments, so that chunks of another function or of other arguments are not found.

    Parameters
    ----------
    function
        Name of what computes the chunks.
    arguments
        All that the chunks depend on: numbers, texts, arrays, frozen dataclasses, and sequences of these. An iterator
        is read only where there is a checkpoint.

    Raises
    ------
    TypeError
        For an argument of another kind, which has no contents to tell it by.
    """
    return None if checkpoint is None else checkpoint.part(f"{function}-{_digest(arguments).hex()}")


def _digest(value: Any) -> bytes:
    """Digest of the contents of a value, the same in every process."""
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    kind, content = type(value).__name__, b""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        kind, content = f"array {value.dtype.str} {value.shape}", np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = b"".join(_digest(getattr(value, field.name)) for field in dataclasses.fields(value))
    elif isinstance(value, (tuple, list, range, Iterator)):
        kind, content = "sequence", b"".join(map(_digest, value))
    elif value is None or isinstance(value, (bool, int, float, complex, str)):
        content = repr(value).encode()
    else:
        raise TypeError(f"a checkpoint cannot tell one {kind} from another: {value!r}")
    return hashlib.blake2b(f"{kind}:".encode() + content, digest_size=DIGEST_BYTES).digest()


def map_chunks(
    function: Callable[[Chunk], Result],
    chunks: Iterable[Chunk],
    comm: Intracomm | None = None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> list[Result]:
    """function(chunk) for every chunk, in the order of the chunks, on every rank.

    Parameters
    ----------
    function
        Its result, an array or tuples and dicts of arrays, must depend on the chunk alone and must not be None.
    chunks
        The same on every rank; chunk i is worked on by rank i % size. There may be fewer chunks than ranks.
    comm
        Collective on it; None is serial.
        An exception on one rank ends all of them (see `abort_on_error`), whatever the script was started with.
    checkpoint
        Chunks it can load are not computed; every computed one is saved at once, by the rank that computed it. On all
        ranks or on none.
    progress
        A label: rank 0 reports the state of its own share on stderr, as a bar on a terminal and as a line every few
        seconds in a log. None is silent.

    Raises
    ------
    Interrupted
        On all ranks, if the checkpoint of one of them gave a reason to stop before all chunks were done.
    """
    chunks = list(chunks)
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    mine = range(rank, len(chunks), size)
    finished: dict[int, Result] = {}
    # Ranks without the error would wait for the others for ever, in a user's own script too.
    with _guard(comm):
        if checkpoint is not None:
            finished = {i: result for i in mine if (result := checkpoint.load(i)) is not None}
        missing = [i for i in mine if i not in finished]
        stop = _Stop(checkpoint, comm)
        with _Progress(progress if rank == 0 else None, len(missing)) as meter:
            for i in missing:
                if stop.asked():
                    break
                finished[i] = function(chunks[i])
                if checkpoint is not None:
                    checkpoint.save(i, finished[i])
                meter.step()
        stop.agree(len(finished), len(chunks), progress)
    if comm is None or size == 1:
        return [finished[i] for i in mine]
    # Pickle protocol 5 sends the arrays' own memory beside the pickle: no second copy, no limit of 2 GiB.
    from mpi4py.util import pkl5

    shares = pkl5.Intracomm(comm).allgather([finished[i] for i in mine])
    return [shares[i % size][i // size] for i in range(len(chunks))]


def each_chunk(
    function: Callable[[Chunk], Result],
    chunks: Sequence[Chunk],
    receive: Callable[[Result], None],
    comm: Intracomm | None = None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> None:
    """receive(function(chunk)) on rank 0 for every chunk in the order of the chunks; nothing is kept.

    For results too large to be held at once: each rank holds one, rank 0 one of every rank. Other arguments and errors
    are those of `map_chunks`. The ranks wait for each other after every round of chunks, so chunks should take about
    the same time.
    """
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    with _guard(comm), _Progress(progress if rank == 0 else None, -(-len(chunks) // size)) as meter:
        for first in range(0, len(chunks), size):
            reason = None if checkpoint is None else checkpoint.stop_reason()
            reasons = [reason] if comm is None or size == 1 else comm.allgather(reason)
            _end_for(reasons, first, len(chunks), progress)
            i = first + rank
            result = None if checkpoint is None or i >= len(chunks) else checkpoint.load(i)
            if result is None and i < len(chunks):
                result = function(chunks[i])
                if checkpoint is not None:
                    checkpoint.save(i, result)
            for received in _gathered(result, comm)[: len(chunks) - first]:
                receive(received)
            meter.step()


def _gathered(result: Any, comm: Intracomm | None) -> list[Any]:
    """The results of all ranks on rank 0, nothing on the others."""
    if comm is None or comm.size == 1:
        return [result]
    from mpi4py.util import pkl5

    return pkl5.Intracomm(comm).gather(result) or []


def _guard(comm: Intracomm | None) -> contextlib.AbstractContextManager[None]:
    return abort_on_error(comm) if comm is not None and comm.size > 1 else contextlib.nullcontext()


def _end_for(reasons: Sequence[str | None], done: int, total: int, label: str | None) -> None:
    """`Interrupted` for the first reason there is, None for none."""
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is not None:
        sweep = "" if label is None else f" of {label}"
        raise Interrupted(f"{reason}: {done} of {total} chunks{sweep} done")


class _Stop:
    """Whether the ranks of a sweep are to stop; the first rank that is asked to tells the others."""

    def __init__(self, checkpoint: Checkpoint | None, comm: Intracomm | None):
        self.checkpoint = checkpoint
        # Its own communicator: `function` may use the other one.
        self.comm = None if checkpoint is None or comm is None or comm.size == 1 else comm.Dup()
        self.reason: str | None = None
        self.sent: list[Any] = []

    def asked(self) -> bool:
        """Whether this rank is to stop. Not collective."""
        if self.checkpoint is None:
            return False
        self.reason = self.checkpoint.stop_reason()
        if self.comm is None or self.reason is None:
            return self.reason is not None or (self.comm is not None and self.comm.Iprobe())
        # A signal may reach one rank alone, and the shares of the others may take hours.
        self.sent = [self.comm.Isend(bytearray(), other) for other in self._others()]
        return True

    def agree(self, done: int, total: int, label: str | None) -> None:
        """`Interrupted` on all ranks if one of them has stopped; each has done `done` of `total` chunks. Collective."""
        if self.comm is None:
            _end_for([self.reason], done, total, label)
            return
        states = self.comm.allgather((self.reason, done))
        for other in self._others():
            if states[other][0] is not None:
                self.comm.Recv(bytearray(), other)
        for request in self.sent:
            request.Wait()
        self.comm.Free()
        _end_for([reason for reason, _ in states], sum(share for _, share in states), total, label)

    def _others(self) -> list[int]:
        return [] if self.comm is None else [rank for rank in range(self.comm.size) if rank != self.comm.rank]


def sum_in_order(results: Sequence[Any]) -> Any:
    """The sum of arrays, or of tuples and dicts of them element by element, added from the first to the last."""
    return functools.reduce(_add, results)


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return {key: _add(a[key], b[key]) for key in a}
    if isinstance(a, tuple):
        return tuple(map(_add, a, b))
    return a + b


class _Progress:
    """State of a loop of `total` equal steps on stderr; without a label, nothing."""

    def __init__(self, label: str | None, total: int):
        self.label, self.total, self.done = label, total, 0
        self.terminal = sys.stderr.isatty()
        self.interval = BAR_INTERVAL if self.terminal else LOG_INTERVAL
        self.start = self.last = time.monotonic()
        self.reported = False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.terminal and self.reported:
            print(file=sys.stderr)

    def step(self) -> None:
        """Count one step; report if the last report is old enough, or if a loop that has reported is at its end."""
        self.done += 1
        now = time.monotonic()
        at_end = self.done == self.total and self.reported
        if self.label is None or (now - self.last < self.interval and not at_end):
            return
        self.last, self.reported = now, True
        elapsed = now - self.start
        fraction = self.done / self.total
        state = f"{fraction:4.0%}, {_duration(elapsed)} elapsed, {_duration(elapsed / fraction - elapsed)} remaining"
        if self.terminal:
            bar = ("#" * round(BAR_WIDTH * fraction)).ljust(BAR_WIDTH, ".")
            print(f"\r{self.label} [{bar}] {state}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{self.label}: {state}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def limit_threads(comm: Intracomm | None = None) -> int:
    """Set the threads of BLAS and numba, and return how many a rank has.

    A number in OMP_NUM_THREADS holds for both. Without one BLAS gets one thread, always: how it splits a product over
    threads changes the last bits. Numba, whose loops keep them, gets one thread under MPI and every core otherwise.
    """
    import threadpoolctl

    threads = _threads_per_rank(comm)
    # The variables are for libraries that load later, the calls for those that are loaded already.
    if "OMP_NUM_THREADS" not in os.environ:
        for name in BLAS_VARIABLES:
            os.environ[name] = "1"
        threadpoolctl.threadpool_limits(1, user_api="blas")
    if "numba" in sys.modules:
        import numba

        numba.set_num_threads(min(threads, numba.get_num_threads()))
    else:
        os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    return threads


def _threads_per_rank(comm: Intracomm | None) -> int:
    text = os.environ.get("OMP_NUM_THREADS")
    if text is not None:
        outermost = text.split(",")[0].strip()  # "4,2" is for nested regions
        if not outermost.isdigit() or int(outermost) == 0:
            raise InputError(f"OMP_NUM_THREADS={text!r} is no number of threads; set a positive integer or unset it")
        return int(outermost)
    if comm is not None and comm.size > 1:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def header(comm: Intracomm | None = None) -> str:
    """One line about the run: version, ranks x threads, hosts, versions of what does the numbers. Collective."""
    ranks = 1 if comm is None else comm.size
    hosts = [platform.node()] if comm is None else sorted(set(comm.allgather(platform.node())))
    where = hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more hosts"
    version = importlib.metadata.version
    versions = ", ".join(f"{name} {version(name)}" for name in ("kwant", "numpy", "numba", "mpi4py"))
    if not _kwant_has_mumps():
        versions += ", Kwant without MUMPS (its own solver, engine 'kwant', is slower)"
    return (
        f"qtorque {version('qtorque')}: ranks x threads {ranks} x {_threads_per_rank(comm)} on {where}; "
        f"Python {platform.python_version()}, {versions}"
    )


def _kwant_has_mumps() -> bool:
    """Whether Kwant was built with MUMPS; looked up in its folder, because importing Kwant takes a second."""
    kwant = importlib.util.find_spec("kwant")
    folders = kwant.submodule_search_locations if kwant is not None else None
    return any(any(Path(folder, "linalg").glob("_mumps.*")) for folder in folders or ())


@contextlib.contextmanager
def abort_on_error(comm: Intracomm | None = None) -> Iterator[None]:
    """Around the body of a program: no error leaves a rank waiting for another. Collective.

    An `InputError` on all ranks ends the program with exit code 2 and one line on stderr; on some ranks only, with the
    line of each of these ranks. Any other exception ends all ranks with exit code 1 and its traceback under its rank,
    but `Interrupted`, which all ranks raise together, passes.
    """
    if comm is None or comm.size == 1:
        try:
            yield
        except InputError as error:
            _print_input_error(error)
            leave(2, comm)
        return
    # Its own communicator: the ranks may be in the midst of different calls on `comm`.
    guard = comm.Dup()
    try:
        yield
    except Interrupted:
        guard.Free()
        raise
    except InputError as error:
        if _reached_by_all(guard):
            if comm.rank == 0:
                _print_input_error(error)
            leave(2, comm)
        _print_input_error(error)
        _abort(comm, 2)
    except Exception:
        print(f"rank {comm.rank} of {comm.size}:\n{traceback.format_exc()}", end="", file=sys.stderr, flush=True)
        _abort(comm, 1)
    guard.Free()


def leave(code: int, comm: Intracomm | None = None) -> NoReturn:
    """End the program on all ranks with an exit code; no error of one rank, no message of the MPI library. Collective.

    Raises
    ------
    SystemExit
        MPI is finalized before.
    """
    if comm is not None:
        # mpi4py aborts, with a message of the MPI library, when a program ends in failure before it finalizes.
        from mpi4py import MPI

        MPI.Finalize()
    raise SystemExit(code) from None


def _abort(comm: Intracomm, code: int) -> None:
    """End all ranks, after the last words of this one have left it."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(ABORT_DELAY)
    comm.Abort(code)


def _print_input_error(error: InputError) -> None:
    print("qtorque:", " ".join(str(error).split()), file=sys.stderr, flush=True)


def _reached_by_all(guard: Intracomm) -> bool:
    """Whether every rank calls this within the grace time."""
    request = guard.Ibarrier()
    deadline = time.monotonic() + ERROR_GRACE
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
