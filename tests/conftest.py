"""Fixtures that several test modules share."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
"""The one that belongs to the MPI library mpi4py finds; another one on PATH may not."""
BACKSTOP = 10
"""Seconds after which mpiexec itself is killed if it has not ended a run that is over its time."""


@pytest.fixture
def mpirun(tmp_path):
    """mpirun(n, script_or_args, timeout=60) runs Python on n ranks and returns the CompletedProcess, output as text.

    `script_or_args` is source code, or a list: the path of a script and its arguments.
    """
    if not MPIEXEC.exists():
        pytest.skip(f"no mpiexec beside {sys.executable}")

    def run(n, script_or_args, timeout=60):
        if isinstance(script_or_args, str):
            script = tmp_path / "script.py"
            script.write_text(script_or_args)
            script_or_args = [script]
        command = [MPIEXEC, "-n", str(n), sys.executable, "-m", "mpi4py", *map(str, script_or_args)]
        # MPICH's own limit ends the ranks too; a killed mpiexec would leave them behind.
        environment = os.environ | {"MPIEXEC_TIMEOUT": str(timeout)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout + BACKSTOP)

    return run


@pytest.fixture
def within(monkeypatch, capsys):
    """within(driver, *arguments) runs a driver in this process, which has imported all it needs."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "drivers")

    def run(name, *arguments):
        script = str(ROOT / "drivers" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code
        output = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, output.out, output.err)

    return run
