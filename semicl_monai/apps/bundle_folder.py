"""Write the folder of a new bundle."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Any

from semicl_monai.apps.bundle_metadata import bundle_metadata
from semicl_monai.apps.export_bundle import as_text, write_configs
from semicl_monai.methods import find_method
from semicl_monai.utils import new_folder, write_whole

TEMPLATE = Path(__file__).parents[1] / "configs" / "new_bundle_readme.md"


def write_bundle(target: Path, task: dict[str, Any], channels: Sequence[str]) -> None:
    """Write the folder of a bundle, whole or not at all.

    Args:
        target: the folder, which does not exist.
        task: content of ``task.json``.
        channels: names of the channels of the images.
    """
    with new_folder(target, "the bundle") as folder:
        write_whole(folder / "task.json", as_text(task))
        write_configs(folder)
        metadata = bundle_metadata(folder.name, task, channels)
        write_whole(folder / "configs" / "metadata.json", as_text(metadata))
        write_whole(folder / "LICENSE", _license())
        readme = TEMPLATE.read_text(encoding="utf-8")
        readme = readme.format(name=folder.name, classes=", ".join(task["class_names"]), **_words(task))
        write_whole(folder / "docs" / "README.md", readme)
        write_whole(folder / "docs" / "data_license.txt", "The license of the data is not known: write it here.\n")


def _words(task: dict[str, Any]) -> dict[str, str]:
    """What the README of the bundle says of network and method."""
    network = task["network_def"]["_target_"].rpartition(".")[2]
    kinds = {2: f"A 2-D U-Net (`{network}`) on slices", 3: f"A 3-D U-Net (`{network}`) on patches"}
    method = task["stages"]["pretrain"]["method"]
    does = (find_method(method).__doc__ or "").strip().partition("\n")[0]
    return {"network": kinds[len(task["roi_size"])], "method": method, "does": does}


def _license() -> str:
    file = next(file for file in files("semicl-monai") or [] if file.name == "LICENSE")
    return file.read_text(encoding="utf-8")
