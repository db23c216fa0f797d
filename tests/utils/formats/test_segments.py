from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
from nibabel.affines import from_matvec

from semicl_monai.data.fingerprint import take_fingerprint
from semicl_monai.data.label_names import segment_names
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import class_numbers, into_grid, open_volume
from semicl_monai.utils.nifti import Space

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
MATRIX, ORIGIN = TURN * [0.9, 1.1, 2.5], np.array([-12.0, 7, 33])
IMAGE = np.random.default_rng(0).normal(size=(8, 9, 7)).astype(np.float32)
NAMES = ("liver", "tumour")


@pytest.fixture
def write(tmp_path):
    """Write an image, and a segmentation as 3D Slicer does: segments by name, and the box around them alone."""
    space = {"space": "left-posterior-superior", "space directions": MATRIX.T}
    nrrd.write(str(tmp_path / "a.nrrd"), IMAGE, {**space, "space origin": ORIGIN})

    def write(voxels, segments, corner=(0, 0, 0), **fields):
        header = {**space, "space origin": ORIGIN + MATRIX @ corner}
        header["Segmentation_ReferenceImageExtentOffset"] = " ".join(map(str, corner))
        for number, (value, name) in enumerate(segments):
            of_segment = {"ID": f"Segment_{number}", "LabelValue": str(value), "Layer": "0", "Name": name}
            header |= {f"Segment{number}_{key}": text for key, text in of_segment.items()}
        nrrd.write(str(tmp_path / "a.seg.nrrd"), voxels.astype(np.uint8), {**header, **fields})
        return {"image": str(tmp_path / "a.nrrd"), "label": str(tmp_path / "a.seg.nrrd"), "case": "a"}

    return write


def load(record, **options):
    loader = LoadCased(("image", "label"), **{"num_classes": 3, "class_names": NAMES, **options})
    return loader(record)["label"][0].numpy()


def test_a_segment_has_the_number_of_the_class_of_its_name_whatever_its_value(write):
    voxels = np.zeros(IMAGE.shape)
    voxels[1], voxels[2] = 1, 2
    label = load(write(voxels, [(1, "Tumour"), (2, " LIVER "), (3, "empty")]))
    np.testing.assert_array_equal(label[1:3, 0, 0], [2, 1])
    assert np.unique(label).tolist() == [0, 1, 2]


def test_the_fingerprint_sees_the_class_numbers(write):
    voxels = np.zeros(IMAGE.shape)
    voxels[1], voxels[2, 0, 0] = 5, 7
    record = write(voxels, [(5, "tumour"), (7, "liver")])
    found = take_fingerprint([record], [record], names={10: "liver", 20: "tumour"})
    assert found.label_values == (10, 20)
    assert len(found.pooled()) == voxels.astype(bool).sum()


def test_the_names_of_segments_are_the_classes_if_nothing_else_names_them(write):
    record = write(np.ones(IMAGE.shape), [(1, "Tumour"), (2, "Background"), (3, "liver")])
    assert segment_names([record, record, {"label": record["image"]}]) == {1: "Tumour", 2: "liver"}


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([(1, "kidney")], r"a\.seg\.nrrd must name each segment by one of class_names \(liver, tumour\), got the "
         "segment 'kidney'"),
        ([(2, "liver")], r"must hold values of its segments 2 \(liver\), got 1"),
        ([], "must hold values of its segments none, got 1"),
    ],
)  # fmt: skip
def test_a_segment_that_is_no_class_is_refused_by_name(write, segments, message):
    with pytest.raises(InputError, match=message):
        load(write(np.ones(IMAGE.shape), segments, Segmentation_MasterRepresentation="Binary labelmap"))


def test_a_segment_called_background_is_background(write):
    voxels = np.ones(IMAGE.shape)
    voxels[0] = 2
    label = load(write(voxels, [(1, "Background"), (2, "liver")]))
    np.testing.assert_array_equal(label, voxels == 2)


def test_two_segments_of_one_class_are_refused():
    with pytest.raises(InputError, match="must have one segment a class, got 'Liver' for 1 and 2"):
        class_numbers(np.array([1, 2]), {1: "liver", 2: "Liver"}, NAMES)


def test_segments_without_class_names_are_refused(write):
    with pytest.raises(InputError, match="has named segments, and no class_names are given"):
        load(write(np.ones(IMAGE.shape), [(1, "liver")]), class_names=None)


