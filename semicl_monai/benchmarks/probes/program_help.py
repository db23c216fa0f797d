"""Seconds until the program has shown its help."""

from __future__ import annotations

import resource
import subprocess
import sys
from time import perf_counter

from .tools import main, medians


def measure(repeats: int = 3) -> dict[str, float]:
    """Return the seconds of ``python -m semicl_monai --help``. A first call, which compiles, is not counted.

    Args:
        repeats: number of counted calls.
    """
    wall, cpu = medians([_seconds() for _ in range(repeats + 1)][1:])
    return {"s": wall, "CPU s": cpu}


def _seconds() -> tuple[float, float]:
    start, words = _clock(), [sys.executable, "-m", "semicl_monai", "--help"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    wall, cpu = _clock()
    return wall - start[0], cpu - start[1]


def _clock() -> tuple[float, float]:
    """Return the time, and the processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return perf_counter(), used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(measure)
