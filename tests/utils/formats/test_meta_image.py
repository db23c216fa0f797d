from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.affines import from_matvec

from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume, stored_files

VOXELS = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
SPACING, ORIGIN = np.array([0.9, 1.1, 2.5]), np.array([-12.0, 7, 33])
AFFINE = np.diag([-1, -1, 1, 1]) @ from_matvec(TURN * SPACING, ORIGIN)  # by the definition of ITK: LPS, in mm


@pytest.fixture
def write(tmp_path):
    """Write a file as ITK does, and return its path."""

    def write(name, voxels=VOXELS, compressed=False):
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0, *range(3, voxels.ndim))))
        image.SetSpacing(SPACING.tolist())
        image.SetOrigin(ORIGIN.tolist())
        image.SetDirection(TURN.ravel().tolist())
        sitk.WriteImage(image, str(tmp_path / name), compressed)
        return tmp_path / name

    return write


@pytest.fixture
def by_hand(tmp_path):
    """Write a file whose header is written by hand, with the voxels after it or beside it, and return its path."""

    def write(name="a.mha", data="LOCAL", content=None, **fields):
        header = {
            "ObjectType": "Image",
            "NDims": "3",
            "BinaryData": "True",
            "BinaryDataByteOrderMSB": "False",
            "TransformMatrix": " ".join(str(number) for number in TURN.T.ravel()),  # one row an axis
            "Offset": " ".join(map(str, ORIGIN)),
            "AnatomicalOrientation": "RAI",
            "ElementSpacing": " ".join(map(str, SPACING)),
            "DimSize": "5 6 7",
            "ElementType": "MET_SHORT",
            **{key: value for key, value in fields.items() if value is not None},
            "ElementDataFile": data,
        }
        text = "".join(f"{key} = {value}\n" for key, value in header.items() if fields.get(key, value) is not None)
        voxels = VOXELS.astype("<i2").tobytes(order="F") if content is None else content
        (tmp_path / name).write_bytes(text.encode() + (voxels if data == "LOCAL" else b""))
        if data != "LOCAL":
            (tmp_path / "a.raw").write_bytes(voxels)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_of_itk_has_its_voxels_and_its_grid(write, name, compressed):
    volume = open_volume(write(name, compressed=compressed))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    np.testing.assert_array_equal(volume.read(), VOXELS)


def test_a_header_written_by_hand_has_an_axis_in_each_row_of_its_matrix(by_hand):
    volume = open_volume(by_hand())
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    np.testing.assert_array_equal(volume.read(), VOXELS)


@pytest.mark.parametrize("orientation", ["RAI", "LPS", "ASL", None])
def test_the_anatomical_orientation_changes_nothing(by_hand, orientation):
    np.testing.assert_allclose(open_volume(by_hand(AnatomicalOrientation=orientation)).affine, AFFINE, atol=1e-9)


def test_big_endian_voxels_are_read(by_hand):
    file = by_hand(BinaryDataByteOrderMSB="True", content=VOXELS.astype(">i2").tobytes(order="F"))
    np.testing.assert_array_equal(open_volume(file).read(), VOXELS)


def test_a_header_is_read_with_its_data_file(by_hand, tmp_path):
    file = by_hand("a.mhd", "a.raw")
    assert stored_files(file) == [file, tmp_path / "a.raw"]
    np.testing.assert_array_equal(open_volume(file).read(), VOXELS)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match=r"names the data file .*a\.raw, which is not there"):
        open_volume(file)


@pytest.mark.parametrize("data", ["LIST\ns1.raw\ns2.raw\n", "s%d.raw 1 2 1"])
def test_all_data_files_of_a_header_are_known(by_hand, tmp_path, data):
    file = by_hand("a.mhd", data)
    assert stored_files(file) == [file, tmp_path / "s1.raw", tmp_path / "s2.raw"]


def test_channels_are_the_last_axis(write, by_hand):
    channels = np.stack([VOXELS, VOXELS + 1], axis=-1)
    volume = open_volume(write("a.mha", channels))
    assert (volume.shape, volume.channels) == ((5, 6, 7, 2), 2)
    np.testing.assert_array_equal(volume.read(), channels)
    content = channels.transpose(3, 0, 1, 2).astype("<i2").tobytes(order="F")
    by_itself = open_volume(by_hand(ElementNumberOfChannels="2", content=content))
    np.testing.assert_array_equal(by_itself.read(), channels)


def test_a_fourth_axis_is_that_of_the_channels(tmp_path):
    voxels = np.stack([VOXELS, VOXELS + 1], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(voxels.T), isVector=False), str(tmp_path / "a.mha"))
    np.testing.assert_array_equal(open_volume(tmp_path / "a.mha").read(), voxels)


def test_axes_that_are_not_at_right_angles_are_kept(by_hand):
    volume = open_volume(by_hand(TransformMatrix="1 0 0 0 1 0 0 0.2 1"))
    wanted = np.diag([-1, -1, 1, 1]) @ from_matvec(np.array([[1, 0, 0], [0, 1, 0.2], [0, 0, 1]]) * SPACING, ORIGIN)
    np.testing.assert_allclose(volume.affine, wanted)


def test_a_picture_in_a_plane_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5], sitk.sitkUInt8), str(tmp_path / "a.mha"))
    with pytest.raises(InputError, match=r"must be 3-D, got the shape \(4, 5\)"):
        open_volume(tmp_path / "a.mha")


def test_truncated_voxels_are_noticed(by_hand):
    with pytest.raises(RuntimeError, match="cannot be read"):
        open_volume(by_hand(content=bytes(20))).read()


def test_a_mask_lies_on_its_image_for_simpleitk_and_is_known_as_ours_until_it_is_changed(write, tmp_path):
    image = open_volume(write("a.mhd"))
    mask = (VOXELS > 50).astype(np.uint8)
    image.write_mask(tmp_path / "mask.mha", mask, image.affine, image.metadata(), {})
    read = sitk.ReadImage(str(tmp_path / "mask.mha"))
    place = np.array(read.TransformIndexToPhysicalPoint((1, 2, 3))) * [-1, -1, 1]
    np.testing.assert_allclose(place, nib.affines.apply_affine(AFFINE, (1, 2, 3)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read).T, mask)
    assert image.is_own_mask(tmp_path / "mask.mha")
    read[0, 0, 0] = 3
    sitk.WriteImage(read, str(tmp_path / "mask.mha"))
    assert not image.is_own_mask(tmp_path / "mask.mha")
    assert not image.is_own_mask(image.file)
