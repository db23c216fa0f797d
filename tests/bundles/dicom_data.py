"""DICOM series for tests, written by pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_series(folder, voxels, affine, slopes=None, intercept=0, skip=(), uid=None, **tags):
    """Write one file a slice, in another order than that of the slices, and return the folder.

    Args:
        folder: the folder.
        voxels: stored values, (column, row, slice).
        affine: matrix from voxels to mm, in RAS+ convention.
        slopes: rescale slope of each slice.
        intercept: rescale intercept.
        skip: slices that are missing.
        uid: SeriesInstanceUID.
        tags: other elements of every file; a function is called with the number of the slice.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series, study, frame = uid or generate_uid(), generate_uid(), generate_uid()
    order = np.random.default_rng(0).permutation(voxels.shape[2])
    for place, number in enumerate(order):
        if number in skip:
            continue
        content = new_file(CTImageStorage, series, study, frame)
        _describe(content, voxels[:, :, number])
        content.InstanceNumber = place + 1
        _grid(content, content, affine, number)
        content.RescaleSlope = 1 if slopes is None else slopes[number]
        content.RescaleIntercept = intercept
        for tag, value in tags.items():
            setattr(content, tag, value(number) if callable(value) else value)
        content.save_as(folder / f"IM{place:03d}.dcm", enforce_file_format=True)
    return folder


def write_multi_frame(file, voxels, affine, order, slopes=None):
    """Write an enhanced CT of one file with its slices in the given order, or an MR with a slope of each slice."""
    kind = EnhancedMRImageStorage if slopes else EnhancedCTImageStorage
    content = new_file(kind, generate_uid(), generate_uid(), generate_uid())
    content.Modality = "MR" if slopes else "CT"
    _describe(content, voxels[:, :, order])
    content.InstanceNumber, content.NumberOfFrames, content.ContentDate, content.ContentTime = 1, len(order), "", ""
    shared, frames = Dataset(), []
    measures, orientation, values = Dataset(), Dataset(), Dataset()
    _grid(Dataset(), measures, affine, 0)
    orientation.ImageOrientationPatient = measures.ImageOrientationPatient
    del measures.ImageOrientationPatient, measures.ImagePositionPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    if not slopes:
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, -5, "HU"
        shared.PixelValueTransformationSequence = [values]
    for number in order:
        position, all_of_it, place = Dataset(), Dataset(), Dataset()
        _grid(Dataset(), all_of_it, affine, number)
        position.ImagePositionPatient = all_of_it.ImagePositionPatient
        place.PlanePositionSequence = [position]
        if slopes:
            values = Dataset()
            values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slopes[number], 0, "US"
            place.PixelValueTransformationSequence = [values]
        frames.append(place)
    content.SharedFunctionalGroupsSequence, content.PerFrameFunctionalGroupsSequence = [shared], frames
    content.save_as(file, enforce_file_format=True)
    return file


def new_file(kind, series, study, frame):
    """Return an empty object of a kind."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = kind, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    content = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    content.SOPClassUID, content.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    content.SeriesInstanceUID, content.StudyInstanceUID, content.FrameOfReferenceUID = series, study, frame
    content.PatientID, content.PatientName, content.Modality = "p1", "Doe^Jane", "CT"
    content.PatientBirthDate = content.PatientSex = content.AccessionNumber = content.ReferringPhysicianName = ""
    content.StudyDate, content.StudyTime, content.StudyID, content.SeriesNumber = "20200101", "000000", "1", 3
    content.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return content


def _describe(content, stored):
    """Set the pixels, (column, row) or (column, row, frame), and what describes them."""
    content.Columns, content.Rows = stored.shape[:2]
    content.SamplesPerPixel, content.PhotometricInterpretation = 1, "MONOCHROME2"
    content.BitsAllocated, content.BitsStored, content.HighBit = 16, 16, 15
    content.PixelRepresentation = 1 if stored.min() < 0 else 0
    content.PixelData = np.ascontiguousarray(stored.T).astype("<i2" if stored.min() < 0 else "<u2").tobytes()


def _grid(place, measures, affine, number):
    """Set position and orientation of a slice, and the size of its pixels, by the definition of DICOM."""
    in_lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(in_lps[:3, :3], axis=0)
    position = in_lps @ [0, 0, number, 1]
    measures.ImageOrientationPatient = [f"{each:.8f}" for each in (in_lps[:3, :2] / spacing[:2]).T.ravel()]
    measures.ImagePositionPatient = [f"{each:.6f}" for each in position[:3]]
    measures.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"]  # from row to row, then from column to column
    measures.SliceThickness = f"{spacing[2]:.6f}"
