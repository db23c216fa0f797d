from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.apps.data_source import find_data
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.data import LabelRules, SegmentationDatalist
from semicl_monai.utils import InputError, paths_of

NAME = "knee_mri_segmentation"


@pytest.fixture
def patients(tmp_path):
    """Six patients, each with a folder of an image and a label, and a seventh without label."""
    rng = np.random.default_rng(0)
    for number in range(1, 8):
        folder = tmp_path / "scans" / f"p{number}"
        folder.mkdir(parents=True)
        label = rng.integers(0, 3, (20, 40, 6)).astype(np.uint8)
        save(rng.normal(100, 10, label.shape).astype(np.float32), folder / "image.nii.gz")
        if number < 7:
            save(label, folder / "label.nii.gz")
    return tmp_path / "scans"


def save(volume, file):
    nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 4.0, 1.0])), file)


@pytest.fixture
def make(patients, tmp_path):
    def make(name=NAME, **options):
        given = {"images": str(patients), "folder": str(tmp_path / "bundles"), "estimate": False}
        new_bundle(name, **{**given, **options})
        return tmp_path / "bundles" / name

    return make


def read(file):
    return json.loads(Path(file).read_text())


def test_a_folder_without_json_becomes_a_bundle_and_a_list_beside_it(make, patients, capsys):
    bundle = make()
    task, file = read(bundle / "task.json"), bundle.parent / f"{NAME}_datalist.json"
    assert (task["dataset_dir"], task["datalist_file"]) == (str(patients), str(file))
    assert sorted(each.name for each in bundle.parent.iterdir()) == [NAME, file.name]
    assert read(file)["training"][0] == {
        "image": "../scans/p1/image.nii.gz",
        "label": "../scans/p1/label.nii.gz",
        "case": "p1",
    }
    assert read(file)["unlabelled"] == [{"image": "../scans/p7/image.nii.gz", "case": "p7"}]
    printed = capsys.readouterr().out
    for line in (
        "6 image(s) are paired with a label by their names:\n  p1: p1/image.nii.gz + p1/label.nii.gz\n",
        "  and 3 more\n1 image(s) without a label, used as unlabelled: p7\n",
        "Images become z-scores. Give --modality CT if they are in Hounsfield units.",
        f"--dataset_dir {patients} --datalist {file}.",
    ):
        assert line in printed


def test_the_list_makes_the_same_bundle_again(make, patients):
    first = make()
    file = f"{first}_datalist.json"
    second = make("a_b_c", images=None, dataset_dir=str(patients), datalist=file)
    assert read(first / "task.json") == read(second / "task.json")
    lists = SegmentationDatalist(patients, file)
    counts = [len(lists.labelled), len(lists.unlabelled), len(lists.validation), len(lists.test)]
    assert counts == [4, 1, 1, 1]


def test_names_and_modality_stand_in_the_list_and_in_the_task(make):
    bundle = make(modality="CT", class_names="bone, cyst")
    content = read(f"{bundle}_datalist.json")
    assert (content["modality"], content["labels"]) == ({"0": "CT"}, {"0": "background", "1": "bone", "2": "cyst"})
    task = read(bundle / "task.json")
    assert task["class_names"] == ["bone", "cyst"]
    assert task["scaling"]["_target_"] == "ScaleIntensityRanged"


def test_a_class_called_ignore_is_the_value_to_ignore_also_when_the_list_is_read_again(make, patients):
    bundle = make(class_names="bone=1,ignore=2")
    task, file = read(bundle / "task.json"), f"{bundle}_datalist.json"
    assert (task["class_names"], task["ignore_value"]) == (["bone"], 2)
    assert read(file)["labels"] == {"0": "background", "1": "bone", "2": "ignore"}
    again = make("a_b_c", images=None, dataset_dir=str(patients), datalist=file)
    assert read(again / "task.json") == task


def test_a_value_to_ignore_below_others_is_refused_before_files_are_searched(make, tmp_path):
    message = "class_names must give 'ignore' one value above all others, which go to 2, got 1"
    refuse(make, message, class_names="ignore=1,bone=2", images=str(tmp_path / "nowhere"))


def test_the_value_to_ignore_may_be_given_for_a_file_without_names(patients, tmp_path):
    (patients / "dataset.json").write_text('{"training": []}')
    data = find_data(tmp_path / NAME, images=str(patients), class_names="bone,ignore")
    assert (data.names, data.rules) == ({1: "bone"}, LabelRules(ignore_value=2))


