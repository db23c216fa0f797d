from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from monai.apps import DecathlonDataset, extractall

from semicl_monai.data import SegmentationDatalist, download
from semicl_monai.utils import InputError, Provenance, image_digest

REAL_DATA = Path(
    os.environ.get("SEMICL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data" / "Task04_Hippocampus")
)


def entries(folder, names, with_label=True):
    listed = []
    for name in names:
        entry = {"image": f"./images{folder}/{name}.nii.gz"}
        if with_label:
            entry["label"] = f"./labels{folder}/{name}.nii.gz"
        listed.append(entry)
    return listed


def write(root, **content):
    """Write a datalist and its files, all empty: whoever opens one of them finds no NIfTI in it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))
    for items in content.values():
        for item in items:
            for path in [item] if isinstance(item, str) else item.values():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
    return root


def seen(record):
    return {"case": record["case"], "image": image_digest(record["image"]), "patient": record["case"]}


def names(prefix, number):
    return [f"{prefix}{index:02d}" for index in range(number)]


def cases(records):
    return [record["case"] for record in records]


@pytest.fixture
def root(tmp_path):
    """Ten volumes with labels and two without, as the Decathlon lays them out."""
    return write(tmp_path / "task", training=entries("Tr", names("a", 10)), test=["./imagesTs/t0.nii.gz"])


def test_a_decathlon_folder_is_split_3_1_1_and_its_test_images_are_left_out(root):
    datalist = SegmentationDatalist(root, labelled_fraction=2)
    assert {part: len(found) for part, found in datalist.split.items()} == {
        "labelled": 2,
        "unlabelled": 4,
        "validation": 2,
        "test": 2,
    }
    assert sorted(cases(datalist.training + datalist.validation + datalist.test)) == names("a", 10)


def test_records_hold_absolute_paths_and_only_what_may_be_opened(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    datalist = SegmentationDatalist("task", labelled_fraction=2)
    for record in datalist.labelled + datalist.validation + datalist.test:
        case = record["case"]
        image, label = (str(root / folder / f"{case}.nii.gz") for folder in ("imagesTr", "labelsTr"))
        assert record == {"image": image, "label": label, "case": case}
    for record in datalist.unlabelled + datalist.training:
        assert record == {"image": str(root / "imagesTr" / f"{record['case']}.nii.gz"), "case": record["case"]}


def test_validation_images_are_the_validation_volumes_without_a_label_to_open(root):
    datalist = SegmentationDatalist(root)
    assert cases(datalist.validation_images) == cases(datalist.validation) == datalist.split["validation"]
    for record, whole in zip(datalist.validation_images, datalist.validation, strict=True):
        assert record == {"image": whole["image"], "case": whole["case"]}


def test_training_holds_all_training_images_labelled_ones_first(root):
    datalist = SegmentationDatalist(root, labelled_fraction=0.5)
    assert cases(datalist.training) == cases(datalist.labelled) + cases(datalist.unlabelled)
    assert cases(datalist.training) == datalist.split["labelled"] + datalist.split["unlabelled"]


def test_labels_of_unlabelled_volumes_need_not_even_exist(root):
    unlabelled = SegmentationDatalist(root, labelled_fraction=1).split["unlabelled"]
    for case in unlabelled:
        (root / "labelsTr" / f"{case}.nii.gz").unlink()
    assert SegmentationDatalist(root, labelled_fraction=1).split["unlabelled"] == unlabelled


def test_training_entries_without_label_and_unlabeled_entries_are_unlabelled_training_images(tmp_path):
    root = write(
        tmp_path,
        training=[*entries("Tr", names("a", 10)), "imagesTr/b0.nii.gz", {"image": "imagesTr/b1.nii.gz"}],
        unlabeled=["unlabeled/c0.nii.gz"],
        unlabelled=entries("Un", ["c1"]),
    )
    datalist = SegmentationDatalist(root)
    assert len(datalist.labelled) == 6
    assert datalist.split["unlabelled"] == ["b0", "b1", "c1", "c0"]
    assert all(set(record) == {"image", "case"} for record in datalist.unlabelled)


def test_validation_and_test_entries_of_the_file_are_used_as_they_are(tmp_path):
    root = write(
        tmp_path,
        training=entries("Tr", names("a", 3)),
        validation=entries("Va", ["v1", "v0"]),
        test=[*entries("Ts", ["t1", "t0"]), "imagesTs/bare.nii.gz"],
    )
    split = SegmentationDatalist(root).split
    assert sorted(split["labelled"]) == names("a", 3)
    assert (split["validation"], split["test"]) == (["v1", "v0"], ["t1", "t0"])


@pytest.mark.parametrize(("given", "cut"), [("validation", "test"), ("test", "validation")])
def test_a_missing_part_is_cut_from_training_3_to_1(tmp_path, given, cut):
    root = write(tmp_path, training=entries("Tr", names("a", 8)), **{given: entries("Ho", ["h0"])})
    split = SegmentationDatalist(root).split
    assert split[given] == ["h0"]
    assert len(split[cut]) == 2
    assert len(split["labelled"]) == 6


def test_a_datalist_file_elsewhere_counts_paths_from_its_own_folder(root, tmp_path):
    other = write(tmp_path / "other", training=entries("Tr", names("b", 5)))
    for datalist in (other / "dataset.json", "../other/dataset.json"):
        assert SegmentationDatalist(root, datalist).labelled[0]["image"].startswith(str(other))


def test_a_saved_split_is_read_back_exactly(root, tmp_path):
    first = SegmentationDatalist(root, labelled_fraction="0.5", split_seed=3)
    first.save(tmp_path / "new" / "folder" / "split.json")
    again = SegmentationDatalist(root, split_file=tmp_path / "new" / "folder" / "split.json")
    assert again.split == first.split != SegmentationDatalist(root).split
    assert (again.labelled, again.training) == (first.labelled, first.training)
    assert (again.labelled_fraction, again.split_seed) == (0.5, 3)
    assert os.listdir(tmp_path / "new" / "folder") == ["split.json"]


def test_a_split_that_cannot_be_written_is_refused(root):
    with pytest.raises(
        InputError, match=r"^cannot write .*dataset\.json/split\.json: .*; give a writable --output_dir\.$"
    ):
        SegmentationDatalist(root).save(root / "dataset.json" / "split.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ["a00", "x1", "x2"]}, "does not have: x1, x2"),
        ({"test": ["a00"]}, "got more than once: a00"),
        ({"test": ["b0"]}, "cases that have none: b0"),
        ({"test": []}, "'test' must name at least one case"),
        ({"test": "a09"}, "'test' must be a list of case names, got a09"),
        ({"test": None}, "'test' must be a list of case names, got None"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(root, tmp_path, change, message):
    content = json.loads((root / "dataset.json").read_text())
    write(root, training=[*content["training"], "imagesTr/b0.nii.gz"])
    split = {"labelled": ["a00"], "unlabelled": ["a01"], "validation": ["a02"], "test": ["a03"]}
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split | change))
    with pytest.raises(InputError, match=rf"split_file .*split\.json.*{message}"):
        SegmentationDatalist(root, split_file=file)


def test_a_split_file_without_a_part_is_refused(root, tmp_path):
    (tmp_path / "split.json").write_text('{"labelled": ["a00"], "unlabelled": [], "validation": ["a01"]}')
    with pytest.raises(InputError, match=r"split\.json .* 'test' is missing"):
        SegmentationDatalist(root, split_file=tmp_path / "split.json")


def test_a_split_file_that_is_not_there_is_refused(root, tmp_path):
    with pytest.raises(InputError, match=r"split_file .*split\.json cannot be read"):
        SegmentationDatalist(root, split_file=tmp_path / "split.json")


@pytest.mark.parametrize("dataset_dir", ["nowhere", "", None])
def test_a_folder_without_data_tells_both_ways_to_get_it(tmp_path, monkeypatch, dataset_dir):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"does not hold dataset\.json: point --dataset_dir .* or give --download true"
    ):
        SegmentationDatalist(dataset_dir)


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_missing_file_is_refused_by_case_and_path(root, key):
    (root / f"{key}sTr" / "a04.nii.gz").unlink()
    with pytest.raises(InputError, match=rf"case a04: {key} file not found: .*{key}sTr/a04\.nii\.gz"):
        SegmentationDatalist(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"training": [', "must be a JSON file"),
        ("[]", "must hold a JSON object, got a list"),
        ('{"name": "x"}', "must have a list 'training', got name"),
        ('{"training": "a.nii"}', "'training' must be a list, got a str"),
        ('{"training": ["a.nii", 3]}', "entry 2 of 'training' must be a path or .* got 3"),
        ('{"training": [{"label": "a.nii"}]}', "entry 1 of 'training' must be a path"),
        ('{"training": [{"image": ["a.nii", 3]}]}', "entry 1 of 'training' must be a path"),
        ('{"training": [], "validation": ["v.nii"]}', "every 'validation' entry must have a label, got none for v"),
    ],
)
def test_a_datalist_that_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=rf"datalist .*dataset\.json.*{message}"):
        SegmentationDatalist(tmp_path)


def test_one_case_name_for_two_volumes_is_refused(tmp_path):
    write(tmp_path, training=[*entries("Tr", names("a", 5)), *entries("Ot", ["a03"])])
    with pytest.raises(InputError, match=r"case names must differ, got 'a03' for .*imagesTr.* and .*imagesOt"):
        SegmentationDatalist(tmp_path)


def test_too_few_labelled_volumes_are_refused_with_the_file(tmp_path):
    write(tmp_path, training=entries("Tr", names("a", 2)))
    with pytest.raises(InputError, match=r"dataset\.json: the validation part is empty"):
        SegmentationDatalist(tmp_path)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small archive of the heart task at a file:// address, as MONAI's table would give it."""
    packed = tmp_path / "server" / "Task02_Heart.tar"
    task = write(tmp_path / "server" / "Task02_Heart", training=entries("Tr", names("a", 5)))
    with tarfile.open(packed, "w") as tar:
        tar.add(task, arcname=task.name)
    monkeypatch.setitem(DecathlonDataset.resource, "Task02_Heart", packed.as_uri())
    monkeypatch.setitem(DecathlonDataset.md5, "Task02_Heart", hashlib.md5(packed.read_bytes()).hexdigest())
    return packed


