"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Return processor, number of cores, load, versions of libraries, and date."""
    libraries = {name: version(name) for name in ("torch", "monai", "pytorch-ignite", "numpy")}
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    where = {"processor": _processor(), "cores": os.cpu_count(), "load before": load}
    return {"date": date, **where, "python": platform.python_version(), **libraries}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
