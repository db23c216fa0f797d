from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.data import Fingerprint, take_fingerprint
from semicl_monai.data.fingerprint import SAMPLES, is_in_one_piece
from semicl_monai.utils import InputError

SPACING = (0.5, 1.25, 3.0)
SHAPE = (4, 5, 6)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def save(tmp_path):
    """Write a volume whose axes are x, y and z, stored in another order, and return its file."""

    def write(name, volume, spacing=SPACING, orientation="RAS"):
        ras = nib.Nifti1Image(volume, np.diag([*spacing, 1.0]))
        codes = nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
        nib.save(ras.as_reoriented(nib.orientations.ornt_transform(*codes)), tmp_path / f"{name}.nii.gz")
        return str(tmp_path / f"{name}.nii.gz")

    return write


@pytest.fixture
def case(save, rng):
    """Write a case, and return its record, image and label."""

    def write(name="a", shape=SHAPE, values=(0, 1, 2), **stored):
        image = rng.normal(100, 20, shape).astype(np.float32)
        label = rng.choice(values, shape[:3]).astype(np.uint8)
        record = {"image": save(name, image, **stored), "label": save(f"{name}_label", label, **stored), "case": name}
        return record, image, label

    return write


def bare(record):
    return {key: record[key] for key in ("image", "case")}


def truncate(file, num_bytes):
    Path(file).write_bytes(Path(file).read_bytes()[:num_bytes])


def take(*records):
    return take_fingerprint([bare(record) for record in records], records)


def foreground(image, label):
    """The sorted intensities where the label is not 0, by a loop."""
    voxels = itertools.product(*map(range, label.shape))
    return sorted(float(image[x, y, z]) for x, y, z in voxels if label[x, y, z] != 0)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "SAL", "ASR"])
def test_sizes_are_those_along_x_y_and_z_however_the_file_is_stored(case, orientation):
    record, image, label = case(orientation=orientation)
    found = take(record)
    assert found.channels == 1
    assert found.shapes.tolist() == [[4, 5, 6]]
    np.testing.assert_allclose(found.spacings, [SPACING], rtol=1e-6)
    assert found.label_values == (1, 2)
    assert sorted(found.foreground[0][:, 0].tolist()) == foreground(image, label)


def test_an_oblique_image_has_the_size_of_the_nearest_axes(case):
    record, *_ = case()
    turn = np.array([[0.1, 0.0, 0.995], [0.995, 0.0, -0.1], [0.0, 1.0, 0.0]])  # stored z is nearly x, x y, and y z
    affine = nib.affines.from_matvec(turn * [2.0, 3.0, 4.0])
    for key in ("image", "label"):
        nib.save(nib.Nifti1Image(np.asarray(nib.load(record[key]).dataobj), affine), record[key])
    found = take(record)
    assert found.shapes.tolist() == [[6, 4, 5]]
    np.testing.assert_allclose(found.spacings, [[4.0, 2.0, 3.0]], rtol=1e-4)


def test_every_training_image_counts_for_sizes_and_the_labelled_ones_for_intensities(case):
    (first, image, label), (second, *_) = case("a", values=(0, 3)), case("b", (8, 3, 2), values=(0, 7))
    found = take_fingerprint([bare(first), bare(second)], [first])
    assert found.shapes.tolist() == [[4, 5, 6], [8, 3, 2]]
    assert found.label_values == (3,)
    assert [sorted(values[:, 0].tolist()) for values in found.foreground] == [foreground(image, label)]


def without_label(case, change):
    """Take a labelled case, and an unlabelled one whose voxels are changed."""
    (first, *_), (second, image, _) = case("a"), case("b")
    affine = nib.load(second["image"]).affine
    nib.save(nib.Nifti1Image(change(image), affine), second["image"])
    return take_fingerprint([bare(first), bare(second)], [first])


def first_voxel(value):
    def change(image):
        image[0, 0, 0] = value
        return image

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            first_voxel(np.nan),
            r"numbers, got NaN or infinity in 1 voxel\(s\); --replace_nan 0 replaces NaN by 0",
        ),
        (first_voxel(-np.inf), r"finite numbers, got NaN or infinity in 1 voxel\(s\)\.$"),
        (np.ones_like, "not be constant, got 1 in every voxel"),
        (lambda image: image.astype(np.complex64), "one real number a voxel, got complex64"),
    ],
)
def test_an_image_without_label_is_refused_for_what_training_would_refuse(case, change, message):
    with pytest.raises(InputError, match=rf"case b: image file .*b\.nii\.gz must .*{message}"):
        without_label(case, change)


