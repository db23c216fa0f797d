"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from semicl_monai.utils import processor_name


def describe_machine() -> dict[str, Any]:
    """Return processor, number of cores, load, versions of libraries, and date."""
    libraries = {name: version(name) for name in ("torch", "monai", "pytorch-ignite", "numpy")}
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    where = {"processor": processor_name(), "cores": os.cpu_count(), "load before": load}
    return {"date": date, **where, "python": platform.python_version(), **libraries}
