"""The processor of this machine."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Return the name of the processor, or of its architecture if the system does not tell the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
