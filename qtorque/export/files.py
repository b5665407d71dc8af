"""What the file formats share: files written whole or not at all, and words of a Tcl list."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qtorque import store
from qtorque.errors import InputError

TCL_WORD = re.compile(r'\{([^{}]*)\}|"([^"]*)"|(\S+)')
"""A word of a Tcl list: in braces, in quotes, or plain."""


def save_script(text: str, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write a script such as that of `mumax3_snippet`; an existing file is replaced only with `force`."""
    store.save_bytes(text.encode(), path, force)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; InputError if there is none."""
    if not Path(path).is_file():
        raise InputError(f"input={str(path)!r} is no file; check the name")
    return Path(path).read_bytes()


def tcl_words(text: str) -> list[str]:
    """The words of a Tcl list without nesting, such as `{Total Energy} "J/m^3" Mx {}`."""
    return [next((part for part in match.groups() if part is not None), "") for match in TCL_WORD.finditer(text)]
