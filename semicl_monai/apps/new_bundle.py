"""Write a bundle for a user's own data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from semicl_monai.apps.bundle_folder import write_bundle
from semicl_monai.apps.bundle_summary import bundle_summary
from semicl_monai.apps.data_source import DataSource, find_data
from semicl_monai.apps.estimate import estimate as estimate_time
from semicl_monai.apps.label_rules import with_label_rules
from semicl_monai.apps.plan_task import choose_dims, plan_task
from semicl_monai.data import Fingerprint, SegmentationDatalist, propose_pattern, take_fingerprint
from semicl_monai.data.hounsfield import looks_like_ct
from semicl_monai.data.label_names import segment_names
from semicl_monai.data.listing import listing
from semicl_monai.data.patients import compile_pattern
from semicl_monai.data.sections import Record
from semicl_monai.data.split import checked_seed, parse_labelled_fraction
from semicl_monai.methods import find_method
from semicl_monai.methods.registry import name_of
from semicl_monai.planning import GIB
from semicl_monai.utils import InputError, is_true, one_of
from semicl_monai.utils.nifti import check_replace_nan

WITH_UNLABELLED, WITHOUT_UNLABELLED = "self_training", "random"  # the default methods
MEMORY_OF_GPU, MEMORY_OF_CPU = 8, 2  # GiB; on a CPU, a step with larger patches takes many seconds


def new_bundle(
    name: str,
    dataset_dir: str | None = None,
    datalist: str = "dataset.json",
    labelled_fraction: float | int | str = 1.0,
    split_seed: int = 0,
    modality: str | None = None,
    folder: str = ".",
    replace_nan: float | None = None,
    validation: str = "best",
    group_pattern: str | None = "auto",
    estimate: bool | str = True,
    spatial_dims: int | str = "auto",
    memory: float | None = None,
    method: str | None = None,
    allow_gaps: bool | str = False,
    images: str | None = None,
    labels: str | None = None,
    class_names: str | Sequence[str] | None = None,
) -> None:
    """Write a bundle for the data in a folder, with settings measured on its training images.

    Channels, classes, spacing, intensities, patch and network are plain values in ``task.json`` and in the configs.
    Images and labels that ``split_seed`` holds out for validation or test are never opened. Labels beyond
    ``labelled_fraction`` are not opened either.

    Args:
        name: name of the bundle, by MONAI's rule ``<organ>_<modality>_<task>``, as in ``kidney_ct_segmentation``.
        dataset_dir: a folder in the layout of the Medical Segmentation Decathlon or of nnU-Net's raw data, or a folder
            with a JSON file of lists. Training images without a label count as unlabelled. Without such a file, give
            ``images``.
        datalist: the JSON file, absolute or relative to ``dataset_dir``.
        labelled_fraction: fraction (``0.05``) or number (``6``) of labelled training images whose labels are used.
        split_seed: seed of the split into training, validation and test, 3:1:1.
        modality: ``CT`` for images in Hounsfield units. By default, the JSON file names the channels.
        folder: parent folder of the bundle's folder, by default the current one.
        replace_nan: number that replaces NaN in all images, now and in all stages. By default, an image with NaN is
            refused.
        validation: ``none`` keeps no volume for validation and becomes the bundle's default. Use it to train with one
            or two labelled volumes.
        group_pattern: a regular expression that finds the patient in a case name. All scans of a patient are then on
            the same side of the split. By default, an expression is proposed when case names share a stem that ends in
            a digit, such as ``patient001_frame01`` and ``patient001_frame02``. ``none`` for no expression.
        estimate: whether to time a few training steps on this machine, and to print how long the training will take.
        spatial_dims: ``3`` for patches, ``2`` for slices. By default 3, or 2 if slices are thick, or fewer than five
            in a patch.
        memory: memory in GiB that a training step may take, of a GPU or of RAM. It sets the size of a patch or slice.
            By default 8 with a GPU and 2 without, where larger patches take hours.
        method: method of pre-training and fine-tuning. By default fine-tuning with the unlabelled volumes
            (``self_training``), or ``random`` if there are none.
        allow_gaps: whether to use DICOM series with slices at uneven distances, now and in all stages. Missing slices
            are interpolated. By default, such a series is refused.
        images: in place of ``dataset_dir``, a folder of images, or a pattern such as ``"data/*/t1.nii.gz"``. The
            folders below are searched too. Images and labels are paired by the names of their files and folders. What
            was paired is printed, and written beside the bundle as ``NAME_datalist.json``.
        labels: a folder or a pattern for the labels, if they are not known by names such as ``case_seg.nii.gz``.
        class_names: names of the label values 1, 2, ..., as in ``"liver,tumour"``, or with their values, as in
            ``"liver=1,tumour=5"``. The highest value may be called ``ignore``, for voxels that are not annotated. By
            default, the JSON file, a table ``dseg.tsv`` or the segments name them.

    Raises:
        InputError: When the bundle's folder exists already, or the data cannot be used.
    """
    target = _target(str(name), Path(str(folder)).expanduser())
    dims, limit = _dims(spatial_dims), _bytes(memory)
    timed, uneven = is_true(estimate, "estimate"), is_true(allow_gaps, "allow_gaps")
    chosen_by = one_of(validation, ("best", "none"), "validation")
    _check_options(modality, method, group_pattern, replace_nan, labelled_fraction, split_seed)
    data = find_data(target, dataset_dir, datalist, images, labels, modality, class_names)
    pattern = _group_pattern(data.sections(), group_pattern)
    how: dict[str, Any] = {"validation": chosen_by, "group_pattern": pattern, "compare_images": False}
    lists = data.lists(labelled_fraction, split_seed, **how)
    names = data.names or {value: str(value) for value in data.rules.values()} or segment_names(lists.labelled)
    found = take_fingerprint(lists.training, lists.labelled, replace_nan, names, uneven, data.rules.ignore_value)
    _tell_classes(names, found)
    channels = _channels(data, modality, found)
    chosen, why = (dims, "as given") if dims else choose_dims(found, limit, 1 + len(names or found.label_values))
    named_by = data.named_by if data.names or data.rules.regions else "names of segments"
    task = {
        **data.where,
        **_split(lists, split_seed, chosen_by, pattern),
        **_reading(replace_nan, uneven),
        **with_label_rules(plan_task(found, channels, names, chosen, limit, named_by), data.rules),
    }
    task["stages"] = _with_method(task.get("stages", {}), _method(method, lists))
    with data.written():
        write_bundle(target, task, channels)
    _suggest_ct(task, lists.training[0], uneven)
    time = estimate_time(target, lists.labelled[0], len(lists.to_validate())) if timed else []
    print(bundle_summary(target, task, lists, found, f"{chosen}-D: {why}", time))


def _check_options(
    modality: str | None,
    method: str | None,
    group_pattern: Any,
    replace_nan: Any,
    labelled_fraction: float | int | str,
    split_seed: int,
) -> None:
    """Refuse options before anything is read."""
    if modality is not None and not isinstance(modality, str):
        raise InputError(f"modality must be a word, such as CT, got {modality!r}.")
    if method is not None:
        find_method(method)
    compile_pattern(group_pattern)
    check_replace_nan(replace_nan)
    parse_labelled_fraction(labelled_fraction)
    checked_seed(split_seed)


def _dims(spatial_dims: int | str) -> int | None:
    return {"auto": None, "2": 2, "3": 3}[one_of(str(spatial_dims), ("auto", "2", "3"), "spatial_dims")]


def _group_pattern(sections: Mapping[str, list[Record]], given: str | None) -> str | None:
    """Return the given expression, or one proposed from the case names."""
    if given != "auto":
        return None if given is None or str(given).lower() in ("", "none") else given
    records = [record for section in sections.values() for record in section]
    cases = [record["case"] for record in records]
    pattern = None if any("patient" in record for record in records) else propose_pattern(cases)
    if pattern:
        count = len({re.search(pattern, case)[1] for case in cases})  # type: ignore[index] # it matches all of them
        print(
            f"Case names show {len(cases)} scans of {count} patients. Splits keep patients together: group_pattern "
            f"'{pattern}'. If these are not patients, give --group_pattern none."
        )
    return pattern


def _tell_classes(names: Mapping[int, str], found: Fingerprint) -> None:
    """Say if classes have no names, or if no label that was read holds a class."""
    if not names:
        print("Classes are called by their values. Give --class_names liver,tumour to name them.")
    missing = [f"{name} (value {value})" for value, name in names.items() if value not in found.label_values]
    if missing:
        print(f"No label that was read holds {listing(missing)}.")


def _channels(data: DataSource, modality: str | None, found: Fingerprint) -> list[str]:
    channels = [modality] if modality else data.channels
    if len(channels) > 1 and len(channels) != found.channels:
        raise InputError(
            f"{data.file} must name the {found.channels} channels of the images, got {len(channels)} "
            f"names: {', '.join(channels)}."
        )
    return channels


def _split(lists: SegmentationDatalist, seed: int, validation: str, pattern: str | None) -> dict[str, Any]:
    """Entries of ``task.json`` that say how the cases are split."""
    return {
        "labelled_fraction": lists.labelled_fraction,
        "split_seed": seed,
        **({"validation": "none"} if validation == "none" else {}),
        **({"group_pattern": pattern} if pattern else {}),
    }


def _reading(replace_nan: float | None, allow_gaps: bool) -> dict[str, Any]:
    """Entries of ``task.json`` that say how images are read."""
    filling = {} if replace_nan is None else {"replace_nan": replace_nan}
    return filling | ({"allow_gaps": True} if allow_gaps else {})


def _with_method(stages: Mapping[str, Any], method: str) -> dict[str, Any]:
    return {**stages, "pretrain": {**stages.get("pretrain", {}), "method": method}}


def _suggest_ct(task: Mapping[str, Any], record: Record, allow_gaps: bool) -> None:
    if task["scaling"]["_target_"] != "ScaleIntensityRanged" and looks_like_ct(record, allow_gaps):
        print(
            f"{record['case']} looks like CT: whole numbers, some below -900. Give --modality CT if all images are CT."
        )


def _method(given: str | None, lists: SegmentationDatalist) -> str:
    return name_of(find_method(given or (WITH_UNLABELLED if lists.has_unlabelled() else WITHOUT_UNLABELLED)))


def _bytes(memory: Any) -> float:
    if memory is None:
        memory = MEMORY_OF_GPU if torch.cuda.is_available() else MEMORY_OF_CPU
    if isinstance(memory, bool) or not isinstance(memory, int | float) or not 1 <= memory < math.inf:
        raise InputError(f"memory must be a number of GiB from 1, got {memory!r}.")
    return float(memory) * GIB


def _target(name: str, folder: Path) -> Path:
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
        raise InputError(
            f"name must be lower-case letters, digits and single '_', as in kidney_ct_segmentation, got '{name}'."
        )
    taken = re.search("deepedit|deepgrow|detection|classification|_pretraining$", name)
    if taken:
        raise InputError(f"name must not contain '{taken[0]}', which MONAI Label uses for other models, got '{name}'.")
    if (folder / name).exists():
        raise InputError(f"{folder / name} exists already: move it away, or give another name.")
    return folder / name
