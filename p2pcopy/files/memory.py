"""What the C library does with memory that is free."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

from p2pcopy.config import MIB

# <malloc.h>
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 64 * MIB
_LARGE: Final = 4 * MIB


def keep_freed() -> bool:
    """From now on this process keeps what it frees, up to 64 MiB, but for pieces of 4 MiB and more. False where it cannot be had.

    Blocks and messages come and go all the time, and glibc gives their memory back each time: the system has to find and to
    clear a page for every 4 KiB that is sent or received (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT) and mallopt(_M_MMAP_THRESHOLD, _LARGE))
