"""All stages run on NRRD, MetaImage and DICOM; masks come back in the format of their image."""

from __future__ import annotations

import csv
import json

import highdicom
import monai
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_data import write_series
from own_bundles import build, run_to_end, small

from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.synthetic import make_synthetic_hippocampus
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume

SHORT = {"epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "samples_per_volume": 2}
NAMES = ["Anterior", "Posterior"]
LPS = {"space": "left-posterior-superior", "kinds": ["domain"] * 3}


def lps_grid(affine):
    in_lps = np.diag([-1, -1, 1, 1]) @ affine
    return {**LPS, "space directions": in_lps[:3, :3].T, "space origin": in_lps[:3, 3]}


def turned(image):
    """The affine of an image turned a little about two axes, as no scanner lies straight."""
    a, b = 0.2, -0.1
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return nib.affines.from_matvec(first @ second, [5, -7, 3]) @ image.affine


def as_nrrd(folder, case, image, label):
    """Write an image, and its label as 3D Slicer does: the box of its segments, in another order."""
    voxels, affine = image.get_fdata().astype(np.float32), turned(image)
    nrrd.write(str(folder / f"{case}.nrrd"), voxels, lps_grid(affine))
    if label is not None:
        classes = label.get_fdata().astype(np.uint8)
        inside = np.argwhere(classes)
        low, high = inside.min(0), inside.max(0) + 1
        box = np.array([0, 2, 1], np.uint8)[classes][tuple(map(slice, low, high))]
        header = lps_grid(affine @ nib.affines.from_matvec(np.eye(3), low))
        for number, (value, name) in enumerate(((1, "posterior"), (2, "anterior"))):
            header |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": str(value)}
        nrrd.write(str(folder / f"{case}.seg.nrrd"), box, header)
    return f"{case}.nrrd", f"{case}.seg.nrrd"


def as_dicom(folder, case, image, label):
    """Write a series without a slice of it, and its label as NRRD."""
    voxels = np.rint(image.get_fdata() * 10 + 500).astype(int)
    affine = turned(image)
    write_series(folder / case / "t1", voxels, affine, skip=(4,) if case.endswith("1") else (), PatientID=case)
    if label is not None:
        nrrd.write(str(folder / f"{case}.nrrd"), label.get_fdata().astype(np.uint8), lps_grid(affine))
    return f"{case}/t1", f"{case}.nrrd"


IMAGE = {"nrrd": "c0.nrrd", "dicom": "c0/t1"}
LABEL = {"nrrd": "c0.seg.nrrd", "dicom": "c0.nrrd"}
WAYS = {"nrrd": (as_nrrd, {}), "dicom": (as_dicom, {"allow_gaps": True})}


@pytest.fixture
def source(tmp_path):
    return make_synthetic_hippocampus(tmp_path / "source", num_cases=6, num_test=1, spatial_size=(24, 30, 16))


@pytest.fixture
def make_data(tmp_path, source):
    """Write the synthetic hippocampus in another format, with a data list of it, and return its folder."""

    def make(write):
        data = tmp_path / "data"
        data.mkdir()
        training = []
        for number, file in enumerate(sorted((source / "imagesTr").iterdir())):
            image, label = write(data, f"c{number}", nib.load(file), nib.load(source / "labelsTr" / file.name))
            training.append({"image": image, "label": label, "case": f"c{number}"})
        labels = {str(value): name for value, name in enumerate(["background", *NAMES])}
        (data / "dataset.json").write_text(json.dumps({"training": training, "labels": labels}))
        return data

    return make


@pytest.fixture
def run(tmp_path):
    """Run a stage of a bundle, small and short."""

    def run(bundle, name, **options):
        short = SHORT if name in ("pretrain", "train") else {}
        run_to_end(build(bundle, name, **small(bundle), **{**short, **options}))

    yield run
    monai.data.set_track_meta(True)


@pytest.mark.parametrize("way", WAYS)
def test_a_bundle_of_another_format_runs_every_stage(make_data, run, source, tmp_path, way):
    write, options = WAYS[way]
    data = make_data(write)
    load = LoadCased(("image", "label"), 3, class_names=NAMES, **options)
    sample = load({"image": str(data / IMAGE[way]), "label": str(data / LABEL[way])})
    truth = nib.load(min((source / "labelsTr").iterdir())).get_fdata()
    np.testing.assert_array_equal(sample["label"][0], truth)
    if options:
        with pytest.raises(
            InputError, match=r"case c1: image file .*c1/t1 must have slices at even distances, got 1 unev"
        ):
            new_bundle("own_mri_segmentation", str(data), folder=str(tmp_path), estimate=False)
    new_bundle("own_mri_segmentation", str(data), folder=str(tmp_path), estimate=True, **options)
    bundle = tmp_path / "own_mri_segmentation"
    task = json.loads((bundle / "task.json").read_text())
    assert task.get("allow_gaps", False) == bool(options)
    assert task["class_names"] == NAMES
    cache = {"cache_dir": str(tmp_path / "cache")}
    run(bundle, "pretrain", **cache)
    run(bundle, "train", **cache)
    run(bundle, "evaluate")
    with (bundle / "eval/evaluate/cases.csv").open() as file:
        assert {row["class"] for row in csv.DictReader(file)} == set(NAMES)
    assert list((bundle / "eval/evaluate/overlays").glob("*.png"))
    run(bundle, "inference", dataset_dir=str(data))
    masks = {file.name for file in (bundle / "eval/predictions").iterdir() if file.is_file()}
    suffix = {"nrrd": ".nrrd", "dicom": ".dcm"}[way]
    assert {f"c{number}{'_t1' if way == 'dicom' else ''}_seg{suffix}" for number in range(5)} <= masks
    run(bundle, "inference", dataset_dir=str(data))  # masks of ours are replaced


def test_masks_of_a_folder_of_mixed_formats_lie_on_their_images(weights, run_stage, source, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    image = nib.load(next((source / "imagesTs").iterdir()))
    nib.save(nib.Nifti1Image(image.get_fdata().astype(np.float32), turned(image)), images / "a.nii.gz")
    as_nrrd(images, "b", image, None)
    sitk.WriteImage(sitk.ReadImage(str(images / "b.nrrd")), str(images / "c.mha"))
    as_dicom(images, "d", image, None)
    run_stage("inference", dataset_dir=str(images), weights=str(weights))
    masks = tmp_path / "eval/predictions"
    found = {file.name for file in masks.iterdir() if file.is_file() and file.name[0] != "."}
    assert found == {"a_seg.nii.gz", "b_seg.nrrd", "c_seg.mha", "d_t1_seg.dcm"}
    nifti = nib.load(masks / "a_seg.nii.gz")
    assert len(np.unique(nifti.dataobj)) > 1
    for name in ("b_seg.nrrd", "c_seg.mha"):
        read = sitk.ReadImage(str(masks / name))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read).T, np.asanyarray(nifti.dataobj))
        place = np.array(read.TransformIndexToPhysicalPoint((3, 5, 7))) * [-1, -1, 1]
        np.testing.assert_allclose(place, nib.affines.apply_affine(turned(image), (3, 5, 7)), atol=1e-4)
    seg = highdicom.seg.segread(masks / "d_t1_seg.dcm")
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == NAMES
    sources = {str(pydicom.dcmread(file).SOPInstanceUID) for file in (images / "d/t1").iterdir()}
    references = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(each.ReferencedSOPInstanceUID) for each in references} == sources
    assert seg.NumberOfFrames == 2 * open_volume(images / "d/t1").shape[2]
