from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, SaveImage, SaveImaged, Spacingd

from semicl_monai.transforms import SafeSpacingd
from semicl_monai.transforms.load_case import LoadCased
from semicl_monai.utils import InputError

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
VALUES = [500, 600, 420]


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
    refuse(sample, "case a", sample["label"], sample["image"], "must have the same shape (6, 7, 8), got (6, 7, 9)")


@pytest.mark.parametrize("shift", [0.01, -2.0])
def test_a_label_of_another_affine_is_refused(sample, shift):
    affine = AFFINE.copy()
    affine[1, 3] += shift
    save(sample["label"], np.zeros((6, 7, 8)), affine)
    refuse(sample, sample["label"], "must have the same affine to within 0.001", f"difference of {abs(shift):g}")


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
        ({"label_values": VALUES}, "label_values must be 2 numbers, one per foreground class, got 3"),
        ({"label_values": [500, 500]}, "label_values must differ from each other and from 0, got [500, 500]"),
        ({"label_values": [500, 0]}, "label_values must differ from each other and from 0, got [500, 0]"),
        ({"label_values": [2, 500]}, "label_values from 1 to 2 must equal their class, got 2 for class 1"),
        ({"label_values": ["a", 500]}, "label_values must be whole numbers, got 'a'"),
        ({"label_values": [500.5, 600]}, "label_values must be whole numbers, got 500.5"),
        ({"stray_values": {"b": 1}}, "stray_values must be whole numbers, got 'b'"),
        ({"stray_values": {9: None}}, "stray_values must be whole numbers, got None"),
        ({"stray_values": {2: 1}}, "stray_values must not be values of a class, got 2"),
        ({"stray_values": {9: 3}}, "stray_values must stand for 0 or the value of a class, got 3 for 9"),
        (
            {"label_values": [500, 600], "stray_values": {"500": 600}},
            "stray_values must not be values of a class, got 500",
        ),
        (
            {"label_values": [500, 600], "stray_values": {"421": 1}},
            "stray_values must stand for 0 or the value of a class, got 1 for 421",
        ),
    ],
)
def test_options_out_of_range_are_refused(sample, options, message):
    refuse(sample, message, **options)


@pytest.fixture
def numbers():
    """The class of every voxel, 0 to 3."""
    return np.random.default_rng(1).integers(0, 4, (6, 7, 8))


def valued(sample, numbers):
    """Write the label with the data set's own values."""
    values = np.array([0, *VALUES])[numbers]
    save(sample["label"], values, dtype=np.int16)
    return values


def load_valued(sample, **options):
    return load(sample, **{"num_classes": 4, "label_values": VALUES, **options})["label"]


def refuse_valued(sample, *words, **options):
    refuse(sample, *words, **{"num_classes": 4, "label_values": VALUES, **options})


def test_the_values_of_a_label_file_become_class_numbers(sample, numbers):
    valued(sample, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        label = load_valued(sample, stray_values={"421": 420})
    assert isinstance(label, MetaTensor)
    assert (label.shape, label.dtype, label.meta["filename_or_obj"]) == ((1, 6, 7, 8), torch.float32, sample["label"])
    np.testing.assert_array_equal(label[0], numbers)


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 3], [0], [2]])
def test_a_file_of_class_numbers_is_taken_as_it_is(sample, numbers, classes):
    numbers = np.resize(classes, numbers.shape)
    save(sample["label"], numbers)
    np.testing.assert_array_equal(load_valued(sample)[0], numbers)


def test_values_that_are_class_numbers_may_stand_in_their_place(sample, numbers):
    save(sample["label"], np.array([0, 1, 2, 4])[numbers])
    np.testing.assert_array_equal(load_valued(sample, label_values=[1, 2, 4])[0], numbers)


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ([3, 3], "got 3 in 2 voxel(s)"),
        ([1, 2, 3], "got 1, 2, 3 in 3 voxel(s)"),
        ([421], "got 421 in 1 voxel(s)"),
        ([-500], "got -500 in 1 voxel(s)"),
        ([500.5, np.nan], "got 500.5, nan in 2 voxel(s)"),
    ],
)
def test_other_values_and_both_kinds_in_a_file_are_refused(sample, numbers, wrong, shown):
    volume = valued(sample, numbers).astype(float)
    volume[0, 0, : len(wrong)] = wrong
    save(sample["label"], volume)
    wanted = "must hold 0, 420, 500, 600 or only whole numbers from 0 to 3"
    refuse_valued(sample, "case a: label file", sample["label"], wanted, shown)


