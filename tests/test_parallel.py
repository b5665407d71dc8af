"""Chunks, ranks and how a run ends."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from qtorque import parallel
from qtorque.errors import InputError

SUM = """
import sys
import numpy as np
from qtorque import parallel

comm = parallel.world()
def work(chunk):
    values = np.sin(1.1 * chunk + np.arange(50000.0)) / 3
    return {"flat": values, "pair": (np.exp(1j * values), chunk / 7)}
total = parallel.sum_in_order(parallel.map_chunks(work, range(11), comm))
rank = 0 if comm is None else comm.rank
np.savez(f"{sys.argv[1]}/rank{rank}.npz", flat=total["flat"], complex=total["pair"][0], number=total["pair"][1])
"""
GUARDED = """
from qtorque import parallel
from qtorque.errors import InputError

comm = parallel.world()
with parallel.abort_on_error(comm):
    {body}
    comm.barrier()
"""
ENDS_AT_ONCE = 15.0
"""Seconds: starting Python on three ranks takes about one on a busy machine; a hang would last until the timeout."""


class Memory:
    """A checkpoint in memory that notes what was saved."""

    def __init__(self, results=()):
        self.results = dict(results)
        self.saved = []

    def load(self, index):
        return self.results.get(index)

    def save(self, index, result):
        self.results[index] = result
        self.saved.append(index)

    def stop_reason(self):
        return None


def python(code, **environment):
    environment = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)


def test_importing_loads_neither_mpi_nor_numpy():
    code = "import sys, qtorque.parallel; print([m for m in ('mpi4py', 'numpy', 'numba') if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_a_run_without_a_launcher_is_serial(monkeypatch):
    for name in parallel.SIZE_VARIABLES + parallel.RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_PROCID", "0")  # also set in a batch script that never called srun
    assert parallel.world() is None


def test_ranks_that_cannot_find_each_other_are_refused():
    run = python("from qtorque import parallel; parallel.world()", SLURM_STEP_NUM_TASKS="4")
    assert "InputError: a launcher started 4 ranks but each is alone" in run.stderr


def test_a_launcher_without_an_mpi_library_is_refused():
    missing = {"SLURM_STEP_NUM_TASKS": "4", "MPI4PY_LIBMPI": "/nonexistent/libmpi.so"}
    run = python("from qtorque import parallel; parallel.world()", **missing)
    assert "InputError: a launcher started 4 ranks but mpi4py finds no MPI library" in run.stderr


def test_results_come_in_the_order_of_the_chunks():
    assert parallel.map_chunks(lambda chunk: 10 * chunk, iter([3, 1, 2])) == [30, 10, 20]


def test_no_chunks_give_no_results():
    assert parallel.map_chunks(lambda chunk: chunk, []) == []


def test_finished_chunks_are_loaded_and_missing_ones_saved():
    checkpoint = Memory({1: "kept"})
    assert parallel.map_chunks(lambda chunk: chunk, ["a", "b", "c"], checkpoint=checkpoint) == ["a", "kept", "c"]
    assert checkpoint.saved == [0, 2]


def test_a_chunk_is_saved_before_the_next_one_can_fail():
    checkpoint = Memory()
    with pytest.raises(ZeroDivisionError):
        parallel.map_chunks(lambda chunk: 1 / chunk, [2, 0], checkpoint=checkpoint)
    assert checkpoint.results == {0: 0.5}


def test_sums_run_from_the_first_to_the_last_result():
    # In any other order the small number is lost.
    assert parallel.sum_in_order([1e16, -1e16, 1.0]) == 1.0
    total = parallel.sum_in_order([{"a": np.ones(2), "b": (1, 2j)}] * 3)
    np.testing.assert_array_equal(total["a"], [3, 3])
    assert total["b"] == (3, 6j)


def test_a_log_gets_lines_with_percent_and_remaining_time(monkeypatch, capsys):
    monkeypatch.setattr(parallel, "LOG_INTERVAL", 0.0)
    parallel.map_chunks(lambda chunk: chunk, range(4), progress="torque")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[1] == "torque:  50%, 0:00:00 elapsed, 0:00:00 remaining"


def test_a_terminal_gets_one_bar(monkeypatch, capsys):
    monkeypatch.setattr(parallel, "BAR_INTERVAL", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    parallel.map_chunks(lambda chunk: chunk, range(2), progress="torque")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "\rtorque [" + "#" * 15 + "." * 15 + "]" in text


def test_short_work_reports_nothing(capsys):
    parallel.map_chunks(lambda chunk: chunk, range(2), progress="torque")
    assert capsys.readouterr().err == ""


def test_blas_gets_one_thread_however_late_it_loads():
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None)\n"
        "import numpy; from qtorque import parallel; parallel.limit_threads(); import scipy.linalg, threadpoolctl\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'})"
    )
    assert python(code).stdout.strip() == "{1}"


def test_blas_gets_one_thread_where_another_variable_asks_for_more():
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None)\n"
        "from qtorque import parallel; parallel.limit_threads(); import numpy, threadpoolctl\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'})"
    )
    assert python(code, OPENBLAS_NUM_THREADS="2").stdout.strip() == "{1}"


def test_omp_num_threads_is_the_users_choice(monkeypatch):
    code = "from qtorque import parallel; print(parallel.limit_threads())"
    assert python(code, OMP_NUM_THREADS="2,1").stdout.strip() == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(InputError, match="OMP_NUM_THREADS='many'.*positive integer"):
        parallel.header()


def test_the_header_tells_ranks_and_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "ranks x threads 1 x 3 on " in parallel.header()


def test_bad_input_ends_a_serial_run_with_code_2_and_one_line(capsys):
    with pytest.raises(SystemExit) as ending, parallel.abort_on_error():
        raise InputError("angle=nan is no number;\n give one")
    assert ending.value.code == 2
    assert capsys.readouterr().err == "qtorque: angle=nan is no number; give one\n"


def test_other_exceptions_of_a_serial_run_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), parallel.abort_on_error():
        _ = 1 / 0


@pytest.mark.mpi
def test_sums_are_bit_for_bit_the_same_on_any_number_of_ranks_and_on_every_rank(mpirun, tmp_path):
    script = tmp_path / "sum.py"
    script.write_text(SUM)
    found = []
    for ranks in (0, 1, 2, 3):
        folder = tmp_path / f"ranks{ranks}"
        folder.mkdir()
        if ranks == 0:
            subprocess.run([sys.executable, script, folder], check=True, timeout=60)
        else:
            run = mpirun(ranks, [script, folder])
            assert run.returncode == 0, run.stderr
        files = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        assert len(files) == max(ranks, 1)
        found += [tuple(file[name].tobytes() for name in ("flat", "complex", "number")) for file in files]
    assert len(set(found)) == 1


@pytest.mark.mpi
def test_fewer_chunks_than_ranks_end_well(mpirun):
    run = mpirun(
        3,
        "from qtorque import parallel\nprint(parallel.map_chunks(lambda chunk: chunk + 1, range(2), parallel.world()))",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("[1, 2]") == 3


@pytest.mark.mpi
def test_chunks_one_by_one_reach_the_first_rank_alone_in_order(mpirun):
    script = """
