"""What every driver shares: its options, the system it works on, and how it ends.

A driver parses, calls, saves:

    from qtorque import command_line

    def run(options, comm):
        stack = command_line.load_system(options.system, options.set)
        configuration = {...}
        force = command_line.may_replace(options, configuration)
        (output,) = command_line.output_files(options.output, ["_torque.nc"], force)
        if options.dry_run:
            return
        with command_line.resumable(options, configuration, comm) as checkpoint:
            torque = qt.spin_torque(stack, angle=options.angle, ..., comm=comm, checkpoint=checkpoint.part("torque"))
            if comm is None or comm.rank == 0:
                store.save_dataset(torque, output, force=force, provenance=...)

    if __name__ == "__main__":
        parser = command_line.parser(__doc__, system="systems/mtj.py", output="mtj")
        parser.add_argument("--angle", type=command_line.grid, default="0:pi:9", help="rad, start:stop:count or a,b,c")
        command_line.main(run, parser)

Exit codes:

     0  done
     1  an error that is no bad input, on any rank, with its traceback
     2  bad input: one line on stderr, nothing written; the same for an output that another run is writing, and for a
        disk that is full or forbidden, where finished chunks are kept
     3  done and written, but too many momenta sit on a band edge and were solved beside it (transmission, interface)
    75  ended before its end by SIGTERM, SIGUSR1, --max-seconds or a file named STOP: the same command goes on

75 is EX_TEMPFAIL of sysexits.h. Importing this module loads the standard library alone, so that `--help` answers at
once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import inspect
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from qtorque import parallel
from qtorque.errors import InputError

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

    from qtorque.checkpoint import FolderCheckpoint, StopRequest

EXIT_INTERRUPTED = 75
STOP_FILE = "STOP"
RUN_OPTIONS = ("output", "force", "dry_run", "quiet", "max_seconds")
"""Options that say how a run goes and where its files are, and change no result."""
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MULTIPLE_OF_PI = re.compile(r"(?P<sign>[+-]?)(?:(?P<factor>[\d.]+)\*?)?pi(?:/(?P<divisor>[\d.]*[1-9][\d.]*))?")
NEGATIVE_VALUE = re.compile(r"-(\d|\.\d|pi)")


class _Parser(argparse.ArgumentParser):
    """Reports errors like any other bad input, and takes a negative grid such as -0.5:0.5:11 for the value it is."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the options")

    def parse_known_args(self, args=None, namespace=None):
        joined: list[str] = []
        for argument in sys.argv[1:] if args is None else args:
            # argparse takes "-0.5:0.5:11" for an unknown option, but not in "--voltage=-0.5:0.5:11".
            if NEGATIVE_VALUE.match(argument) and joined and re.fullmatch(r"--[\w-]+", joined[-1]):
                joined[-1] += f"={argument}"
            else:
                joined.append(argument)
        return super().parse_known_args(joined, namespace)


def parser(description: str, *, system: str | None = None, output: str) -> argparse.ArgumentParser:
    """The options that all drivers share; a driver adds its own.

    Parameters
    ----------
    description
        The driver's docstring.
    system
        The default of the positional argument `system`; without one there is neither this argument nor --set.
    output
        The default of --output.
    """
    result = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if system is not None:
        result.add_argument("system", nargs="?", default=system, help=f"file with a function build(); default {system}")
        result.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="parameter of build(); may be repeated"
        )
    result.add_argument("-o", "--output", default=output, help=f"beginning of the names of all files; default {output}")
    result.add_argument("--force", action="store_true", help="replace existing output")
    result.add_argument("--dry-run", action="store_true", help="check the input, report the work and stop")
    result.add_argument("--quiet", action="store_true", help="no header and no progress")
    result.add_argument(
        "--max-seconds", type=number, metavar="S",
        help="end after about this time, to be continued by the same command (exit code 75); as SIGTERM, SIGUSR1 and a "
        "file named STOP here or beside the output do",
    )  # fmt: skip
    return result


