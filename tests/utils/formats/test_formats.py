from __future__ import annotations

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_data import write_series

from semicl_monai.utils import InputError
from semicl_monai.utils.formats import format_of, mask_suffix, open_volume, stored_files, without_suffix
from semicl_monai.utils.formats.dicom_labels import DicomSegmentation
from semicl_monai.utils.formats.nifti_volume import NiftiVolume

VOXELS = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
LPS = np.diag([-1.0, -1, 1, 1])


def write(folder, name):
    """Write the voxels in the format of a name, on the same grid, and return the path."""
    file = folder / name
    if name.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(VOXELS, LPS), file)
    elif name.endswith((".nrrd", ".nhdr")):
        nrrd.write(str(file), VOXELS, {"space": "LPS", "space directions": np.eye(3), "space origin": np.zeros(3)})
    elif name.endswith((".mha", ".mhd")):
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(VOXELS.T)), str(file))
    else:
        write_series(file, VOXELS, LPS)
    return file


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "series"])
def test_every_format_gives_the_same_volume(tmp_path, name):
    volume = open_volume(write(tmp_path, name))
    assert volume.space.shape == (3, 4, 5)
    assert volume.channels == 1
    np.testing.assert_allclose(volume.affine, LPS, atol=1e-6)
    np.testing.assert_array_equal(volume.read(), VOXELS)
    assert volume.segments is None
    assert not volume.is_own_mask(stored_files(volume.file)[0])


@pytest.mark.parametrize(
    ("name", "stem", "mask"),
    [
        ("x/a.b.nii", "x/a.b", ".nii.gz"),
        ("a.seg.nrrd", "a", ".nrrd"),
        ("a.nhdr", "a", ".nrrd"),
        ("a.mhd", "a", ".mha"),
        ("a.dcm", "a", ".dcm"),
        ("a.png", "a.png", ".nii.gz"),
    ],
)
def test_a_name_tells_the_format(name, stem, mask):
    assert without_suffix(name) == stem
    assert mask_suffix(name) == mask


def test_a_folder_and_a_file_that_begins_so_are_dicom(tmp_path):
    write(tmp_path, "series")
    (tmp_path / "series/IM000.dcm").rename(tmp_path / "series/IM000")
    (tmp_path / "notes").write_text("")
    assert {format_of(tmp_path / name).format for name in ("series", "series/IM000", "series/IM001.dcm")} == {"DICOM"}
    assert format_of(tmp_path / "notes") is None


def test_what_is_missing_or_of_no_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^is not there\.$"):
        open_volume(tmp_path / "a.nrrd")
    (tmp_path / "a.NRRD").write_text("")
    with pytest.raises(InputError, match=r"must be NIfTI .* NRRD .* MetaImage .* in small letters, or a DICOM series"):
        open_volume(tmp_path / "a.NRRD")


def test_the_files_of_broken_and_missing_volumes_are_themselves(tmp_path):
    for name in ("a.nhdr", "b.mhd", "c.dcm", "d.nii.gz"):
        (tmp_path / name).write_text("broken")
        assert stored_files(tmp_path / name) == [tmp_path / name]
    assert stored_files(tmp_path / "none.mhd") == [tmp_path / "none.mhd"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes").write_text("")
    assert stored_files(tmp_path / "folder") == [tmp_path / "folder/notes"]


def test_a_format_without_masks_says_so_and_has_no_mask_of_ours(tmp_path):
    with pytest.raises(InputError, match=r"no mask can be written as NIfTI to .*a\.nii\.gz"):
        NiftiVolume.write_mask(tmp_path / "a.nii.gz", np.zeros((2, 2, 2)), np.eye(4), {}, {})
    assert DicomSegmentation.is_own_mask(tmp_path / "a.dcm") is False