from qtorque import parallel

comm, received = parallel.world(), []
parallel.each_chunk(lambda chunk: 10 * chunk, range(7), received.append, comm)
found = comm.gather(received)
if comm.rank == 0: print(found)
"""
    run = mpirun(3, script)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[[0, 10, 20, 30, 40, 50, 60], [], []]\n"


@pytest.mark.mpi
def test_an_interrupted_sweep_is_an_ordinary_exception_of_all_ranks_to_a_script(mpirun):
    script = """
from qtorque import parallel

comm = parallel.world()

class Kept(dict):
    load, save = dict.get, dict.__setitem__
    def stop_reason(self):
        return "told to" if comm.rank == 1 and len(self) == 1 else None

try:
    parallel.map_chunks(lambda chunk: chunk, range(4), comm, Kept())
except parallel.Interrupted as end:
    found = comm.gather(str(end).split(":")[0])
    if comm.rank == 0: print(found)
"""
    run = mpirun(2, script)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "['told to', 'told to']\n"


@pytest.mark.mpi
def test_an_exception_on_one_rank_ends_all_ranks(mpirun):
    start = time.monotonic()
    run = mpirun(3, GUARDED.format(body="if comm.rank == 1: 1 / 0"))
    assert run.returncode == 1
    assert time.monotonic() - start < ENDS_AT_ONCE
    assert "rank 1 of 3:" in run.stderr
    assert "ZeroDivisionError" in run.stderr


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 3])
def test_bad_input_on_all_ranks_gives_code_2_and_exactly_one_line(mpirun, ranks):
    run = mpirun(ranks, GUARDED.format(body="raise InputError('alpha=-1 is negative; give a positive number')"))
    assert run.returncode == 2
    assert run.stderr == "qtorque: alpha=-1 is negative; give a positive number\n"


@pytest.mark.mpi
def test_bad_input_on_one_rank_ends_all_ranks_with_code_2(mpirun):
    start = time.monotonic()
    run = mpirun(3, GUARDED.format(body="if comm.rank == 2: raise InputError('k=nan; give a number')"))
    assert run.returncode == 2
    assert time.monotonic() - start < ENDS_AT_ONCE + parallel.ERROR_GRACE
    assert "qtorque: k=nan; give a number\n" in run.stderr


@pytest.mark.mpi
def test_ranks_have_one_thread_each_unless_the_user_says_otherwise(mpirun, monkeypatch):
    # One rank prints: mpiexec mixes the lines of several.
    script = (
        "from qtorque import parallel\n"
        "comm = parallel.world()\n"
        "threads = comm.gather(parallel.limit_threads(comm))\n"
        "if comm.rank == 0: print(threads)"
    )
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert mpirun(2, script).stdout == "[1, 1]\n"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert mpirun(2, script).stdout == "[2, 2]\n"


@pytest.mark.mpi
def test_an_exception_on_one_rank_ends_a_plain_script_without_the_mpi4py_launcher(mpirun):
    script = """
from mpi4py import MPI
from qtorque import parallel

def work(chunk):
    if chunk == 1:
        raise RuntimeError("chunk 1 fails")
    return chunk

parallel.map_chunks(work, range(6), MPI.COMM_WORLD)
"""
    run = mpirun(2, script, timeout=30)
    assert run.returncode != 0
    assert "chunk 1 fails" in run.stderr
