from __future__ import annotations

import gzip

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.affines import from_matvec

from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume, stored_files

VOXELS = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
MATRIX = TURN * [0.9, 1.1, 2.5]
ORIGIN = np.array([-12.0, 7, 33])
LPS, LAS = "left-posterior-superior", "left-anterior-superior"


@pytest.fixture
def write(tmp_path):
    """Write a file with an oblique grid, and return its path; options are fields of the header."""

    def write(voxels=VOXELS, name="a.nrrd", without=(), **fields):
        header = {"space": LPS, "space directions": MATRIX.T, "space origin": ORIGIN, "kinds": ["domain"] * 3}
        header |= {key.replace("_", " "): value for key, value in fields.items()}
        header = {key: value for key, value in header.items() if key not in without}
        nrrd.write(str(tmp_path / name), voxels, header)
        return tmp_path / name

    return write


def seen_by_itk(file, index=(1, 2, 3)):
    """Place of a voxel in RAS+, and the voxels, as SimpleITK reads them."""
    image = sitk.ReadImage(str(file))
    return np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1], sitk.GetArrayFromImage(image).T


def place(volume, index=(1, 2, 3)):
    return nib.affines.apply_affine(volume.affine, index)


@pytest.mark.parametrize("space", [LPS, LAS, "right-anterior-superior", "LPS", "LAS", "RAS"])
def test_each_space_of_the_patient_is_read_as_simpleitk_reads_it(write, space):
    file = write(space=space)
    volume, (wanted, voxels) = open_volume(file), seen_by_itk(file)
    np.testing.assert_allclose(place(volume), wanted, atol=1e-5)
    np.testing.assert_array_equal(volume.read(), voxels)


def test_left_anterior_superior_differs_from_ras_in_x_alone(write):
    by_definition = np.diag([-1, 1, 1, 1]) @ from_matvec(MATRIX, ORIGIN)
    np.testing.assert_allclose(open_volume(write(space=LAS)).affine, by_definition)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("scanner-xyz", "got scanner-xyz: where left is cannot be known"),
        ("3D-right-handed", "got 3D-right-handed"),
        ("right-up", "got right-up"),
    ],
)
def test_a_space_that_does_not_say_where_left_is_is_refused(write, space, message):
    with pytest.raises(InputError, match=f"must give its 'space' as right-anterior-superior, .*{message}"):
        open_volume(write(space=space))


def test_a_space_without_a_name_is_refused(tmp_path):
    header = ["NRRD0005", "type: uint8", "dimension: 3", "sizes: 2 2 2", "encoding: raw", "space dimension: 3"]
    header += ["space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)", "", ""]
    (tmp_path / "a.nrrd").write_bytes("\n".join(header).encode() + bytes(8))
    with pytest.raises(InputError, match=r"must give its 'space' as .*, got no name"):
        open_volume(tmp_path / "a.nrrd")


def test_without_any_space_the_spacings_count_as_for_simpleitk(write):
    file = write(without=("space", "space directions", "space origin"), spacings=[1.5, 2, 3])
    wanted, _ = seen_by_itk(file)
    np.testing.assert_allclose(place(open_volume(file)), wanted)


def test_without_space_and_spacings_it_is_refused(write):
    with pytest.raises(InputError, match="must give the size of its voxels, got neither 'space directions' nor"):
        open_volume(write(without=("space", "space directions", "space origin")))


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("told_by", ["space directions", "kinds"])
def test_the_axis_of_the_channels_stands_anywhere_and_is_read_last(write, axis, told_by):
    channels = np.stack([VOXELS, VOXELS + 1], axis=axis)
    directions = np.insert(MATRIX.T, axis, np.nan, axis=0)
    kinds = ["domain"] * 3
    kinds.insert(axis, "vector" if told_by == "kinds" else "???")
    volume = open_volume(write(channels, space_directions=directions, kinds=kinds))
    assert (volume.shape, volume.channels) == ((5, 6, 7, 2), 2)
    np.testing.assert_array_equal(volume.read(), np.stack([VOXELS, VOXELS + 1], axis=-1))
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag([-1, -1, 1]) @ MATRIX)


def test_channels_before_the_axes_are_the_components_of_simpleitk(write):
    channels = np.stack([VOXELS, VOXELS + 1])
    file = write(channels, space_directions=np.insert(MATRIX.T, 0, np.nan, axis=0), kinds=["vector", *["domain"] * 3])
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(file))).transpose(2, 1, 0, 3)
    np.testing.assert_array_equal(open_volume(file).read(), read)