@pytest.mark.parametrize(
    "labels",
    [{"background": 0, "bone": 1, "ignore": 3}, {"bone": [1, 2], "cyst": 2}, {"bone": 1, "x": 2}],
)
def test_a_value_to_ignore_regions_and_names_of_the_file_are_not_overruled(patients, tmp_path, labels):
    content = {"labels": labels, "training": [], "regions_class_order": [1, 2]}
    (patients / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"dataset\.json names the classes .*, but class_names is .*: give no --class"):
        find_data(tmp_path / NAME, images=str(patients), class_names="bone,ignore")


def test_a_value_without_a_name_is_refused_by_the_option_that_names_the_others(make, patients):
    refuse(make, r"the labels hold the value 2, but class_names names only \[1\]\.", class_names="bone")
    (patients / "dseg.tsv").write_text("index\tname\n1\tbone\n")
    refuse(make, r"the labels hold the value 2, but the table dseg\.tsv names only \[1\]\.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "nonsense"}, "unknown method 'nonsense'; known: random, "),
        ({"memory": 0}, "memory must be a number of GiB from 1, got 0"),
        ({"spatial_dims": 4}, "spatial_dims must be .*got '4'"),
        ({"group_pattern": "(p"}, r"group_pattern must be a regular expression, got '\(p'"),
        ({"group_pattern": 3}, "group_pattern must be a regular expression, got 3"),
        ({"allow_gaps": "perhaps"}, "allow_gaps must be .*got 'perhaps'"),
        ({"replace_nan": "x"}, "replace_nan must be a finite number, got 'x'"),
        ({"labelled_fraction": 0}, "labelled_fraction must be a fraction above 0.0"),
        ({"split_seed": -1}, "split_seed must be a whole number from 0"),
        ({"validation": "some"}, "validation must be .*got 'some'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read_or_written(make, tmp_path, capsys, options, message):
    refuse(make, message, **{"images": str(tmp_path / "nowhere"), **options})
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "bundles").exists()


def test_paths_are_relative_to_the_list_and_links_stay(make, patients, tmp_path):
    make(folder=str(patients.parent))
    assert read(tmp_path / f"{NAME}_datalist.json")["training"][0]["image"] == "scans/p1/image.nii.gz"
    (tmp_path / "link").symlink_to(patients, target_is_directory=True)
    bundle = make(images=str(tmp_path / "link"))
    assert read(f"{bundle}_datalist.json")["training"][0]["image"] == "../link/p1/image.nii.gz"


def refuse(make, message, *arguments, **options):
    with pytest.raises(InputError, match=message) as raised:
        make(*arguments, **options)
    assert "\n" not in str(raised.value)


def test_a_list_that_is_there_is_left_alone(make, tmp_path):
    file = tmp_path / "bundles" / f"{NAME}_datalist.json"
    file.parent.mkdir()
    file.write_text("mine")
    refuse(make, f"{file} exists already: move it away, or give another name, or give it by --datalist")
    assert file.read_text() == "mine"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_neither_bundle_nor_list(make, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("semicl_monai.apps.bundle_folder.bundle_metadata", fail)
    with pytest.raises((InputError, KeyboardInterrupt)):
        make()
    assert list((tmp_path / "bundles").iterdir()) == []


def test_data_that_are_refused_leave_nothing(make, patients, tmp_path):
    (patients / "p1/image.nii.gz").write_bytes(b"broken")
    refuse(make, "case p1: .*image.nii.gz cannot be read as NIfTI", validation="none", split_seed=1)
    assert not (tmp_path / "bundles").exists()


def test_options_that_do_not_go_together_are_refused(make, patients):
    one = r"wanted one of --dataset_dir \(a folder with dataset.json\) and --images, got"
    refuse(make, f"{one} both", dataset_dir=str(patients))
    refuse(make, f"{one} none", images=None)
    refuse(make, "--labels goes with --images", images=None, dataset_dir=str(patients), labels=str(patients))
    refuse(make, "--datalist goes with --dataset_dir", datalist="list.json")


def test_a_description_in_the_folder_is_used_and_said(patients, tmp_path, capsys):
    training = [{"image": f"p{n}/image.nii.gz", "label": f"p{n}/label.nii.gz", "case": f"x{n}"} for n in range(1, 7)]
    (patients / "dataset.json").write_text(json.dumps({"training": training}))
    data = find_data(tmp_path / NAME, images=str(patients))
    assert (data.dataset_dir, data.datalist, data.content) == (patients, "dataset.json", None)
    assert capsys.readouterr().out == f"{patients}/dataset.json is used; files are not paired by their names.\n"
    with pytest.raises(InputError, match=r"dataset\.json names the labels: give no --labels, or give a pattern"):
        find_data(tmp_path / NAME, images=str(patients), labels=str(patients))


def test_another_json_of_that_name_is_passed_over(patients, tmp_path, capsys):
    (patients / "dataset.json").write_text('{"title": "Knees"}')
    data = find_data(tmp_path / NAME, images=str(patients))
    assert data.content is not None
    assert "dataset.json is not used, as it has neither 'training' nor 'channel_names'.\n" in capsys.readouterr().out


def test_data_lists_in_the_folder_are_named(patients, tmp_path, capsys):
    (patients / "few.json").write_text('{"training": []}')
    (patients / "other.json").write_text("{}")
    find_data(tmp_path / NAME, images=str(patients))
    printed = capsys.readouterr().out
    assert "Data lists in the folder are not used: few.json. To use one, give --dataset_dir" in printed


def test_class_names_of_the_file_are_not_overruled(patients, tmp_path):
    content = {"labels": {"0": "background", "1": "bone", "2": "cyst"}, "training": []}
    (patients / "dataset.json").write_text(json.dumps(content))
    find_data(tmp_path / NAME, images=str(patients), class_names="bone,cyst")
    with pytest.raises(InputError, match=r"dataset\.json names the classes .*, but class_names is .*: give no --class"):
        find_data(tmp_path / NAME, images=str(patients), class_names="cyst,bone")


def test_an_image_in_hounsfield_units_gets_a_hint(make, patients, capsys):
    hint = "looks like CT: whole numbers, some below -900. Give --modality CT if all images are CT."
    make()
    assert hint not in capsys.readouterr().out
    for file in patients.glob("*/image.nii.gz"):
        save(np.random.default_rng(0).integers(-1024, 1000, (20, 40, 6)).astype(np.int16), file)
    make("a_b_c")
    assert hint in capsys.readouterr().out
    make("a_b_d", modality="CT")
    assert hint not in capsys.readouterr().out


def test_paths_and_names_of_the_command_are_text():
    assert {"images", "labels", "class_names"} <= set(paths_of(new_bundle))


def test_classes_without_names_and_classes_that_no_label_holds_are_told(make, capsys):
    make("a_b")
    assert "Classes are called by their values. Give --class_names" in capsys.readouterr().out
    make("a_c", class_names="bone,cartilage,meniscus")
    printed = capsys.readouterr().out
    assert "Give --class_names" not in printed
    assert "No label that was read holds meniscus (value 3).\n" in printed


def test_the_list_is_named_only_when_it_is_written(make, patients, capsys):
    save(np.zeros((20, 40, 7), np.uint8), patients / "p1" / "label.nii.gz")
    with pytest.raises(InputError, match=r"case p1: .*label"):
        make(validation="none")
    assert "are paired with a label" in (printed := capsys.readouterr().out)
    assert "The pairs are written" not in printed


def test_test_images_that_are_not_used_are_told(tmp_path, capsys):
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "imagesTs/b_0000.nii.gz").touch()
    content = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "bone": 1}, "file_ending": ".nii.gz"}
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps(content))
    find_data(tmp_path / NAME, dataset_dir=str(tmp_path))
    assert (
        f"The images in {tmp_path / 'imagesTs'} are not used. To use them as unlabelled images, move them to imagesTr."
        in (capsys.readouterr().out)
    )
    for more in ({"training": []}, {"training": [], "unlabelled": []}):
        file.write_text(json.dumps({**content, **more}))
        find_data(tmp_path / NAME, dataset_dir=str(tmp_path))
        assert ("list them under 'unlabelled' in dataset.json" in capsys.readouterr().out) == ("unlabelled" not in more)


def test_what_is_held_out_is_not_opened(make, patients, monkeypatch):
    opened, load = [], nib.load

    def record(file, **options):
        opened.append(Path(file).parent.name)
        return load(file, **options)

    monkeypatch.setattr(nib, "load", record)
    bundle = make()
    monkeypatch.undo()
    lists = SegmentationDatalist(patients, f"{bundle}_datalist.json")
    assert set(opened) == {record["case"] for record in lists.training}
