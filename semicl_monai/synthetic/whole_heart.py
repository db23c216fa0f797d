"""A synthetic whole-heart data set in the layout of the MM-WHS challenge, for first steps without the real data."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from semicl_monai.data.mmwhs import MMWHS_CLASSES, MMWHS_VALUES, MODALITIES
from semicl_monai.synthetic.checks import checked_counts, checked_size
from semicl_monai.synthetic.heart_case import ORIENTATIONS, add_stray_values, draw_case
from semicl_monai.utils import InputError, draft_of, is_true, one_of, read_json, save_json

GENERATOR = 1  # raise it when the same settings give other volumes
SMALLEST_SIZE = 16  # voxels; below, the aorta has only a few voxels
FIRST_CASE = {"train": 1001, "test": 2001}


def make_synthetic_whole_heart(
    root: str | os.PathLike[str],
    modality: str = "ct",
    num_train: int = 8,
    num_test: int = 4,
    seed: int = 0,
    spatial_size: Sequence[int] = (64, 64, 48),
    stray: bool = True,
) -> Path:
    """Write a synthetic whole-heart data set in the layout of the MM-WHS 2017 challenge.

    Seven structures touch each other: a left ventricle inside its myocardium, a crescent of a right ventricle beside
    it, two atria, an ascending aorta and a pulmonary artery. Together they are 10 to 15 % of the volume, or less if it
    is deeper than wide. Around them lie lungs, bones, a liver, and vessels as bright as the chambers, so that no
    threshold finds a structure. Pose, size, anatomy and contrast differ from case to case. The data says nothing about
    anatomy: it is for tests and first steps.

    CT is in Hounsfield units: air about -960, lung -800, tissue 40, blood about 240 to 500. It is stored axially. MR is
    in positive units, with a bias field, noise and a scale factor that differs from case to case. It is stored
    coronally or sagittally. Images and labels are int16; labels hold the challenge's values (:data:`MMWHS_VALUES`). The
    field of view is 200 to 240 mm in plane. The slice spacing is 1.5 to 3 times the in-plane spacing. No axis is
    exactly parallel to the body's.

    ``root`` may hold both modalities, made one after the other. The folders of a modality appear only once they are
    complete. ``<modality>_synthetic.json``, which holds the settings, appears last. A modality made with the same
    settings is used again as it is. A full-size case, (512, 512, 300), takes about 40 seconds of one core and 1 GiB of
    memory.

    Args:
        root: folder to write. It must be new or empty, except for the other modality made by this function.
        modality: ``"ct"`` or ``"mr"``.
        num_train: number of labelled volumes. The first is ``<modality>_train/<modality>_train_1001_image.nii.gz``.
        num_test: number of volumes without label. The first is ``<modality>_test/<modality>_test_2001_image.nii.gz``.
        seed: seed of the volumes. With the same seed, case i is the same in a small and in a large data set.
        spatial_size: voxels along the three axes of the array, at least 16. The third axis goes from slice to slice.
        stray: whether the label of the first training case has a few wrong voxels of 421 at the edge of the left atrium
            (420). One case of the challenge data has this mistake.

    Returns:
        ``root`` as an absolute path.

    Raises:
        InputError: When an option is out of range, ``root`` holds other files, or ``root`` cannot be written.
    """
    settings = _checked_settings(modality, num_train, num_test, seed, spatial_size, stray)
    root = Path(os.path.abspath(Path(root).expanduser()))
    if _is_complete(root, settings):
        return root
    try:
        _check_same_content(root, settings["modality"])
        _write_whole(root, settings)
    except OSError as error:
        raise InputError(f"the synthetic data set cannot be written to {root}: {error.strerror}.") from error
    return root


def _checked_settings(
    modality: str, num_train: int, num_test: int, seed: int, spatial_size: Sequence[int], stray: bool
) -> dict[str, Any]:
    lowest = {"num_train": 1, "num_test": 0, "seed": 0}
    return {
        "generator": GENERATOR,
        "modality": one_of(modality, MODALITIES, "modality"),
        **checked_counts(lowest, num_train=num_train, num_test=num_test, seed=seed),
        "spatial_size": checked_size(spatial_size, SMALLEST_SIZE),
        "stray": is_true(stray, "stray"),
    }


def _parts(modality: str) -> tuple[str, str, str]:
    """Names of the folders and the file of a modality; the file is written last."""
    return f"{modality}_train", f"{modality}_test", f"{modality}_synthetic.json"


def _is_complete(root: Path, settings: dict[str, Any]) -> bool:
    try:
        content = read_json(root / _parts(settings["modality"])[-1], "root")
        return content["synthetic"] == settings and all((root / file).is_file() for file in _files(settings))
    except (OSError, ValueError, TypeError, LookupError):
        return False


def _files(settings: dict[str, Any]) -> list[str]:
    train, test, _ = _parts(settings["modality"])
    cases = [f"{train}/{train}_{FIRST_CASE['train'] + index}" for index in range(settings["num_train"])]
    files = [f"{case}_{kind}.nii.gz" for case in cases for kind in ("image", "label")]
    tests = range(FIRST_CASE["test"], FIRST_CASE["test"] + settings["num_test"])
    return files + [f"{test}/{test}_{number}_image.nii.gz" for number in tests]


def _check_same_content(root: Path, modality: str) -> None:
    if root.exists() and not root.is_dir():
        raise InputError(f"root {root} must be a folder, got a file.")
    others = [_parts(other) for other in MODALITIES if other != modality]
    allowed = {name for parts in others if (root / parts[-1]).is_file() for name in parts}
    names = sorted(file.name for file in root.iterdir()) if root.exists() else []
    drafts = tuple(f".{part}-" for other in MODALITIES for part in _parts(other))  # drafts of other processes
    found = [name for name in names if name not in allowed and not name.startswith(drafts)]
    if found:
        raise InputError(
            f"root {root} must be new, empty or hold only synthetic volumes, and those of {modality} must have the "
            f"same settings, got {', '.join(found[:5])}."
        )


def _write_whole(root: Path, settings: dict[str, Any]) -> None:
    train, test, about = (root / part for part in _parts(settings["modality"]))
    try:
        # the drafts are renamed in the opposite order
        with draft_of(about) as about_draft, draft_of(test) as test_draft, draft_of(train) as train_draft:
            _write((train_draft, test_draft, about_draft), settings)
    except OSError:
        if not _becomes_complete(root, settings):  # otherwise another process has just written the same data set
            raise


def _becomes_complete(root: Path, settings: dict[str, Any], tries: int = 20) -> bool:
    for _ in range(tries):  # the other process may have renamed its folders but not yet its settings
        if _is_complete(root, settings):
            return True
        time.sleep(0.05)
    return False


def _write(parts: tuple[Path, Path, Path], settings: dict[str, Any]) -> None:
    train, test, about = parts
    for folder, part in ((train, "train"), (test, "test")):
        folder.mkdir()
        for index in range(settings[f"num_{part}"]):
            _write_case(folder, part, index, settings)
    description = {
        "name": f"SYNTHETIC whole heart, {settings['modality'].upper()}",
        "description": "Generated volumes, not of any person: for tests and demonstrations only",
        "labels": {str(value): name for name, value in zip(MMWHS_CLASSES, MMWHS_VALUES, strict=True)},
        "synthetic": settings,
    }
    save_json(description, about)


def _write_case(folder: Path, part: str, index: int, settings: dict[str, Any]) -> None:
    modality, seed = settings["modality"], settings["seed"]
    rng = np.random.default_rng((seed, MODALITIES.index(modality), FIRST_CASE[part], index))
    known = ORIENTATIONS[modality]
    orientation = known[(seed + FIRST_CASE[part] // 1000 + index) % len(known)]  # neighbours differ
    image, label, affine = draw_case(rng, modality, settings["spatial_size"], orientation)
    case = folder / f"{folder.name}_{FIRST_CASE[part] + index}"
    _save(image, affine, f"{case}_image.nii.gz")
    if part == "train":
        if settings["stray"] and index == 0:
            add_stray_values(label)
        _save(label, affine, f"{case}_label.nii.gz")


def _save(volume: np.ndarray, affine: np.ndarray, file: str) -> None:
    nifti = nib.Nifti1Image(volume, affine)
    nifti.header.set_xyzt_units("mm")
    nib.save(nifti, file)
