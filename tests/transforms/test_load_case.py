from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, SaveImage, Spacingd

from semicl_monai.transforms.load_case import LoadCased
from semicl_monai.utils import InputError

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


@pytest.fixture
def sample(tmp_path):
    """A good case of 6 x 7 x 8 voxels with the classes 0, 1 and 2."""
    rng = np.random.default_rng(0)
    image, label = rng.normal(size=(6, 7, 8)), rng.integers(0, 3, (6, 7, 8))
    return {"image": save(tmp_path / "a.nii.gz", image), "label": save(tmp_path / "a_label.nii.gz", label), "case": "a"}


def save(file, volume, affine=AFFINE, dtype=np.float32):
    nib.save(nib.Nifti1Image(np.asarray(volume, dtype), affine), file)
    return str(file)


def load(sample, **options):
    return LoadCased(**{"keys": ("image", "label"), "num_classes": 3, **options})(sample)


def refuse(sample, *words, **options):
    """Expect a refusal of one line that has all the words."""
    with pytest.raises(InputError) as raised:
        load(sample, **options)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_good_case_is_channel_first_float32_with_its_metadata_under_the_same_keys(sample):
    loaded = load(sample)
    assert set(loaded) == set(sample)
    for key in ("image", "label"):
        assert isinstance(loaded[key], MetaTensor)
        assert (loaded[key].shape, loaded[key].dtype) == ((1, 6, 7, 8), torch.float32)
        assert loaded[key].meta["filename_or_obj"] == sample[key]
        np.testing.assert_array_equal(loaded[key].affine, AFFINE)
        np.testing.assert_array_equal(loaded[key][0], np.asarray(nib.load(sample[key]).dataobj))


def test_what_follows_can_be_inverted_and_saved_where_the_image_lay(sample, tmp_path):
    resample = Spacingd("image", pixdim=(1, 1, 1))
    back = resample.inverse(resample(load(sample)))["image"]
    SaveImage(output_dir=tmp_path / "out", separate_folder=False, print_log=False)(back)
    saved = nib.load(tmp_path / "out" / "a_trans.nii.gz")
    assert saved.shape == (6, 7, 8)
    np.testing.assert_allclose(saved.affine, AFFINE)


def test_an_unlabelled_case_needs_no_label(sample):
    del sample["label"]
    assert load(sample, keys="image")["image"].shape == (1, 6, 7, 8)


def test_a_sample_without_a_label_passes_where_missing_keys_are_allowed(sample):
    assert set(load({"image": sample["image"]}, allow_missing_keys=True)) == {"image"}
    save(sample["label"], np.full((6, 7, 8), 9))
    refuse(sample, "whole numbers from 0 to 2", allow_missing_keys=True)


def test_without_the_label_key_the_label_is_not_opened(sample):
    sample["label"] = "/nowhere/label.nii.gz"
    assert load(sample, keys="image")["label"] == "/nowhere/label.nii.gz"


def test_other_keys_can_be_named(sample):
    renamed = {"scan": sample["image"], "mask": sample["label"]}
    assert set(load(renamed, keys=("scan", "mask"), image_key="scan", label_key="mask")) == {"scan", "mask"}
    save(renamed["mask"], np.full((6, 7, 8), 9))
    refuse(renamed, "case a_label: mask file", keys=("scan", "mask"), image_key="scan", label_key="mask")


def test_a_4d_file_has_its_channels_last_on_disk_and_first_in_the_sample(sample):
    volume = np.random.default_rng(0).normal(size=(6, 7, 8, 2)).astype(np.float32)
    save(sample["image"], volume)
    image = load(sample, in_channels=2)["image"]
    assert image.shape == (2, 6, 7, 8)
    np.testing.assert_array_equal(image[1], volume[..., 1])


def test_it_builds_from_a_config(sample):
    config = {"load": {"_target_": "semicl_monai.transforms.load_case.LoadCased", "keys": ["image"], "num_classes": 3}}
    assert ConfigParser(config).get_parsed_content("load")(sample)["image"].shape == (1, 6, 7, 8)


def test_inside_compose_the_refusal_is_the_cause(sample):
    save(sample["image"], np.ones((6, 7, 8)))
    with pytest.raises(RuntimeError) as raised:
        Compose([LoadCased("image", num_classes=3)])(sample)
    assert isinstance(raised.value.__cause__, InputError)


