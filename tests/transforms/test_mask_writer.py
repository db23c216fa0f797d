from __future__ import annotations

from functools import partial

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_data import write_series
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, SaveImage
from nibabel.affines import from_matvec

from semicl_monai.data import MaskLayout, mask_subject
from semicl_monai.transforms import InvertArgmaxd, LoadCased, MaskWriter, SafeSpacingd
from semicl_monai.utils.formats import open_volume

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURN *= np.sign(np.linalg.det(TURN))
AFFINE = np.diag([-1, -1, 1, 1]) @ from_matvec(TURN * [0.9, 1.1, 2.5], [-12.0, 7, 33])
VOXELS = np.random.default_rng(0).integers(-99, 99, (9, 10, 7))


def write(folder, name):
    """Write an oblique image in the format of a name, and return its path."""
    in_lps = np.diag([-1, -1, 1, 1]) @ AFFINE
    header = {"space": "LPS", "space directions": in_lps[:3, :3].T, "space origin": in_lps[:3, 3]}
    if name == "a":
        return write_series(folder / name, VOXELS, AFFINE)
    if name.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(VOXELS.astype(np.float32), AFFINE), folder / name)
        return folder / name
    nrrd.write(str(folder / "image.nrrd"), VOXELS.astype(np.float32), header)
    sitk.WriteImage(sitk.ReadImage(str(folder / "image.nrrd")), str(folder / name))
    return folder / name


def save(mask, folder, class_names, output_dtype=np.uint8, **options):
    layout, writer = MaskLayout(folder), partial(MaskWriter, class_names=class_names, **options)
    how = {"output_name_formatter": mask_subject, "output_dtype": output_dtype, "print_log": False}
    SaveImage(folder_layout=layout, writer=writer, **how)(mask)
    return layout.filename(**mask_subject(mask.meta, None))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a"])
def test_the_mask_of_a_resampled_image_lies_on_the_image(tmp_path, name):
    steps = [
        LoadCased("image", num_classes=2),
        Orientationd("image", "RAS", labels=None),
        SafeSpacingd("image", (1, 1, 1.5)),
    ]
    preprocessing = Compose(steps)
    sample = preprocessing({"image": str(write(tmp_path, name)), "case": "a"})
    sample["pred"] = MetaTensor(np.concatenate([-sample["image"], sample["image"]]), meta=sample["image"].meta)
    mask = InvertArgmaxd("pred", preprocessing)(sample)["pred"]
    file = save(mask, tmp_path / "masks", class_names=["bright"])
    assert 0 < mask.float().mean() < 1
    found = open_volume(file)
    image = open_volume(tmp_path / name)
    voxels = found.read()
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-4)
    np.testing.assert_array_equal(voxels, mask[0])
    assert image.is_own_mask(file)


def test_the_values_of_the_labels_are_segments_of_their_classes(tmp_path):
    series = write(tmp_path, "a")
    image = LoadCased("image", num_classes=3)({"image": str(series), "case": "a"})["image"]
    classes = np.random.default_rng(2).integers(0, 3, VOXELS.shape)
    mask = MetaTensor(np.array([0, 500, 420])[classes][None], meta=image.meta)
    file = save(mask, tmp_path / "masks", class_names=["low", "high"], values=[500, 420], output_dtype=np.uint16)
    content = pydicom.dcmread(file)
    assert [each.SegmentLabel for each in content.SegmentSequence] == ["low", "high"]
    np.testing.assert_array_equal(open_volume(file).read(), classes)
