"""One format for what benchmarks print, one table of it; growth and memory run at a small size and check their answers.

The other benchmarks are run by the tests of what they measure.
"""

import dataclasses
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FITTED = 1e-12
"""Rounding of a fit that is exact."""
IMPORTS = 0.02
"""Memory that a start of the interpreter freed again, and that other arrays use later; 134 MB are measured."""
LARGER_HERE = 4 * 10**7
"""Numbers, more than what is measured."""
TINY_GROWTH = {
    "--layers": [5, 10], "--orbitals": [1, 2, 3], "--meshes": [4, 8], "--ranks": [2], "--map-mesh": [4],
    "--repeats": [1], "--turns": [1],
}  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    """load(name) imports benchmarks/name.py."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def one(name):
        return importlib.import_module(name)

    return one


def python(script, *arguments):
    """Run a script of benchmarks/ and return the CompletedProcess, output as text."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "benchmarks" / f"{script}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_rows_are_read_as_they_were_printed_and_other_lines_are_none(load, capsys):
    table = load("_table")
    table.row("transmission", "20 layers", 41.23456, "ns", "Kwant", 123456.7)
    table.row("memory", "64 x 64", 250.0, "MB")
    first, second = capsys.readouterr().out.splitlines()
    assert table.cells(first) == ["transmission", "20 layers", "41.23", "ns", "Kwant", "123457"]
    assert table.cells(second) == ["memory", "64 x 64", "250.0", "MB", "", ""]
    assert table.cells("some | words, and two | bars") is None
    with pytest.raises(ValueError, match="parts the cells"):
        table.row("a | b", "", 1.0, "")


@pytest.mark.parametrize(
    ("x", "text"),
    [(0, "0"), (-0.25, "-0.2500"), (0.0012345, "0.001234"), (12, "12.00"), (99999.9, "100000"), (3e-7, "3e-07"),
     (float("nan"), "nan")],
)  # fmt: skip
def test_numbers_have_four_digits(load, x, text):
    assert load("_table").number(x) == text


def test_columns_of_the_table_stand_below_each_other(load):
    title, line, *rows = load("_table").aligned(
        [["a", "b", "1.000", "s", "", ""], ["longer", "b", "12", "s", "c", "2"]]
    )
    assert title.split() == ["benchmark", "setting", "value", "unit", "against", "ratio"]
    assert set(line) == {"-"}
    assert title.index("unit") == rows[0].index("s") == rows[1].index("s")
    ends = [text.index(value) + len(value) for text, value in ((title, "value"), (rows[0], "1.000"), (rows[1], "12"))]
    assert len(set(ends)) == 1


