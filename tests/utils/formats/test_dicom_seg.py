from __future__ import annotations

import builtins

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_data import write_multi_frame, write_series
from nibabel.affines import from_matvec

from semicl_monai.data import MaskLayout
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURN *= np.sign(np.linalg.det(TURN))
AFFINE = np.diag([-1, -1, 1, 1]) @ from_matvec(TURN * [0.9, 1.1, 2.5], [-12.0, 7, 33])
VOXELS = np.random.default_rng(0).integers(-99, 999, (5, 6, 7))
MASK = np.random.default_rng(2).integers(0, 3, VOXELS.shape).astype(np.uint8)
NAMES = {1: "left ventricle", 2: "Myokard (äußeres)"}


def write(image, mask, file, names=None):
    volume = open_volume(image, allow_gaps=True)
    volume.write_mask(file, mask, volume.affine, {"filename_or_obj": str(image)}, NAMES if names is None else names)
    return file


def frames(file):
    """Pixels of each frame of a SEG by segment and place, from pydicom alone."""
    content = pydicom.dcmread(file)
    found = {}
    for frame, pixels in zip(content.PerFrameFunctionalGroupsSequence, content.pixel_array, strict=True):
        segment = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = tuple(np.round(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), 4))
        found[segment, position] = pixels
    return found


def wanted(mask, slices=range(7)):
    """The frames by the definition: each slice of each class at the position of the slice."""
    place = np.diag([-1, -1, 1, 1]) @ AFFINE
    positions = {number: tuple(np.round((place @ [0, 0, number, 1])[:3], 4)) for number in slices}
    return {(value, positions[number]): (mask[:, :, number] == value).T for number in slices for value in (1, 2)}


def check_equal(found, wanted):
    found = {(segment, tuple(np.round(place, 2))): pixels for (segment, place), pixels in found.items()}
    wanted = {(segment, tuple(np.round(place, 2))): pixels for (segment, place), pixels in wanted.items()}
    assert found.keys() == wanted.keys()
    for key, pixels in wanted.items():
        np.testing.assert_array_equal(found[key], pixels)


@pytest.mark.parametrize("mask", [MASK, np.zeros_like(MASK)], ids=["mask", "empty"])
def test_every_slice_has_a_frame_of_each_class_at_its_place(tmp_path, mask):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    check_equal(frames(write(folder, mask, tmp_path / "seg.dcm")), wanted(mask))


def test_highdicom_reads_the_geometry_the_names_and_the_referenced_slices(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    seg = highdicom.seg.segread(write(folder, MASK, tmp_path / "seg.dcm"))
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == list(NAMES.values())
    volume = seg.get_volume(combine_segments=True).to_patient_orientation("LPS")
    image = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in sorted(folder.iterdir())])
    np.testing.assert_allclose(volume.affine, image.to_patient_orientation("LPS").affine, atol=1e-4)
    sources = {pydicom.dcmread(file).SOPInstanceUID for file in folder.iterdir()}
    series = seg.ReferencedSeriesSequence[0]
    assert {each.ReferencedSOPInstanceUID for each in series.ReferencedInstanceSequence} == sources
    assert series.SeriesInstanceUID == pydicom.dcmread(folder / "IM000.dcm").SeriesInstanceUID


def test_a_tilted_series_has_its_mask_on_its_slices(tmp_path):
    affine = AFFINE.copy()
    affine[:3, 2] += 0.8 * affine[:3, 1]
    folder = write_series(tmp_path / "ct", VOXELS, affine)
    found = frames(write(folder, MASK, tmp_path / "seg.dcm"))
    positions = {tuple(np.round(np.array(pydicom.dcmread(f).ImagePositionPatient, float), 4)) for f in folder.iterdir()}
    assert {place for _, place in found} == positions


def test_across_gaps_the_slices_that_exist_have_frames(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE, skip=(3,))
    check_equal(frames(write(folder, MASK, tmp_path / "seg.dcm")), wanted(MASK, slices=(0, 1, 2, 4, 5, 6)))


def test_a_multi_frame_image_has_its_mask_on_its_frames(tmp_path):
    file = write_multi_frame(tmp_path / "ct.dcm", VOXELS, AFFINE, order=[3, 0, 6, 1, 2, 5, 4])
    check_equal(frames(write(file, MASK, tmp_path / "out/seg.dcm")), wanted(MASK))


def test_other_values_than_class_numbers_are_segments_in_their_order(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    values = np.array([0, 500, 420], np.uint16)[MASK]
    file = write(folder, values, tmp_path / "seg.dcm", {500: "left ventricle", 420: "myocardium"})
    check_equal(frames(file), wanted(MASK))


def test_a_mask_is_known_as_ours_until_it_is_changed(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    file = write(folder, MASK, tmp_path / "seg.dcm")
    ours = open_volume(folder).is_own_mask
    assert ours(file)
    content = pydicom.dcmread(file)
    content.PixelData = bytes(len(content.PixelData))
    content.save_as(file)
    assert not ours(file)
    assert not ours(folder / "IM000.dcm")


def test_a_mask_in_another_grid_is_refused(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    with pytest.raises(InputError, match=r"mask of .*ct must lie in the grid \(5, 6, 7\), got \(5, 6, 3\)"):
        write(folder, MASK[:, :, :3], tmp_path / "seg.dcm")


def test_a_series_without_names_and_frame_of_reference_has_a_mask_too(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    for file in folder.iterdir():
        content = pydicom.dcmread(file)
        for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyID", "StudyDate", "AccessionNumber"):
            del content[name]
        del content.FrameOfReferenceUID, content.ReferringPhysicianName
        content.save_as(file)
    check_equal(frames(write(folder, MASK, tmp_path / "seg.dcm")), wanted(MASK))


def test_a_series_that_lacks_what_a_seg_needs_is_refused(tmp_path):
    folder = write_series(tmp_path / "ct", VOXELS, AFFINE)
    for file in folder.iterdir():
        content = pydicom.dcmread(file)
        del content.StudyInstanceUID
        content.save_as(file)
    with pytest.raises(InputError, match=r"a DICOM SEG of .*ct cannot be made: .*StudyInstanceUID"):
        write(folder, MASK, tmp_path / "seg.dcm")


def test_without_highdicom_the_error_says_what_to_install(tmp_path, monkeypatch):
    folder, load = write_series(tmp_path / "ct", VOXELS, AFFINE), builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("highdicom"):
            raise ImportError
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"a mask of a DICOM series needs highdicom: pip install pydicom highdicom"):
        write(folder, MASK, tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="a mask of a DICOM series needs highdicom"):
        MaskLayout(tmp_path / "masks").check([{"image": str(folder), "case": "a"}])
