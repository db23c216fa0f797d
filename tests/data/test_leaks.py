from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.leaks import check_repeated_images
from semicl_monai.utils import InputError, Provenance, image_digest

NAMES = [f"a{number}" for number in range(10)]


def write_image(path, seed):
    """An image of noise; all are of one size, as they are where volumes were resampled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 99, (5, 6, 7), np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), path)


def write_list(root, **sections):
    """Write a datalist of images of these names by section, whose labels are empty files."""
    (root / "labels").mkdir(parents=True, exist_ok=True)
    listed = {}
    for section, names in sections.items():
        listed[section] = [{"image": f"{name}.nii.gz", "label": f"labels/{name}.nii.gz"} for name in names]
        for name in names:
            (root / "labels" / f"{name}.nii.gz").touch()
    (root / "dataset.json").write_text(json.dumps(listed))
    return root


@pytest.fixture
def root(tmp_path):
    for seed, name in enumerate(NAMES):
        write_image(tmp_path / "data" / f"{name}.nii.gz", seed)
    return write_list(tmp_path / "data", training=NAMES)


def seen(records, patient=None):
    return tuple(
        {"case": r["case"], "image": image_digest(r["image"]), "patient": patient or r["case"]} for r in records
    )


def provenance(datalist):
    return Provenance(**{part: seen(getattr(datalist, part)) for part in ("labelled", "unlabelled", "validation")})


def test_a_case_that_an_earlier_stage_trained_with_cannot_be_held_out(root):
    known = provenance(SegmentationDatalist(root, split_seed=0))
    message = r"^the weights have seen cases that are held out now: a\d.*; give the split_seed, split_file or v"
    with pytest.raises(InputError, match=message):
        SegmentationDatalist(root, split_seed=1, provenance=known)


def test_the_same_split_with_more_labels_agrees_with_an_earlier_stage(root):
    few = SegmentationDatalist(root, labelled_fraction=1)
    more = SegmentationDatalist(root, labelled_fraction=2, provenance=provenance(few))
    assert few.split["test"] == more.split["test"]


def test_a_label_that_an_earlier_stage_has_seen_cannot_be_hidden_now(root):
    many = provenance(SegmentationDatalist(root, labelled_fraction=3))
    with pytest.raises(
        InputError, match=r"^the weights have seen labels of cases that are unlabelled now: a\d and|a\d"
    ):
        SegmentationDatalist(root, labelled_fraction=1, provenance=many)


def test_a_case_that_an_earlier_stage_validated_with_cannot_be_a_test_case(root):
    first = SegmentationDatalist(root)
    known = Provenance(validation=seen(first.test))
    with pytest.raises(InputError, match=f"held out now: {', '.join(first.split['test'])}; give"):
        SegmentationDatalist(root, provenance=known)
    SegmentationDatalist(root, provenance=Provenance(validation=seen(first.validation)))


def link(source, target):
    target.symlink_to(source)


def pack_anew(source, target):
    target.write_bytes(gzip.compress(gzip.decompress(source.read_bytes()), 1))


def change_type(source, target):
    image = nibabel.load(source)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj, np.float64), image.affine), target)


def change_header(source, target):
    image = nibabel.load(source)
    image.header["descrip"] = "somebody else wrote this"
    image.header["db_name"] = "elsewhere"
    nibabel.save(image, target)


SAME = pytest.mark.parametrize("same", [link, shutil.copy, pack_anew, change_type, change_header])


@SAME
def test_an_image_is_recognised_under_another_name(root, tmp_path, same):
    known = provenance(first := SegmentationDatalist(root))
    trained = first.labelled[0]
    write_image(tmp_path / "other" / "x.nii.gz", 77)
    same(Path(trained["image"]), tmp_path / "other" / "y.nii.gz")
    write_image(tmp_path / "other" / "z.nii.gz", 78)
    other = write_list(tmp_path / "other", training=["x"], validation=["z"], test=["y"])
    with pytest.raises(InputError, match=rf"held out now: y \(as {trained['case']}\); give"):
        SegmentationDatalist(other, provenance=known)


@SAME
@pytest.mark.parametrize("part", ["validation", "test"])
def test_one_image_cannot_train_and_be_held_out_under_two_names(root, same, part):
    same(root / "a0.nii.gz", root / "b.nii.gz")
    lists = {"training": ["a0", "a1", "a2"], "validation": ["a3"], "test": ["a4"]} | {part: ["b"]}
    message = (
        rf"^the same image is in the training part as a0 \({re.escape(str(root / 'a0.nii.gz'))}\) and in the "
        rf"{part} part as b \({re.escape(str(root / 'b.nii.gz'))}\): leave one of them out"
    )
    with pytest.raises(InputError, match=message):
        SegmentationDatalist(write_list(root, **lists))


def test_one_image_cannot_validate_and_test(root):
    link(root / "a3.nii.gz", root / "b.nii.gz")
    lists = {"training": ["a0", "a1", "a2"], "validation": ["a3"], "test": ["b"]}
    with pytest.raises(InputError, match=r"is in the validation part as a3 .* and in the test part as b "):
        SegmentationDatalist(write_list(root, **lists))
    SegmentationDatalist(root, evaluated="test")  # the other part is not used


def test_another_image_of_the_same_name_is_another_image(root, tmp_path):
    known = provenance(SegmentationDatalist(root))
    for seed, name in enumerate(NAMES):
        write_image(tmp_path / "hospital" / f"{name}.nii.gz", 100 + seed)
    other = write_list(tmp_path / "hospital", training=NAMES)
    for seed in range(3):
        SegmentationDatalist(other, split_seed=seed, provenance=known)


def test_only_the_parts_that_a_stage_uses_are_held_out_for_it(root):
    datalist = SegmentationDatalist(root)
    known = Provenance(labelled=seen([*datalist.labelled, *datalist.validation]))
    SegmentationDatalist(root, provenance=known, evaluated="test")
    with pytest.raises(InputError, match="the weights have seen cases that are held out now"):
        SegmentationDatalist(root, provenance=known, evaluated="validation")


def test_another_image_of_a_patient_that_was_seen_is_refused(root):
    test = SegmentationDatalist(root).split["test"][0]
    known = Provenance(unlabelled=({"case": "frame1", "image": "another", "patient": test},))
    with pytest.raises(InputError, match=rf"held out now: {test} \(of the patient {test}, as frame1\); give"):
        SegmentationDatalist(root, provenance=known)


def test_images_of_different_sizes_are_not_read(root, monkeypatch):
    for number, name in enumerate(NAMES):
        image = nibabel.Nifti1Image(np.zeros((3, 4, 5 + number), np.int16), np.eye(4))
        nibabel.save(image, root / f"{name}.nii.gz")
    monkeypatch.setattr("semicl_monai.data.leaks.image_digest", None)
    assert len(SegmentationDatalist(root).test) == 2


def test_the_same_image_in_another_format_is_refused(tmp_path):
    write_image(tmp_path / "a.nii.gz", 0)
    voxels = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    nrrd.write(str(tmp_path / "b.nrrd"), voxels, {"spacings": [1.0, 1, 1]})
    parts = {"labelled": ["a.nii.gz"], "unlabelled": [], "validation": [], "test": ["b.nrrd"]}
    records = {part: [{"image": str(tmp_path / name), "case": name} for name in names] for part, names in parts.items()}
    with pytest.raises(InputError, match=r"the same image is in the training part as a\.nii\.gz .* and in the test"):
        check_repeated_images(records)