@pytest.mark.parametrize("wanted", [True, "true", "True"])
def test_download_fetches_the_task_the_folder_names_and_only_once(tmp_path, archive, wanted):
    folder = tmp_path / "data" / "Task02_Heart"
    assert len(SegmentationDatalist(folder, download=wanted).training) == 3
    assert sorted(os.listdir(tmp_path / "data")) == ["Task02_Heart", "Task02_Heart.tar"]
    archive.unlink()
    assert len(SegmentationDatalist(folder, download=wanted).training) == 3


def test_of_two_downloads_at_a_time_the_first_one_stays(tmp_path, archive, monkeypatch):
    folder = tmp_path / "data" / "Task02_Heart"

    def extract_twice(file, draft):
        extractall(file, draft)
        if not folder.exists():
            extractall(file, folder.parent)

    monkeypatch.setattr(download, "extractall", extract_twice)
    assert len(SegmentationDatalist(folder, download=True).training) == 3
    assert sorted(os.listdir(tmp_path / "data")) == ["Task02_Heart", "Task02_Heart.tar"]


def test_an_archive_of_another_checksum_is_refused_in_one_line_and_leaves_nothing(tmp_path, archive):
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"could not fetch Task02_Heart to .*hash check") as raised:
        SegmentationDatalist(tmp_path / "data" / "Task02_Heart", download=True)
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path / "data") == []


