"""No child outlives its parent, whatever kills the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does first (``preexec_fn`` of Popen), so that it gets
    ``stop`` when this process dies.

    Only Linux knows this; elsewhere None, and the locks of folders keep an orphan
    from harm.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_for_the_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(stop))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_for_the_signal
