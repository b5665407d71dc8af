"""Materials from Wannier90: `_hr.dat` (plus `.win` and `_centres.xyz`), read by the optional package sisl.

Wannier90 writes H_mn(R) = <m 0|H|n R>, which is the convention of `Material`: <r|H|r + R>. What is left to do is to
choose which lattice vectors span a layer, to turn the crystal so that they lie in the plane, and to see whether the
spins fit the form of a `Material`: hoppings that do not depend on spin, an exchange splitting within the cell.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError, finite_number
from qtorque.materials import Material

ANGSTROM = 0.1
"""nm"""
FILE_ROUNDING = 1e-5
"""eV; `_hr.dat` has six decimals, and degeneracies divide them."""
BOHR = 0.0529177210903
"""nm, CODATA 2018; Wannier90 has 0.529177 Angstrom to as many digits as lattices are given with."""
SAME_AREA = 1e-9
"""Of the product of the lengths of three vectors: less volume is none."""
HOME_CELL = 1 / 16
"""Share of a lattice vector: home cells begin that far below the lattice point, half way to 7/8. Atoms and bonds sit at
multiples of 1/8 and 1/6 as a rule, and noise of a centre must not decide which cell it is in."""
TRUE_VALUES = {"t", "true", ".true.", ".t."}
"""How a `.win` file may say so, in lower case."""

Vector = tuple[int, int, int]
Blocks = Mapping[Vector, np.ndarray]
"""R in primitive vectors -> H_mn(R), eV, shape (n, n); both R and -R."""


def read_wannier90(
    hr_file: str | Path,
    *,
    fermi_energy: float,
    down: str | Path | None = None,
    win: str | Path | None = None,
    lattice: ArrayLike | None = None,
    centres: str | Path | None = None,
    layers: ArrayLike = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    cutoff: float = 0.0,
    reach: int | None = None,
    splitting_cutoff: float = FILE_ROUNDING,
    electrons: float | None = None,
    name: str = "",
) -> Material:
    """A material from the Hamiltonian in maximally localised Wannier functions that Wannier90 wrote.

    Parameters
    ----------
    hr_file
        `seed_hr.dat` of a calculation without spin, or of the majority spin where `down` is given.
    fermi_energy
        eV, on the scale of the file; it becomes E = 0.
    down
        `_hr.dat` of the minority spin, in Wannier functions that correspond one to one.
    win
        `seed.win` with the lattice vectors; unless given (or `lattice` is) the one beside `hr_file`.
    lattice
        Primitive vectors as rows, nm, in place of those of `win`. shape (3, 3)
    centres
        `seed_centres.xyz`. Positions enter the velocities of `qt.spin_hall_conductivity`, and orbitals that Wannier90
        left in another cell are brought back, which keeps hoppings short. Without it, said by a warning, all orbitals
        are taken to sit at the lattice point: right for one atom a cell, with functions centred on it. Written with
        `translate_home_cell = .false.` (the default of Wannier90), as H is for those centres; else refused.
    layers
        Integer combinations of the file's lattice vectors, as rows: two that span a layer and one that leads to the
        next; determinant +1 or -1.
    cutoff
        eV; smaller matrix elements are dropped.
    reach
        Hoppings over more layers than this are dropped. Every layer more makes the principal layers that much thicker.
    splitting_cutoff
        eV; hoppings that differ by no more than twice this between the spins are averaged.
    electrons
        Valence electrons per cell, both spins.
    name
        For messages; that of the file unless given.

    Returns
    -------
    Material
        The lab frame has a1 along x and z along a1 x a2. Orbitals stay what Wannier90 made them.

    Raises
    ------
    InputError
        Without sisl, for a file that cannot be read or is cut short, spinor Wannier functions, a Hamiltonian that is
        not Hermitian, hoppings that depend on spin, a minority in `hr_file`, vectors that span no cell.

    Warns
    -----
    UserWarning
        If `cutoff`, `reach` or `splitting_cutoff` changed the Hamiltonian: by how much the bands can move. Without
        centres.

    Notes
    -----
    Spinor Hamiltonians are refused: their exchange and spin-orbit coupling spread over hoppings and have no parts
    that belong to a direction of m. Use the two collinear files and `dataclasses.replace(material, spin_orbit=...)`,
    or `qt.layered` with builders of your own at a fixed magnetization. A splitting below the rounding of the file
    counts as none. The format is that of the Wannier90 user guide (from memory): number of functions, number of
    vectors R, their degeneracies, then R1 R2 R3 m n Re Im; H(R) is divided by the degeneracy.
    """
    paths = {"hr_file": hr_file, "down": down, "win": win, "centres": centres}
    files = {key: _existing(key, path) for key, path in paths.items() if path is not None}
    beside = Path(str(hr_file).removesuffix("_hr.dat") + ".win")
    if "win" not in files and beside.is_file():
        files["win"] = beside
    if "win" in files:
        _refuse_spinors(files["win"])
        if centres is not None and _says_true(files["win"], "translate_home_cell"):
            raise InputError(
                f"read_wannier90: {str(files['win'])!r} says translate_home_cell = true, so {str(centres)!r} holds "
                "other centres than those of the Hamiltonian; write it without"
            )
    if lattice is None and "win" not in files:
        raise InputError(
            f"read_wannier90: no lattice vectors; give win= or lattice= (no {beside.name} beside the file)"
        )
    for argument in ("hr_file", "down") if down is not None else ("hr_file",):
        _require_whole(argument, files[argument])
    vectors = _lattice(lattice if lattice is not None else _unit_cell(files["win"]))
    sisl = _sisl()
    cell = sisl.Lattice(vectors / ANGSTROM)

    def blocks(path: Path) -> Blocks:
        # sisl reads the real parts alone unless complex numbers are asked for.
        file = sisl.io.wannier90.hrSileWannier90(path)
        H = file.read_hamiltonian(lattice=cell, dtype=np.complex128, cutoff=0.0)
        whole = H.tocsr().toarray().reshape(H.no, -1, H.no)
        offsets = H.geometry.lattice.sc_off.tolist()
        return {(i, j, k): np.array(whole[:, index]) for index, (i, j, k) in enumerate(offsets)}

    def positions(path: Path) -> np.ndarray:
        return ANGSTROM * np.array(sisl.io.wannier90.centresSileWannier90(path).read_geometry(lattice=cell).xyz)

    return _material(
        _read("hr_file", files["hr_file"], blocks),
        lattice=vectors,
        fermi_energy=fermi_energy,
        down=_read("down", files["down"], blocks) if down is not None else None,
        centres=_read("centres", files["centres"], positions) if centres is not None else None,
        layers=layers,
        cutoff=cutoff,
        reach=reach,
        splitting_cutoff=splitting_cutoff,
        electrons=electrons,
        name=name or Path(hr_file).name.removesuffix("_hr.dat"),
    )


def wannier_material(
    blocks: Blocks,
    *,
    lattice: ArrayLike,
    fermi_energy: float,
    down: Blocks | None = None,
    centres: ArrayLike | None = None,
    layers: ArrayLike = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    cutoff: float = 0.0,
    reach: int | None = None,
    splitting_cutoff: float = FILE_ROUNDING,
    electrons: float | None = None,
    name: str = "Wannier",
) -> Material:
    """A material from H(R) in any orthonormal orbitals: what `read_wannier90` does with what it has read.

    `blocks` and `down` are R -> H(R) (eV, complete: R and -R), `centres` positions in nm, shape (n, 3); the rest as
    there.
    """
    return _material(
        blocks,
        lattice=lattice,
        fermi_energy=fermi_energy,
        down=down,
        centres=centres,
        layers=layers,
        cutoff=cutoff,
        reach=reach,
        splitting_cutoff=splitting_cutoff,
        electrons=electrons,
        name=name,
    )


def _material(
    blocks: Blocks,
    *,
    lattice: ArrayLike,
    fermi_energy: float,
    down: Blocks | None,
    centres: ArrayLike | None,
    layers: ArrayLike,
    cutoff: float,
    reach: int | None,
    splitting_cutoff: float,
    electrons: float | None,
    name: str,
) -> Material:
    """Two callers, equally far from the line of the user that warnings point to."""
    energy = finite_number("fermi_energy", fermi_energy, "eV")
    if finite_number("cutoff", cutoff, "eV") < 0 or finite_number("splitting_cutoff", splitting_cutoff, "eV") < 0:
        raise InputError(f"cutoff={cutoff!r}, splitting_cutoff={splitting_cutoff!r}: give numbers in eV, not negative")
    if reach is not None and (isinstance(reach, bool) or not isinstance(reach, (int, np.integer)) or reach < 1):
        raise InputError(f"reach={reach!r} is no number of layers; give a positive integer or None")
    if electrons is not None and finite_number("electrons", electrons, "electrons per cell") < 0:
        raise InputError(f"electrons={electrons!r} must not be negative; give the valence electrons of a cell or None")
    if not isinstance(name, str):
        raise InputError(f"name={name!r} is no text; give a string")
    turn = _layers(layers)
    rows = turn @ _lattice(lattice)
    if np.linalg.det(rows) <= 0:
        raise InputError(
            f"layers={turn.tolist()}: a1 x a2 points away from a3; change the sign of the third row, or exchange the "
            "first two"
        )
    up = _hermitian(blocks, "hr_file")
    size = len(next(iter(up.values())))
    exchange, mean = np.zeros((size, size), dtype=complex), up
    if down is not None:
        exchange, mean = _spin_parts(up, _hermitian(down, "down"), splitting_cutoff)
    moves = np.zeros((size, 3), dtype=int)
    if centres is None:
        places = None
        warnings.warn(
            f"{name}: no centres, all Wannier functions are taken to sit at the lattice point; with several atoms a "
            "cell velocities (qt.spin_hall_conductivity) are wrong, give centres=",
            stacklevel=3,
        )
    else:
        places = _array("centres", centres, (size, 3), "positions of all Wannier functions in nm")
        moves = np.floor(places @ np.linalg.inv(rows) + HOME_CELL).astype(int)
        places = places - moves @ rows
    moved = _in_new_cell(mean, turn, moves)
    if np.ptp(moves, axis=0).any() and np.any(exchange):
        exchange = _same_cell(exchange, moves)
    kept = _truncated(moved, cutoff, reach, name)
    axes = _lab_axes(rows)
    home = (0, 0, 0)
    onsite = kept.get(home, np.zeros((size, size), dtype=complex)) - energy * np.eye(size)
    return Material(
        name=name,
        lattice=rows @ axes.T,
        onsite=onsite,
        exchange=exchange,
        hoppings=tuple((R, kept[R]) for R in sorted(kept) if home < R),
        electrons=None if electrons is None else float(electrons),
        positions=None if places is None else places @ axes.T,
    )


def _existing(argument: str, path: str | Path) -> Path:
    if not Path(path).is_file():
        raise InputError(f"read_wannier90: {argument}={str(path)!r} is no file; give the path of one")
    return Path(path)


def _sisl():
    try:
        import sisl
        import sisl.io.wannier90
    except ImportError:
        raise InputError("read_wannier90 needs sisl; install qtorque[wannier90] (pip install 'sisl>=0.15')") from None
    return sisl


def _read(argument: str, path: Path, reader):
    """What sisl reads from a file; its many kinds of failure as one."""
    try:
        return reader(path)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"read_wannier90: {argument}={str(path)!r} cannot be read by sisl: {reason}") from None


def _win_words(win: Path) -> list[list[str]]:
    """The words of every line of a `.win` file, in lower case, without comments."""
    text = win.read_text(encoding="utf-8", errors="replace")
    lines = (re.split("[!#]", line)[0] for line in text.lower().splitlines())
    return [words for line in lines if (words := re.split(r"[\s=:,]+", line.strip(" \t=:,"))) != [""]]


def _says_true(win: Path, keyword: str) -> bool:
    return any(words[0] == keyword and words[1:2] and words[1] in TRUE_VALUES for words in _win_words(win))


def _refuse_spinors(win: Path) -> None:
    if _says_true(win, "spinors"):
        raise InputError(
            f"read_wannier90: {str(win)!r} says spinors = true; exchange and spin-orbit coupling in hoppings fit "
            "no Material; give collinear files as hr_file and down=, or build it in Kwant with qt.layered"
        )


def _unit_cell(win: Path) -> np.ndarray:
    """The rows of the block unit_cell_cart, nm. sisl reads it too, and never returns from END in capitals."""
    lines = _win_words(win)
    fences = [["begin", "unit_cell_cart"], ["end", "unit_cell_cart"]]
    if any(fence not in lines for fence in fences):
        raise InputError(f"read_wannier90: win={str(win)!r} has no block unit_cell_cart from begin to end; mend it")
    first, last = (lines.index(fence) for fence in fences)
    rows = lines[first + 1 : last]
    unit = ANGSTROM
    if rows and rows[0][0] in ("ang", "angstrom", "bohr"):
        unit = BOHR if rows[0][0] == "bohr" else ANGSTROM
        rows = rows[1:]
    try:
        # Fortran writes 1.0d0 too.
        cell = np.array([[float(word.replace("d", "e")) for word in row] for row in rows])
    except ValueError:
        cell = np.empty(0)
    if cell.shape != (3, 3):
        raise InputError(
            f"read_wannier90: win={str(win)!r}: unit_cell_cart is no unit (ang, bohr) and three rows of three numbers; "
            "mend it"
        )
    return unit * cell


def _require_whole(argument: str, path: Path) -> None:
    """Refuse a `_hr.dat` that is cut short, before sisl waits for the rest."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        functions, vectors = int(lines[1]), int(lines[2])
        weights, here = 0, 3
        while weights < vectors:
            weights += len(lines[here].split())
            here += 1
    except (ValueError, IndexError):
        raise InputError(
            f"read_wannier90: {argument}={str(path)!r} cannot be read: no title, number of functions, number of "
            "vectors and their degeneracies; give a whole _hr.dat"
        ) from None
    elements = sum(1 for line in lines[here:] if line.strip())
    if elements != functions**2 * vectors:
        raise InputError(
            f"read_wannier90: {argument}={str(path)!r} has {elements} elements, and {functions} functions at {vectors} "
            f"vectors have {functions**2 * vectors}; give a whole file"
        )