def test_an_image_without_label_is_read_to_its_end(case):
    (first, *_), (second, *_) = case("a"), case("b", shape=(12, 12, 12))
    content = bytearray(Path(second["image"]).read_bytes())
    content[-8] ^= 1  # of the checksum
    Path(second["image"]).write_bytes(content)
    with pytest.raises(InputError, match=rf"case b: image file {second['image']} cannot be read .*CRC check failed"):
        take_fingerprint([bare(first), bare(second)], [first])


def test_nan_may_stand_for_a_number(case, save):
    record, image, label = case()
    image[0] = np.nan
    save("a", image)
    found = take_fingerprint([bare(record)], [record], replace_nan=-7)
    image[0] = -7
    assert sorted(found.foreground[0][:, 0].tolist()) == foreground(image, label)
    image[0, 0, 0] = np.inf
    save("a", image)
    with pytest.raises(InputError, match=r"finite numbers, got NaN or infinity in 1 voxel\(s\)"):
        take_fingerprint([bare(record)], [record], replace_nan=0)


def test_one_constant_channel_is_as_good_as_in_training(case):
    record, image, _ = case(shape=(*SHAPE, 2))
    image[..., 1] = 3
    nib.save(nib.Nifti1Image(image, nib.load(record["image"]).affine), record["image"])
    assert take(record).channels == 2


def test_a_case_without_foreground_adds_its_size_alone(case):
    (first, *_), (second, *_) = case("a"), case("b", values=(0,))
    found = take(first, second)
    assert len(found.shapes) == 2
    assert len(found.foreground) == 1
    assert found.label_values == (1, 2)


@pytest.mark.parametrize("orientation", ["RAS", "PIR"])
def test_channels_in_one_file_and_in_several_are_the_same(case, save, orientation):
    record, image, label = case(shape=(*SHAPE, 3), orientation=orientation)
    files = [save(f"a_{number:04d}", image[..., number], orientation=orientation) for number in range(3)]
    found, split = take(record), take({**record, "image": files})
    assert found.channels == split.channels == 3
    assert found.shapes.tolist() == split.shapes.tolist() == [[4, 5, 6]]
    assert found.foreground[0].shape == (np.count_nonzero(label), 3)
    for number in range(3):
        assert sorted(found.foreground[0][:, number].tolist()) == foreground(image[..., number], label)
    np.testing.assert_array_equal(found.foreground[0], split.foreground[0])


def test_the_channels_of_a_voxel_stay_together(case):
    record, image, label = case(shape=(*SHAPE, 2))
    voxels = {tuple(map(float, image[index])) for index in zip(*np.nonzero(label), strict=True)}
    assert {tuple(row) for row in take(record).foreground[0].tolist()} == voxels


def test_of_a_large_foreground_a_part_is_drawn_each_voxel_once(case):
    record, image, _ = case(shape=(30, 30, 15), values=(1,))
    (drawn,) = take(record).foreground
    assert drawn.shape == (SAMPLES, 1)
    assert len(np.unique(drawn)) > 0.99 * SAMPLES  # two voxels may be equal
    assert set(drawn[:, 0]) <= set(image.astype(float).ravel())
    assert abs(drawn.mean() - image.mean()) < 1
    np.testing.assert_array_equal(drawn, take(record).foreground[0])


def test_pooled_intensities_and_values_are_those_of_all_cases(case):
    found = take(case("a", values=(0, 9, 1))[0], case("b", values=(0, 4))[0])
    assert found.label_values == (1, 4, 9)
    assert found.pooled().tolist() == [*found.foreground[0].tolist(), *found.foreground[1].tolist()]


def of_means(*means):
    """Cases whose voxels have these means, a list a channel, and a standard deviation of 10."""
    foreground = [np.array([np.subtract(mean, 10), np.add(mean, 10)], dtype=float) for mean in means]
    return Fingerprint(len(means[0]), np.ones((1, 3)), np.ones((1, 3)), (1,), tuple(foreground))


@pytest.mark.parametrize(
    ("means", "calibrated"),
    [
        ([[100], [119]], True),  # means vary by 9.5
        ([[100], [121]], False),  # by 10.5
        ([[100], [100], [100], [123]], True),  # by 9.96
        ([[100, 7], [100, 8]], True),
        ([[100, 7], [200, 7]], False),
        ([[100, 7], [100, 70]], False),
        ([[100]], False),  # of one case nobody knows
    ],
)
def test_cases_are_on_one_scale_where_their_means_vary_less_than_their_voxels(means, calibrated):
    assert of_means(*means).is_calibrated() is calibrated