def test_a_failing_download_is_refused_and_leaves_nothing(tmp_path, archive):
    archive.unlink()
    with pytest.raises(InputError, match=r"could not fetch Task02_Heart to .*No such file"):
        SegmentationDatalist(tmp_path / "data" / "Task02_Heart", download=True)
    assert os.listdir(tmp_path / "data") == []


def test_a_folder_that_names_no_task_cannot_be_downloaded(tmp_path):
    with pytest.raises(InputError, match=r"must name a Decathlon task \(Task01_BrainTumour, .*got 'hearts'"):
        SegmentationDatalist(tmp_path / "hearts", download=True)


def test_nothing_is_downloaded_over_other_files(tmp_path):
    (tmp_path / "Task02_Heart").mkdir()
    (tmp_path / "Task02_Heart" / "mine.txt").touch()
    with pytest.raises(InputError, match="dataset_dir must be new or empty"):
        SegmentationDatalist(tmp_path / "Task02_Heart", download=True)


def test_download_must_be_a_switch(root):
    with pytest.raises(InputError, match="must be true or false, got 'maybe'"):
        SegmentationDatalist(root, download="maybe")


@pytest.mark.skipif(not (REAL_DATA / "dataset.json").is_file(), reason=f"no hippocampus volumes at {REAL_DATA}")
def test_the_real_hippocampus_task_gives_120_40_40_volumes_and_six_labelled_at_five_per_cent():
    datalist = SegmentationDatalist(REAL_DATA, labelled_fraction=0.05)
    assert [len(part) for part in (datalist.training, datalist.validation, datalist.test)] == [120, 40, 40]
    assert len(datalist.labelled) == 6