def _array(argument: str, given: ArrayLike, shape: tuple[int, int], meaning: str) -> np.ndarray:
    """Finite numbers of this shape, or InputError."""
    try:
        array = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{argument}={given!r} is no array of numbers; give {meaning}, shape {shape}") from None
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise InputError(
            f"{argument} has shape {array.shape} or a number that is not finite; give {meaning}, shape {shape}"
        )
    return array


def _lattice(lattice: ArrayLike) -> np.ndarray:
    rows = _array("lattice", lattice, (3, 3), "three vectors as rows in nm")
    if abs(np.linalg.det(rows)) <= SAME_AREA * np.prod(np.linalg.norm(rows, axis=1)):
        raise InputError(f"lattice={rows.tolist()} is not three independent vectors; give rows in nm")
    return rows


def _layers(layers: ArrayLike) -> np.ndarray:
    meaning = "integer combinations of the lattice vectors"
    given = _array("layers", layers, (3, 3), meaning)
    turn = np.round(given).astype(int)
    if np.any(turn != given) or abs(round(float(np.linalg.det(given)))) != 1:
        raise InputError(f"layers={given.tolist()} is no 3 x 3 matrix of integers with determinant 1 or -1")
    return turn


def _lab_axes(rows: np.ndarray) -> np.ndarray:
    """Rows are x along a1, y, z along a1 x a2."""
    x, z = rows[0] / np.linalg.norm(rows[0]), np.cross(rows[0], rows[1])
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def _hermitian(blocks: Blocks, argument: str) -> dict[Vector, np.ndarray]:
    """The blocks with H(-R) = H(R)^dagger exactly, refused if that is not so up to rounding."""
    found = {}
    if len({np.shape(matrix) for matrix in blocks.values()}) > 1:
        raise InputError(f"{argument}: the blocks H(R) are of unlike shapes; give n x n matrices")
    for R, matrix in blocks.items():
        opposite = blocks.get((-R[0], -R[1], -R[2]), np.zeros_like(matrix)).conj().T
        difference = float(np.abs(matrix - opposite).max())
        if not difference <= FILE_ROUNDING:
            raise InputError(
                f"{argument}: H({R}) and H of the opposite vector differ by {difference:.2g} eV; H is not Hermitian, "
                "the file may be cut off"
            )
        found[R] = 0.5 * (matrix + opposite)
    if not found:
        raise InputError(f"{argument} holds no matrix elements; give a Hamiltonian")
    return found


