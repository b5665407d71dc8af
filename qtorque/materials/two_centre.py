"""Two-centre integrals as orbital matrices, rotations of orbitals and their angular momentum.

J. C. Slater and G. F. Koster, Phys. Rev. 94, 1498 (1954). A bond along z has the ten integrals as its matrix; any other
bond is that one rotated. Real orbitals in the order s, x, y, z, xy, yz, zx, x2-y2, 3z2-r2.
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qtorque.errors import InputError

ORBITALS = {"s": ("s",), "p": ("x", "y", "z"), "d": ("xy", "yz", "zx", "x2-y2", "3z2-r2")}
"""The orbitals of every shell, in their order."""
ORDER = tuple(orbital for shell in ORBITALS.values() for orbital in shell)
INTEGRALS = ("sss", "sps", "pss", "pps", "ppp", "sds", "dss", "pds", "dps", "pdp", "dpp", "dds", "ddp", "ddd")
"""<i|H|j>: shell of the first atom, of the second, symmetry of the bond; pss is the sps of the bond seen from j."""

# (row, column, integral, sign) of a bond along +z. Odd orbitals look the other way round from the second atom.
_ALONG_Z = (
    ("s", "s", "sss", 1), ("s", "z", "sps", 1), ("z", "s", "pss", -1), ("z", "z", "pps", 1), ("x", "x", "ppp", 1),
    ("y", "y", "ppp", 1), ("s", "3z2-r2", "sds", 1), ("3z2-r2", "s", "dss", 1), ("z", "3z2-r2", "pds", 1),
    ("3z2-r2", "z", "dps", -1), ("x", "zx", "pdp", 1), ("zx", "x", "dpp", -1), ("y", "yz", "pdp", 1),
    ("yz", "y", "dpp", -1), ("3z2-r2", "3z2-r2", "dds", 1), ("zx", "zx", "ddp", 1), ("yz", "yz", "ddp", 1),
    ("xy", "xy", "ddd", 1), ("x2-y2", "x2-y2", "ddd", 1),
)  # fmt: skip


def _quadratic_forms() -> np.ndarray:
    """The d orbitals as r^T Q r, Q traceless with Tr Q_i Q_j = delta_ij: shape (5, 3, 3)."""
    Q = np.zeros((5, 3, 3))
    for i, (a, b) in enumerate(((0, 1), (1, 2), (2, 0))):
        Q[i, a, b] = Q[i, b, a] = np.sqrt(0.5)
    Q[3] = np.diag([1, -1, 0]) / np.sqrt(2)
    Q[4] = np.diag([-1, -1, 2]) / np.sqrt(6)
    return Q


_D_FORMS = _quadratic_forms()


def rotation_of_orbitals(R: np.ndarray) -> np.ndarray:
    """D with (orbital j rotated by R) = sum_i (orbital i) D_ij, shape (9, 9), for a proper or improper R, (3, 3)."""
    D = np.zeros((9, 9))
    D[0, 0] = 1
    D[1:4, 1:4] = R
    # Tr Q_i R Q_j R^T
    D[4:, 4:] = _D_FORMS.reshape(5, 9) @ (R @ _D_FORMS @ R.T).reshape(5, 9).T
    return D


def _angular_momentum() -> np.ndarray:
    """L_a in units of hbar, shape (3, 9, 9): i times the derivative of a rotation about axis a at angle zero."""
    L = np.zeros((3, 9, 9), dtype=complex)
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        turn = np.zeros((3, 3))
        turn[c, b], turn[b, c] = 1, -1
        L[a, 1:4, 1:4] = 1j * turn
        L[a, 4:, 4:] = 1j * np.einsum("iab,jba->ij", _D_FORMS, turn @ _D_FORMS - _D_FORMS @ turn)
    return L


ANGULAR_MOMENTUM = _angular_momentum()
"""L_x, L_y, L_z of all nine orbitals, units of hbar. shape (3, 9, 9)"""


def bond_matrix(direction: np.ndarray, integrals: Mapping[str, float]) -> np.ndarray:
    """<i|H|j> of nine orbitals on either atom, j at `direction` (unit vector) from i; integrals left out are zero."""
    along = np.zeros((9, 9))
    for row, column, name, sign in _ALONG_Z:
        along[ORDER.index(row), ORDER.index(column)] = sign * integrals.get(name, 0.0)
    D = rotation_of_orbitals(_frame_along(direction))
    return D @ along @ D.T


def _frame_along(direction: np.ndarray) -> np.ndarray:
    """A rotation that takes z to the direction."""
    other = np.eye(3)[np.argmin(np.abs(direction))]
    x = np.cross(other, direction)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(direction, x), direction], axis=1)


def orbital_indices(shells: Sequence[str]) -> np.ndarray:
    """Numbers among the nine of the orbitals of some shells, such as "sp"."""
    return np.array([ORDER.index(orbital) for shell in shells for orbital in ORBITALS[shell]])


Mean = Callable[[float, float], float]
"""A rule for a two-centre integral between unlike atoms, from those of both metals."""


def geometric_mean(a: float, b: float) -> float:
    """sgn(a + b) sqrt(|a b|): the integral between two unlike metals, zero where one of them has none."""
    return float(np.sign(a + b) * np.sqrt(abs(a * b)))


def arithmetic_mean(a: float, b: float) -> float:
    """(a + b)/2: the other rule in use for the integral between two unlike metals."""
    return 0.5 * (a + b)


SAMPLE_INTEGRALS = ((-1.0, -0.5), (0.8, -0.3), (0.0, 0.7))
"""eV; pairs of integrals on which a rule is tried: of one sign, of two, and with a vanishing one."""
SAME_FROM_BOTH_ENDS = 1e-12
"""eV; a rule that does not depend on the order of its arguments does not beyond rounding."""


def require_mean(mean: Mean) -> None:
    """Refuse a rule for unlike metals that is no function, gives no finite number or depends on the order."""
    if not callable(mean):
        raise InputError(
            f"unlike_hopping={mean!r} is no rule; give qt.geometric_mean, qt.arithmetic_mean or a function of two "
            "integrals in eV"
        )
    for a, b in SAMPLE_INTEGRALS:
        try:
            there, back = mean(a, b), mean(b, a)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise InputError(
                f"unlike_hopping fails for {a:g} and {b:g} eV ({error}); let it take integrals of either sign"
            ) from None
        for value in (there, back):
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise InputError(f"unlike_hopping gives {value!r} of {a:g} and {b:g} eV; let it give one finite number")
        if abs(there - back) > SAME_FROM_BOTH_ENDS:
            raise InputError(
                f"unlike_hopping gives {there:g} of ({a:g}, {b:g}) and {back:g} of ({b:g}, {a:g}) eV; a bond is the "
                "same from both ends, let it not depend on the order"
            )


def mean_integrals(first: Mapping[str, float], second: Mapping[str, float], mean: Mean) -> dict[str, float]:
    """The integrals of a bond that two metals look at.

    One that a metal without that orbital lacks is the other's. One on which both agree stays under any rule, so that
    nothing happens between two pieces of one metal.
    """
    unlike = (name for name in first.keys() & second.keys() if first[name] != second[name])
    return {**first, **second, **{name: mean(first[name], second[name]) for name in unlike}}


def seen_from_other_end(integrals: Mapping[str, float]) -> dict[str, float]:
    """The integrals of <j|H|i> from those of <i|H|j>."""
    return {f"{name[1]}{name[0]}{name[2]}": value for name, value in integrals.items()}


def both_ways(integrals: Mapping[str, float]) -> dict[str, float]:
    """Integrals between equal atoms, with those seen from the second atom (pss, dss, dps, dpp)."""
    return {**seen_from_other_end(integrals), **integrals}


def integrals_between(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """All two-centre integrals between an atom with some shells and another one, such as "sp" and "spd"."""
    return tuple(name for name in INTEGRALS if name[0] in first and name[1] in second)
