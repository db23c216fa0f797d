from __future__ import annotations

import nibabel as nib
import nrrd
import numpy as np
import pytest
from monai.transforms import LoadImage

from semicl_monai.transforms import NiftiReader, VolumeReader

VOXELS = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
GRID = {"space": "RAS", "space directions": np.diag([1.0, 2, 3]), "space origin": np.array([4.0, 5, 6])}


def test_nifti_gives_what_the_reader_of_nifti_gives(tmp_path):
    nib.save(nib.Nifti1Image(VOXELS, np.diag([1.0, 2, 3, 1])), tmp_path / "a.nii.gz")
    images = [LoadImage(reader)(tmp_path / "a.nii.gz") for reader in (NiftiReader, VolumeReader)]
    np.testing.assert_array_equal(*images)
    assert images[0].meta.keys() == images[1].meta.keys()


@pytest.mark.parametrize("channels", [1, 2])
def test_another_format_is_read_with_its_grid(tmp_path, channels):
    voxels = VOXELS if channels == 1 else np.stack([VOXELS, -VOXELS])
    rows = GRID["space directions"] if channels == 1 else np.insert(GRID["space directions"], 0, np.nan, axis=0)
    nrrd.write(str(tmp_path / "a.nrrd"), voxels, {**GRID, "space directions": rows})
    image = LoadImage(VolumeReader, ensure_channel_first=True)(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(image, voxels.reshape(channels, 3, 4, 5))
    np.testing.assert_array_equal(image.affine, [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]])
    assert image.meta["spatial_shape"].tolist() == [3, 4, 5]
    assert image.meta["filename_or_obj"] == str(tmp_path / "a.nrrd")
