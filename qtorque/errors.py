"""The one exception a user is meant to read."""

from numbers import Integral


class InputError(ValueError):
    """Bad input: one line that names the argument, the value and the mend.

    Raised before any solve. The drivers print the line and end with exit code 2.
    """


def finite_number(name: str, value, unit: str) -> float:
    """The value as a float; InputError unless it is one finite real number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, (str, bool, complex)) or not -float("inf") < number < float("inf"):
        raise InputError(f"{name}={value!r} is not a finite number; give one number in {unit}")
    return number


def whole_number(name: str, value, fewest: int, what: str, most: int | None = None) -> int:
    """The value as an int; InputError unless it is an integer within `fewest` .. `most`, of `what` says the line."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < fewest or (most is not None and value > most):
        allowed = f"of {fewest} or more" if most is None else f"within {fewest} .. {most}"
        raise InputError(f"{name}={value!r}: give an integer {allowed}, {what}")
    return int(value)