@pytest.mark.parametrize("wrong", ["a leak", "a missing file"])
def test_what_is_refused_is_refused_again_though_one_only_asked_for_unlabelled_volumes(root, wrong):
    first = SegmentationDatalist(root, split_seed=0)
    known = None
    if wrong == "a missing file":
        Path(first.test[0]["label"]).unlink()
    else:
        image = first.test[0]["image"]
        known = Provenance(labelled=({"case": "x", "image": image_digest(image), "patient": "x"},))
    lazy = SegmentationDatalist(root, labelled_fraction=2, provenance=known, lazy=True)
    assert not lazy.has_unlabelled()
    with pytest.raises(InputError, match=r"the weights have seen cases|label file not found"):
        lazy.labelled  # noqa: B018


def test_a_lazy_datalist_reads_nothing_before_a_list_is_asked_for(tmp_path):
    lists = SegmentationDatalist(tmp_path / "nowhere", save_to=tmp_path / "split.json", lazy=True)
    assert not (tmp_path / "split.json").exists()
    with pytest.raises(InputError, match="does not hold dataset"):
        _ = lists.training
    with pytest.raises(AttributeError, match="SegmentationDatalist has no attribute 'trainnig'"):
        _ = lists.trainnig


def test_another_ratio_cuts_other_parts(root):
    split = SegmentationDatalist(root, ratio=[2, 1, 2]).split
    assert {part: len(found) for part, found in split.items()} == {
        "labelled": 4,
        "unlabelled": 0,
        "validation": 2,
        "test": 4,
    }


def test_of_a_given_part_the_ratio_does_not_count(tmp_path):
    root = write(tmp_path, training=entries("Tr", names("a", 9)), test=entries("Ts", ["t0"]))
    split = SegmentationDatalist(root, ratio=(2, 1, 5)).split
    assert (len(split["labelled"]), len(split["validation"]), split["test"]) == (6, 3, ["t0"])


def test_a_ratio_that_is_none_is_refused_with_the_file(root):
    with pytest.raises(InputError, match=r"dataset\.json: ratio must be three numbers .*got \(0, 1, 1\)"):
        SegmentationDatalist(root, ratio=(0, 1, 1))


def test_a_layout_lists_the_cases_and_no_file_is_looked_for(root, monkeypatch):
    asked = []

    def layout(folder):
        asked.append(folder)
        records = {part: [] for part in ("training", "unlabelled", "validation", "test")}
        for case in names("a", 5):
            files = {key: str(folder / f"{key}sTr" / f"{case}.nii.gz") for key in ("image", "label")}
            records["training"].append({**files, "case": f"case {case}"})
        records["unlabelled"].append({"image": str(folder / "imagesTr/a09.nii.gz"), "case": "bare"})
        return records

    (root / "dataset.json").unlink()
    monkeypatch.chdir(root.parent)
    datalist = SegmentationDatalist("task", dataset_format=layout, labelled_fraction=1, download=True)
    assert asked == [root]
    assert [len(found) for found in datalist.split.values()] == [1, 3, 1, 1]
    assert datalist.split["unlabelled"][-1] == "bare"
    assert datalist.labelled[0]["image"].startswith(str(root / "imagesTr"))
    with pytest.raises(InputError, match=rf"{root}: the training part is empty"):
        SegmentationDatalist(root, dataset_format=lambda folder: {**layout(folder), "training": []})


