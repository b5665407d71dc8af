"""Vector fields of OOMMF: OVF 2.0 on a rectangular mesh, which mumax3 and OOMMF read and write.

Specification: OOMMF User's Guide, "The OVF 2.0 format". Nodes follow one another with x fastest, z slowest. Binary data
are little-endian IEEE numbers behind a check value, 1234567.0 in 4 bytes or 123456789012345.0 in 8.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re

import numpy as np

from qtorque import store
from qtorque.errors import InputError
from qtorque.export.files import read_bytes, tcl_words
from qtorque.llg.macrospin import require_positive

HEAD = "# OOMMF OVF 2.0"
CHECKED = {"Binary 4": ("<f4", 1234567.0), "Binary 8": ("<f8", 123456789012345.0)}
"""Type of a number and the check value before the data."""
DATA = re.compile(rb"^#\s*Begin:\s*Data\s+(Text|Binary\s+4|Binary\s+8)[^\S\n]*\r?\n", re.MULTILINE | re.IGNORECASE)
AXES = "xyz"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class VectorField:
    """A field on a rectangular mesh.

    values : (nx, ny, nz, components), finite
    cell : three edges of a cell, m
    corner : lowest corner of the mesh, m
    labels : one for each component
    units : one for all components
    title : one line
    """

    values: np.ndarray
    cell: tuple[float, float, float]
    corner: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: tuple[str, ...] = ("m_x", "m_y", "m_z")
    units: str = "1"
    title: str = "m"

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=float)
        if values.ndim != 4 or values.size == 0:
            raise InputError(f"values has shape {values.shape}; give (nx, ny, nz, components)")
        if not np.all(np.isfinite(values)):
            raise InputError(f"values holds {values[~np.isfinite(values)][0]}; give finite numbers")
        if values.shape[3] != len(self.labels):
            raise InputError(f"labels={self.labels!r} do not fit {values.shape[3]} components; give one for each")
        for name in ("cell", "corner"):
            if len(getattr(self, name)) != 3 or not np.all(np.isfinite(getattr(self, name))):
                raise InputError(f"{name}={getattr(self, name)!r} is no vector; give three numbers in m")
        for edge in self.cell:
            require_positive("cell", edge)
        for text in (*self.labels, self.units, self.title):
            if re.search(r"[{}\n\r]|##", text) or not text.strip():
                raise InputError(f"{text!r} is empty or holds a brace, line end or comment sign; OVF cannot hold it")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)


def save_ovf(
    field: VectorField, path: str | os.PathLike[str], *, representation: str = "Binary 8", force: bool = False
) -> None:
    """Write a field as OVF 2.0; an existing file is replaced only with `force`.

    Parameters
    ----------
    representation : "Text", "Binary 4" or "Binary 8"
        Of the numbers. Text and 8 bytes keep every bit, 4 bytes seven digits.

    Raises
    ------
    InputError
        For another representation, or an existing file.
    """
    if representation != "Text" and representation not in CHECKED:
        raise InputError(f"representation={representation!r} is unknown; give 'Text', 'Binary 4' or 'Binary 8'")
    nodes = field.values.shape[:3]
    header = {"Title": field.title, "meshtype": "rectangular", "meshunit": "m"}
    for axis, step, corner, count in zip(AXES, field.cell, field.corner, nodes, strict=True):
        header |= {
            f"{axis}min": repr(float(corner)),
            f"{axis}max": repr(float(corner + count * step)),
            f"{axis}base": repr(float(corner + step / 2)),
            f"{axis}stepsize": repr(float(step)),
            f"{axis}nodes": str(count),
        }
    header["valuedim"] = str(len(field.labels))
    header["valuelabels"] = " ".join(f"{{{label}}}" if " " in label else label for label in field.labels)
    header["valueunits"] = " ".join([f"{{{field.units}}}" if " " in field.units else field.units] * len(field.labels))
    lines = [HEAD, "# Segment count: 1", "# Begin: Segment", "# Begin: Header"]
    lines += [f"# {name}: {value}" for name, value in header.items()]
    lines += ["# End: Header", f"# Begin: Data {representation}", ""]
    rows = field.values.transpose(2, 1, 0, 3).reshape(-1, len(field.labels))
    if representation == "Text":
        data = "\n".join(" ".join(repr(float(x)) for x in row) for row in rows).encode()
    else:
        kind, check = CHECKED[representation]
        data = np.concatenate([[check], rows.ravel()]).astype(kind).tobytes()
    tail = f"\n# End: Data {representation}\n# End: Segment\n"
    store.save_bytes("\n".join(lines).encode() + data + tail.encode(), path, force)


def read_ovf(path: str | os.PathLike[str]) -> VectorField:
    """The first segment of an OVF 2.0 file on a rectangular mesh, in any of the three representations.

    Empty units ({}, or none at all) are read as 1.

    Raises
    ------
    InputError
        For a missing file, another format or mesh, a mesh in another unit than m, components of unlike units, a wrong
        check value, too few data, data that are no finite numbers.
    """
    content = read_bytes(path)
    where = f"input={os.fspath(path)!r}"
    if not content.startswith(HEAD.encode()):
        raise InputError(f"{where} is no OVF 2.0 file; its first line has to be {HEAD!r}")
    begin = DATA.search(content)
    if begin is None:
        raise InputError(f"{where} has no data block; it may have been cut off")
    header = {}
    for line in content[: begin.start()].decode(errors="replace").splitlines()[1:]:
        name, colon, value = line.split("##")[0].lstrip("# ").partition(":")
        if colon:
            header[name.strip().lower()] = value.strip()
    try:
        if header["meshtype"].lower() != "rectangular":
            raise InputError(f"{where} has an {header['meshtype']} mesh; only rectangular ones are read")
        if header["meshunit"] != "m":
            raise InputError(f"{where} has meshunit {header['meshunit']!r}; write the file with a mesh in m")
        nodes = [int(header[f"{axis}nodes"]) for axis in AXES]
        dx, dy, dz = (float(header[f"{axis}stepsize"]) for axis in AXES)
        x, y, z = (float(header[f"{axis}min"]) for axis in AXES)
        components = int(header["valuedim"])
        labels, units = tcl_words(header["valuelabels"]), set(tcl_words(header["valueunits"]) or [""])
    except (KeyError, ValueError) as missing:
        if isinstance(missing, InputError):
            raise
        raise InputError(f"{where}: the header lacks or garbles {missing}; mend the file") from None
    if min(*nodes, components) < 1:
        raise InputError(f"{where} has {nodes} nodes of {components} components; all have to be 1 or more")
    if len(units) != 1:
        raise InputError(f"{where} has components in {', '.join(sorted(units))}; only fields of one unit are read")
    count = components * math.prod(nodes)
    representation = " ".join(begin[1].decode().split()).capitalize()
    data = content[begin.end() :]
    if representation == "Text":
        words = data.split(b"#", 1)[0].split()
        if len(words) < count:
            raise InputError(f"{where} holds {len(words)} of {count} numbers; it may have been cut off")
        try:
            flat = np.array(words[:count], dtype=float)
        except ValueError as wrong:
            raise InputError(f"{where}: {wrong}; mend the data") from None
    else:
        kind, check = CHECKED[representation]
        size = np.dtype(kind).itemsize
        if len(data) < (count + 1) * size:
            raise InputError(f"{where} holds {len(data) // size} of {count + 1} numbers; it may have been cut off")
        flat = np.frombuffer(data, kind, count + 1)
        if flat[0] != check:
            raise InputError(f"{where} begins its data with {flat[0]!r} in place of {check}; the bytes are damaged")
        flat = flat[1:]
    try:
        return VectorField(
            values=flat.reshape(*nodes[::-1], components).transpose(2, 1, 0, 3),
            cell=(dx, dy, dz),
            corner=(x, y, z),
            labels=tuple(labels),
            units=units.pop() or "1",
            title=header.get("title") or "m",
        )
    except InputError as wrong:
        raise InputError(f"{where}: {wrong}") from None