def test_a_missing_file_is_refused(sample):
    refuse(sample | {"label": "/nowhere/x.nii.gz"}, "case a: label file /nowhere/x.nii.gz is not there")


def test_another_file_type_is_refused(sample, tmp_path):
    (tmp_path / "a.png").touch()
    refuse(sample | {"image": str(tmp_path / "a.png")}, "case a: image file", "a.png must be NIfTI")


@pytest.mark.parametrize("num_bytes", [0, 10, 300])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(sample, tmp_path, num_bytes, suffix):
    whole = tmp_path / f"b{suffix}"
    save(whole, np.random.default_rng(0).normal(size=(6, 7, 8)))
    whole.write_bytes(whole.read_bytes()[:num_bytes])
    refuse(sample | {"image": str(whole)}, f"case a: image file {whole} cannot be read as NIfTI")


def test_a_file_that_only_says_it_is_nifti_is_refused(sample, tmp_path):
    (tmp_path / "b.nii.gz").write_text("<html>not found</html>" * 50)
    refuse(sample | {"label": str(tmp_path / "b.nii.gz")}, "case a: label file", "cannot be read as NIfTI")


@pytest.mark.parametrize(
    ("shape", "in_channels", "got"),
    [
        ((6, 7), 1, "(1, 6, 7)"),
        ((6, 7, 8, 2), 1, "(2, 6, 7, 8)"),
        ((6, 7, 8), 2, "(1, 6, 7, 8)"),
        ((6, 7, 8, 1, 3), 3, "(3, 6, 7, 8, 1)"),
    ],
)
def test_an_image_that_is_not_3d_with_the_channels_wanted_is_refused(sample, shape, in_channels, got):
    save(sample["image"], np.random.default_rng(0).normal(size=shape))
    refuse(sample, sample["image"], f"3-D with {in_channels} channel(s)", got, in_channels=in_channels)


def test_voxels_that_are_not_finite_are_counted(sample):
    volume = np.random.default_rng(0).normal(size=(6, 7, 8))
    volume[0, 0, :3] = np.nan, np.inf, -np.inf
    save(sample["image"], volume)
    refuse(sample, "case a", sample["image"], "NaN or infinity in 3 voxel(s)")


def test_a_constant_image_is_refused(sample):
    save(sample["image"], np.full((6, 7, 8), 5.0))
    refuse(sample, sample["image"], "must not be constant, got 5 in every voxel")


def test_a_label_of_another_shape_is_refused(sample):
    save(sample["label"], np.zeros((6, 7, 9)))
    refuse(sample, "case a", sample["label"], sample["image"], "must have its shape (6, 7, 8), got (6, 7, 9)")


@pytest.mark.parametrize("shift", [0.01, -2.0])
def test_a_label_of_another_affine_is_refused(sample, shift):
    affine = AFFINE.copy()
    affine[1, 3] += shift
    save(sample["label"], np.zeros((6, 7, 8)), affine)
    refuse(sample, sample["label"], "must have its affine to within 0.001", f"difference of {abs(shift):g}")


def test_an_affine_that_differs_by_rounding_is_accepted(sample):
    affine = AFFINE.copy()
    affine[:3, 3] += 5e-4
    save(sample["label"], np.zeros((6, 7, 8)), affine)
    assert load(sample)["label"].shape == (1, 6, 7, 8)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([3], "got 3 in 1 voxel(s)"),
        ([-1, 7, 7], "got -1, 7 in 3 voxel(s)"),
        ([0.5], "got 0.5 in 1 voxel(s)"),
        ([np.nan], "got nan in 1 voxel(s)"),
        ([3, 4, 5, 6, 7, 8], "got 3, 4, 5, 6, 7, ... in 6 voxel(s)"),
    ],
)
def test_label_values_that_are_no_class_are_shown(sample, values, shown):
    volume = np.zeros((6, 7, 8))
    volume[0, 0, : len(values)] = values
    save(sample["label"], volume)
    refuse(sample, "case a: label file", sample["label"], "whole numbers from 0 to 2", shown)


def test_a_label_with_channels_is_refused(sample):
    save(sample["label"], np.zeros((6, 7, 8, 3)))
    refuse(sample, sample["label"], "must be 3-D with one channel, got the channel-first shape (3, 6, 7, 8)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": ("image", "mask")}, "keys must be 'image' or 'label', got 'mask'"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(sample, options, message):
    refuse(sample, message, **options)
