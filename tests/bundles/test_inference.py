"""A folder of images is segmented to its end, whatever some of them are like, and nothing of the user's is replaced."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.utils import InputError, find_input_error

TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def save(file, voxels=None):
    """Write an image in micrometres, whose sform and qform differ."""
    voxels = np.random.default_rng(1).random((24, 30, 12), dtype=np.float32) if voxels is None else voxels
    header = nib.Nifti1Header()
    header.set_data_dtype(voxels.dtype)
    header.set_xyzt_units("micron")
    header.set_qform(np.diag([900.0, 1000.0, 1500.0, 1.0]), code=4)
    header.set_sform(nib.affines.from_matvec(TURN * [900, 1000, 1500], [-4000, 7000, 10]), code=2)
    nib.save(nib.Nifti1Image(voxels, None, header), file)


@pytest.fixture
def images(tmp_path):
    """Two good images, of which one is named as nnU-Net has it, between two that cannot be used."""
    folder = tmp_path / "images"
    folder.mkdir()
    save(folder / "c00_0000.nii.gz")
    save(folder / "blank.nii.gz", np.zeros((9, 9, 9), np.float32))
    save(folder / "good.nii.gz")
    save(folder / "damaged.nii.gz")
    content = bytearray((folder / "damaged.nii.gz").read_bytes())
    content[-8] ^= 1  # of the checksum, behind the last voxel
    (folder / "damaged.nii.gz").write_bytes(content)
    return folder


@pytest.fixture
def left_out(run_stage, weights, images):
    """Segment the images and return the line that ends the run."""

    def run(**options):
        with pytest.raises((RuntimeError, InputError)) as raised:
            run_stage("inference", **{"dataset_dir": str(images), "weights": str(weights), **options})
        return str(find_input_error(raised.value))

    return run


def test_what_cannot_be_used_is_left_out_and_told_at_the_end(left_out, images, tmp_path):
    for _ in range(2):  # the masks of the first run are replaced
        assert left_out() == (
            f"2 of 4 images were left out: case blank: image file {images / 'blank.nii.gz'} must not be constant, "
            f"got 0 in every voxel; case damaged: image file {images / 'damaged.nii.gz'} cannot be read as NIfTI: "
            f"BadGzipFile: {crc(images / 'damaged.nii.gz')}."
        )
    masks = tmp_path / "eval/predictions"
    assert sorted(file.name for file in masks.iterdir()) == ["c00_seg.nii.gz", "good_seg.nii.gz"]
    mask, image = nib.load(masks / "c00_seg.nii.gz"), nib.load(images / "c00_0000.nii.gz")
    for field in ("sform_code", "srow_x", "srow_z", "qform_code", "quatern_b", "qoffset_y", "xyzt_units"):
        np.testing.assert_array_equal(mask.header[field], image.header[field])
    assert mask.shape == image.shape
    assert len(np.unique(mask.dataobj)) > 1


def crc(file):
    """What gzip itself says of a file."""
    with pytest.raises(OSError, match="CRC check failed") as raised:
        nib.openers.ImageOpener(str(file)).read()
    return raised.value


def test_without_a_postfix_masks_are_named_as_nnunet_has_them(left_out, tmp_path):
    left_out(output_postfix="")
    assert sorted(file.name for file in (tmp_path / "eval/predictions").iterdir()) == ["c00.nii.gz", "good.nii.gz"]


def test_no_image_is_replaced_by_its_mask(left_out, images):
    before = {file.name: file.read_bytes() for file in images.iterdir()}
    line = left_out(output_postfix="", log_dir=str(images))
    assert line.startswith(
        f"case blank: the mask would replace {images / 'blank.nii.gz'}, an image that is to be segmented"
    )
    assert {file.name: file.read_bytes() for file in images.iterdir()} == before


def test_nan_is_replaced_where_that_is_asked_for(left_out, images, tmp_path):
    voxels = np.random.default_rng(1).random((24, 30, 12), dtype=np.float32)
    voxels[:2] = np.nan
    save(images / "good.nii.gz", voxels)
    assert "3 of 4 images were left out" in left_out()
    assert "2 of 4 images were left out" in left_out(replace_nan=0)
    assert (tmp_path / "eval/predictions/good_seg.nii.gz").is_file()
