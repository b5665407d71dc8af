"""A model held against quantum transport: deviation, error bar, and a verdict that says why it fails."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from qtorque.errors import InputError

TOLERANCE = 0.03
"""Relative deviation below which a model is said to hold: few resistances or torques are measured better."""
STANDARD_ERRORS = 2.0
"""Or this many standard errors of the difference, which chance exceeds once in twenty."""
DECISIVE = 0.5
"""A lifted assumption explains a failure where less than this part of the deviation is left."""


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
    def holds_at(self) -> np.ndarray:
        """Whether the deviation is within the tolerance, or within two standard errors, at every point."""
        size = np.abs(self.deviation)
        return (size <= self.tolerance) | (size <= STANDARD_ERRORS * self.deviation_error)

    @property
    def holds(self) -> bool:
        """At all points."""
        return bool(self.holds_at.all())

    @property
    def decides(self) -> bool:
        """Whether the error bars are short enough for the tolerance; otherwise it is only not refuted."""
        return bool(np.all(STANDARD_ERRORS * self.deviation_error <= self.tolerance))

    @property
    def worst(self) -> int:
        """The point of the largest deviation among those that decide the verdict."""
        size = np.abs(self.deviation)
        return int(np.argmax(np.where(self.holds_at, size if self.holds else -1.0, size)))

    def _relative(self, difference: np.ndarray) -> np.ndarray:
        assert self.scale is not None, "set by __post_init__"
        # Where the scale is zero any difference counts in full, and none at all is agreement.
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = difference / np.abs(self.scale)
        return np.where(difference == 0, 0.0, relative)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """holds, and one sentence that says by how much and why not."""

    holds: bool
    text: str


def judge(comparison: Comparison, better: Comparison | None = None) -> Verdict:
    """Whether a model holds, and where it fails whether its assumption is the reason.

    Parameters
    ----------
    comparison
        The model.
    better
        The same quantity at the same points by a model that does without `comparison.assumption`.
    """
    i = comparison.worst
    size, error = 100 * comparison.deviation[i], 100 * comparison.deviation_error[i]
    where = f" at {comparison.at[i]:.4g} {comparison.coordinate_unit}" if comparison.coordinate else ""
    whole = f" of {comparison.scale_name}" if comparison.scale_name else ""
    amount = f"{size:+.2g} % +- {error:.2g} %{whole}{where}"
    if comparison.holds:
        note = "" if comparison.decides else "; the error bar is longer than the tolerance, more samples would decide"
        return Verdict(holds=True, text=f"holds: largest deviation {amount}{note}")
    reason = f": {comparison.assumption}" if comparison.assumption else ""
    if better is None or not comparison.assumption:
        return Verdict(holds=False, text=f"fails by {amount}{reason}")
    left = abs(float(better.deviation[i])) * 100
    if better.holds_at[i] or left < DECISIVE * abs(size):
        return Verdict(holds=False, text=f"fails by {amount}{reason}; without that assumption {left:.2g} % are left")
    return Verdict(
        holds=False, text=f"fails by {amount}; not for this alone{reason}, without which {left:.2g} % are left"
    )


def nearest(own: Comparison, models: list[Comparison]) -> tuple[Comparison, float] | None:
    """The model whose numbers lie closest to a user's, with the largest relative distance between them."""

    def distance(model: Comparison) -> float:
        scale = np.abs(model.found)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(own.found == model.found, 0.0, np.abs(own.found - model.found) / scale)
        return float(np.max(share))

    candidates = [model for model in models if model.quantity == own.quantity and np.array_equal(model.at, own.at)]
    if not candidates:
        return None
    best = min(candidates, key=distance)
    return (best, distance(best)) if math.isfinite(distance(best)) else None
