"""Long runs: what is kept, what is refused, and that a run which was ended in any way comes to the same bits."""

import argparse
import dataclasses
import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import checkpoint, command_line, llg, parallel, store
from qtorque.brillouin import interleaved_chunks
from qtorque.errors import InputError

ROOT = Path(__file__).parents[1]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
INTERRUPTED = 75
WAIT_SECONDS = 30.0
"""For something that takes one or two on an idle machine."""
FLAT_BYTES = 200_000
"""Chunks of a mesh of 2048 x 2048 as ranges: 1024 objects of 48 bytes; the numbers of its points are 34 MB."""

LIGHT = """
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from qtorque import checkpoint, command_line, parallel
from qtorque.errors import InputError

# Whoever edits the package while the tests run ends no test.
checkpoint.source_digest = lambda folder: "tested"

CHUNK, KIND = os.environ.get("END", "-1 none").split()


def work(i):
    time.sleep(0.02)
    if KIND == "refusal":
        raise InputError("too many values; give fewer")
    if i == int(CHUNK):
        end(KIND)
    return {"sine": np.sin(1.1 * i + np.arange(300.0)) / 3, "number": i / 7}


def end(kind):
    if kind == "STOP":
        Path("STOP").touch()
    else:
        os.kill(os.getpid(), signal.Signals[kind])


def squares(i):
    time.sleep(0.01)
    return np.sqrt(np.arange(100.0) + i)


def run(options, comm):
    configuration = {"values": options.values}
    force = command_line.may_replace(options, configuration)
    (path,) = command_line.output_files(options.output, [".npz"], force)
    received = []
    with command_line.resumable(options, configuration, comm) as kept:
        one = parallel.map_chunks(work, range(options.values), comm, kept.part("one"), "one")
        parallel.each_chunk(squares, range(9), received.append, comm, kept.part("two"), "two")
        if comm is None or comm.rank == 0:
            total = parallel.sum_in_order(one)
            np.savez(path, sine=total["sine"], number=total["number"], squares=np.array(received))


if __name__ == "__main__":
    parser = command_line.parser("Test.", output="out")
    parser.add_argument("--values", type=int, default=24)
    command_line.main(run, parser)
"""

DRIVER = """
import os
import signal
import sys

sys.path.insert(0, {drivers!r})
import _stages
import mtj_torque

from qtorque import checkpoint, command_line, plot, sweeps

# Whoever edits the package while the tests run ends no test.
checkpoint.source_digest = lambda folder: "tested"

# Many small chunks, so that there is a middle of a sweep, and no figures, which take longer than both.
sweeps.CHUNK = _stages.SCATTERING_CHUNK = 2
plot.save_figure = lambda *_: None
RANK, SWEEP, SAVES, KIND = os.environ.get("END", "-1 none -1 none").split()
save = checkpoint.FolderCheckpoint.save
saved = []


def save_and_end(self, index, result):
    save(self, index, result)
    saved.append(self.sweep)
    if self.records.rank == int(RANK) and sum(sweep[0] == SWEEP for sweep in saved) == int(SAVES):
        os.kill(os.getpid(), signal.Signals[KIND])


checkpoint.FolderCheckpoint.save = save_and_end
parser = command_line.parser("Test.", system="systems/mtj.py", output="out")
_stages.add_mesh(parser)
_stages.add_torque_sweep(parser)
command_line.main(mtj_torque.run, parser)
"""


class Memory:
    """A checkpoint in memory, for one sweep and its parts."""

    def __init__(self, stop=lambda: None):
        self.results, self.parts, self.stop_reason = {}, {}, stop

    def load(self, index):
        return self.results.get(index)

    def save(self, index, result):
        self.results[index] = result

    def part(self, name):
        return self.parts.setdefault(name, type(self)(self.stop_reason))


class Complete(Memory):
    """A checkpoint that nothing may be missing from."""

    def save(self, index, result):
        pytest.fail(f"chunk {index} was computed again")


def complete(memory):
    """What `memory` holds, in a checkpoint that nothing may be missing from."""
    copy = Complete()
    copy.results = memory.results
    copy.parts = {name: complete(part) for name, part in memory.parts.items()}
    return copy


def opened(folder, configuration=None, **arguments):
    return checkpoint.FolderCheckpoint.open(folder, configuration or {"kmesh": 8}, **arguments)