def test_of_many_values_some_are_shown(sample):
    save(sample["label"], np.full((6, 7, 8), 421))
    values = [500, 600, 420, 550, 205, 820, 850]
    refuse(sample, "must hold 0, 205, 420, 500, 550, ... or only", num_classes=8, label_values=values)


@pytest.mark.parametrize("stray_values", [{"421": 420, "7": 0}, {421: "420", 7: 0}])
def test_a_known_stray_value_is_replaced_with_a_warning(sample, numbers, stray_values):
    volume = valued(sample, numbers)
    volume[0, 0, :3], volume[5, 5, 5] = 421, 7
    save(sample["label"], volume)
    numbers[0, 0, :3], numbers[5, 5, 5] = 3, 0
    with pytest.warns(UserWarning, match="read as") as warned:
        label = load_valued(sample, stray_values=stray_values)
    np.testing.assert_array_equal(label[0], numbers)
    where = f"case a: label file {sample['label']} holds"
    assert [str(warning.message) for warning in warned] == [
        f"{where} 421 in 3 voxel(s), read as 420.",
        f"{where} 7 in 1 voxel(s), read as 0.",
    ]


def test_class_numbers_can_have_stray_values_too(sample):
    volume = np.ones((6, 7, 8))
    volume[0, 0, 0] = 9
    save(sample["label"], volume)
    with pytest.warns(UserWarning, match=r"holds 9 in 1 voxel\(s\), read as 1"):
        assert load(sample, stray_values={"9": 1})["label"].eq(1).all()


def test_values_come_from_a_config(sample, numbers):
    valued(sample, numbers)
    config = {
        "load": {
            "_target_": "semicl_monai.transforms.LoadCased",
            "keys": ["image", "label"],
            "num_classes": 4,
            "label_values": VALUES,
            "stray_values": {"421": 420},
        }
    }
    np.testing.assert_array_equal(ConfigParser(config).get_parsed_content("load")(sample)["label"][0], numbers)


@pytest.fixture
def channels(tmp_path):
    """A case whose two channels lie in two files."""
    volumes = np.random.default_rng(2).random((2, 6, 7, 8), dtype=np.float32)
    return {"image": [save(tmp_path / f"b_000{index}.nii.gz", volume) for index, volume in enumerate(volumes)]}, volumes


def load_channels(sample, **options):
    return load(sample, **{"keys": "image", "in_channels": 2, **options})["image"]


def refuse_channels(sample, *words, **options):
    refuse(sample, *words, **{"keys": "image", "in_channels": 2, **options})


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_files_is_one_a_channel_with_the_metadata_of_the_first(channels, kind):
    sample, volumes = channels
    image = load_channels({"image": kind(sample["image"])})
    assert isinstance(image, MetaTensor)
    assert (image.shape, image.dtype) == ((2, 6, 7, 8), torch.float32)
    assert image.meta["filename_or_obj"] == sample["image"][0]
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(image, volumes)


def test_one_file_may_be_a_list_and_may_have_a_label(sample):
    loaded = load(sample | {"image": [sample["image"]], "label": [sample["label"]]})
    for key in ("image", "label"):
        assert torch.equal(loaded[key], load(sample)[key])


PERMUTED = nib.affines.from_matvec(np.array([[0, 0, -1.7], [-0.8, 0, 0], [0, 1.1, 0]]), [5, -4, 3])


@pytest.mark.parametrize("in_one_file", [False, True])
@pytest.mark.parametrize("affine", [AFFINE, PERMUTED], ids=["diagonal", "permuted"])
def test_channels_can_be_prepared_and_a_prediction_inverted_and_saved(channels, tmp_path, affine, in_one_file):
    sample, volumes = channels
    for file, volume in zip(sample["image"], volumes, strict=True):
        save(file, volume, affine)
    if in_one_file:
        sample = {"image": save(sample["image"][0], np.moveaxis(volumes, 0, -1), affine)}
    preprocessing = Compose(
        [
            LoadCased("image", num_classes=3, in_channels=2),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(1.5, 1.5, 1.5)),
        ]
    )
    prepared = preprocessing(sample)
    prepared["pred"] = prepared["image"][:1].clone()
    inverted = Invertd("pred", preprocessing, "image", nearest_interp=False)(prepared)
    SaveImaged("pred", output_dir=tmp_path, output_postfix="seg", separate_folder=False, print_log=False)(inverted)
    saved = nib.load(tmp_path / "b_0000_seg.nii.gz")
    assert saved.shape == (6, 7, 8)
    np.testing.assert_allclose(saved.affine, affine, atol=1e-5)