def _spin_parts(
    up: dict[Vector, np.ndarray], down: dict[Vector, np.ndarray], cutoff: float
) -> tuple[np.ndarray, dict[Vector, np.ndarray]]:
    """(exchange D = H_down - H_up within the cell, mean of the two at every R)."""
    zero = np.zeros_like(next(iter(up.values())))
    if {m.shape for m in down.values()} != {zero.shape}:
        raise InputError("down has another number of Wannier functions than hr_file; take corresponding projections")
    mean, dropped = {}, 0.0
    for R in {**up, **down}:
        one, other = up.get(R, zero), down.get(R, zero)
        mean[R] = 0.5 * (one + other)
        dropped = max(dropped, 0.5 * float(np.abs(other - one).max()) if any(R) else 0.0)
    if dropped > cutoff:
        raise InputError(
            f"down: hoppings are split by up to {2 * dropped:.3g} eV, and a Material has its exchange within the cell; "
            f"splitting_cutoff={dropped:.2g} averages them, or build it in Kwant with qt.layered"
        )
    if dropped > FILE_ROUNDING:
        warnings.warn(f"hoppings split by up to {2 * dropped:.3g} eV were averaged over spin", stacklevel=4)
    home = (0, 0, 0)
    exchange = down.get(home, zero) - up.get(home, zero)
    if np.abs(exchange).max() <= 2 * FILE_ROUNDING:
        return zero, mean
    if np.trace(exchange).real <= 0:
        raise InputError(
            f"down: its on-site energies lie {-np.trace(exchange).real / len(zero):.3g} eV below those of hr_file on "
            "average, so it holds the majority; exchange the two files"
        )
    return exchange, mean


