"""The one exception a user is meant to read."""


class InputError(ValueError):
    """Bad input: one line that names the argument, the value and the mend.

    Raised before any solve. The drivers print the line and end with exit code 2.
    """