def test_a_missing_file_of_several_is_refused_by_case_and_path(tmp_path):
    images = {case: [f"i/{case}_000{channel}.nii.gz" for channel in range(3)] for case in names("a", 5)}
    content = {"training": [{"image": image, "label": f"l/{case}.nii.gz"} for case, image in images.items()]}
    for file in [file for entry in content["training"] for file in (*entry["image"], entry["label"])]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert all(len(record["image"]) == 3 for record in SegmentationDatalist(tmp_path).training)
    (tmp_path / "i/a02_0001.nii.gz").unlink()
    with pytest.raises(InputError, match=r"case a02: image file not found: .*i/a02_0001\.nii\.gz"):
        SegmentationDatalist(tmp_path)


def test_without_validation_all_labelled_volumes_but_the_test_part_train(root):
    plain, more = SegmentationDatalist(root), SegmentationDatalist(root, validation="none")
    assert more.split["labelled"] == plain.split["labelled"] + plain.split["validation"]
    assert (more.split["test"], more.validation) == (plain.split["test"], [])


def test_with_a_test_list_no_labelled_volume_is_lost_without_validation(tmp_path):
    write(tmp_path, training=entries("Tr", names("a", 14)), test=entries("Ts", ["t0"]))
    assert len(SegmentationDatalist(tmp_path, validation="none").labelled) == 14


def test_an_empty_validation_list_cuts_no_validation(tmp_path):
    write(tmp_path, training=entries("Tr", names("a", 10)), validation=[])
    lists = SegmentationDatalist(tmp_path)
    assert [len(part) for part in (lists.labelled, lists.validation, lists.test)] == [8, 0, 2]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries("Tr", names("a", 10)), "validation": None}))
    assert len(SegmentationDatalist(tmp_path).validation) == 2


def test_a_validation_list_stays_held_out_without_validation(tmp_path):
    write(tmp_path, training=entries("Tr", names("a", 4)), validation=entries("Va", ["v0"]))
    split = SegmentationDatalist(tmp_path, validation="none").split
    assert split["validation"] == ["v0"]
    assert "v0" not in split["labelled"] + split["unlabelled"]


@pytest.mark.parametrize("number", [1, 2])
def test_one_or_two_labelled_volumes_train_without_validation_and_nothing_is_evaluated(tmp_path, number):
    write(tmp_path, training=entries("Tr", names("a", number)), unlabelled=["imagesTr/u.nii.gz"])
    with pytest.raises(InputError, match=rf"got {number}; --validation none trains with so few"):
        SegmentationDatalist(tmp_path)
    with pytest.warns(UserWarning, match="no volume is held out for the test, as too few have a label"):
        lists = SegmentationDatalist(tmp_path, validation="none", save_to=tmp_path / "split.json")
    assert (len(lists.labelled), lists.test) == (number, [])
    again = SegmentationDatalist(tmp_path, split_file=tmp_path / "split.json")
    assert again.split == lists.split
    with pytest.raises(InputError, match="there is nothing to evaluate: no labelled volume is in the test part of"):
        SegmentationDatalist(tmp_path, evaluated="test").to_evaluate()


def test_one_labelled_volume_trains_with_a_test_list_which_is_evaluated(tmp_path):
    write(tmp_path, training=entries("Tr", ["a0"]), test=entries("Ts", ["t0", "t1"]))
    assert cases(SegmentationDatalist(tmp_path, validation="none").labelled) == ["a0"]
    assert cases(SegmentationDatalist(tmp_path, evaluated="test").to_evaluate()) == ["t0", "t1"]


