"""A small synthetic data set in the layout of the Decathlon, for first steps without a download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from semicl_monai.synthetic.checks import checked_counts, checked_size
from semicl_monai.utils import InputError, new_folder, read_json, save_json

GENERATOR = 1  # raise it when the same settings give other volumes
SMALLEST_SIZE = 16  # voxels; below, the thin end of the tail is lost
MOST_RESIZE = 3  # voxels by which the size of a case differs from ``spatial_size``


def make_synthetic_hippocampus(
    root: str | os.PathLike[str],
    num_cases: int = 20,
    num_test: int = 2,
    seed: int = 0,
    spatial_size: Sequence[int] = (36, 50, 34),
) -> Path:
    """Write a synthetic data set like the hippocampus task, with two touching structures.

    A curved, tapering body along the y axis, about 5 % of the volume, is cut into an anterior bulb (1) and a posterior
    tail (2). Around it lie textured tissue and blobs of similar intensity. A bias field and noise lie over everything.
    Contrast, size, pose and side differ from case to case. The data says nothing about anatomy: it is for tests and
    first steps.

    The folder appears only when it is complete. An existing data set with the same settings is used again.

    Args:
        root: folder to write. It must be new or empty.
        num_cases: number of labelled volumes, in ``imagesTr`` and ``labelsTr``.
        num_test: number of volumes without label, in ``imagesTs``.
        seed: seed of the volumes. With the same seed, case i is the same in a small and in a large data set.
        spatial_size: voxels (1 mm) along x, y and z, at least 16. The size of each case differs by up to 3 voxels.

    Returns:
        The folder, which holds ``dataset.json``.

    Raises:
        InputError: When an option is out of range, ``root`` holds other files, or ``root`` cannot be written.
    """
    settings = _checked_settings(num_cases, num_test, seed, spatial_size)
    root = Path(os.path.abspath(Path(root).expanduser()))
    if _is_complete(root, settings):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} must be new, empty or a synthetic data set with the same settings.")
    _write_whole(root, settings)
    return root


def _checked_settings(num_cases: int, num_test: int, seed: int, spatial_size: Sequence[int]) -> dict[str, Any]:
    lowest = {"num_cases": 1, "num_test": 0, "seed": 0}
    counts = checked_counts(lowest, num_cases=num_cases, num_test=num_test, seed=seed)
    return {"generator": GENERATOR, **counts, "spatial_size": checked_size(spatial_size, SMALLEST_SIZE)}


def _is_complete(root: Path, settings: dict[str, Any]) -> bool:
    try:
        content = read_json(root / "dataset.json", "dataset.json")
        files = [path for entry in content["training"] for path in entry.values()] + content["test"]
        return content["synthetic"] == settings and all((root / file).is_file() for file in files)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return False


def _write_whole(root: Path, settings: dict[str, Any]) -> None:
    try:
        with new_folder(root, "the synthetic data set") as draft:
            _write(draft, settings)
    except InputError:
        if not _is_complete(root, settings):  # otherwise another process has just written the same data set
            raise


def _write(root: Path, settings: dict[str, Any]) -> None:
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (root / folder).mkdir(parents=True)
    num_cases, num_test = settings["num_cases"], settings["num_test"]
    names = [f"synthetic_{index:03d}.nii.gz" for index in range(num_cases + num_test)]
    for index, name in enumerate(names):
        image, label = _draw_case(np.random.default_rng((settings["seed"], index)), settings["spatial_size"])
        if index < num_cases:
            _save(image, root / "imagesTr" / name)
            _save(label, root / "labelsTr" / name)
        else:
            _save(image, root / "imagesTs" / name)
    description = {
        "name": "SYNTHETIC hippocampus",
        "description": "Generated volumes, not of any person: for tests and demonstrations only",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": num_cases,
        "numTest": num_test,
        "synthetic": settings,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names[:num_cases]],
        "test": [f"./imagesTs/{name}" for name in names[num_cases:]],
    }
    save_json(description, root / "dataset.json")


def _save(volume: np.ndarray, file: Path) -> None:
    nib.save(nib.Nifti1Image(volume, np.eye(4)), file)


def _draw_case(rng: np.random.Generator, spatial_size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    shape = [size + int(rng.integers(-MOST_RESIZE, MOST_RESIZE + 1)) for size in spatial_size]
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"))  # (3, H, W, D)
    depth, along = _draw_body(rng, grid)
    label = np.where(depth > 1, 0, np.where(along < rng.uniform(0.32, 0.38), 1, 2))
    return _draw_image(rng, grid, depth, along), label.astype(np.uint8)


def _draw_body(rng: np.random.Generator, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two coordinates of each voxel in the body.

    The first is the depth: 0 on the centre line, 1 on the surface. The second is the position along the centre line: 0
    at the front, 1 at the back.
    """
    t = np.linspace(0, 1, 40)
    side = rng.choice([-1, 1])
    line = np.stack([side * rng.uniform(0.15, 0.35) * np.sin(np.pi * t), 0.4 - 1.05 * t, 0.7 * t**1.5 - 0.35], axis=1)
    radius = rng.uniform(0.18, 0.22) - 0.08 * t + rng.uniform(0.1, 0.14) * np.exp(-(((t - 0.1) / 0.2) ** 2))
    pose = Rotation.from_euler("xyz", rng.uniform(-15, 15, 3), degrees=True).as_matrix()
    line = line @ pose.T + rng.uniform(-0.12, 0.12, 3)
    depth = cdist(grid.reshape(3, -1).T, line) / radius
    nearest = depth.argmin(axis=1)
    depth = depth.min(axis=1)
    depth /= np.quantile(depth, rng.uniform(0.04, 0.062))  # the body's share of the volume
    return depth.reshape(grid.shape[1:]), t[nearest].reshape(grid.shape[1:])


