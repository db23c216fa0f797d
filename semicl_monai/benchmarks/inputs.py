"""Data of the measurements, made when it is first needed and given to both builds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser

from semicl_monai.benchmarks.builds import Build
from semicl_monai.synthetic import make_synthetic_hippocampus
from semicl_monai.utils import InputError, save_json

CASES = 40  # 24 of them for training
SLICE = (256, 224)
LARGE = (512, 512, 300)
SCAN = (256, 256, 200)


class Inputs:
    """Data sets, images and weights.

    Args:
        folder: folder for what is made here.
        old: the old build. Its 3-D network is used where no weights are given.
        dataset_dir: data set of the hippocampus bundles, by default synthetic volumes.
        weights: weights of the 3-D bundle, by default untrained ones.
        image: image to segment, by default noise of 256 x 256 x 200 voxels.
        cardiac_dir: data set for a new bundle, by default synthetic volumes of 256 x 224 pixels.

    Raises:
        InputError: When a given file or folder does not exist.
    """

    def __init__(
        self,
        folder: Path,
        old: Build,
        dataset_dir: str | None = None,
        weights: str | None = None,
        image: str | None = None,
        cardiac_dir: str | None = None,
    ) -> None:
        given = {"dataset_dir": dataset_dir, "weights": weights, "image": image, "cardiac_dir": cardiac_dir}
        self.folder, self.old = folder, old
        self.given = {key: Path(path).expanduser().resolve() for key, path in given.items() if path is not None}
        for option, path in self.given.items():
            if not path.exists():
                raise InputError(f"{option} {path} does not exist.")

    @cached_property
    def hippocampus(self) -> str:
        """Data set of the hippocampus bundles."""
        given = self.given.get("dataset_dir")
        return str(given or make_synthetic_hippocampus(self.folder / "hippocampus", num_cases=CASES))

    @cached_property
    def cardiac(self) -> str:
        """Data set of ten volumes with large slices."""
        given = self.given.get("cardiac_dir")
        return str(given or _make_cardiac(self.folder / "cardiac"))

    @cached_property
    def weights(self) -> str:
        """Weights of the 3-D bundle."""
        if "weights" in self.given:
            return str(self.given["weights"])
        parser = ConfigParser()
        parser.read_config(str(self.old.tree / "bundles/hippocampus_mri_3d_segmentation/configs/inference.json"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = parser.get_parsed_content("network_def")
        torch.save(network.state_dict(), self.folder / "untrained.pt")
        return str(self.folder / "untrained.pt")

    @cached_property
    def images(self) -> str:
        """Folder of the image to segment."""
        folder = self.folder / "images"
        folder.mkdir()
        given = self.given.get("image")
        if given:
            (folder / given.name).symlink_to(given)
        else:
            noise = np.random.default_rng(0).normal(size=SCAN).astype(np.float32)
            nib.save(nib.Nifti1Image(noise, np.eye(4)), folder / "noise.nii.gz")
        return str(folder)

    @cached_property
    def large(self) -> tuple[str, str]:
        """Image and label of 512 x 512 x 300 voxels, with two classes in 5 % of them."""
        label = np.zeros(LARGE, np.uint8)
        label[150:350, 150:350, 80:180] = 1
        label[350:400, 150:350, 80:180] = 2
        image = np.random.default_rng(0).integers(0, 255, LARGE, dtype=np.uint8)
        files = str(self.folder / "large_image.nii"), str(self.folder / "large_label.nii")
        for file, volume in zip(files, (image, label), strict=True):
            nib.save(nib.Nifti1Image(volume, np.eye(4)), file)
        return files


def _make_cardiac(folder: Path, cases: int = 10, slices: int = 10) -> Path:
    """Write volumes with a bright disc in a ring, on noise. Spacing 1.4 x 1.4 x 10 mm."""
    grid = np.stack(np.meshgrid(*map(np.arange, SLICE), indexing="ij"))
    records = []
    for case in range(cases):
        rng = np.random.default_rng(case)
        centre = np.array(SLICE)[:, None, None] / 2 + rng.uniform(-20, 20, (2, 1, 1))
        radius = np.linalg.norm(grid - centre, axis=0)
        label = ((radius < 40).astype(np.uint8) + (radius < 25))[..., None].repeat(slices, axis=2)
        image = (100 + 60 * label + rng.normal(0, 20, label.shape)).astype(np.float32)
        names = {key: f"{key}s/case_{case:02d}.nii.gz" for key in ("image", "label")}
        for key, volume in (("image", image), ("label", label)):
            (folder / names[key]).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume, np.diag([1.4, 1.4, 10.0, 1.0])), folder / names[key])
        records.append(names)
    labels = {"0": "background", "1": "wall", "2": "cavity"}
    save_json({"modality": {"0": "MRI"}, "labels": labels, "training": records}, folder / "dataset.json")
    return folder