def main(
    run: Callable[[argparse.Namespace, Intracomm | None], None],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse, set the threads, print the header, call run(options, comm); errors end all ranks.

    Parameters
    ----------
    run
        Called on every rank; `comm` is None in a serial run.
    arguments
        In place of the command line.
    """
    # Kwant says so on import. It matters to its sparse solver alone, which is not what drivers use.
    warnings.filterwarnings("ignore", message="MUMPS is not available")
    with parallel.abort_on_error():
        comm = parallel.world()
    with parallel.abort_on_error(comm):
        options = parser.parse_args(arguments)
        parallel.limit_threads(comm)
        header = parallel.header(comm)
        if not options.quiet and (comm is None or comm.rank == 0):
            print(header, flush=True)
        try:
            run(options, comm)
        except parallel.Interrupted as end:
            if comm is None or comm.rank == 0:
                print(f"qtorque: {end}", file=sys.stderr, flush=True)
            parallel.leave(EXIT_INTERRUPTED, comm)


def checkpoint_folder(prefix: str) -> Path:
    """Where this program keeps what it has finished of a run with this --output: PREFIX.PROGRAM.checkpoint."""
    return Path(f"{prefix}.{Path(sys.argv[0]).stem}.checkpoint")


def stop_request(options: argparse.Namespace) -> StopRequest:
    """What ends a run with these options before its work is done; InputError if it is there from the beginning."""
    from qtorque import checkpoint

    files = [Path(STOP_FILE), checkpoint_folder(options.output).with_name(STOP_FILE)]
    return checkpoint.StopRequest(options.max_seconds, files)


def may_replace(options: argparse.Namespace, configuration: Mapping[str, Any]) -> bool:
    """Whether existing output may be replaced: by --force, or where an unfinished run of this configuration made it.

    Raises
    ------
    InputError
        For what `resumable` would refuse, so that a dry run says so: a time limit or a STOP file that leaves no time,
        an unfinished run of another configuration without --force.
    """
    from qtorque import checkpoint

    folder = checkpoint_folder(options.output)
    stop_request(options)
    if options.force:
        return True
    checkpoint.refuse_another(folder, configuration)
    return checkpoint.is_unfinished(folder, configuration)


@contextlib.contextmanager
def resumable(
    options: argparse.Namespace, configuration: Mapping[str, Any], comm: Intracomm | None
) -> Iterator[FolderCheckpoint]:
    """The checkpoint of a run, for the body of a `with` that computes and writes. Collective.

    It goes on with an unfinished run of the same --output and configuration, hears signals, and is removed at the end
    of the body. A signal, --max-seconds or a file named STOP ends the sweep that is going on: see `main`.

    Parameters
    ----------
    configuration
        All that the results depend on.

    Raises
    ------
    InputError
        If a run of another configuration is unfinished there, without --force; if another run is writing there; if the
        file STOP exists.
    """
    from qtorque import checkpoint

    folder = checkpoint_folder(options.output)
    stop = stop_request(options)
    kept = checkpoint.FolderCheckpoint.open(folder, configuration, comm=comm, stop_reason=stop, force=options.force)
    stop.progress = kept.has_computed
    try:
        with stop.listening():
            yield kept
    except (InputError, SystemExit):
        # Refused before any work; a sweep on several ranks ends the program itself. What has been computed stays: a
        # late refusal may be no more than a full disk.
        if kept.is_empty:
            kept.discard()
        raise
    except parallel.Interrupted as end:
        raise parallel.Interrupted(f"{end}, kept in {folder}; rerun the same command to continue") from None
    else:
        kept.remove(comm)
    finally:
        kept.close()


def output_files(prefix: str, endings: Sequence[str], force: bool = False) -> list[str]:
    """The names prefix + ending, refused unless each can be written: to be called before a long calculation.

    The folder may be missing and is not made yet, so that a run which is refused later leaves nothing behind; see
    `make_folder`.
    """
    from qtorque import store

    if not os.path.basename(prefix):
        raise InputError(f"--output {prefix!r} is a folder; add how the names of files begin, such as {prefix}mtj")
    paths = [prefix + ending for ending in endings]
    folder = Path(prefix).parent
    missing = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    # Where folders are to be made, the first of them is what has to be writable.
    for path in missing[-1:] or paths:
        store.refuse_existing(path, force)
    return paths


def make_folder(prefix: str) -> None:
    """Make the folder that files whose names begin with `prefix` go to."""
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)


def load_system(path: str | os.PathLike, settings: Sequence[str] = ()) -> Any:
    """What the function build() of the Python file `path` returns for settings such as "exchange=2.1"."""
    return _build_function(os.fspath(path))(**system_settings(path, settings))


def system_settings(path: str | os.PathLike, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Every parameter of build() with its value, given or default: what a file's provenance should hold.

    A value is read as the type of the parameter's default: a number (of any kind in a tuple, whose elements are
    separated by commas), true or false, or text. Without a default, or with None, a number if it looks like one.
    """
    path = os.fspath(path)
    signature = inspect.signature(_build_function(path))
    parameters = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    values = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting!r} has no value; give name=value")
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise InputError(f"--set {setting!r}: build() in {path} has no parameter {name!r}; it has: {known}")
        values[name] = _value(setting, text, parameters[name].default)
    missing = [name for name in parameters if name not in values]
    if missing:
        raise InputError(f"build() in {path} needs {', '.join(missing)}; give --set {missing[0]}=VALUE")
    return values


