"""What a user is told of a new bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.apps.label_rules import shown_rules
from semicl_monai.apps.plan_task import describe_plan
from semicl_monai.data import Fingerprint, SegmentationDatalist
from semicl_monai.methods import find_method, stages_of

TURNED = "by 90, 180 or 270 degrees at random, as slices of some images are upright and of others lying"
ONCE = "without them, which is faster: --mirror_axes []"
ONE_PIECE = (
    "the main connected component alone, as all labels are in one piece; all components: --largest_component false"
)


def bundle_summary(
    target: Path,
    task: dict[str, Any],
    lists: SegmentationDatalist,
    found: Fingerprint,
    dimensions: str,
    time: Sequence[str],
) -> str:
    """Return cases, plan, time, and the commands of all stages.

    Args:
        target: folder of the bundle.
        task: content of its ``task.json``.
        lists: cases of the data set.
        found: fingerprint of the training images.
        dimensions: whether it is planned in 2-D or 3-D, and why.
        time: lines about the time that the training takes, or none.
    """
    axes = task.get("mirror_axes")
    shown = {
        "cases": ", ".join(f"{len(cases)} {part}" for part, cases in lists.split.items()),
        "channels": found.channels,
        "classes": ", ".join(task["class_names"]) + shown_rules(task),
        "dimensions": dimensions,
        **describe_plan(task, found),
        "intensity": _intensity(task["scaling"]),
        **({"rotation": f"{TURNED}; not: --rotate90_prob 0"} if task.get("rotate90_prob") else {}),
        **({"mirroring": f"predictions are the mean of {2 ** len(axes)} mirror images; {ONCE}"} if axes else {}),
        **({"masks": ONE_PIECE} if task.get("largest_component") else {}),
        "method": task["stages"]["pretrain"]["method"],
        **({"time": f"\n{'':13}".join(time)} if time else {}),
    }
    lines = "\n".join(f"  {name:<10} {text}" for name, text in shown.items())
    return f"""
{target}, measured on {len(lists.training)} training images:
{lines}
Check {target / "task.json"}. After a change of it, run: python -m semicl_monai export_bundle {target}

{_note(task["stages"]["pretrain"]["method"])}{_commands(target / "configs")}"""


def _intensity(scaling: Mapping[str, Any]) -> str:
    settings = {key: value for key, value in scaling.items() if key not in ("_target_", "keys")}
    return f"{scaling['_target_']} {settings}"


def _note(method: str) -> str:
    if stages_of(find_method(method)):
        return ""
    return f"# {method} has no pre-training: the first command saves the untrained network, which train starts from.\n"


def _commands(configs: Path) -> str:
    return f"""python -m monai.bundle run pretrain --config_file {configs / "pretrain.json"}
python -m monai.bundle run          --config_file {configs / "train.json"}
python -m monai.bundle run evaluate --config_file {configs / "evaluate.json"}
python -m monai.bundle run          --config_file {configs / "inference.json"} --dataset_dir FOLDER_OF_IMAGES"""