@pytest.mark.parametrize(("count", "in_channels"), [(2, 1), (2, 3), (0, 1)])
def test_another_number_of_files_than_channels_is_refused(channels, count, in_channels):
    sample = {"image": channels[0]["image"][:count], "case": "b"}
    wanted = f"must be {in_channels} file(s), one per channel, got {count}"
    refuse_channels(sample, "case b: image file", wanted, in_channels=in_channels)


def test_one_file_of_several_channels_may_be_a_list(channels, tmp_path):
    sample, volumes = channels
    file = save(tmp_path / "c.nii.gz", np.moveaxis(volumes, 0, -1))
    np.testing.assert_array_equal(load_channels({"image": [file]}), volumes)
    one = sample["image"][:1]
    refuse_channels({"image": one, "case": "b"}, "case b: image file", "3-D with 2 channel(s), got the channel-first")


def test_a_label_of_two_files_is_refused(sample):
    refuse(sample | {"label": [sample["label"]] * 2}, "case a: label file", "must be 1 file(s)", "got 2")


def test_the_file_that_cannot_be_used_is_named(channels, tmp_path):
    sample, volumes = channels
    first, second = sample["image"]
    refuse_channels({"image": [first, "/nowhere/c.nii"]}, "case b_0000: image file /nowhere/c.nii is not there")
    save(second, volumes[1, :, :, :5])
    refuse_channels(sample, f"image file {second} beside {first}", "the same shape (6, 7, 8), got (6, 7, 5)")
    save(second, volumes[1], AFFINE + 0.01 * np.eye(4)[:, [3, 0, 1, 2]])
    refuse_channels(sample, f"image file {second} beside {first}", "the same affine to within 0.001")
    save(second, np.moveaxis(volumes, 0, -1))
    refuse_channels(sample, f"case b_0000: image file {second} must be 3-D with one channel, got", "(2, 6, 7, 8)")


def test_every_channel_is_held_against_the_label(channels, sample):
    save(sample["label"], np.zeros((6, 7, 9)))
    both = {"image": channels[0]["image"], "label": sample["label"]}
    refuse_channels(both, f"label file {sample['label']} of {both['image'][0]}", keys=("image", "label"))


