"""Word to the user that a compiled kernel is being compiled: once for a machine, then it is read from the disk."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from qtorque.parallel import RANK_VARIABLES

PATIENCE = 1.0
"""Seconds before a first call says what it is about; one that reads the kernel from the disk is done by then."""


@contextlib.contextmanager
def announced(*kernels) -> Iterator[None]:
    """Around a call of numba kernels: one line on stderr if they turn out to need compilation."""
    ranks = {os.environ[name] for name in RANK_VARIABLES if name in os.environ}
    if any(kernel.signatures for kernel in kernels) or ranks - {"0"}:
        yield
        return
    words = "qtorque: compiling kernels, once for this machine ..."
    timer = threading.Timer(PATIENCE, lambda: print(words, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
