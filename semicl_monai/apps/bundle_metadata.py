"""The ``metadata.json`` of a bundle: written for new data, and updated after a change of ``task.json``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, read_json

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
CORE = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
PACKAGES = (
    *("semicl-monai", "nibabel", "pytorch-ignite", "fire", "scipy", "scikit-learn", "joblib", "matplotlib"),
    *("tensorboard", "tqdm", "pynrrd", "SimpleITK"),
)


def bundle_metadata(name: str, task: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a bundle, with the installed package versions.

    Args:
        name: name of the bundle.
        task: content of the ``task.json`` of the bundle.
        channels: names of the image channels, or an empty list if they are not known.
    """
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "made by semicl_monai new_bundle"},
        **{key: version(package).partition("+")[0] for key, package in CORE.items()},
        "required_packages_version": {package: version(package) for package in PACKAGES},
        "supported_apps": {"monai-label": ""},
        "name": name.replace("_", " "),
        "task": _sentence(task["class_names"]),
        "description": _description(task),
        "authors": "the owner of the data",
        "copyright": "the owner of the data",
        "intended_use": "Research only, not for clinical use",
        "network_data_format": _data_format(task, channels),
    }


def _description(task: dict[str, Any]) -> str:
    kind = "3-D U-Net on patches" if len(task["roi_size"]) == 3 else "2-D U-Net on slices"
    method = task.get("stages", {}).get("pretrain", {}).get("method", "global_local")
    return f"A {kind}, trained by the method {method}."


def _data_format(task: dict[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    count, classes = task.get("in_channels", 1), _outputs(task)
    known = channels if len(channels) == count else [f"channel {number}" for number in range(count)]
    common = {"spatial_shape": task["roi_size"], "dtype": "float32", "is_patch_data": True}
    image = {"type": "image", "format": "magnitude", "modality": ", ".join(known), "num_channels": count, **common}
    pred = {"type": "image", "format": "segmentation", "num_channels": len(classes), **common}
    image_range = [0, 1] if "b_max" in task["scaling"] else []  # the range of a z-score is not known
    return {
        "inputs": {"image": {**image, "value_range": image_range, "channel_def": _numbered(known)}},
        "outputs": {"pred": {**pred, "value_range": [0, _highest(task)], "channel_def": _numbered(classes)}},
    }


def _outputs(config: Mapping[str, Any]) -> list[str]:
    """Names of the channels of the prediction: the classes with background, or the regions."""
    return [*([] if config.get("regions") else ["background"]), *config["class_names"]]


def _highest(config: Mapping[str, Any]) -> int:
    """The highest class number in a mask."""
    order: Sequence[int] | None = config.get("regions_class_order")
    return max(order) if order else len(config["class_names"])


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _sentence(class_names: Sequence[str]) -> str:
    return f"Segment {', '.join(class_names)}"


def read_metadata(file: Path) -> dict[str, Any]:
    """Read the ``metadata.json`` of a bundle.

    Raises:
        InputError: When the file cannot be read, or does not describe the image and the prediction of the network.
    """
    content = read_json(file, "metadata")
    _of_channels(content, "inputs", "image", file)
    _of_channels(content, "outputs", "pred", file)
    return content


def modality_of(file: Path) -> str:
    """Return the modality in a ``metadata.json``, which is the names of the channels with commas between them.

    Raises:
        InputError: When the file cannot be read, or does not give the modality.
    """
    modality = _of_channels(read_metadata(file), "inputs", "image", file).get("modality")
    if not isinstance(modality, str):
        raise InputError(f"metadata {file}: network_data_format, inputs, image must have a text modality.")
    return modality


def _of_channels(content: Mapping[str, Any], direction: str, name: str, file: Path) -> dict[str, Any]:
    """Return the part of the metadata that describes the image or the prediction."""
    found: Any = content
    for key in ("network_data_format", direction, name):
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, dict):
        raise InputError(f"metadata {file} must have an object network_data_format, {direction}, {name}.")
    return found


def renewed_metadata(content: Mapping[str, Any], config: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the metadata of a bundle, updated from its current config.

    The update covers the channels, the shape and the values of the image and of the prediction. It also covers the
    ``task`` sentence if this sentence still names the previous classes. Everything else stays unchanged. Values that
    the config computes (``"$..."``) are not used.

    Args:
        content: content of ``metadata.json``.
        config: config of the bundle's inference.
        file: path of ``metadata.json``, for errors.
    """
    renewed = copy.deepcopy(dict(content))
    image, pred = (_of_channels(renewed, *where, file) for where in (("inputs", "image"), ("outputs", "pred")))
    if isinstance(config.get("roi_size"), list):
        image["spatial_shape"] = pred["spatial_shape"] = config["roi_size"]
    if isinstance(config.get("class_names"), list):
        _renew_classes(renewed, pred, config)
    if isinstance(config.get("in_channels"), int):
        _renew_channels(image, config["in_channels"])
    image["value_range"] = _value_range(config.get("scaling"), image.get("value_range"))
    return renewed


def _renew_classes(content: dict[str, Any], pred: dict[str, Any], config: Mapping[str, Any]) -> None:
    before, outputs = pred.get("channel_def"), _outputs(config)
    if isinstance(before, dict) and content.get("task") == _sentence(
        [str(name) for name in before.values() if name != "background"]
    ):
        content["task"] = _sentence(config["class_names"])
    pred["channel_def"] = _numbered(outputs)
    pred["num_channels"], pred["value_range"] = len(outputs), [0, _highest(config)]


def _renew_channels(image: dict[str, Any], count: int) -> None:
    names = image.get("channel_def")
    if not isinstance(names, dict) or len(names) != count:  # keep names the user has given: they are stored only here
        image["channel_def"] = _numbered([f"channel {number}" for number in range(count)])
        image["modality"] = ", ".join(image["channel_def"].values())
    image["num_channels"] = count


def _value_range(scaling: Any, before: Any) -> Any:
    if not isinstance(scaling, Mapping):
        return before
    if str(scaling.get("_target_")).endswith("NormalizeIntensityd"):
        return []  # the range of a z-score is not known
    ends = [end for end in (scaling.get("b_min"), scaling.get("b_max")) if isinstance(end, int | float)]
    return [int(end) if float(end).is_integer() else end for end in ends] if len(ends) == 2 else before
