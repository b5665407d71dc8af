"""Run the benchmarks one after the other and print one table of their results.

    python benchmarks/all.py
    python benchmarks/all.py growth several_orbitals -- --repeats 3

Names choose some of them; what stands behind -- is handed to each. What the benchmarks print goes to
stderr as it comes, the table to stdout at the end. A benchmark that fails leaves the others to run; the exit code is 1
then, and the table holds what was measured.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from _table import aligned, cells

FOLDER = Path(__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != Path(__file__).stem and not p.stem.startswith("_"))


def results_of(script, options):
    """Run a script, showing what it prints: its exit code, and the cells of its results."""
    command = [sys.executable, "-u", script, *options]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            if (texts := cells(line)) is not None:
                found.append(texts)
    return process.returncode, found


def load():
    """How busy the machine is: timings of a busy one mean little."""
    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all of them without one", metavar="NAME")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:end])
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    # The speeds are those of one core; ranks are what uses more of them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from qtorque import parallel

    before = load()
    rows, failed = [], []
    for name in options.names or NAMES:
        print(f"benchmarks/{name}.py", file=sys.stderr, flush=True)
        code, found = results_of(FOLDER / f"{name}.py", sys.argv[end + 1 :])
        rows += found
        if code != 0:
            failed.append(f"{name} (exit code {code})")
    print(parallel.header(), f"Cores busy before the run: {before}, after it: {load()}", "", *aligned(rows), sep="\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
