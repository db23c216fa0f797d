"""Seconds until the program has shown its help."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

from .tools import main


def measure(repeats: int = 3) -> dict[str, float]:
    """Return the seconds of ``python -m semicl_monai --help``. A first call, which compiles, is not counted.

    Args:
        repeats: number of counted calls.
    """
    return {"s": median([_seconds() for _ in range(repeats + 1)][1:])}


def _seconds() -> float:
    words, start = [sys.executable, "-m", "semicl_monai", "--help"], perf_counter()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return perf_counter() - start


if __name__ == "__main__":
    main(measure)
