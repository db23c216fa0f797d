"""Masks in the image's own grid, whatever its orientation, spacing and size."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from scipy import ndimage
from torch.nn.functional import one_hot

from semicl_monai.transforms import KeepMainComponentd

OBLIQUE = nib.affines.from_matvec(np.array([[0.9, -0.2, 0.1], [0.2, 0.95, -0.1], [-0.1, 0.1, 1.3]]), [-12.0, 7.5, 3.25])


@pytest.fixture
def weights(config, tmp_path):
    """Write the weights of a network that answers the image itself: bright voxels are class 1."""
    parser = ConfigParser()
    parser.read_config(str(config("inference")))
    parser["network_def::features"] = [4, 4, 8, 8, 8, 4]
    torch.manual_seed(0)
    (tmp_path / "models").mkdir()
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "models/model.pt")


@pytest.fixture
def segment(run_stage, weights, tmp_path):
    """Write an image, segment it, and return its mask."""

    def run(name, voxels, affine):
        folder = tmp_path / name
        folder.mkdir()
        nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}.nii.gz")
        run_stage("inference", dataset_dir=str(folder))
        return nib.load(tmp_path / "eval/predictions" / f"{name}_seg.nii.gz")

    return run


@pytest.fixture
def voxels():
    return np.random.default_rng(0).random((30, 36, 14), dtype=np.float32)


def test_a_mask_has_shape_and_affine_of_an_oblique_image(segment, voxels):
    mask = segment("oblique", voxels, OBLIQUE)
    assert mask.shape == voxels.shape
    assert np.allclose(mask.affine, OBLIQUE, atol=1e-5)
    assert len(np.unique(mask.dataobj)) > 1


@pytest.mark.parametrize("keep", [True, False])
def test_the_main_component_of_the_foreground_is_kept_on_request(workflow, tmp_path, voxels, keep):
    nib.save(nib.Nifti1Image(voxels, OBLIQUE), tmp_path / "image.nii.gz")
    parser = workflow("inference", dataset_dir=str(tmp_path / "image.nii.gz"), largest_component=keep).parser
    sample = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "image.nii.gz"), "case": "image"})
    shape = sample["image"].shape[1:]
    label = torch.zeros(shape, dtype=torch.int64)
    label[:4, :4, :4], label[4, 4, 4] = 1, 2  # classes that touch at a corner are one part
    label[-3:, -3:, -3:] = 2
    invert, largest = parser.get_parsed_content("postprocessing").transforms[:2]
    inverted = invert({**sample, "pred": 9.0 * one_hot(label, 3).movedim(-1, 0)})
    before = inverted["pred"].clone()
    after = largest(inverted)["pred"] if keep else before
    parts, _ = ndimage.label(np.asarray(before[0]) > 0, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert len(sizes) == 2
    assert isinstance(largest, KeepMainComponentd) is keep
    wanted = np.where(parts == 1 + sizes.argmax(), before[0], 0) if keep else before[0]
    assert np.array_equal(after[0], wanted)


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "SAL"])
def test_the_same_anatomy_in_another_storage_order_gets_the_same_mask(segment, voxels, orientation):
    ras = nib.Nifti1Image(voxels, np.diag([1.0, 1.2, 1.5, 1.0]))
    other = ras.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(orientation))
        )
    )
    expected = segment("ras", np.asarray(ras.dataobj), ras.affine)
    mask = segment("other", np.asarray(other.dataobj), other.affine)
    assert np.allclose(mask.affine, other.affine, atol=1e-5)
    back = nib.as_closest_canonical(mask)
    assert np.array_equal(np.asarray(back.dataobj), np.asarray(expected.dataobj))


def test_a_volume_smaller_than_the_network_is_padded(segment):
    tiny = np.random.default_rng(1).random((7, 9, 5), dtype=np.float32)
    assert segment("tiny", tiny, np.eye(4)).shape == (7, 9, 5)


def test_a_volume_larger_than_the_window_is_covered(segment):
    large = np.random.default_rng(2).random((70, 45, 6), dtype=np.float32)
    assert segment("large", large, np.eye(4)).shape == (70, 45, 6)
