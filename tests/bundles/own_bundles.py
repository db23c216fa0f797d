"""Options that make an own bundle small."""

from __future__ import annotations

import json


def small(bundle):
    """Return the options for a small network on a CPU, in 2-D or 3-D."""
    network = json.loads((bundle / "task.json").read_text())["network_def"]
    width = "filters" if "filters" in network else "features"
    return {f"network_def::{width}": [4] * len(network[width]), "device": "cpu", "bfloat16": False}
