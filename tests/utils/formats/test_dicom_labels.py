from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_data import write_series
from nibabel.affines import from_matvec
from pydicom.sr.codedict import codes

from semicl_monai.data.fingerprint import take_fingerprint
from semicl_monai.data.label_names import segment_names
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURN *= np.sign(np.linalg.det(TURN))
AFFINE = np.diag([-1, -1, 1, 1]) @ from_matvec(TURN * [0.9, 1.1, 2.5], [-12.0, 7, 33])
VOXELS = np.random.default_rng(0).integers(-99, 999, (5, 6, 7))
LABEL = np.zeros(VOXELS.shape, np.uint8)
LABEL[:, :, [1, 2, 5]] = np.random.default_rng(2).integers(0, 3, (5, 6, 3))
NAMES = ["Tumour", "liver"]


def write_seg(folder, file, label, kind="BINARY", names=NAMES, **options):
    """Write a SEG by highdicom, whose empty frames are left out."""
    sources = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda one: one.InstanceNumber)
    normal = TURN[:, 2]
    places = [round((np.array(one.ImagePositionPatient, float) - [-12, 7, 33]) @ normal / 2.5) for one in sources]
    frames = label.transpose(2, 1, 0)[places] if label.ndim == 3 else label.transpose(2, 1, 0, 3)[places]
    segments = [
        highdicom.seg.SegmentDescription(number, name, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for number, name in enumerate(names, 1)
    ]
    uids = [highdicom.UID() for _ in range(2)]
    seg = highdicom.seg.Segmentation(
        sources, frames, kind, segments, uids[0], 9, uids[1], 1, "maker", "model", "1", "1", **options
    )
    seg.save_as(file)
    return {"image": str(folder), "label": str(file), "case": "a"}


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "ct", VOXELS, AFFINE)


def load(record, **options):
    return LoadCased(("image", "label"), 3, class_names=["Liver", "Tumour"], **options)(record)["label"][0].numpy()


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("omit", [False, True])
def test_segments_are_read_by_name_where_they_lie(series, tmp_path, kind, omit):
    record = write_seg(series, tmp_path / "seg.dcm", LABEL, kind, omit_empty_frames=omit)
    np.testing.assert_array_equal(load(record), np.array([0, 2, 1])[LABEL])
    found = take_fingerprint([record], [record], names={1: "liver", 2: "tumour"})
    assert found.label_values == (1, 2)
    assert segment_names([record]) == {1: "Tumour", 2: "liver"}


def test_a_single_slice_lies_where_it_is(series, tmp_path):
    label = np.where(np.arange(7) == 5, LABEL, 0).astype(np.uint8)
    record = write_seg(series, tmp_path / "seg.dcm", label)
    np.testing.assert_array_equal(load(record), np.array([0, 2, 1])[label])


def test_a_mask_of_ours_is_a_label(series, tmp_path):
    image = open_volume(series)
    image.write_mask(
        tmp_path / "seg.dcm", LABEL, image.affine, {"filename_or_obj": str(series)}, {1: "liver", 2: "tumour"}
    )
    np.testing.assert_array_equal(load({"image": str(series), "label": str(tmp_path / "seg.dcm")}), LABEL)


def test_slices_that_the_image_lacks_take_the_nearest_label(tmp_path):
    series = write_series(tmp_path / "gap", VOXELS, AFFINE, skip=(3, 4))
    record = write_seg(series, tmp_path / "seg.dcm", LABEL)
    wanted = np.array([0, 2, 1])[LABEL]
    wanted[:, :, 3], wanted[:, :, 4] = wanted[:, :, 2], wanted[:, :, 5]
    np.testing.assert_array_equal(load(record, allow_gaps=True), wanted)
    found = take_fingerprint([record], [record], names={1: "liver", 2: "tumour"}, allow_gaps=True)
    assert len(found.pooled()) == np.count_nonzero(wanted)


def test_overlaps_and_fractions_are_refused(series, tmp_path):
    both = np.stack([LABEL > 0, LABEL > 0], axis=-1)
    record = write_seg(series, tmp_path / "seg.dcm", both)
    with pytest.raises(InputError, match=r"label file .*seg\.dcm must be a segmentation without overlaps, got two seg"):
        load(record)
    record = write_seg(series, tmp_path / "parts.dcm", both * 0.5, "FRACTIONAL")
    with pytest.raises(InputError, match=r"parts\.dcm must be a binary segmentation, got fractions"):
        load(record)


def test_it_is_no_image(series, tmp_path):
    record = write_seg(series, tmp_path / "seg.dcm", LABEL)
    with pytest.raises(InputError, match=r"image file .*seg\.dcm must be an image, got a segmentation with named seg"):
        LoadCased("image", 2)({"image": record["label"], "case": "a"})