@functools.cache
def _build_function(path: str) -> Callable[..., Any]:
    if not os.path.isfile(path):
        raise InputError(f"system={path!r} is no file; give a Python file such as systems/mtj.py")
    # Under a name of its own: a system called numpy.py must not stand for numpy.
    name = "qtorque_system_" + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"system={path!r} is no Python file; give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    build = getattr(module, "build", None)
    if not callable(build):
        raise InputError(f"system={path!r} defines no function build(); add one that returns the system")
    return build


def _value(setting: str, text: str, default: Any) -> Any:
    try:
        match default:
            case bool():
                expected = "true or false"
                return BOOLEANS[text.lower()]
            case int():
                expected = "an integer"
                return int(text)
            case float():
                expected = "a number"
                return number(text)
            case tuple():
                expected = "numbers separated by commas"
                texts = [part.strip() for part in text.strip("() ,").split(",")]
                return (
                    tuple(texts) if any(isinstance(x, str) for x in default) else tuple(map(_integer_or_float, texts))
                )
            case str():
                return text
    except (KeyError, ValueError):
        raise InputError(f"--set {setting!r}: give {expected} (the default is {default!r})") from None
    try:
        return _integer_or_float(text)
    except ValueError:
        return text


def _integer_or_float(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else number(text)


def number(text: str) -> float:
    """A finite number, or a multiple of pi such as pi, -pi/2, 0.25pi or 3*pi/4; ValueError for anything else."""
    text = text.strip()
    multiple = MULTIPLE_OF_PI.fullmatch(text)
    if multiple:
        sign = -1 if multiple["sign"] == "-" else 1
        value = sign * float(multiple["factor"] or 1) * math.pi / float(multiple["divisor"] or 1)
    else:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def grid(text: str) -> list[float]:
    """Values of an option such as --angle: "start:stop:count" with both ends, "a,b,c", or one number."""
    try:
        if ":" not in text:
            return [number(part) for part in text.split(",")]
        first, last, points = text.split(":")
        start, stop, count = number(first), number(last), int(points)
        if count < 2:
            raise ValueError
    except ValueError:
        # argparse shows the text of this type of error alone.
        raise argparse.ArgumentTypeError(
            f"{text!r} is no grid; give start:stop:count with two points or more (0:pi:9) or a list (0,pi/2)"
        ) from None
    step = (stop - start) / (count - 1)
    return [start + step * i for i in range(count - 1)] + [stop]
