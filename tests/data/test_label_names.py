from __future__ import annotations

import json

import nibabel
import nrrd
import numpy as np
import pytest

from semicl_monai.data import check_label_names, labelled_studies
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError

CLASSES = ["Anterior", "Posterior"]


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check a label that holds some values, of which a client has said something."""
    monkeypatch.delenv("MONAI_LABEL_STUDIES", raising=False)
    label = tmp_path / "labels/final/s1.nii.gz"
    label.parent.mkdir(parents=True)

    def run(info, values=(0, 1, 2), checked=check_label_names, **options):
        (tmp_path / "s1.nii.gz").touch()
        nibabel.save(nibabel.Nifti1Image(np.array(values, np.uint8)[None, None], np.eye(4)), label)
        final = {"ext": ".nii.gz", "info": {"ts": 1, "name": label.name, **info}}
        objects = {"s1": {"image": {"ext": ".nii.gz", "info": {}}, "labels": {"final": final}}}
        (tmp_path / "datastore_v2.json").write_text(json.dumps({"name": "", "objects": objects}))
        checked([{"image": str(tmp_path / "s1.nii.gz"), "label": str(label)}], CLASSES, **options)

    return run


def slicer(*names, first=1):
    """What 3D Slicer's module of MONAI Label 0.8.5 sends with a label: its segments in their order."""
    return {"label_info": [{"name": name, "idx": number} for number, name in enumerate(names, first)]}


@pytest.mark.parametrize(
    ("names", "values", "wrong"),
    [
        (("posterior", "anterior"), (0, 1, 2), "value 1 of its label is 'posterior' in .*, wanted 'Anterior'"),
        (("posterior",), (0, 1), "value 1 of its label is 'posterior' in .*, wanted 'Anterior'"),
        (
            ("anterior", "tumour", "posterior"),
            (0, 1, 2, 3),
            "value 2 of its label is 'tumour' in .*, wanted 'Posterior'",
        ),
        (
            ("anterior", "posterior", "tumour"),
            (0, 3),
            "value 3 of its label is 'tumour' in .*, wanted no value above 2",
        ),
        (("anterior", "Segment_2"), (0, 1, 2), "value 2 of its label is 'Segment_2' in .*, wanted 'Posterior'"),
    ],
)
@pytest.mark.parametrize("checked", [check_label_names, labelled_studies])
def test_a_segment_under_the_number_of_another_class_is_refused(check, names, values, wrong, checked):
    order = "segments must stand in the order of class_names: Anterior, Posterior"
    with pytest.raises(InputError, match=rf"^study s1: {wrong}; {order}\.$"):
        check(slicer(*names), values, checked)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("anterior", "posterior"), (0, 1, 2)),
        (("ANTERIOR", " Posterior "), (0, 1, 2)),
        (("anterior",), (0, 1)),
        (("anterior", "posterior", "empty"), (0, 1, 2)),
        (("anterior", "empty"), (0, 1)),
        (("posterior", "anterior"), (0, 0)),
    ],
)
def test_what_a_label_holds_under_the_right_names_passes(check, names, values):
    check(slicer(*names), values)


def test_a_background_that_slicer_leaves_out_counts_in_idx_and_not_in_the_label(check):
    check(slicer("anterior", "posterior", first=2), (0, 1, 2))
    with pytest.raises(InputError, match=r"value 1 of its label is 'posterior'"):
        check(slicer("posterior", "anterior", first=2), (0, 1, 2))


def test_idx_may_be_the_value_in_the_label(check):
    segments = [{"name": "posterior", "idx": 2}, {"name": "anterior", "idx": 1}]
    check({"label_info": segments}, (0, 1, 2))
    check({"label_info": segments[:1]}, (0, 2))
    with pytest.raises(InputError, match=r"value 1 of its label is 'posterior'"):
        check({"label_info": segments[:1]}, (0, 1))


@pytest.mark.parametrize("names", [{"background": 0, "liver": 1}, ["background", "liver"], {"liver": "1"}])
def test_a_mask_of_another_model_is_refused(check, names):
    with pytest.raises(InputError, match=r"study s1: value 1 of its label is 'liver' in .*, wanted 'Anterior'"):
        check({"model": "liver", "params": {"label_names": names}}, (0, 1))


def test_a_mask_of_the_model_itself_passes(check):
    check({"model": "hippocampus", "params": {"label_names": {"anterior": 1, "posterior": 2}}})


@pytest.mark.parametrize(
    "info",
    [
        *({}, {"label_info": []}, {"label_info": None}, {"label_info": "x"}, {"label_info": [{"idx": 1}, None, 3]}),
        *({"params": None}, {"params": {"label_names": None}}, {"params": {"label_names": {"a": None}}}),
    ],
)
def test_a_label_that_nothing_is_known_of_passes(check, info):
    check(info)


def test_records_of_others_and_a_missing_datastore_pass(check, tmp_path):
    check_label_names([{"image": "a.nii.gz", "label": "labelsTr/a.nii.gz"}], CLASSES)
    check({})
    (tmp_path / "datastore_v2.json").unlink()
    record = {"image": str(tmp_path / "s1.nii.gz"), "label": str(tmp_path / "labels/final/s1.nii.gz")}
    check_label_names([record], CLASSES)


def test_the_segment_of_voxels_to_ignore_is_called_ignore(check):
    check(slicer("anterior", "posterior", "Ignore"), (0, 1, 2, 3), ignore_value=3)
    with pytest.raises(InputError, match=r"value 3 of its label is 'tumour' in .*, wanted 'ignore'"):
        check(slicer("anterior", "posterior", "tumour"), (0, 1, 2, 3), ignore_value=3)


def test_segments_cannot_be_regions(check):
    with pytest.raises(
        InputError, match=r"MONAI Label has one segment for each voxel, .* regions .*Anterior, Posterior"
    ):
        check(slicer("anterior", "posterior"), regions=[[1, 2], [2]])


@pytest.mark.parametrize("names", [("Posterior", "Anterior"), ("Anterior", "Posterior")])
def test_a_label_that_names_its_segments_is_read_by_them_in_any_order(tmp_path, monkeypatch, names):
    monkeypatch.delenv("MONAI_LABEL_STUDIES", raising=False)
    (tmp_path / "labels/final").mkdir(parents=True)
    files = {"image": str(tmp_path / "s1.nrrd"), "label": str(tmp_path / "labels/final/s1.nrrd")}
    voxels, space = np.arange(24, dtype=np.int16).reshape(2, 3, 4), {"space": "RAS", "space directions": np.eye(3)}
    nrrd.write(files["image"], voxels, space)
    segments = {f"Segment{number}_Name": name for number, name in enumerate(names)}
    segments |= {f"Segment{number}_LabelValue": str(number + 1) for number in range(len(names))}
    nrrd.write(files["label"], (voxels % 3).astype(np.uint8), {**space, **segments})
    final = {"ext": ".nrrd", "info": slicer(*names)}
    (tmp_path / "datastore_v2.json").write_text(json.dumps({"objects": {"s1": {"labels": {"final": final}}}}))
    (record,) = labelled_studies([files], CLASSES)
    label = LoadCased(("image", "label"), num_classes=3, class_names=CLASSES)(record)["label"][0].numpy()
    for number, name in enumerate(CLASSES, 1):
        assert np.array_equal(label == number, voxels % 3 == names.index(name) + 1)