def _draw_image(rng: np.random.Generator, grid: np.ndarray, depth: np.ndarray, along: np.ndarray) -> np.ndarray:
    contrast = rng.uniform(0.35, 0.55)
    inside = 1 / (1 + np.exp((depth - 1) / 0.1))  # partial volume at the surface
    tissue = 1 + 0.12 * _texture(rng, depth.shape, 1.0) + 0.15 * _texture(rng, depth.shape, 4.0)
    around = tissue + contrast * _draw_blobs(rng, grid)
    body = 1 + 0.05 * _texture(rng, depth.shape, 1.0) + contrast * (1.1 - 0.3 * along)
    image = (inside * body + (1 - inside) * around) * _draw_bias(rng, grid)
    image += 0.07 * rng.standard_normal(image.shape)
    return np.round(rng.uniform(200, 600) * image.clip(min=0)).astype(np.float32)


def _texture(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    noise = gaussian_filter(rng.standard_normal(shape), sigma)
    return noise / noise.std()


def _draw_blobs(rng: np.random.Generator, grid: np.ndarray) -> np.ndarray:
    blobs = np.zeros(grid.shape[1:])
    for _ in range(rng.integers(10, 16)):
        centre, radii = rng.uniform(-1, 1, (3, 1, 1, 1)), rng.uniform(0.15, 0.4, (3, 1, 1, 1))
        distance = (((grid - centre) / radii) ** 2).sum(axis=0)
        blobs += rng.choice([-1, 1, 1]) * rng.uniform(0.7, 1.2) * np.exp(-(distance**2))
    return blobs.clip(-1.2, 1.2)


def _draw_bias(rng: np.random.Generator, grid: np.ndarray) -> np.ndarray:
    terms = np.concatenate([grid, grid**2, grid * np.roll(grid, 1, axis=0)])  # polynomials of first and second order
    return np.exp(np.tensordot(rng.uniform(-0.15, 0.15, len(terms)), terms, axes=1))