@pytest.mark.parametrize(
    ("apart", "one_piece"),
    [(0, True), (2, True), (3, False), (100, False)],  # of 200 voxels in the larger piece; two are a hundredth
)
def test_a_mask_is_in_one_piece_but_for_specks(apart, one_piece):
    mask = np.zeros((20, 20, 4), bool)
    mask[:10, :10, :2] = True
    mask[10, 10, 2] = True  # touches at a corner
    mask[15:, 15:, 3].flat[:apart] = True
    mask[12:, :13, 3].flat[: max(apart - 25, 0)] = True
    assert is_in_one_piece(mask) is one_piece


def test_labels_are_in_one_piece_if_each_of_them_is_and_it_is_unknown_where_voxels_are_not_annotated(case, save):
    def of(name, places):
        record, _, label = case(name)
        label[:] = 0
        for value, place in enumerate(places, 1):
            label[place] = value
        return record | {"label": save(f"{name}_label", label)}

    whole, apart = of("a", [(0, 0, 0), (1, 1, 1)]), of("b", [(0, 0, 0), (3, 4, 5)])  # two classes that touch, or not
    assert take(whole).in_one_piece
    assert not take(whole, apart).in_one_piece
    assert not take_fingerprint([bare(whole)], [whole], ignore_value=9).in_one_piece


@pytest.mark.parametrize("orientation", ["RAS", "PSL"])
def test_extents_are_those_of_the_box_around_the_foreground_in_mm(case, save, orientation):
    record, _, label = case("a", orientation=orientation)
    label[:] = 0
    label[1, 1, 2] = label[2, 3, 5] = 1
    record["label"] = save("a_label", label, orientation=orientation)
    empty, _, _ = case("empty", values=(0,))
    without, _, _ = case("without")
    found = take_fingerprint([bare(record), bare(empty), bare(without)], [record, empty])
    assert found.extents.tolist() == [[2 * 0.5, 3 * 1.25, 4 * 3.0]]
    assert take_fingerprint([bare(record)], [record], ignore_value=9).extents is None


def test_without_foreground_a_mask_is_in_one_piece():
    assert is_in_one_piece(np.zeros((3, 3, 3), bool))


def refuse(message, *records):
    with pytest.raises(InputError, match=message) as raised:
        take(*records)
    assert "\n" not in str(raised.value)


def test_images_of_different_channels_are_refused(case):
    refuse(
        r"case b: wanted 2 channel\(s\) as in a, got 1",
        case("a", shape=(*SHAPE, 2))[0],
        case("b")[0],
    )


@pytest.mark.parametrize("key", ["image", "label"])
@pytest.mark.parametrize("num_bytes", [0, 100, 400])  # the header has 352
def test_a_truncated_file_is_refused(case, key, num_bytes):
    record, *_ = case()
    whole = nib.load(record[key])
    record[key] = record[key].removesuffix(".gz")
    nib.save(whole, record[key])
    truncate(record[key], num_bytes)
    refuse(rf"case a: {key} file {record[key]} cannot be read as NIfTI: ", record)


def test_a_file_that_is_no_nifti_is_refused(case):
    record, *_ = case()
    Path(record["label"]).write_text("<html>not found</html>" * 50)
    refuse(rf"case a: label file {record['label']} cannot be read as NIfTI: ", record)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 1, 2)])
def test_an_image_that_is_not_3d_is_refused(case, shape):
    record, *_ = case()
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), record["image"])
    refuse(rf"case a: image file {record['image']} must be 3-D, got the shape \(4, 5", record)


def test_a_4d_file_among_several_is_refused(case, save):
    record, image, _ = case(shape=(*SHAPE, 2))
    refuse("case a: image file .* must be 3-D", {**record, "image": [record["image"]] * 2})
    second = {**record, "image": [save("one", image[..., 0]), record["image"]]}
    refuse(rf"image file {record['image']} must be 3-D with one channel, got the shape \(4, 5, 6, 2\)", second)


def test_files_of_an_image_that_differ_in_shape_are_refused(case, save, rng):
    record, *_ = case()
    other = save("other", rng.normal(size=(4, 5, 7)))
    refuse(
        rf"case a: image file {other} beside {record['image']} must have the same shape \(4, 5, 6\), got \(4, 5, 7\)",
        {**record, "image": [record["image"], other]},
    )