def test_weights_trained_without_validation_are_evaluated_on_the_test_part_alone(root, tmp_path):
    for image in (root / "imagesTr").iterdir():
        image.write_text(image.name)
    trained = SegmentationDatalist(root, labelled_fraction=7, validation="none").labelled
    of_weights = {"labelled_fraction": 2, "provenance": Provenance(labelled=tuple(map(seen, trained)))}
    assert len(SegmentationDatalist(root, evaluated="test", **of_weights).to_evaluate()) == 2
    with pytest.raises(InputError, match="the weights have seen cases that are held out now"):
        SegmentationDatalist(root, evaluated="validation", **of_weights).to_evaluate()


def test_both_held_out_parts_are_evaluated_together(tmp_path):
    parts = {"training": entries("Tr", ["a0"]), "validation": entries("Va", ["v0"]), "test": entries("Ts", ["t0"])}
    write(tmp_path, **parts)
    assert cases(SegmentationDatalist(tmp_path, evaluated="held_out").to_evaluate()) == ["v0", "t0"]


def test_a_validation_part_that_has_chosen_the_weights_is_no_test_part(root):
    for image in (root / "imagesTr").iterdir():
        image.write_text(image.name)
    chosen_by = Provenance(validation=tuple(map(seen, SegmentationDatalist(root).validation)))
    assert SegmentationDatalist(root, evaluated="validation", provenance=chosen_by).to_evaluate()
    with pytest.raises(InputError, match="the weights have seen cases that are held out now"):
        SegmentationDatalist(root, evaluated="held_out", provenance=chosen_by)


def test_images_of_labelled_volumes_are_taught_too_if_labels_may_be_annotated_in_part(root):
    datalist = SegmentationDatalist(root, labelled_fraction=2)
    assert datalist.to_teach() == datalist.unlabelled
    partly = SegmentationDatalist(root, labelled_fraction=2, ignore_value=3)
    assert cases(partly.to_teach()) == cases(partly.unlabelled) + cases(partly.labelled)
    assert not any("label" in record for record in partly.to_teach())
    alone = SegmentationDatalist(root, labelled_fraction=1.0, ignore_value=3)
    alone.unlabelled = []
    assert alone.has_unlabelled()


@pytest.fixture
def boxes(root):
    """The data set with weak labels of every second case, in another folder."""
    (root / "boxes").mkdir()
    content = json.loads((root / "dataset.json").read_text())
    for entry in content["training"][::2]:
        entry["weak_label"] = f"boxes/{Path(entry['image']).name}"
        (root / entry["weak_label"]).write_text("box")
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_weak_labels_are_those_of_unlabelled_images_alone(boxes):
    datalist = SegmentationDatalist(boxes, labelled_fraction=2, ignore_value=3)
    names = {Path(path.name).name.split(".")[0] for path in (boxes / "boxes").iterdir()}
    wanted = [case for case in cases(datalist.unlabelled) if case in names]
    assert 0 < len(wanted) < len(datalist.unlabelled)
    assert cases(datalist.weakly_labelled) == wanted
    for record in datalist.weakly_labelled:
        assert Path(record["label"]).parent == boxes / "boxes"
        assert record["case"] in record["label"]
    assert not any("label" in record or "weak_label" in record for record in (*datalist.unlabelled, *datalist.training))


def test_a_teacher_gets_weak_labels_and_labels_where_they_are_asked_for(boxes):
    datalist = SegmentationDatalist(boxes, labelled_fraction=2, ignore_value=3)
    taught, weak = datalist.to_teach(with_labels=True), cases(datalist.weakly_labelled)
    assert cases(taught) == cases(datalist.to_teach())
    assert [record["case"] for record in taught if "label" in record] == weak + cases(datalist.labelled)
    assert taught[-2:] == datalist.labelled
    assert not any("label" in record for record in datalist.to_teach())


def test_a_weak_label_that_is_not_there_is_named(boxes):
    for file in (boxes / "boxes").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"case \w+: label file not found: .*boxes"):
        SegmentationDatalist(boxes, labelled_fraction=2)
