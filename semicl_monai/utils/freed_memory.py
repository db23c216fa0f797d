"""Memory of freed tensors."""

from __future__ import annotations

import ctypes
import os
import sys

# names and numbers of mallopt in <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep the memory of freed tensors for the next ones, and return whether it does.

    By default, glibc gives blocks above 32 MiB back to the system when they are freed. A training step then asks for
    the same memory again, and each new page costs more than the arithmetic on it. Kept memory stays with the process
    until it ends. Its largest amount grows a little, because blocks of different sizes share it.

    Without glibc, nothing changes. The same is true if one of its own variables is set: ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_MAX_``.
    """
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"} & set(os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST)))
