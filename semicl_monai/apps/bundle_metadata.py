"""The ``metadata.json`` of a bundle for anyone's own data."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
CORE = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
PACKAGES = ("nibabel", "pytorch-ignite", "fire", "scipy", "scikit-learn", "joblib", "matplotlib", "tensorboard", "tqdm")


def bundle_metadata(name: str, task: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a bundle, with the versions that are installed.

    Args:
        name: of the bundle.
        task: what its ``task.json`` holds.
        channels: names of the image's channels, as far as they are known.
    """
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "made by semicl_monai new_bundle"},
        **{key: version(package).partition("+")[0] for key, package in CORE.items()},
        "required_packages_version": {package: version(package) for package in PACKAGES},
        "supported_apps": {"monai-label": ""},
        "name": name.replace("_", " "),
        "task": f"Segment {', '.join(task['class_names'])}",
        "description": "A 2-D U-Net pre-trained by contrast of slices and of labelled pixels, then fine-tuned.",
        "authors": "the owner of the data",
        "copyright": "the owner of the data",
        "intended_use": "Research only, not for clinical use",
        "network_data_format": _data_format(task, channels),
    }


def _data_format(task: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    count, classes = task.get("in_channels", 1), ["background", *task["class_names"]]
    known = channels if len(channels) == count else [f"channel {number}" for number in range(count)]
    common = {"spatial_shape": task["roi_size"], "dtype": "float32", "is_patch_data": True}
    image = {"type": "image", "format": "magnitude", "modality": ", ".join(known), "num_channels": count, **common}
    pred = {"type": "image", "format": "segmentation", "num_channels": len(classes), **common}
    image_range = [0, 1] if "b_max" in task["scaling"] else []  # nobody knows that of a z-score
    return {
        "inputs": {"image": {**image, "value_range": image_range, "channel_def": _numbered(known)}},
        "outputs": {"pred": {**pred, "value_range": [0, len(classes) - 1], "channel_def": _numbered(classes)}},
    }


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}
