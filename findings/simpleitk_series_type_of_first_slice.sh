#!/usr/bin/env bash
# SimpleITK 2.5.7 gives a DICOM series the number type of its first slice: values of other slices lose their fractions,
# or wrap round at 65536.
#
# PET series have one rescale slope a slice. ImageSeriesReader applies each slope, but chooses the type of the volume
# by the first file alone. When that one has slope 1, the volume is uint16. A value of 25.75 in another slice becomes
# 25, and 70000 becomes 4464. Nothing is said. Each file read alone is right, and so is the same series when its first
# slice has a fractional slope. pydicom 3.0.2 gives the right values for each slice.
# SetOutputPixelType(sitkFloat64) on the reader gives the right values too. The loss of fractions is known there
# (issue 1636, pull 1640).
#
# Seen, at the first two voxels of three slices with slopes 1, 0.25 and 700, which all store 100 and 103:
# pydicom 100, 103, 25, 25.75, 70000, 72100; SimpleITK, uint16: 100, 103, 25, 25, 4464, 6564; with the slopes 0.25, 1
# and 700, and with a type asked for, SimpleITK has pydicom's values. Exits 0 while that holds, 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.3.5
cd "$folder"
venv/bin/python - <<'PY'
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid


def write(folder, slopes):
    """Write a PET series of 4 x 4 voxels whose slices store the same numbers under different slopes."""
    Path(folder).mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number, slope in enumerate(slopes):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientID, data.PatientName, data.Modality, data.Units = "phantom", "phantom^", "PT", "BQML"
        data.SeriesNumber, data.InstanceNumber = 1, number + 1
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [1, 1], 2
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 4, 4, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = slope, "0"
        data.PixelData = np.arange(100, 148, 3, dtype=np.uint16).tobytes()
        data.save_as(f"{folder}/{number}.dcm", enforce_file_format=True)


def read(folder, kind=None):
    """Return the values by pydicom and by SimpleITK, of the slices in the order of their positions."""
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(folder)
    reader.SetFileNames(names)
    if kind is not None:
        reader.SetOutputPixelType(kind)
    slices = [pydicom.dcmread(name) for name in names]
    return np.stack([apply_rescale(s.pixel_array, s) for s in slices]), sitk.GetArrayFromImage(reader.Execute())


write("whole_first", ["1", "0.25", "700"])
write("fraction_first", ["0.25", "1", "700"])
right, found = read("whole_first")
print("pydicom:  ", right[:, 0, :2].tolist())
print("SimpleITK:", found[:, 0, :2].tolist(), found.dtype)
wrong = found.dtype == np.uint16 and np.array_equal(found, right.astype(np.int64) % 65536)
asked = np.array_equal(*read("whole_first", sitk.sitkFloat64))
other = np.array_equal(*read("fraction_first"))
print("equal with float64 asked for:", asked, "- equal with a fractional slope first:", other)
sys.exit(0 if wrong and not np.array_equal(found, right) and asked and other else 1)
PY
