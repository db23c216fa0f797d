"""Make an own bundle, make it small, and run its stages."""

from __future__ import annotations

import json
import sys

from monai.bundle import ConfigWorkflow

from semicl_monai.apps.new_bundle import new_bundle


def make_own(folder, data, **options):
    """Make a bundle for a data set in a folder, by default in 2-D with the method of the paper; return its folder."""
    given = {"spatial_dims": 2, "method": "global_local", "estimate": False, **options}
    new_bundle("own_mri_segmentation", str(data), folder=str(folder), **given)
    return folder / "own_mri_segmentation"


def build(bundle, name, **options):
    """Build a stage of a bundle as the runner does."""
    run_id = name if name in ("pretrain", "evaluate") else "run"
    kind = "train" if name in ("pretrain", "train") else "infer"
    config, given = str(bundle / "configs" / f"{name}.json"), {"bundle_root": str(bundle), **options}
    return ConfigWorkflow(config, run_id=run_id, logging_file=False, workflow_type=kind, **given)


def run_to_end(built):
    """Run a stage to its end, and return it; the hook for exceptions stays as it was."""
    hook = sys.excepthook
    try:
        built.initialize()
        built.run()
    finally:
        built.finalize()
        sys.excepthook = hook
    return built


def small(bundle):
    """Return the options for a small network on a CPU, in 2-D or 3-D."""
    network = json.loads((bundle / "task.json").read_text())["network_def"]
    width = "filters" if "filters" in network else "features"
    return {f"network_def::{width}": [4] * len(network[width]), "device": "cpu", "bfloat16": False}