def test_a_spacing_of_zero_is_refused(case):
    record, image, _ = case()
    flat = nib.Nifti1Image(image, np.eye(4))
    flat.set_sform(np.diag([1.0, 0.0, 1.0, 1.0]), code=1)
    nib.save(flat, record["image"])
    refuse(rf"case a: image file {record['image']} must have a spacing above 0, got ", record)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5, 7), r"of .*a\.nii\.gz must have the same shape \(4, 5, 6\), got \(4, 5, 7\)"),
        ((*SHAPE, 2), r"must be 3-D with one channel, got the shape \(4, 5, 6, 2\)"),
    ],
)
def test_a_label_of_another_shape_is_refused(case, save, shape, message):
    record, *_ = case()
    save("a_label", np.ones(shape, np.uint8))
    refuse(rf"case a: label file .*a_label\.nii\.gz {message}", record)


def test_a_label_of_another_affine_is_refused(case, save):
    record, _, label = case()
    save("a_label", label, spacing=(0.5, 1.25, 3.1))
    message = r"must have the same affine to within 0\.001, got a difference of 0\.0999"
    refuse(rf"case a: label file .*a_label\.nii\.gz of {record['image']} {message}", record)


def test_a_channel_of_another_affine_is_refused(case, save, rng):
    record, *_ = case()
    other = save("other", rng.normal(size=SHAPE), spacing=(0.5, 1.25, 3.1))
    message = rf"case a: image file {other} beside {record['image']} must have the same affine to within 0\.001"
    refuse(message, {**record, "image": [record["image"], other]})


def test_values_of_a_label_are_whole_to_within_a_thousandth(case, save):
    record, image, label = case()
    save("a_label", label + np.where(label == 1, 2e-5, -1e-7))
    found = take(record)
    assert found.label_values == (1, 2)
    assert sorted(found.foreground[0][:, 0].tolist()) == foreground(image, label)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001), ("mm", 1), ("unknown", 1)])
def test_spacings_are_in_mm(case, unit, factor):
    record, *_ = case()
    for key in ("image", "label"):
        volume = nib.load(record[key])
        volume.header.set_xyzt_units(unit)
        nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), volume.affine, volume.header), record[key])
    np.testing.assert_allclose(take(record).spacings, [np.multiply(SPACING, factor)], rtol=1e-6)


def test_rgb_images_are_refused(case):
    record, *_ = case()
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), record["image"])
    refuse(rf"case a: image file {record['image']} must hold one real number a voxel, got RGB\.", record)


def test_a_label_with_a_single_channel_is_a_label(case, save):
    record, image, label = case()
    save("a_label", label[..., None])
    assert sorted(take(record).foreground[0][:, 0].tolist()) == foreground(image, label)


@pytest.mark.parametrize("value", [0.5, -1, np.nan, np.inf])
def test_a_label_that_is_not_of_whole_numbers_is_refused(case, save, value):
    record, _, label = case()
    values = label.astype(np.float32)
    values[0, 0, 0] = value
    save("a_label", values)
    refuse(rf"case a: label file .*a_label\.nii\.gz must hold whole numbers from 0, got {value:g}\.", record)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_a_foreground_that_is_not_finite_is_refused(case, save, value):
    record, image, label = case()
    image[tuple(np.argwhere(label > 0)[0])] = value
    save("a", image)
    refuse(rf"case a: image file {record['image']} must hold finite numbers", record)


def test_labels_without_any_foreground_are_refused(case):
    refuse(r"no label of a training image has any foreground \(> 0\)", case(values=(0,))[0])


def test_voxels_to_ignore_are_neither_foreground_nor_a_class(case):
    record, image, label = case(values=(0, 1, 2, 9))
    found = take_fingerprint([bare(record)], [record], ignore_value=9)
    assert found.label_values == (1, 2)
    wanted = image[(label == 1) | (label == 2)]
    np.testing.assert_allclose(np.sort(found.pooled()[:, 0]), np.sort(wanted.astype(np.float64)))


def test_labels_with_only_voxels_to_ignore_are_named(case):
    records = [case(name, values=values)[0] for name, values in (("a", (0, 1)), ("b", (9,)), ("c", (9,)))]
    with pytest.raises(InputError, match="got 2 with only voxels to ignore: b, c; leave these labels out"):
        take_fingerprint([bare(record) for record in records], records, ignore_value=9)
