"""Work shared between MPI ranks, with results that do not depend on their number.

The only module that imports mpi4py, and only inside functions: a serial run needs no MPI library. `comm=None` means
serial everywhere. Work is cut into chunks by the problem, never by the number of ranks, and results come back in the
order of the chunks on every rank; a caller that adds them up in that order gets the same bits on 1, 2, 3 or 8 ranks.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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


class Checkpoint(Protocol):
    """Keeps the results of finished chunks, each under its index. Ranks call it only for their own chunks."""

    def load(self, index: int) -> Any | None:
        """The result of chunk `index`, None if it is not finished."""

    def save(self, index: int, result: Any) -> None:
        """Keep the result of chunk `index`."""


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
        Chunks it can load are not computed; every computed one is saved at once, by the rank that computed it.
    progress
        A label: rank 0 reports the state of its own share on stderr, as a bar on a terminal and as a line every few
        seconds in a log. None is silent.
    """
    chunks = list(chunks)
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    mine = range(rank, len(chunks), size)
    finished: dict[int, Result] = {}
    if checkpoint is not None:
        finished = {i: result for i in mine if (result := checkpoint.load(i)) is not None}
    missing = [i for i in mine if i not in finished]
    # Ranks without the error would wait for the others for ever, in a user's own script too.
    guard = abort_on_error(comm) if size > 1 else contextlib.nullcontext()
    with guard, _Progress(progress if rank == 0 else None, len(missing)) as meter:
        for i in missing:
            finished[i] = function(chunks[i])
            if checkpoint is not None:
                checkpoint.save(i, finished[i])
            meter.step()
    if comm is None or size == 1:
        return [finished[i] for i in mine]
    # Pickle protocol 5 sends the arrays' own memory beside the pickle: no second copy, no limit of 2 GiB.
    from mpi4py.util import pkl5

    shares = pkl5.Intracomm(comm).allgather([finished[i] for i in mine])
    return [shares[i % size][i // size] for i in range(len(chunks))]


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
            os.environ.setdefault(name, "1")
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
    line of each of these ranks. Any other exception ends all ranks with exit code 1 and its traceback under its rank.
    """
    if comm is None or comm.size == 1:
        try:
            yield
        except InputError as error:
            _print_input_error(error)
            raise SystemExit(2) from None
        return
    # Its own communicator: the ranks may be in the midst of different calls on `comm`.
    guard = comm.Dup()
    try:
        yield
    except InputError as error:
        if _reached_by_all(guard):
            if comm.rank == 0:
                _print_input_error(error)
            # mpi4py aborts, with a message of the MPI library, when a program ends in failure before it finalizes.
            from mpi4py import MPI

            MPI.Finalize()
            raise SystemExit(2) from None
        _print_input_error(error)
        comm.Abort(2)
    except Exception:
        print(f"rank {comm.rank} of {comm.size}:\n{traceback.format_exc()}", end="", file=sys.stderr, flush=True)
        comm.Abort(1)
    guard.Free()


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
