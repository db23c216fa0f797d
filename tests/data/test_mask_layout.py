from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_data import write_series
from monai.data import MetaTensor
from monai.transforms import SaveImage

from semicl_monai.data import MaskLayout, list_images, mask_subject
from semicl_monai.transforms import MaskWriter, NiftiWriter
from semicl_monai.utils import InputError


def image(file):
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), file)


def save(layout, **meta):
    """Save a mask as inference does, and return the names of the files there are."""
    mask = MetaTensor(torch.ones(1, 3, 4, 5), meta=meta)
    options = {"writer": NiftiWriter, "output_name_formatter": mask_subject, "print_log": False}
    SaveImage(folder_layout=layout, **options)(mask)
    return sorted(file.name for file in layout.output_dir.iterdir())


@pytest.mark.parametrize(("postfix", "name"), [("seg", "c00_seg.nii.gz"), ("", "c00.nii.gz"), (1, "c00_1.nii.gz")])
def test_a_mask_is_named_by_its_case(tmp_path, postfix, name):
    assert save(MaskLayout(tmp_path, postfix), case="c00", filename_or_obj="/x/c00_0000.nii.gz") == [name]


@pytest.mark.parametrize(
    ("file", "name"), [("/x/a.b.nii.gz", "a.b_seg.nii.gz"), ("/x/c00_0000.nii", "c00_0000_seg.nii.gz")]
)
def test_without_a_case_it_is_named_by_its_image(tmp_path, file, name):
    assert save(MaskLayout(tmp_path), filename_or_obj=file) == [name]


@pytest.mark.parametrize("postfix", ["../seg", "a/b"])
def test_a_postfix_is_a_part_of_a_name(postfix):
    with pytest.raises(InputError, match=f"output_postfix must be a part of a file name, got '{postfix}'"):
        MaskLayout("out", postfix)


@pytest.mark.parametrize(
    ("postfix", "names"),
    [("", ["a.nii.gz"]), ("seg", ["a.nii.gz", "a_seg.nii.gz"]), ("seg", ["a.nii", "a_seg.nii.gz"])],
)
def test_an_image_is_not_replaced_by_a_mask(tmp_path, postfix, names):
    for name in names:
        image(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"case a: the mask would replace .*, an image that is to be segmented; give"):
        MaskLayout(tmp_path / "link", postfix).check(list_images(tmp_path))


def test_masks_beside_their_images_are_fine(tmp_path):
    image(tmp_path / "a.nii.gz")
    image(tmp_path / "b_0000.nii.gz")
    MaskLayout(tmp_path).check(list_images(tmp_path))
    MaskLayout(tmp_path, "mask").check(list_images(tmp_path))


def test_what_inference_has_written_is_replaced_and_nothing_else(tmp_path):
    records, layout = [{"image": "/x/a_0000.nii.gz", "case": "a"}], MaskLayout(tmp_path, "")
    layout.check(records)
    save(layout, case="a")
    layout.check(records)
    own = tmp_path / "a.nii.gz"
    kept = own.rename(tmp_path / "kept.nii.gz")
    refused = (
        rf"^case a: the mask would replace {own}, a file that inference has not written; give another --output_dir"
    )
    image(own)  # a label of the user's
    with pytest.raises(InputError, match=refused):
        layout.check(records)
    own.write_text("notes")
    with pytest.raises(InputError, match=refused):
        layout.check(records)
    own.unlink()
    own.symlink_to(kept)
    with pytest.raises(InputError, match=refused):
        layout.check(records)


def test_a_mask_that_was_corrected_by_hand_is_not_replaced(tmp_path):
    save(MaskLayout(tmp_path), case="a")
    record, file = {"image": str(tmp_path / "a.nii.gz"), "case": "a"}, tmp_path / "a_seg.nii.gz"
    mask = nib.load(file)
    voxels = np.asarray(mask.dataobj).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, None, mask.header), file)  # saved again, and the same
    MaskLayout(tmp_path).check([record])
    voxels[0, 0, 0] = 0
    nib.save(nib.Nifti1Image(voxels, None, mask.header), file)
    with pytest.raises(InputError, match=r"a_seg\.nii\.gz, a file that inference has not written"):
        MaskLayout(tmp_path).check([record])


@pytest.mark.parametrize(
    ("file", "name"),
    [("/x/a.nrrd", "a_seg.nrrd"), ("/x/a.nhdr", "a_seg.nrrd"), ("/x/a.mhd", "a_seg.mha"), ("/x/a.dcm", "a_seg.dcm")],
)
def test_a_mask_has_the_ending_of_the_format_of_its_image(file, name):
    layout = MaskLayout("out")
    assert layout.filename(**mask_subject({"filename_or_obj": file}, None)) == layout.output_dir / name


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_in_every_format_only_unchanged_masks_of_ours_are_replaced(tmp_path, suffix):
    (tmp_path / "images").mkdir()
    image, layout = sitk.GetImageFromArray(np.ones((5, 4, 3), np.float32)), MaskLayout(tmp_path / "masks", "")
    sitk.WriteImage(image, str(tmp_path / f"images/a{suffix}"))
    record = {"image": str(tmp_path / f"images/a{suffix}"), "case": "a"}
    mask = MetaTensor(torch.ones(1, 3, 4, 5), meta={"case": "a", "filename_or_obj": record["image"]})
    options = {"writer": MaskWriter, "output_name_formatter": mask_subject, "print_log": False}
    for _ in range(2):
        layout.check([record])
        SaveImage(folder_layout=layout, **options)(mask)
    file = tmp_path / f"masks/a{suffix}"
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    sitk.WriteImage(sitk.ReadImage(str(file)) + 1, str(file))
    with pytest.raises(InputError, match=rf"replace .*a\{suffix}, a file that inference has not written"):
        layout.check([record])
    with pytest.raises(InputError, match="an image that is to be segmented"):
        MaskLayout(tmp_path / "images", "").check([record])


def test_a_file_of_a_series_is_not_replaced_by_a_mask(tmp_path):
    series = write_series(tmp_path / "a", np.ones((3, 4, 5), int), np.eye(4))
    (series / "IM000.dcm").rename(series / "ct.dcm")
    with pytest.raises(
        InputError, match=r"case ct: the mask would replace .*ct\.dcm, an image that is to be segmented"
    ):
        MaskLayout(series, "").check([{"image": str(series), "case": "ct"}])