@pytest.mark.parametrize(
    ("shape", "kinds", "message"),
    [
        ((6, 5, 6, 7), ["3D-symmetric-matrix", *["domain"] * 3], "one real number a voxel, got the kind 3d-symm"),
        ((2, 5, 6, 7), ["complex", *["domain"] * 3], "one real number a voxel, got the kind complex"),
        ((2, 2, 5, 6, 7), ["list", "vector", *["domain"] * 3], "three axes in space and at most one of channels"),
        ((5, 6), ["domain"] * 2, "three axes in space"),
    ],
)
def test_what_is_no_volume_of_channels_is_refused(write, shape, kinds, message):
    directions = np.full((len(shape), 3), np.nan)
    directions[-3:] = MATRIX.T[: len(shape)]
    with pytest.raises(InputError, match=message):
        open_volume(write(np.zeros(shape, np.uint8), kinds=kinds, space_directions=directions[: len(shape)]))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_encoding_and_byte_order_gives_the_same_voxels(write, encoding, order):
    voxels = VOXELS.astype(f"{order}i2")
    np.testing.assert_array_equal(open_volume(write(voxels, encoding=encoding)).read(), VOXELS)


def test_a_detached_header_is_read_with_its_data_file(write, tmp_path):
    file = write(name="a.nhdr", encoding="raw")
    assert stored_files(file) == [file, tmp_path / "a.raw"]
    np.testing.assert_array_equal(open_volume(file).read(), seen_by_itk(file)[1])


def test_a_data_file_that_is_missing_or_one_of_several_is_refused(write, tmp_path):
    file = write(name="a.nhdr", encoding="raw")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match=r"names the data file .*a\.raw, which is not there"):
        open_volume(file)
    file.write_text(file.read_text().replace("data file: a.raw", "data file: a%02d.raw 1 7 1"))
    with pytest.raises(InputError, match=r"must have one data file, got the list 'a%02d\.raw 1 7 1'"):
        open_volume(file)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 10), ("m", 1000), ("um", 0.001)])
def test_units_of_the_space_become_mm(write, unit, factor):
    wanted = np.diag([-1, -1, 1, 1]) @ from_matvec(MATRIX * factor, ORIGIN * factor)
    np.testing.assert_allclose(open_volume(write(space_units=[unit] * 3)).affine, wanted)


def test_unknown_units_are_refused(write):
    with pytest.raises(InputError, match="must have 'space units' of mm, cm, m or um, got parsec"):
        open_volume(write(space_units=["parsec"] * 3))


def test_blocks_are_refused(tmp_path):
    (tmp_path / "a.nrrd").write_text(
        "NRRD0005\ntype: block\nblock size: 4\ndimension: 3\nsizes: 1 1 1\nencoding: raw\n"
    )
    with pytest.raises(InputError, match="must hold one real number a voxel, got the type block"):
        open_volume(tmp_path / "a.nrrd")


def test_a_damaged_checksum_is_noticed(write):
    file = write(encoding="gzip")
    content = bytearray(file.read_bytes())
    content[-6] ^= 0xFF  # the checksum stands before the length
    file.write_bytes(content)
    with pytest.raises(Exception, match="incorrect data check"):
        open_volume(file).read()


def test_a_mask_lies_on_its_image_for_simpleitk_and_is_known_as_ours_until_it_is_changed(write, tmp_path):
    image = open_volume(write(space="RAS"))
    mask = (VOXELS > 50).astype(np.uint8)
    image.write_mask(tmp_path / "mask.nrrd", mask, image.affine, image.metadata(), {})
    wanted, _ = seen_by_itk(image.file)
    found, voxels = seen_by_itk(tmp_path / "mask.nrrd")
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_array_equal(voxels, mask)
    assert nrrd.read_header(str(tmp_path / "mask.nrrd"))["space"] == "right-anterior-superior"
    assert image.is_own_mask(tmp_path / "mask.nrrd")
    content = tmp_path / "mask.nrrd"
    head, data = content.read_bytes().split(b"\n\n", 1)
    changed = bytearray(gzip.decompress(data))
    changed[0] = 3
    content.write_bytes(head + b"\n\n" + gzip.compress(changed))
    assert not image.is_own_mask(content)
    assert not image.is_own_mask(image.file)