def _in_new_cell(blocks: dict[Vector, np.ndarray], turn: np.ndarray, moves: np.ndarray) -> dict[Vector, np.ndarray]:
    """The same H for the lattice vectors `turn` and with orbital n taken from the cell `moves[n]`.

    |n, R> new = |n, R - moves[n]> old, so that the element (m, n) at R goes to R + moves[n] - moves[m].
    """
    back = np.round(np.linalg.inv(turn)).astype(int)
    found: dict[Vector, np.ndarray] = {}
    for R, matrix in blocks.items():
        there = np.array(R) @ back
        targets = there + moves[None, :, :] - moves[:, None, :]
        for row, column in np.argwhere(matrix != 0):
            i, j, k = targets[row, column].tolist()
            found.setdefault((i, j, k), np.zeros_like(matrix))[row, column] += matrix[row, column]
    return found


def _same_cell(exchange: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """The exchange, refused if it couples orbitals whose centres lie in different cells."""
    apart = (moves[:, None, :] != moves[None, :, :]).any(axis=-1)
    if np.abs(exchange[apart]).max() > FILE_ROUNDING:
        raise InputError(
            "centres: the exchange couples Wannier functions in different cells; move the projections into one cell"
        )
    return np.where(apart, 0.0, exchange)


def _truncated(
    blocks: dict[Vector, np.ndarray], cutoff: float, reach: int | None, name: str
) -> dict[Vector, np.ndarray]:
    """The blocks without small elements and far hoppings; a warning says what that may do to the bands."""
    kept, lost, bound = {}, 0, 0.0
    for R, matrix in blocks.items():
        far = reach is not None and abs(R[2]) > reach
        stays = np.zeros_like(matrix) if far else np.where(np.abs(matrix) >= cutoff, matrix, 0.0)
        gone = matrix - stays
        lost += int(np.count_nonzero(gone))
        # |sum_R M(R) exp(i k.R)| <= sum_R |M(R)|, and no band moves by more than the norm of what is taken away.
        bound += float(np.linalg.norm(gone, 2)) if np.any(gone) else 0.0
        if np.any(stays):
            kept[R] = stays
    if lost:
        warnings.warn(
            f"{name}: {lost} matrix elements dropped (cutoff={cutoff:g} eV, reach={reach}); no band moves by more than "
            f"{bound:.3g} eV",
            stacklevel=4,
        )
    return kept
