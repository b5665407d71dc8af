"""python -m qtorque materials: the metals of the library with their trust, or one of them with all its sources."""

import argparse
import sys

from qtorque.errors import InputError
from qtorque.materials.listing import description, listing


def main(arguments: list[str] | None = None) -> int:
    """Parse, print; bad input is one line on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m qtorque", description="What the library of qtorque holds.")
    commands = parser.add_subparsers(dest="command", required=True)
    materials = commands.add_parser("materials", help="list the metals, or the sources of one")
    materials.add_argument("name", nargs="?", help="one metal, with its source and what it was checked against")
    materials.add_argument("--file", help="a TOML file of your own, listed before those of the package")
    options = parser.parse_args(arguments)
    try:
        print(description(options.name, options.file) if options.name else listing(options.file))
    except InputError as error:
        print(f"qtorque: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