def records(folder):
    (path,) = folder.glob("*.chunks")
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with chunks 0, 1, 2 of one sweep, as an ended run leaves it."""
    kept = opened(tmp_path / "run.checkpoint")
    for index in range(3):
        kept.save(index, np.full(50, index / 3))
    kept.records.close()
    return tmp_path / "run.checkpoint"


# What is kept


@pytest.mark.parametrize(
    "result",
    [
        np.array([0.1, -0.0, np.nan, np.inf]),
        (np.eye(2) * 1j, 1 / 3, {"a": np.float32(0.1), "b": (1, "text")}),
        xr.DataArray([1 / 3, 2.0], dims="spin", coords={"spin": ["up", "down"]}, attrs={"units": "e^2/h"}),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=["array", "nested", "data-array", "fortran-order"],
)
def test_a_result_comes_back_to_the_last_bit(tmp_path, result):
    kept = opened(tmp_path / "c")
    kept.save(3, result)
    kept.records.close()
    again = opened(tmp_path / "c").load(3)
    assert type(again) is type(result)
    if isinstance(result, xr.DataArray):
        xr.testing.assert_identical(again, result)
    elif isinstance(result, np.ndarray):
        assert again.tobytes() == result.tobytes()
        assert again.flags.f_contiguous == result.flags.f_contiguous
    else:
        np.testing.assert_equal(again, result)


def test_a_run_of_any_length_keeps_one_file_for_each_process(folder):
    kept = opened(folder)
    for index in range(3, 40):
        kept.part("other").save(index, index)
    assert len(list(folder.glob("*.chunks"))) == 2
    kept.close()
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("lost", [1, 17, 60, 460])
def test_a_record_torn_at_any_byte_is_computed_again_and_the_others_are_not(folder, lost):
    path = records(folder)
    path.write_bytes(path.read_bytes()[:-lost])
    again = opened(folder)
    assert [again.load(index) is None for index in range(3)] == [False, False, True]


def test_what_is_written_after_a_torn_record_is_found(folder):
    path = records(folder)
    path.write_bytes(path.read_bytes()[:-20])
    path.rename(folder / "rank-9-z.chunks")  # read last
    kept = opened(folder)
    kept.save(2, "again")
    kept.save(3, "more")
    kept.records.close()
    again = opened(folder)
    assert [again.load(index) for index in (2, 3)] == ["again", "more"]


def test_no_flipped_byte_is_trusted(folder, monkeypatch):
    versions = store.versions()
    monkeypatch.setattr(store, "versions", lambda: versions)  # asks git every time
    source = checkpoint.source_digest(Path(checkpoint.__file__).parent)
    monkeypatch.setattr(checkpoint, "source_digest", lambda folder: source)
    path = records(folder)
    whole = bytearray(path.read_bytes())
    for position in range(0, len(whole), 7):
        damaged = whole.copy()
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        again = opened(folder)
        for index in range(3):
            found = again.load(index)
            assert found is None or found.tobytes() == np.full(50, index / 3).tobytes()
        again.close()


def test_foreign_files_are_neither_read_nor_removed(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "rank-0-old.chunks").write_bytes(b"something else altogether")
    other = opened(folder.with_name("other"), {"kmesh": 9})
    other.save(7, "of another configuration")
    other.records.close()
    (folder / "rank-9-copied.chunks").write_bytes(records(folder.with_name("other")).read_bytes())
    kept = opened(folder)
    assert kept.load(7) is None
    assert kept.load(1) is not None
    kept.remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_parts_are_apart_and_have_parts(tmp_path):
    kept = opened(tmp_path / "c")
    names = [(), ("a",), ("a", "b"), ("a/b",), ("b",)]

    def part(run, sweep):
        for name in sweep:
            run = run.part(name)
        return run

    for sweep in names:
        part(kept, sweep).save(0, sweep)
    kept.records.close()
    again = opened(tmp_path / "c")
    assert [part(again, sweep).load(0) for sweep in names] == names


def test_two_sweeps_that_share_a_part_are_refused(tmp_path):
    kept = opened(tmp_path / "c")
    parallel.map_chunks(lambda i: i, range(3), checkpoint=kept.part("a"))
    with pytest.raises(InputError, match=r"chunk 0 of part 'a' was used before.*checkpoint.part\(name\)"):
        parallel.map_chunks(lambda i: -i, range(3), checkpoint=kept.part("a"))


def test_a_finished_run_leaves_nothing_and_a_refused_one_no_folder_it_made(tmp_path):
    opened(tmp_path / "new" / "deep" / "c").remove()
    assert (tmp_path / "new" / "deep").is_dir()
    kept = opened(tmp_path / "newer" / "deep" / "c")
    kept.save(0, 1)
    kept.discard()
    assert not (tmp_path / "newer").exists()


def test_a_rerun_removes_the_hidden_files_of_a_killed_one(tmp_path):
    (tmp_path / ".d.nc.lock").write_text("host a, process 4711")
    left = [tmp_path / ".d.nc.4711.part", tmp_path / ".d[1].nc.4711.part"]
    for path in left:
        path.write_text("half a file")
    store.save_dataset(xr.Dataset({"x": 1.0}), tmp_path / "d.nc")
    assert [path.exists() for path in left] == [False, True]
    store.save_dataset(xr.Dataset({"x": 1.0}), tmp_path / "d[1].nc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.nc", "d[1].nc"]


# What is refused


def test_a_changed_configuration_is_refused_with_the_difference(tmp_path):
    source = textwrap.dedent("def build(layers=3):\n" + "    # long\n" * 20 + "    return layers\n")
    old = {"kmesh": 8, "angle": [0.0, 1.0], "source": source}
    kept = opened(tmp_path / "c", old)
    kept.save(0, "old")
    kept.records.close()
    new = {"kmesh": 16, "angle": np.array([0.0, 1.0]), "source": source.replace("return layers", "return 2 * layers")}
    with pytest.raises(InputError) as refusal:
        opened(tmp_path / "c", new)
    line = str(refusal.value)
    assert "kmesh: 8 -> 16" in line
    assert "return layers -> " in line
    assert "return 2 * layers" in line
    assert "angle" not in line
    assert "give another --output, or --force to begin anew" in line
    assert "\n" not in line
    assert not checkpoint.is_unfinished(tmp_path / "c", new)
    assert checkpoint.is_unfinished(tmp_path / "c", old)
    assert opened(tmp_path / "c", old).load(0) == "old"


def test_force_goes_on_with_the_same_configuration_and_begins_anew_with_another(folder):
    assert opened(folder, force=True).load(1) is not None
    assert opened(folder, {"kmesh": 16}, force=True).load(1) is None
    assert not list(folder.glob("*.chunks"))
    assert opened(folder, {"kmesh": 16}).load(1) is None


def test_a_run_without_a_finished_chunk_gives_way_to_another_configuration(tmp_path):
    kept = opened(tmp_path / "c")
    kept.close()
    other = opened(tmp_path / "c", {"kmesh": 16})
    other.save(0, "done")
    other.close()
    with pytest.raises(InputError, match="kmesh: 16 -> 8"):
        opened(tmp_path / "c")
    # A record that is torn is no finished chunk.
    path = records(tmp_path / "c")
    path.write_bytes(path.read_bytes()[:-1])
    assert opened(tmp_path / "c").load(0) is None


def test_a_second_run_with_the_same_output_is_refused_until_the_first_has_ended(folder):
    first = opened(folder)
    with pytest.raises(InputError, match=rf"another run is writing .* \(host .+, process {os.getpid()}\); wait for it"):
        opened(folder)
    with pytest.raises(InputError, match="another run is writing"):
        opened(folder, {"kmesh": 16}, force=True)
    assert first.load(1) is not None
    first.close()
    second = opened(folder)
    assert second.load(1) is not None
    second.remove()
    assert not folder.exists()


def test_a_lock_left_by_a_killed_run_is_none(folder):
    (folder / checkpoint.LOCK).write_text("host a, process 1")
    assert opened(folder).load(1) is not None


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(tmp_path, monkeypatch):
    path, flock = tmp_path / "lock", fcntl.flock

    def after_removal(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", after_removal)
    lock = store.FileLock(path, "x")
    with pytest.raises(InputError, match="another run is writing 'x'"):
        store.FileLock(path, "x")
    lock.release()
    assert not path.exists()


def test_a_second_writer_of_a_file_is_refused_and_takes_nothing_from_the_first(tmp_path):
    path = tmp_path / "d.nc"
    with store.growing_dataset(path, "k") as growing:
        growing.append(xr.Dataset({"x": ("k", [1.0])}))
        with pytest.raises(InputError, match="another run is writing"):
            store.save_dataset(xr.Dataset({"x": 1.0}), path)
        growing.append(xr.Dataset({"x": ("k", [2.0])}))
        growing.finish(xr.Dataset({"y": 3.0}))
    found = store.load_dataset(path)
    assert found["x"].values.tolist() == [1.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["d.nc"]


def test_a_file_whose_blocks_were_removed_is_not_finished(tmp_path):
    def write():
        with store.growing_dataset(tmp_path / "d.nc", "k") as growing:
            growing.append(xr.Dataset({"x": ("k", [1.0])}))
            growing.path.unlink()
            growing.finish(xr.Dataset({"y": 3.0}))

    with pytest.raises(InputError, match="was removed while it was written"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk():
    """full_disk(size) lets no file grow beyond a size in bytes: to a program the same as a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_in_one_line_and_what_was_kept_before_it_stays(tmp_path, full_disk):
    def grow():
        with store.growing_dataset(tmp_path / "d.nc", "k") as growing:
            for _ in range(40):
                growing.append(xr.Dataset({"x": ("k", np.zeros(1000))}))

    kept = opened(tmp_path / "c")
    kept.save(0, np.zeros(10))
    full_disk(400_000)
    with pytest.raises(InputError, match=r"cannot read and write .* \(File too large\); make room there .* rerun"):
        kept.save(1, np.zeros(100_000))
    with pytest.raises(InputError, match="make room there"):
        store.save_dataset(xr.Dataset({"x": ("i", np.zeros(100_000))}), tmp_path / "d.nc")
    with pytest.raises(InputError, match="make room there"):
        grow()
    full_disk(resource.RLIM_INFINITY)
    kept.close()
    again = opened(tmp_path / "c")
    assert [again.load(i) is None for i in range(2)] == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_folder_that_may_not_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    # By hand: to root, whom tests often run as, no folder is read-only.
    monkeypatch.setattr(store.FileLock, "__init__", refused)
    with pytest.raises(InputError, match=r"cannot read and write .*/c' \(Permission denied\).*another --output"):
        opened(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_colleagues_can_read_the_chunks_as_far_as_the_umask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        kept = opened(tmp_path / "c")
        kept.save(0, 1)
    finally:
        os.umask(before)
    assert records(tmp_path / "c").stat().st_mode & 0o777 == 0o640


def test_a_changed_source_is_refused_and_a_commit_that_changes_none_is_not(folder, monkeypatch):
    versions = store.versions()
    monkeypatch.setattr(store, "versions", lambda: versions | {"git_commit": "another"})
    assert opened(folder).load(1) is not None
    monkeypatch.setattr(checkpoint, "source_digest", lambda folder: "changed")
    with pytest.raises(InputError, match=r"qtorque_source: \w+ -> changed"):
        opened(folder)


def test_a_version_of_what_computes_is_part_of_the_configuration(folder, monkeypatch):
    versions = store.versions()
    monkeypatch.setattr(store, "versions", lambda: versions | {"numpy_version": "99"})
    with pytest.raises(InputError, match=r"numpy_version: .* -> 99"):
        opened(folder)


def test_a_folder_with_an_unreadable_configuration_is_refused(folder):
    (folder / checkpoint.CONFIGURATION).write_text("half {")
    with pytest.raises(InputError, match="is not the configuration of an unfinished run; remove its folder"):
        opened(folder)


def test_a_host_that_does_not_see_the_folder_is_refused(tmp_path, monkeypatch):
    class Elsewhere:
        rank = 1

        def bcast(self, _):
            return None, {}

    monkeypatch.setattr(checkpoint, "APPEARANCE_SECONDS", 0.0)
    with pytest.raises(InputError, match="is not to be seen on the host .* all hosts share"):
        opened(tmp_path / "c", comm=Elsewhere())


def test_a_refusal_before_any_work_leaves_nothing_and_a_late_one_what_was_computed(tmp_path):
    options = argparse.Namespace(output=str(tmp_path / "new" / "x"), force=False, max_seconds=None)

    def run(chunks):
        with command_line.resumable(options, {"kmesh": 8}, None) as kept:
            parallel.map_chunks(lambda i: i, range(chunks), checkpoint=kept)
            raise InputError("cannot write; choose another folder")

    with pytest.raises(InputError, match="cannot write"):
        run(0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot write"):
        run(3)
    with command_line.resumable(options, {"kmesh": 8}, None) as kept:
        assert [kept.load(i) for i in range(3)] == [0, 1, 2]
    assert list((tmp_path / "new").iterdir()) == []


# How a run ends


def test_a_stop_request_knows_time_files_and_signals(tmp_path):
    stop_file = tmp_path / "STOP"
    assert checkpoint.StopRequest(1000.0, [stop_file])() is None
    assert checkpoint.StopRequest(1e-9)() == "reached 1e-09 s"
    by_file, by_signal = checkpoint.StopRequest(None, [stop_file]), checkpoint.StopRequest()
    stop_file.touch()
    assert "to be removed" in by_file()
    before = [signal.getsignal(number) for number in checkpoint.SIGNALS]
    for number in checkpoint.SIGNALS:
        by_signal.signal = None
        with by_signal.listening():
            os.kill(os.getpid(), number)
            assert by_signal() == f"received {number.name}"
    assert [signal.getsignal(number) for number in checkpoint.SIGNALS] == before


def test_a_time_limit_shorter_than_a_chunk_still_lets_every_session_finish_one(tmp_path):
    done = []
    for session in range(3):
        stop = checkpoint.StopRequest(1e-9)
        kept = opened(tmp_path / "c", stop_reason=stop)
        stop.progress = kept.has_computed
        with pytest.raises(parallel.Interrupted, match=f"reached 1e-09 s: {session + 1} of 9 chunks done"):
            parallel.map_chunks(lambda i: done.append(i) or i, range(9), checkpoint=kept)
        kept.close()
    assert done == [0, 1, 2]


def test_a_signal_ends_a_run_before_its_first_chunk():
    stop = checkpoint.StopRequest(1e-9)
    stop.progress = lambda: False
    assert stop() is None
    stop.signal = "SIGTERM"
    assert stop() == "received SIGTERM"


def test_a_dry_run_refuses_what_the_run_would(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["drivers/x.py"])

    def check(configuration, **changed):
        options = {"output": str(tmp_path / "out"), "force": False, "max_seconds": None} | changed
        return command_line.may_replace(argparse.Namespace(**options), configuration)

    assert not check({"kmesh": 8})
    kept = opened(tmp_path / "out.x.checkpoint")
    kept.save(0, 1)
    kept.close()
    assert check({"kmesh": 8})
    with pytest.raises(InputError, match="kmesh: 8 -> 9"):
        check({"kmesh": 9})
    assert check({"kmesh": 9}, force=True)
    with pytest.raises(InputError, match="leaves no time to run"):
        check({"kmesh": 8}, max_seconds=-1.0)
    (tmp_path / "STOP").touch()
    with pytest.raises(InputError, match="ends every run here"):
        check({"kmesh": 8})


def test_two_programs_with_one_output_have_a_folder_each(monkeypatch):
    folders = []
    for program in ("drivers/coupling.py", "drivers/interface.py"):
        monkeypatch.setattr(sys, "argv", [program])
        folders.append(str(command_line.checkpoint_folder("results/a")))
    assert folders == ["results/a.coupling.checkpoint", "results/a.interface.checkpoint"]


def test_a_stop_that_is_there_from_the_beginning_is_refused(tmp_path):
    (tmp_path / "STOP").touch()
    with pytest.raises(InputError, match="ends every run here; remove it"):
        checkpoint.StopRequest(files=[tmp_path / "STOP"])
    with pytest.raises(InputError, match="max_seconds=0.0 leaves no time to run"):
        checkpoint.StopRequest(0.0)


def test_an_interrupted_sweep_keeps_what_is_done_and_goes_on(tmp_path):
    memory, done = Memory(), []

    def stop():
        return "reached its time" if len(memory.results) == 2 else None

    memory.stop_reason = stop

    def work(i):
        done.append(i)
        return 10 * i

    with pytest.raises(parallel.Interrupted, match=r"^reached its time: 2 of 5 chunks of torque done$"):
        parallel.map_chunks(work, range(5), checkpoint=memory, progress="torque")
    memory.stop_reason = lambda: None
    assert parallel.map_chunks(work, range(5), checkpoint=memory) == [0, 10, 20, 30, 40]
    assert done == [0, 1, 2, 3, 4]


def test_a_sweep_that_is_done_is_not_interrupted():
    memory = Memory()
    parallel.map_chunks(lambda i: i, range(3), checkpoint=memory)
    memory.stop_reason = lambda: "reached its time"
    assert parallel.map_chunks(lambda i: i, range(3), checkpoint=memory) == [0, 1, 2]


def test_chunks_one_by_one_come_in_order_and_none_is_kept():
    class Result:
        def __init__(self, number):
            self.number = number

    made, alive, received = [], [], []

    def work(i):
        result = Result(i)
        made.append(weakref.ref(result))
        return result

    def receive(result):
        received.append(result.number)
        alive.append(sum(reference() is not None for reference in made))

    parallel.each_chunk(work, range(6), receive)
    assert received == list(range(6))
    assert max(alive) <= 2


def test_chunks_one_by_one_go_on_after_an_interruption():
    memory, received = Memory(), []
    memory.stop_reason = lambda: "told to" if len(memory.results) == 2 else None
    with pytest.raises(parallel.Interrupted, match=r"^told to: 2 of 4 chunks done$"):
        parallel.each_chunk(lambda i: i, range(4), received.append, checkpoint=memory)
    memory.stop_reason = lambda: None
    parallel.each_chunk(lambda i: {2: 2, 3: 3}[i], range(4), received.append, checkpoint=memory)
    assert received == [0, 1, 0, 1, 2, 3]


def test_the_chunks_of_a_large_mesh_are_lazy():
    chunks = interleaved_chunks(2048**2, 4096)
    assert sum(sys.getsizeof(chunk) for chunk in chunks) < FLAT_BYTES


# Every call that sweeps


@pytest.fixture(scope="module")
def junction():
    magnet = qt.single_band(onsite=4.3, exchange=2.6, hopping=-1.0, lattice_constant=0.3)
    barrier = qt.single_band(onsite=9.0, hopping=-1.0, lattice_constant=0.3)
    return qt.Stack(left=qt.Lead(magnet), layers=[qt.Layer(barrier, 1, barrier=True)], right=qt.Lead(magnet))


@pytest.fixture(scope="module")
def interface():
    normal = qt.single_band(onsite=3.0, hopping=-1.0, lattice_constant=0.3)
    magnet = qt.single_band(onsite=4.3, exchange=2.6, hopping=-1.0, lattice_constant=0.3)
    return qt.Stack(left=qt.Lead(normal), layers=[qt.Layer(magnet, 1)], right=qt.Lead(magnet))


SWEEPS = {
    "spin_torque": lambda **a: qt.spin_torque(a.pop("junction"), angle=[1.0], voltage=[0.0, 0.1], tolerance=1e-3, **a),
    "layer_torque": lambda **a: qt.layer_torque(a.pop("junction"), angle=[1.0], tolerance=1e-3, **a),
    "interlayer_coupling": lambda **a: qt.interlayer_coupling(a.pop("junction"), tolerance=1e-3, **a),
    "conductance": lambda **a: qt.conductance(a.pop("junction"), energy=0.0, **a),
    "mixing_conductance": lambda **a: qt.mixing_conductance(a.pop("interface"), energy=0.0, **a),
    "tmr": lambda **a: qt.tmr(a.pop("junction"), energy=0.0, **a),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_call_that_sweeps_takes_its_chunks_from_the_checkpoint(name, junction, interface):
    def call(kept):
        stack = {"interface": interface} if name == "mixing_conductance" else {"junction": junction}
        return SWEEPS[name](**stack, kmesh=qt.kmesh(4), checkpoint=kept)

    memory = Memory()
    first = call(memory)
    again = call(complete(memory))
    assert not memory.results
    if name == "tmr":
        assert set(memory.parts) == {"parallel", "antiparallel"}
        assert first == again
    else:
        assert len(memory.parts) == 1
        xr.testing.assert_identical(first, again)


def fresh(**arguments):
    """The call of `SWEEPS` that differs from another in these arguments only."""
    return qt.conductance(**{"energy": 0.0, "kmesh": qt.kmesh(4)} | arguments)


def torque(**arguments):
    given = {"angle": 1.0, "voltage": 0.1, "kmesh": qt.kmesh(4), "tolerance": 1e-3, "temperature": 0.0}
    return qt.spin_torque(**given | arguments)


OTHER_ARGUMENTS = {
    "energy": (fresh, {}, {"energy": 0.1}),
    "angle": (fresh, {"angle": 0.1}, {"angle": 0.2}),
    "list of one angle": (fresh, {"angle": 0.1}, {"angle": [0.1]}),
    "leads": (fresh, {}, {"source": "right", "target": "left"}),
    "points": (fresh, {"kmesh": qt.kpoints([[0.1, 0.2]])}, {"kmesh": qt.kpoints([[0.3, 0.2]])}),
    "weights": (fresh, {"kmesh": qt.kpoints([[0.1, 0.2]])}, {"kmesh": qt.kpoints([[0.1, 0.2]], [0.5])}),
    "bias": (fresh, {}, {"voltage": 0.1}),
    "voltage": (torque, {}, {"voltage": 0.2}),
    "torque angle": (torque, {}, {"angle": 1.1}),
    "temperature": (torque, {}, {"temperature": 300.0}),
    "tolerance": (torque, {}, {"tolerance": 1e-4}),
    "refined": (torque, {"kmesh": None, "tolerance": 1e-2}, {"kmesh": None, "tolerance": 5e-3}),
}


@pytest.mark.parametrize("name", OTHER_ARGUMENTS)
def test_a_call_with_other_arguments_takes_nothing_from_the_checkpoint_of_a_first_one(name, junction, tmp_path):
    call, first, second = OTHER_ARGUMENTS[name]
    kept = opened(tmp_path / "c")
    call(system=junction, **first, checkpoint=kept)
    found = call(system=junction, **second, checkpoint=kept)
    xr.testing.assert_identical(found, call(system=junction, **second))


def test_another_stack_and_another_function_take_nothing_from_the_checkpoint_of_a_first_call(junction, interface):
    memory, k = Memory(), qt.kmesh(4)
    thicker = qt.Stack(left=junction.left, layers=[*junction.layers, *junction.layers], right=junction.right)
    fresh(system=junction, checkpoint=memory)
    assert float(fresh(system=thicker, checkpoint=memory).sum()) == float(fresh(system=thicker).sum())
    for stack in (junction, interface):
        fresh(system=stack, checkpoint=memory)
    mixing = qt.mixing_conductance(interface, energy=0.0, kmesh=k, checkpoint=memory)
    assert complex(mixing) == complex(qt.mixing_conductance(interface, energy=0.0, kmesh=k))
    arguments = {"angle": [0.5, 1.0], "kmesh": k, "tolerance": 1e-3}
    layers = qt.layer_torque(junction, **arguments)
    qt.spin_torque(junction, **arguments, checkpoint=memory)
    xr.testing.assert_identical(qt.layer_torque(junction, **arguments, checkpoint=memory), layers)
    thermal = {"temperature": 300.0, "kmesh": k}
    qt.thermopower(junction, **thermal, checkpoint=memory)
    other = qt.thermopower(junction, **thermal | {"temperature": 200.0}, checkpoint=memory)
    xr.testing.assert_identical(other, qt.thermopower(junction, **thermal | {"temperature": 200.0}))


def test_an_ensemble_of_other_arguments_is_integrated_again():
    free = llg.Macrospin(
        Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.01, anisotropy=1.0e6, easy_axis=(0, 0, 1),
        demag=(0.01, 0.01, 0.98), field=(0, 0, 0), fixed=(0, 0, 1),
    )  # fmt: skip
    given = {"voltage": 0.0, "trajectories": 2, "duration": 1e-11, "dt": 1e-12, "temperature": 300, "seed": 1}
    others = ({"seed": 2}, {"temperature": 200}, {"dt": 5e-13}, {"initial": "parallel"}, {"thermalisation": 1e-11})
    memory = Memory()
    first = llg.ensemble(free, None, **given, checkpoint=memory)
    xr.testing.assert_identical(first, llg.ensemble(free, None, **given, checkpoint=complete(memory)))
    for other in others:
        found = llg.ensemble(free, None, **given | other, checkpoint=memory)
        xr.testing.assert_identical(found, llg.ensemble(free, None, **given | other))
    hotter = dataclasses.replace(free, alpha=0.02)
    found = llg.ensemble(hotter, None, **given, checkpoint=memory)
    xr.testing.assert_identical(found, llg.ensemble(hotter, None, **given))


def test_the_part_of_a_call_depends_on_contents_and_not_on_how_they_are_held():
    def name(*arguments):
        memory = Memory()
        parallel.checkpoint_part(memory, "f", *arguments)
        return next(iter(memory.parts))

    wide = np.arange(6.0).reshape(2, 3)
    assert name(wide, [1, 2.5]) == name(np.asfortranarray(wide), (1, np.float64(2.5)))
    single = [wide, wide.T, wide.ravel(), wide.astype(complex), [wide], 1, 1.0, "1", None]
    different = [*((value,) for value in single), (wide, None)]
    names = [name(*arguments) for arguments in different]
    assert len(set(names)) == len(names)
    with pytest.raises(TypeError, match="cannot tell one function from another"):
        name(lambda: 0)
    assert parallel.checkpoint_part(None, "f", lambda: 0) is None


# Whole programs


@pytest.fixture
def light(tmp_path):
    """light(ranks, *arguments, end="CHUNK KIND") runs the program LIGHT in a folder of its own; 0 ranks: no MPI."""
    script = tmp_path / "light.py"
    script.write_text(LIGHT)

    def run(ranks, *arguments, end=None, check=None):
        return finished(started(ranks, script, *arguments, end=end, folder=tmp_path), check)

    return run


def started(ranks, script, *arguments, end=None, folder):
    launcher = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "mpi4py"] if ranks else [sys.executable]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPIEXEC_TIMEOUT": "60"}
    environment |= {} if end is None else {"END": end}
    command = [*launcher, script, "--quiet", *arguments]
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
    )


def finished(process, code=None):
    output, errors = process.communicate(timeout=90)
    if code is not None:
        assert process.returncode == code, errors
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def only_line(run):
    """The one line on stderr of a run that was interrupted."""
    (line,) = [text for text in run.stderr.splitlines() if not re.match(r"one: +\d+%", text)]
    assert line.startswith("qtorque: ")
    return line


def arrays(path):
    with np.load(path) as file:
        return {name: file[name].tobytes() for name in file.files}


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("kind", "ranks", "then"), [("SIGTERM", 2, 3), ("SIGUSR1", 3, 0), ("STOP", 2, 1), ("--max-seconds", 2, 3)]
)
def test_every_end_has_code_75_and_the_same_command_goes_on_to_the_same_bits(light, tmp_path, kind, ranks, then):
    light(0, "-o", "reference", check=0)
    # The last rank alone gets the signal, in its third chunk: the others must hear of it.
    arguments, end = (["--max-seconds", "0.15"], None) if kind.startswith("-") else ([], f"{3 * ranks - 1} {kind}")
    run = light(ranks, "-o", "out", *arguments, end=end, check=INTERRUPTED)
    line = only_line(run)
    kept = "kept in out.light.checkpoint; rerun the same command to continue"
    assert re.search(rf"\d+ of 24 chunks of one done, {kept}$", line)
    assert run.stdout == ""
    done = int(re.search(r"(\d+) of 24", line)[1])
    # Without word from the last rank the others would finish all of their share.
    assert done < (24 - 24 // ranks + 3 if "SIG" in kind else 24)
    if kind == "STOP":
        assert "remove it" in light(then, "-o", "out", check=2).stderr
        (tmp_path / "STOP").unlink()
    light(then, "-o", "out", check=0)
    assert arrays(tmp_path / "out.npz") == arrays(tmp_path / "reference.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"light.py", "out.npz", "reference.npz"}


@pytest.mark.mpi
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_mpiexec_ends_all_ranks_the_same_way(tmp_path, number):
    script = tmp_path / "light.py"
    script.write_text(LIGHT)
    process = started(2, script, "-o", "out", "--values", "400", folder=tmp_path)
    deadline = time.monotonic() + WAIT_SECONDS
    while not list(tmp_path.glob("out.light.checkpoint/rank-1-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    line = only_line(finished(process, INTERRUPTED))
    assert line.startswith(f"qtorque: received {number.name}: ")


@pytest.mark.mpi
def test_the_second_sweep_of_a_run_can_be_interrupted_and_goes_on(light, tmp_path):
    light(0, "-o", "reference", check=0)
    script = tmp_path / "light.py"
    # In the sweep that writes as it goes, rank 1 alone hears the signal.
    script.write_text(LIGHT.replace("    time.sleep(0.01)\n", "    time.sleep(0.01)\n    if i == 4: end(KIND)\n"))
    line = only_line(finished(started(3, script, "-o", "out", end="-1 SIGTERM", folder=tmp_path), INTERRUPTED))
    assert re.search(r"received SIGTERM: 6 of 9 chunks of two done", line)
    light(2, "-o", "out", check=0)
    assert arrays(tmp_path / "out.npz") == arrays(tmp_path / "reference.npz")


@pytest.mark.mpi
def test_a_second_command_with_the_output_of_a_running_one_ends_and_the_first_writes_its_result(light, tmp_path):
    light(0, "-o", "reference", "--values", "80", check=0)
    first = started(2, tmp_path / "light.py", "-o", "out", "--values", "80", folder=tmp_path)
    deadline = time.monotonic() + WAIT_SECONDS
    while not list(tmp_path.glob("out.light.checkpoint/rank-1-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    second = light(2, "-o", "out", "--values", "80", "--force", check=2)
    assert "another run is writing 'out.light.checkpoint' (host " in only_line(second)
    finished(first, 0)
    assert arrays(tmp_path / "out.npz") == arrays(tmp_path / "reference.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"light.py", "out.npz", "reference.npz"}


@pytest.mark.mpi
def test_a_run_refused_inside_its_first_chunks_does_not_stand_in_the_way_of_a_mended_one(light, tmp_path):
    assert "too many values; give fewer" in only_line(light(2, "-o", "out", end="-1 refusal", check=2))
    assert {path.name for path in tmp_path.iterdir()} == {"light.py"}
    light(2, "-o", "out", "--values", "10", check=0)


@pytest.mark.mpi
def test_a_changed_option_is_refused_on_all_ranks_with_one_line(light, tmp_path):
    light(2, "-o", "out", end="5 SIGTERM", check=INTERRUPTED)
    run = light(2, "-o", "out", "--values", "10", check=2)
    assert "values: 24 -> 10" in only_line(run)
    light(2, "-o", "out", "--values", "10", "--force", check=0)
    assert not (tmp_path / "out.light.checkpoint").exists()


@pytest.mark.mpi
def test_a_rank_that_is_killed_costs_its_own_chunk_only(light, tmp_path):
    light(0, "-o", "reference", check=0)
    run = light(3, "-o", "out", end="13 SIGKILL")
    assert run.returncode not in (0, INTERRUPTED)
    (own,) = (tmp_path / "out.light.checkpoint").glob("rank-1-*.chunks")
    # Chunks 1, 4, 7 and 10 with 300 numbers each; it died in its fifth, 13.
    assert 4 * 2400 < own.stat().st_size < 5 * 2400
    # A run killed while it wrote: its own output is no reason to refuse it.
    (tmp_path / "out.npz").write_text("written before the end")
    assert "values: 24 -> 9" in light(2, "-o", "out", "--values", "9", check=2).stderr
    light(2, "-o", "out", check=0)
    assert arrays(tmp_path / "out.npz") == arrays(tmp_path / "reference.npz")
    assert not (tmp_path / "out.light.checkpoint").exists()


SWEEP = [ROOT / "systems/mtj.py", "--kmesh", "4", "--angle", "pi/2", "--voltage", "0,0.5", "--tolerance", "1e-3"]


@pytest.mark.mpi
@pytest.mark.slow
def test_the_torque_driver_killed_and_interrupted_at_other_rank_counts_writes_the_same_bits(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(drivers=str(ROOT / "drivers")))

    def run(ranks, *arguments, end=None, code=None):
        return finished(started(ranks, script, *SWEEP, *arguments, end=end, folder=tmp_path), code)

    run(0, "-o", "whole/x", code=0)
    killed = run(2, "-o", "r/x", end="1 torque 3 SIGKILL")  # its third of 8
    assert killed.returncode not in (0, INTERRUPTED)
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"x.driver.checkpoint"}
    serial = run(0, "-o", "r/x", end="0 transmission 3 SIGUSR1", code=INTERRUPTED)
    assert re.search(r"qtorque: received SIGUSR1: 3 of 8 chunks done, kept in r/x.driver.checkpoint", serial.stderr)
    run(3, "-o", "r/x", code=0)
    written = {path.name for path in (tmp_path / "r").iterdir()}
    assert written == {path.name for path in (tmp_path / "whole").iterdir()}
    for name in ("x_torque.nc", "x_map.nc", "x_transmission.nc"):
        one, two = (store.load_dataset(tmp_path / where / name) for where in ("whole", "r"))
        assert set(one.variables) == set(two.variables)
        for variable in one.variables:
            assert one[variable].values.tobytes() == two[variable].values.tobytes(), f"{variable} in {name}"


# The batch script


@pytest.mark.parametrize(
    ("code", "signalled", "requeued"), [(75, True, True), (75, False, False), (0, True, False), (1, True, False)]
)
def test_the_batch_script_requeues_itself_when_its_time_is_up_and_work_is_left(tmp_path, code, signalled, requeued):
    binaries, virtual = tmp_path / "bin", tmp_path / ".venv" / "bin"
    for folder in (binaries, virtual):
        folder.mkdir(parents=True)
    executable(binaries / "scontrol", 'echo "$@" >> "$SLURM_SUBMIT_DIR/scontrol.log"')
    # Ends half a second after the signal, as ranks do that finish their chunk.
    executable(
        virtual / "mpiexec",
        f"trap 'sleep 0.5; exit {code}' USR1\necho \"$@\" > started\n"
        + ("while :; do sleep 0.05; done" if signalled else f"exit {code}"),
    )
    environment = os.environ | {
        "PATH": f"{binaries}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "42",
        "SLURM_NTASKS": "3",
    }  # fmt: skip
    process = subprocess.Popen(["bash", ROOT / "drivers/cluster.sbatch"], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if signalled:
        time.sleep(0.1)
        process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=WAIT_SECONDS) == code
    assert "results/mtj-42" in (tmp_path / "started").read_text()
    log = tmp_path / "scontrol.log"
    assert (log.read_text() if log.exists() else "") == ("requeue 42\n" if requeued else "")


def executable(path, body):
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
