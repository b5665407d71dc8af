"""A model held against quantum transport: deviation, error bar, and a verdict that says why it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from qtorque.errors import InputError

TOLERANCE = 0.03
"""Relative deviation below which a model is said to hold: few resistances or torques are measured better."""
STANDARD_ERRORS = 2.0
"""A deviation above the tolerance counts if it is more than this many standard errors. Chance exceeds that once in
twenty at one point, and more often at one of several."""
DECISIVE = 0.5
"""A lifted assumption explains a failure where less than this part of the deviation is left."""
PART_TOLERANCE = 0.25
"""Of a part of a larger whole, relative to the part: right in sign and size, where it is more than the tolerance of
the whole."""
SMALLEST_PART = 1e-3
"""Of a whole: a smaller part has no sign worth a verdict, it may be rounding of what symmetry forbids."""
HOLDS, UNDECIDED, FAILS = "holds", "undecided", "fails"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """One quantity of one model beside the same quantity from quantum transport.

    Attributes
    ----------
    quantity, unit
        What is compared, such as "conductance".
    model
        Which model, such as "circuit theory".
    coordinate, coordinate_unit, at : (n,)
        Where: angles, thicknesses, ...
    quantum, quantum_error : (n,)
        Mean and standard error.
    found, found_error : (n,)
        Of the model; its error is that of parameters measured on the same lattice.
    difference_error : (n,) or None
        Standard error of the difference; None adds the two as if they were independent. Samples of one lattice are not.
    scale : (n,) or None
        What deviations are relative to; None takes the quantum values themselves.
    scale_name
        Its name, for a small part of a larger whole: "the whole torque".
    assumption
        What the model takes for granted that another one of the report does not; empty where there is none.
    regime
        At every point, why the model may fail there, if it has no assumption that another lifts.
    left_out : (groups, n) or None
        Of `found` without one group of configurations after the other: what two models have in common.
    tolerance
        Relative deviation at which it still holds.
    """

    quantity: str
    unit: str
    model: str
    coordinate: str
    coordinate_unit: str
    at: np.ndarray
    quantum: np.ndarray
    found: np.ndarray
    quantum_error: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    found_error: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    difference_error: np.ndarray | None = None
    scale: np.ndarray | None = None
    scale_name: str = ""
    assumption: str = ""
    regime: Sequence[str] = ()
    left_out: np.ndarray | None = None
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.scale is None:
            object.__setattr__(self, "scale", self.quantum)
        if self.difference_error is None:
            object.__setattr__(self, "difference_error", np.hypot(self.quantum_error, self.found_error))
        names = ("at", "quantum", "quantum_error", "found", "found_error", "difference_error", "scale")
        size = np.size(self.at)
        for name in names:
            array = np.array(np.broadcast_to(np.asarray(getattr(self, name), dtype=float), (size,)))
            if not np.all(np.isfinite(array)):
                raise InputError(f"{self.quantity}, {self.model}: {name} is not finite everywhere; leave those out")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if size == 0:
            raise InputError(f"{self.quantity}, {self.model}: no point to compare; give one at least")

    @property
    def deviation(self) -> np.ndarray:
        """(model - quantum)/|scale| at every point."""
        return self._relative(self.found - self.quantum)

    @property
    def deviation_error(self) -> np.ndarray:
        """Standard error of the deviation."""
        assert self.difference_error is not None, "set by __post_init__"
        return self._relative(self.difference_error)

    @property
    def verdicts(self) -> np.ndarray:
        """At every point: "fails" beyond the tolerance and beyond chance; "holds" within the tolerance, with an error
        bar that is shorter than it; else "undecided". A part of a whole has to be right in sign and size as well."""
        assert self.difference_error is not None, "set by __post_init__"
        assert self.scale is not None, "set by __post_init__"
        chance = STANDARD_ERRORS * self.difference_error
        difference = np.abs(self.found - self.quantum)
        within = np.abs(self.deviation) <= self.tolerance
        if self.scale_name:
            size = np.abs(self.quantum)
            matters = size > self.tolerance * np.abs(self.scale)
            there = (size > chance) & (size > SMALLEST_PART * np.abs(self.scale))
            wrong_sign = (np.sign(self.found) == -np.sign(self.quantum)) & there
            within &= ~wrong_sign & ~(matters & (difference > PART_TOLERANCE * size))
        fails = (difference > chance) & ~within
        short = STANDARD_ERRORS * self.deviation_error <= self.tolerance
        return np.where(fails, FAILS, np.where(within & short, HOLDS, UNDECIDED))

    @property
    def verdict(self) -> str:
        """Of all points: the worst of them."""
        found = set(self.verdicts)
        return next(kind for kind in (FAILS, UNDECIDED, HOLDS) if kind in found)

    @property
    def worst(self) -> int:
        """The point of the largest deviation among those that decide the verdict."""
        size = np.abs(self.deviation)
        if self.verdict == UNDECIDED:
            size = size + STANDARD_ERRORS * self.deviation_error
        return int(np.argmax(np.where(self.verdicts == self.verdict, size, -1.0)))

    def _relative(self, difference: np.ndarray) -> np.ndarray:
        assert self.scale is not None, "set by __post_init__"
        # Where the scale is zero any difference counts in full, and none at all is agreement.
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = difference / np.abs(self.scale)
        return np.where(difference == 0, 0.0, relative)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """`kind` is "holds", "undecided" or "fails"; `text` a sentence that says by how much and why not."""

    kind: str
    text: str


def judge(comparison: Comparison, better: Comparison | None = None) -> Verdict:
    """Whether a model holds, and where it fails whether its assumption is the reason.

    The reason is tested: it is named if the model without that assumption differs from this one by more than chance
    and leaves less than half of the deviation.

    Parameters
    ----------
    comparison
        The model.
    better
        The same quantity at the same points by a model that does without `comparison.assumption`.
    """
    i, kind = comparison.worst, comparison.verdict
    amount = f"{_size(comparison, i)}{_place(comparison, i)}"
    if kind == HOLDS:
        return Verdict(kind=kind, text=f"holds: largest deviation {amount}")
    if kind == UNDECIDED:
        return Verdict(kind=kind, text=f"undecided: {amount}; more samples would tell")
    text = f"fails by {amount}"
    if better is None or not comparison.assumption:
        reason = comparison.regime[i] if comparison.regime else comparison.assumption
        return Verdict(kind=kind, text=f"{text}: {reason}" if reason else text)
    left = _size(better, i)
    if _explains(comparison, better, i):
        return Verdict(kind=kind, text=f"{text}: {comparison.assumption}; without it {left}")
    return Verdict(kind=kind, text=f"{text}; not because of this: {comparison.assumption} (without it {left})")


def _explains(comparison: Comparison, better: Comparison, i: int) -> bool:
    change = comparison.found[i] - better.found[i]
    if comparison.left_out is not None and better.left_out is not None:
        replicates = comparison.left_out[:, i] - better.left_out[:, i]
        error = float(np.sqrt((len(replicates) - 1) * np.var(replicates)))
    else:
        error = float(np.hypot(comparison.found_error[i], better.found_error[i]))
    left, whole = abs(better.found[i] - better.quantum[i]), abs(comparison.found[i] - comparison.quantum[i])
    return abs(change) > STANDARD_ERRORS * error and left < DECISIVE * whole


def _place(comparison: Comparison, i: int) -> str:
    return f" at {comparison.at[i]:.4g} {comparison.coordinate_unit}".rstrip() if comparison.coordinate else ""


def _size(comparison: Comparison, i: int) -> str:
    """The deviation at a point in words, of the whole and of the part itself; absolute where nothing is there."""
    assert comparison.difference_error is not None, "set by __post_init__"
    if not np.isfinite(comparison.deviation[i]):
        difference = comparison.found[i] - comparison.quantum[i]
        return f"{difference:+.2g} +- {comparison.difference_error[i]:.2g} {comparison.unit} where there is none"
    text = f"{_percent(comparison.deviation[i], comparison.deviation_error[i])}"
    if not comparison.scale_name:
        return text
    part = ""
    if comparison.quantum[i] != 0:
        share = (comparison.found[i] - comparison.quantum[i]) / abs(comparison.quantum[i])
        part = f" ({100 * share:+.2g} % of itself)"
    return f"{text} of {comparison.scale_name}{part}"


def _percent(value: float, error: float) -> str:
    """A deviation with its standard error, which is left out where it is nil."""
    return f"{100 * value:+.2g} %" + (f" +- {100 * error:.2g} %" if error else "")


def nearest(own: Comparison, models: Sequence[Comparison]) -> Comparison | None:
    """The model whose numbers a user's are, to the tolerance at all points; None if they are nobody's."""

    def distance(model: Comparison) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(own.found == model.found, 0.0, np.abs(own.found - model.found) / np.abs(model.found))
        return float(np.max(share))

    candidates = [model for model in models if model.quantity == own.quantity and np.array_equal(model.at, own.at)]
    best = min(candidates, key=distance, default=None)
    return best if best is not None and distance(best) <= own.tolerance else None