def test_a_benchmark_that_fails_leaves_the_others_to_run_and_is_named(load, monkeypatch, capsys, tmp_path):
    every = load("all")
    row = "from _table import row; row('{0}', 'x', 1.0, 's')\n"
    (tmp_path / "first.py").write_text(row.format("before the failure") + "print('words')\nraise SystemExit('wrong')")
    (tmp_path / "second.py").write_text(row.format("second") + "import sys; print(sys.argv[1:])")
    monkeypatch.setattr(every, "FOLDER", tmp_path)
    monkeypatch.setattr(every, "NAMES", ["first", "second"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", ["all.py", "--", "--repeats", "2"])
    with pytest.raises(SystemExit, match=r"failed: first \(exit code 1\)"):
        every.main()
    output = capsys.readouterr()
    *_, first, second = output.out.splitlines()
    assert first.startswith("before the failure") and second.startswith("second")  # noqa: PT018
    assert "words" not in output.out
    for line in ("words", "benchmarks/first.py", "['--repeats', '2']"):
        assert line in output.err


def test_all_runs_every_benchmark_and_refuses_an_unknown_name(load):
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")}
    assert set(load("all").NAMES) == scripts - {"all"}
    run = python("all", "speed")
    assert run.returncode == 2
    assert "growth" in run.stderr


@pytest.mark.slow
def test_memory_is_measured_and_stands_in_the_table_of_all():
    run = python("all", "memory", "--", "--meshes", 64, "--resolved-meshes", 8)
    assert run.returncode == 0, run.stderr
    for kind in ("streamed", "k-resolved in memory", "k-resolved in a file"):
        assert run.stdout.count(f"peak memory, {kind}") == 1
    assert "ranks x threads 1 x 1" in run.stdout


@pytest.mark.parametrize(("bytes_of_finest", "fails"), [(1.19e8, False), (1.21e8, True)])
def test_memory_that_grows_with_the_mesh_is_a_failure(load, monkeypatch, capsys, bytes_of_finest, fails):
    memory = load("memory")
    used = {64: 1e8, 128: bytes_of_finest}
    monkeypatch.setattr(memory, "fresh", lambda function, mesh: (used[mesh], 0.25))
    monkeypatch.setattr(sys, "argv", ["memory.py", "--meshes", "64", "128", "--resolved-meshes", "64"])
    if fails:
        with pytest.raises(SystemExit, match=r"1\.21 times"):
            memory.main()
    else:
        memory.main()
    assert f"{bytes_of_finest / 1e8:.3f}" in capsys.readouterr().out


def test_a_wrong_conductance_is_no_measurement_of_memory(load, monkeypatch, capsys):
    memory = load("memory")
    monkeypatch.setattr(memory, "fresh", lambda function, mesh: (1e8, 0.3 if function is memory.streamed else 0.31))
    monkeypatch.setattr(sys, "argv", ["memory.py"])
    with pytest.raises(SystemExit, match="no memory without the right answer"):
        memory.main()
    assert capsys.readouterr().out == ""


def test_peak_memory_sees_what_was_used_and_freed_and_not_what_was_reserved(load):
    memory = load("memory")
    np.ones(LARGER_HERE).sum()  # what the process that starts others holds must not count for them
    small, large, unused = (memory.fresh(*case)[0] for case in ((hold, 1), (hold, 4096), (reserve, 4096)))
    assert large - small == pytest.approx(8 * 4096**2, rel=IMPORTS)
    assert abs(unused - small) < IMPORTS * large


def hold(side):
    """(bytes, 0) of a process that once held side^2 numbers."""
    import memory

    np.ones((side, side)).sum()
    return memory.peak(), 0.0


def reserve(side):
    """The same of one that never touched them."""
    import memory

    np.empty((side, side))
    return memory.peak(), 0.0


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.kwant
def test_growth_runs_at_a_small_size():
    run = python("growth", *itertools.chain.from_iterable((name, *values) for name, values in TINY_GROWTH.items()))
    assert run.returncode == 0, run.stderr
    rows = [line.split(" | ") for line in run.stdout.splitlines()]
    assert all(len(texts) == 6 for texts in rows)
    assert all(float(texts[2]) > 0 for texts in rows if texts[3] == "ns a momentum" and "further" not in texts[1])
    for kind in ("collinear", "noncollinear"):
        for part, number in (("layers", 8), ("orbitals", 4), ("momenta", 4)):
            found = [texts for texts in rows if texts[0].startswith(f"{part}, {kind}")]
            assert len(found) == number, part
    assert [texts[1].partition(",")[0] for texts in rows[-2:]] == ["1 rank", "2 ranks"]


@pytest.mark.kwant
@pytest.mark.parametrize("change", [1 + 1e-9, np.nan, 0.0])
def test_growth_gives_no_time_of_a_wrong_transmission(load, monkeypatch, change):
    growth = load("growth")
    right = growth.solved
    growth.checked(growth.single_band_valve(5), 1.0, "five layers")

    def wrong(*arguments):
        s, T = right(*arguments)
        return s, change * T

    monkeypatch.setattr(growth, "solved", wrong)
    with pytest.raises(SystemExit, match="five layers: transmissions differ"):
        growth.checked(growth.single_band_valve(5), 1.0, "five layers")


def test_growth_gives_no_time_of_a_scattering_matrix_that_is_not_unitary(load, monkeypatch):
    import qtorque as qt
    from qtorque.bloch import as_layered

    growth = load("growth")
    case = ("five layers", as_layered(growth.single_band_valve(5)), qt.kmesh(4), 1.0)
    assert growth.seconds_a_momentum([case], 1)[0] > 0
    monkeypatch.setattr(growth, "UNITARITY", 0.0)
    with pytest.raises(SystemExit, match="five layers: unitarity is missed"):
        growth.seconds_a_momentum([case], 1)


def test_growth_gives_no_time_of_maps_that_differ(load, monkeypatch, capsys):
    growth = load("growth")
    monkeypatch.setattr(growth, "map_on_ranks", lambda ranks, **size: (2.0 / ranks, f"digest {ranks}"))
    options = growth.argparse.Namespace(map_mesh=4, ranks=[2], turns=1)
    with pytest.raises(SystemExit, match=r"2 rank\(s\) is not that on one"):
        growth.ranks(options)
    monkeypatch.setattr(growth, "map_on_ranks", lambda ranks, **size: (2.0 / ranks, "digest"))
    growth.ranks(options)
    one, two = capsys.readouterr().out.splitlines()
    assert one.endswith("| 1.000")
    assert two.endswith("| 2.000")


def test_exponents_and_lines_are_those_of_power_laws_and_lines(load):
    growth = load("growth")
    sizes = [10, 40, 160]
    assert growth.exponent(sizes, [3e-6 * n**0.7 for n in sizes]) == pytest.approx(0.7, rel=FITTED)
    assert growth.line_through_ends(sizes, [2.0 + 0.5 * n for n in sizes]) == pytest.approx((0.5, 2.0), rel=FITTED)


def test_no_two_layers_of_the_graded_valve_are_equal(load):
    growth = load("growth")
    stack = growth.graded_valve(11)
    onsite = [layer.material.onsite.tobytes() for layer in stack.layers]
    assert len(set(onsite)) == len(onsite) == 11
    assert growth.single_band_valve(11).monolayers != stack.monolayers


def test_seconds_are_medians_without_the_first_round(load, monkeypatch):
    growth = load("growth")
    clock = itertools.count()
    lengths = iter([100, 1, 5, 3])

    def case():
        for _ in range(next(lengths)):
            next(clock)

    monkeypatch.setattr(growth.time, "perf_counter", lambda: next(clock))
    assert growth.seconds_of_each([case], 3) == [4]  # a reading of the clock moves it by one


TINY_MACROSPIN = ("--trajectories", 64, "--steps", 20, "--peer-steps", 200, "--repeats", 1)


def test_macrospin_runs_at_a_small_size_with_and_without_its_peer():
    run = python("macrospin", *TINY_MACROSPIN)
    assert run.returncode == 0, run.stderr
    rows = [line.split(" | ") for line in run.stdout.splitlines() if " | " in line]
    assert len(rows) == 4
    assert all(float(texts[2]) > 0 and texts[3] == "M trajectory-steps/s" for texts in rows)


def test_macrospin_gives_no_speed_of_a_wrong_torque(load, monkeypatch, capsys):
    macrospin = load("macrospin")
    right = macrospin.as_map()
    monkeypatch.setattr(macrospin, "as_map", lambda: dataclasses.replace(right, damping_like=-right.damping_like))
    monkeypatch.setattr(sys, "argv", ["macrospin.py", *map(str, TINY_MACROSPIN)])
    with pytest.raises(SystemExit, match="wrong answer: map"):
        macrospin.main()
    assert " | " not in capsys.readouterr().out


def test_superlattice_runs_at_a_small_size_and_gives_no_time_of_a_wrong_resistance(load, monkeypatch, capsys):
    superlattice = load("superlattice")
    monkeypatch.setattr(sys, "argv", ["superlattice.py", "--layers", "10", "1000", "--repeats", "1"])
    superlattice.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [texts[1] for texts in rows] == ["10 layers"] * 2 + ["1000 layers"] * 2
    assert all(float(texts[2]) > 0 for texts in rows)
    right = superlattice.superlattice
    monkeypatch.setattr(superlattice, "superlattice", lambda layers, *given: right(layers + 1, *given))
    with pytest.raises(SystemExit, match="wrong answer: 10 layers have"):
        superlattice.main()
    assert capsys.readouterr().out == ""
