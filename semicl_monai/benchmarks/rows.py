"""The rows of the benchmark: which probes are run with which options."""

from __future__ import annotations

from collections.abc import Callable

from semicl_monai.benchmarks.inputs import Inputs
from semicl_monai.benchmarks.measurement import Measurement

SLICES, VOLUMES = "hippocampus_mri_segmentation", "hippocampus_mri_3d_segmentation"


def _training(inputs: Inputs) -> list[Measurement]:
    stages = (("simclr", "pretrain"), ("local", "pretrain"), ("random", "train"))
    return [
        Measurement(
            f"training: {method}, {stage}",
            "training",
            {"dataset_dir": inputs.hippocampus, "stage": stage, "method": method, "labelled_fraction": 6},
        )
        for method, stage in stages
    ]


def _new_bundle(inputs: Inputs) -> list[Measurement]:
    return [Measurement("new_bundle", "new_bundle", {"dataset_dir": inputs.cardiac})]


def _recipe(inputs: Inputs) -> list[Measurement]:
    return [Measurement("recipe: 3-D, 6 labelled", "recipe", {"dataset_dir": inputs.hippocampus})]


def _loss(inputs: Inputs) -> list[Measurement]:
    large = {"pixels": 131072, "repeats": 0, "dense": False}
    return [Measurement("loss: N = 8192", "loss"), Measurement("loss: N = 131072", "loss", large)]


def _inference(inputs: Inputs) -> list[Measurement]:
    options = {"dataset_dir": inputs.images, "weights": inputs.weights}
    return [Measurement("inference", "inference", options, output="output_dir")]


def _validation(inputs: Inputs) -> list[Measurement]:
    return [Measurement("validation", "validation", {"dataset_dir": inputs.hippocampus}, is_count=True)]


def _cache(inputs: Inputs) -> list[Measurement]:
    options = {"dataset_dir": inputs.hippocampus}
    return [
        Measurement(f"cache: {bundle}", "cache", {**options, "bundle": bundle}, is_count=True)
        for bundle in (SLICES, VOLUMES)
    ]


def _drawing(inputs: Inputs) -> list[Measurement]:
    image, label = inputs.large
    return [
        Measurement(f"drawing: {what}", "drawing", {"image": image, "label": label, "bundle": bundle})
        for what, bundle in (("patch", VOLUMES), ("slice", SLICES))
    ]


def _help(inputs: Inputs) -> list[Measurement]:
    return [Measurement("help", "program_help")]


ROWS: dict[str, Callable[[Inputs], list[Measurement]]] = {
    "training": _training,
    "new_bundle": _new_bundle,
    "recipe": _recipe,
    "loss": _loss,
    "inference": _inference,
    "validation": _validation,
    "cache": _cache,
    "drawing": _drawing,
    "help": _help,
}
