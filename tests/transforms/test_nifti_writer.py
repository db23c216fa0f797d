from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, SaveImage

from semicl_monai.transforms import InvertArgmaxd, LoadCased, NiftiWriter, SafeSpacingd
from semicl_monai.utils import InputError
from semicl_monai.utils.nifti import mask_description

TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
SFORM = nib.affines.from_matvec(TURN * [0.9, 1.1, 1.4], [-12, 7, 33])
QFORM = nib.affines.from_matvec(np.array([[0, 0, -1.4], [-0.9, 0, 0], [0, 1.1, 0]]), [5, -4, 3])
SPACE = ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d")
FIELDS = (*SPACE, "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units")


@pytest.fixture
def save(tmp_path):
    """Write an image whose header tells its space as asked for, and return its file."""

    def write(sform_code=1, qform_code=1, unit="mm", shape=(9, 10, 7), nifti=nib.Nifti1Image, **fields):
        factor = {"micron": 1000, "meter": 0.001}.get(unit, 1)
        header = nifti.header_class()
        header.set_data_dtype(np.float32)
        header.set_qform(np.diag([factor, factor, factor, 1]) @ QFORM, code=1)
        header.set_sform(np.diag([factor, factor, factor, 1]) @ SFORM, code=1)
        header.set_xyzt_units(unit, "sec")
        for field, value in {"sform_code": sform_code, "qform_code": qform_code, **fields}.items():
            header[field] = value
        voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        nib.save(nifti(voxels, None, header), tmp_path / "a.nii.gz")
        return tmp_path / "a.nii.gz"

    return write


def segment(file, folder, in_channels=1):
    """Prepare an image, answer voxels above 0, undo that and save the mask; return image and mask."""
    preprocessing = Compose(
        [
            LoadCased("image", num_classes=2, in_channels=in_channels),
            Orientationd("image", axcodes="RAS", labels=None),
            SafeSpacingd("image", pixdim=(0.7, 0.8, 0.9)),
        ]
    )
    sample = preprocessing({"image": str(file)})
    sample["pred"] = torch.cat([-sample["image"][:1], sample["image"][:1]])
    mask = InvertArgmaxd("pred", preprocessing)(sample)["pred"]
    SaveImage(folder, writer=NiftiWriter, output_dtype=np.uint8, separate_folder=False, print_log=False)(mask)
    return nib.load(file), nib.load(folder / f"{file.name.removesuffix('.nii.gz')}_trans.nii.gz")


@pytest.mark.parametrize("nifti", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    ("sform_code", "qform_code", "unit"),
    [
        *((1, 1, "mm"), (2, 0, "mm"), (0, 3, "mm"), (0, 0, "mm"), (4, 1, "unknown")),
        *((1, 1, "micron"), (0, 1, "micron"), (1, 0, "meter"), (0, 0, "micron")),
    ],
)
def test_a_mask_tells_its_space_as_its_image_does(save, tmp_path, sform_code, qform_code, unit, nifti):
    image, mask = segment(save(sform_code, qform_code, unit, nifti=nifti), tmp_path / "out")
    for field in FIELDS:
        np.testing.assert_allclose(mask.header[field], image.header[field], rtol=1e-6)
    np.testing.assert_array_equal(mask.header["pixdim"][:4], np.float32(image.header["pixdim"][:4]))
    assert mask.shape == image.shape
    assert mask.get_data_dtype() == np.uint8
    assert (mask.dataobj.slope, mask.dataobj.inter) == (1, 0)
    assert mask.header["descrip"].item() == mask_description(np.asarray(mask.dataobj))
    right = (np.asarray(mask.dataobj) == (np.asarray(image.dataobj) > 0)).mean()
    assert right > 0.6  # interpolation of noise moves some


def test_a_qform_that_is_none_is_kept_as_it_is(save, tmp_path):
    image, mask = segment(save(quatern_b=1, quatern_c=1), tmp_path / "out")
    for field in FIELDS:
        np.testing.assert_array_equal(mask.header[field], image.header[field])


@pytest.mark.parametrize("shape", [(9, 10, 1), (1, 10, 9), (9, 10, 7, 1), (9, 10, 7, 2)])
def test_a_mask_has_three_axes_as_its_image(save, tmp_path, shape):
    _, mask = segment(save(shape=shape), tmp_path / "out", in_channels=1 if len(shape) == 3 else shape[3])
    assert mask.shape == shape[:3]


def test_an_axis_too_long_for_the_first_version_of_nifti_is_written(save, tmp_path):
    sample = LoadCased("image", num_classes=2)({"image": str(save(2, 0, shape=(40_000, 2, 1), nifti=nib.Nifti2Image))})
    image = sample["image"]
    for folder, volume in (("of_file", image), ("bare", MetaTensor(image.as_tensor(), affine=image.affine))):
        SaveImage(tmp_path / folder, writer=NiftiWriter, output_dtype=np.int16, separate_folder=False, print_log=False)(
            volume
        )
        mask = nib.load(next((tmp_path / folder).iterdir()))
        assert (mask.shape, mask.get_data_dtype()) == ((40_000, 2, 1), np.int16)
        np.testing.assert_allclose(mask.affine, SFORM, atol=1e-5)
    assert nib.load(next((tmp_path / "of_file").iterdir())).header["qform_code"] == 0


def test_in_another_grid_both_forms_are_that_of_the_data(save, tmp_path):
    sample = LoadCased("image", num_classes=2)({"image": str(save())})
    smaller = SafeSpacingd("image", pixdim=(2, 2, 2))(sample)["image"]
    SaveImage(tmp_path / "out", writer=NiftiWriter, separate_folder=False, print_log=False)(smaller)
    saved = nib.load(tmp_path / "out/a_trans.nii.gz")
    assert saved.shape == tuple(smaller.shape[1:])
    for form, code in (saved.get_sform(coded=True), saved.get_qform(coded=True)):
        np.testing.assert_allclose(form, smaller.affine, atol=1e-4)
        assert code == 1


def test_data_without_a_file_are_saved(tmp_path):
    volume = MetaTensor(torch.rand(1, 3, 4, 5), affine=torch.as_tensor(SFORM))
    SaveImage(tmp_path, output_ext=".nii", writer=NiftiWriter, separate_folder=False, print_log=False)(volume)
    np.testing.assert_allclose(nib.load(tmp_path / "0_trans.nii").affine, SFORM, atol=1e-5)


def test_a_mask_that_cannot_be_written_is_one_line(tmp_path):
    writer = NiftiWriter(output_dtype=np.uint8)
    writer.set_data_array(torch.zeros(1, 3, 4, 5))
    writer.set_metadata({"affine": SFORM})
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"^cannot write .*taken/a\.nii\.gz: .*; give a writable --output_dir\.$"):
        writer.write(tmp_path / "taken" / "a.nii.gz")