def test_overlapping_layers_are_refused(write, tmp_path):
    record = write(np.ones(IMAGE.shape), [(1, "liver"), (2, "tumour")])
    header = nrrd.read_header(record["label"])
    header["space directions"] = np.insert(MATRIX.T, 0, np.nan, axis=0)
    header["kinds"] = ["list", *["domain"] * 3]
    nrrd.write(record["label"], np.ones((2, *IMAGE.shape), np.uint8), header)
    with pytest.raises(
        InputError, match=r"label file .*a\.seg\.nrrd must be a segmentation of one layer, got 2 layers"
    ):
        load(record)


def test_two_layers_by_number_are_refused(write):
    with pytest.raises(InputError, match="must be a segmentation of one layer, got 2 layers"):
        open_volume(write(np.ones(IMAGE.shape), [(1, "liver"), (2, "tumour")], Segment1_Layer="1")["label"])


def test_a_box_of_the_image_is_filled_with_background(write):
    whole = np.zeros(IMAGE.shape)
    whole[2:5, 3:7, 1:4] = np.random.default_rng(2).integers(0, 2, (3, 4, 3))
    record = write(whole[2:5, 3:7, 1:4], [(1, "liver")], corner=(2, 3, 1))
    np.testing.assert_array_equal(load(record), whole)
    found = take_fingerprint([record], [record], names={1: "liver"})
    np.testing.assert_allclose(np.sort(found.pooled()[:, 0]), np.sort(IMAGE[whole > 0]))


def test_a_box_beyond_the_image_may_hold_background_alone(write):
    box = np.zeros((4, 4, 4))
    box[3:, 3:, 3:] = 1
    wanted = np.zeros(IMAGE.shape)
    wanted[1, 1, 1] = 1
    np.testing.assert_array_equal(load(write(box, [(1, "liver")], corner=(-2, -2, -2))), wanted)
    box[:2, :2, :2] = 1
    with pytest.raises(InputError, match=r"must lie inside its image, got 8 labelled voxel\(s\) outside"):
        load(write(box, [(1, "liver")], corner=(-2, -2, -2)))


def test_a_box_between_the_voxels_is_refused(write):
    with pytest.raises(InputError, match=r"a\.seg\.nrrd of .*a\.nrrd must have the same shape \(8, 9, 7\), got \(2, 2"):
        load(write(np.ones((2, 2, 2)), [(1, "liver")], corner=(0.5, 0, 0)))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, 1, -1)])
def test_a_label_with_turned_axes_is_put_into_the_grid_of_its_image(axes, signs):
    rng = np.random.default_rng(0)
    image = Space((5, 6, 7), from_matvec(MATRIX, ORIGIN))
    label_of_image = np.zeros(image.shape, np.uint8)
    label_of_image[1:4, 2:6, 3:5] = rng.integers(0, 3, (3, 4, 2))
    box = label_of_image[1:4, 2:6, 3:5].transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    first = np.array([1, 2, 3])  # voxel of the image that the first voxel of the box is
    turn = np.zeros((3, 3))
    for own, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        turn[axis, own] = sign
        if sign < 0:
            first[axis] += box.shape[own] - 1
    affine = image.affine @ from_matvec(turn, first)
    np.testing.assert_array_equal(into_grid(box, Space(box.shape, affine), image), label_of_image)


def test_names_may_have_any_letters(write):
    voxels = np.ones(IMAGE.shape)
    record = write(voxels, [(1, "L-sion")])
    file = Path(record["label"])
    file.write_bytes(file.read_bytes().replace(b"L-sion", "Läsion".encode(), 1))  # as 3D Slicer does, in UTF-8
    np.testing.assert_array_equal(load(record, class_names=["liver", "läsion"]), 2 * voxels)


def test_a_segment_of_an_earlier_slicer_has_the_value_1(write):
    record = write(np.ones(IMAGE.shape), [(1, "liver")])
    header = nrrd.read_header(record["label"])
    del header["Segment0_LabelValue"], header["Segment0_Layer"]
    nrrd.write(record["label"], np.ones(IMAGE.shape, np.uint8), header)
    assert open_volume(record["label"]).segments == {1: "liver"}


def test_a_single_layer_may_have_an_axis_of_its_own(write):
    voxels = np.random.default_rng(3).integers(0, 2, IMAGE.shape)
    record = write(voxels, [(1, "liver")])
    header = nrrd.read_header(record["label"])
    header["space directions"] = np.insert(MATRIX.T, 0, np.nan, axis=0)
    header["kinds"] = ["list", *["domain"] * 3]
    nrrd.write(record["label"], voxels[None].astype(np.uint8), header)
    np.testing.assert_array_equal(load(record), voxels)
    assert take_fingerprint([record], [record], names={1: "liver"}).label_values == (1,)