def oblique(rng):
    """A random rotation, spacing and origin."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return nib.affines.from_matvec(turn * rng.uniform(0.4, 3, 3), rng.uniform(-200, 200, 3))


def test_an_image_and_a_label_that_lie_together_are_resampled_to_one_grid(sample):
    rng, apart = np.random.default_rng(0), 0
    prepare = [
        Orientationd(("image", "label"), axcodes="RAS", labels=None),
        SafeSpacingd(("image", "label"), pixdim=(1.5, 1.25, 2.0), mode=("bilinear", "nearest"), dtype=torch.float32),
    ]
    for _ in range(60):
        affine = oblique(rng)
        resaved = affine + rng.uniform(-2e-7, 2e-7, (4, 4)) * [[1], [1], [1], [0]]
        image = save(sample["image"], np.random.default_rng(1).normal(size=(6, 7, 8)), affine)
        save(sample["label"], np.zeros((6, 7, 8)), affine)
        with_affine(sample["label"], resaved)
        loaded = load(sample)
        assert torch.equal(loaded["label"].affine, loaded["image"].affine)
        np.testing.assert_array_equal(loaded["image"].affine, nib.load(image).affine)
        result = Compose(prepare)(loaded)
        assert result["image"].shape == result["label"].shape
        assert torch.equal(result["image"].affine, result["label"].affine)
        apart += bool(np.any(nib.load(sample["label"]).affine != nib.load(image).affine))
    assert apart > 50  # the files do differ


def with_affine(file, affine):
    """Write another sform into a file, as another program has computed it."""
    volume = nib.load(file)
    voxels, header = np.asarray(volume.dataobj), volume.header
    header.set_sform(affine, code=1)
    nib.save(nib.Nifti1Image(voxels, None, header), file)


def test_the_channels_of_an_image_have_the_affine_of_the_first(channels):
    sample, _ = channels
    affine = AFFINE.copy()
    affine[:3, 3] += 5e-4
    with_affine(sample["image"][1], affine)
    np.testing.assert_array_equal(load_channels(sample).affine, AFFINE)


@pytest.mark.parametrize(("unit", "mm"), [("micron", 0.001), ("meter", 1000)])
def test_metres_and_micrometres_are_converted(sample, unit, mm):
    for key in ("image", "label"):
        volume = nib.load(sample[key])
        volume.header.set_xyzt_units(unit)
        nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), AFFINE, volume.header), sample[key])
    for volume in (load(sample)[key] for key in ("image", "label")):
        np.testing.assert_allclose(volume.affine, np.diag([mm, 2 * mm, 3 * mm, 1]), rtol=1e-6)
        np.testing.assert_allclose(volume.pixdim, [mm, 2 * mm, 3 * mm], rtol=1e-6)


def test_an_affine_without_inverse_a_complex_image_and_a_damaged_file_are_refused(sample):
    whole = nib.load(sample["image"])
    voxels = np.asarray(whole.dataobj)
    with_affine(sample["image"], np.diag([1.0, 1.0, 0.0, 1.0]))
    refuse(sample, f"case a: image file {sample['image']} must have a spacing above 0, got [1. 1. 0.]")
    with_affine(sample["image"], np.diag([1.0, 1.0, np.nan, 1.0]))
    refuse(sample, f"case a: image file {sample['image']} must have an affine of finite numbers")
    save(sample["image"], voxels * 1j, dtype=np.complex64)
    refuse(sample, f"case a: image file {sample['image']} must hold one real number a voxel, got complex64")
    save(sample["image"], voxels)
    content = bytearray(Path(sample["image"]).read_bytes())
    content[-8] ^= 1
    Path(sample["image"]).write_bytes(content)
    refuse(sample, f"case a: image file {sample['image']} cannot be read as NIfTI", "CRC check failed")


def test_a_header_that_tells_no_space_is_why_affines_differ(sample):
    volume = nib.load(sample["label"])
    header = volume.header
    header["sform_code"] = header["qform_code"] = 0
    nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), None, header), sample["label"])
    reason = f"; {sample['label']} gives no space (sform_code and qform_code are 0), so a default is used."
    refuse(sample, "case a: label file", "must have the same affine to within 0.001, got a difference of", reason)


@pytest.mark.parametrize("scaled", [False, True])
def test_values_that_are_whole_to_within_a_thousandth_are_rounded(sample, scaled):
    numbers = np.random.default_rng(0).integers(0, 2 if scaled else 3, (6, 7, 8))  # 256 steps suit two values alone
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8 if scaled else np.float32)
    values = numbers.astype(float) if scaled else numbers + np.array([-1e-7, 1.526e-5, 9e-4])[numbers]
    nib.save(nib.Nifti1Image(values, AFFINE, header), sample["label"])
    assert not np.array_equal(np.asarray(nib.load(sample["label"]).dataobj), numbers)
    np.testing.assert_array_equal(load(sample)["label"][0], numbers)


def test_the_values_of_a_data_set_are_rounded_too(sample, numbers):
    save(sample["label"], np.array([0, *VALUES])[numbers] + 5e-4)
    np.testing.assert_array_equal(load_valued(sample)[0], numbers)


def test_nan_in_an_image_is_replaced_when_asked_for(sample):
    volume = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    volume[:2] = np.nan
    save(sample["image"], volume)
    refuse(sample, "got NaN or infinity in 112 voxel(s); --replace_nan 0 replaces NaN by 0.")
    np.testing.assert_array_equal(load(sample, replace_nan=-3)["image"][0], np.where(np.isnan(volume), -3, volume))
    volume[5, 5, 5] = np.inf
    save(sample["image"], volume)
    refuse(sample, "got NaN or infinity in 1 voxel(s).", replace_nan=0)
    refuse(sample, "replace_nan must be a finite number, got 'zero'", replace_nan="zero")


def test_nan_in_a_label_is_not_replaced(sample):
    save(sample["label"], np.full((6, 7, 8), np.nan))
    refuse(sample, "must hold whole numbers from 0 to 2, got nan", replace_nan=0)


def test_the_case_goes_with_the_image(sample):
    assert load(sample)["image"].meta["case"] == "a"
    del sample["case"]
    assert "case" not in load(sample)["image"].meta


def test_files_that_are_mapped_into_memory_stay_as_they_are(tmp_path):
    volume = np.random.default_rng(0).normal(size=(6, 7, 8))
    volume[0] = np.nan
    sample = {"image": save(tmp_path / "a.nii", volume), "label": save(tmp_path / "b.nii", np.full((6, 7, 8), 0.9999))}
    before = [Path(file).read_bytes() for file in sample.values()]
    assert load(sample, replace_nan=0)["label"].eq(1).all()
    assert [Path(file).read_bytes() for file in sample.values()] == before


def test_a_label_in_another_format_may_have_its_axes_turned(sample, tmp_path):
    voxels, label = (nib.load(sample[key]).get_fdata() for key in ("image", "label"))
    image = sitk.GetImageFromArray(np.ascontiguousarray(label[::-1].transpose(1, 0, 2).T))  # y, -x, z
    image.SetSpacing((2, 1, 3))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))  # in LPS: y of the file is -y there, and -x is x
    image.SetOrigin((-5, 0, 0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    loaded = load({**sample, "label": str(tmp_path / "a.mha")})
    np.testing.assert_array_equal(loaded["label"][0], label)
    np.testing.assert_array_equal(loaded["image"][0], voxels.astype(np.float32))
    np.testing.assert_array_equal(loaded["label"].affine, loaded["image"].affine)


def test_a_label_in_the_format_of_its_image_must_have_its_axes(sample, tmp_path):
    label = nib.load(sample["label"])
    flipped = AFFINE @ nib.affines.from_matvec(np.diag([-1, 1, 1]), [5, 0, 0])
    sample["label"] = save(tmp_path / "b.nii.gz", label.get_fdata()[::-1], flipped)
    refuse(sample, "must have the same affine to within 0.001")


def test_a_segmentation_is_no_image(sample, tmp_path):
    header = {"spacings": [1.0, 1, 1], "Segment0_Name": "a", "Segment0_LabelValue": "1"}
    nrrd.write(str(tmp_path / "a.nrrd"), np.ones((2, 3, 4), np.uint8), header)
    refuse({**sample, "image": str(tmp_path / "a.nrrd")}, "must be an image, got a segmentation with named segments")


def test_the_packages_that_are_installed_do_not_change_what_is_prepared():
    assert [type(reader).__name__ for reader in LoadCased("image", 2)._loader.readers] == ["VolumeReader"]


def test_a_switch_for_gaps_may_be_text():
    assert LoadCased("image", 2, allow_gaps="true")._loader.readers[0].allow_gaps is True
    with pytest.raises(InputError, match="allow_gaps must be"):
        LoadCased("image", 2, allow_gaps="maybe")


def test_voxels_to_ignore_are_of_no_class(sample, numbers):
    for values, options in (([0, 1, 2, 9], {"num_classes": 3}), ([0, 500, 600, 999], {"label_values": [500, 600]})):
        save(sample["label"], np.array(values)[numbers])
        label = load(sample, **{"num_classes": 3, "ignore_value": values[-1], **options})["label"]
        np.testing.assert_array_equal(label[0], np.array([0, 1, 2, -1])[numbers])
    save(sample["label"], np.array([0, 1, 2, 999])[numbers])  # class numbers, as MONAI Label stores them
    label = load(sample, num_classes=3, label_values=[500, 600], ignore_value=999)["label"]
    np.testing.assert_array_equal(label[0], np.array([0, 1, 2, -1])[numbers])


def test_a_stray_value_may_stand_for_voxels_to_ignore(sample, numbers):
    save(sample["label"], np.array([0, 1, 2, 7])[numbers])
    with pytest.warns(UserWarning, match="holds 7 in .* voxel"):
        label = load(sample, num_classes=3, ignore_value=9, stray_values={7: 9})["label"]
    np.testing.assert_array_equal(label[0], np.array([0, 1, 2, -1])[numbers])


def test_other_values_are_refused_beside_the_one_to_ignore(sample, numbers):
    save(sample["label"], np.array([0, 1, 2, 8])[numbers])
    refuse(
        sample, "must hold whole numbers from 0 to 2, and 9 to ignore a voxel, got 8 in", num_classes=3, ignore_value=9
    )


@pytest.mark.parametrize(("value", "options"), [(2, {}), (0, {}), (550, {"label_values": [500, 600]})])
def test_the_value_to_ignore_must_be_above_all_others(sample, value, options):
    with pytest.raises(InputError, match=rf"ignore_value must be above the values of all classes, .*, got {value}"):
        LoadCased("label", num_classes=3, ignore_value=value, **options)
