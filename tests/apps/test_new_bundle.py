from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

from semicl_monai.apps.export_bundle import NAMES, export_bundle
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.data import SegmentationDatalist
from semicl_monai.utils import InputError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests" / "bundles" / "meta_schema_20240725.json"
NAME = "knee_mri_segmentation"
README_SECTIONS = [
    *["Authors", "Tags", "Model description", "Data"],
    *["Preprocessing", "Performance", "System configuration"],
]


@pytest.fixture
def data(tmp_path):
    """Ten nnU-Net cases of two channels, each a little brighter, and two without label; coarse along z."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "my data"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(12):
        label = (rng.random((20, 40, 6)) > 0.7).astype(np.uint8) * rng.choice([0, 2, 5], (20, 40, 6)).astype(np.uint8)
        for channel in range(2):
            image = rng.normal(100 + number, 10, label.shape).astype(np.float32)
            save(image, folder / f"imagesTr/k_{number:03d}_{channel:04d}.nii.gz")
        if number < 10:
            save(label, folder / f"labelsTr/k_{number:03d}.nii.gz")
    write_description(folder, labels={"background": 0, "Meniscus": 2, "Cyst": 5})
    return folder


def save(volume, file):
    nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 4.0, 1.0])), file)


def write_description(folder, **content):
    content = {"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz", **content}
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def make(data, tmp_path):
    """Make a bundle for the data, with one labelled case, and return its folder."""

    def make(name=NAME, **options):
        folder = tmp_path / "bundles"
        given = {"dataset_dir": str(data), "labelled_fraction": 1, "folder": str(folder), "estimate": False}
        new_bundle(name, **{**given, **options})
        return folder / name

    return make


def read(file):
    return json.loads(file.read_text())


def test_the_files_that_the_zoo_and_a_run_want_are_there(make):
    bundle = make()
    configs = {f"configs/{name}.json" for name in (*NAMES, "metadata")}
    assert {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()} == {
        *configs,
        *("LICENSE", "task.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"),
    }
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert [folder.name for folder in bundle.parent.iterdir()] == [NAME]  # nor a draft beside it


def test_the_readme_has_the_sections_of_the_zoo_and_tells_the_classes(make):
    text = (make() / "docs/README.md").read_text()
    assert text.startswith(f"# {NAME}\n")
    assert "It segments: Cyst, Meniscus." in text
    assert [name for name in README_SECTIONS if f"# {name}\n" not in text] == []


def test_what_was_measured_is_written_as_plain_numbers(make, data):
    bundle = make(spatial_dims=2)
    task = read(bundle / "task.json")
    stages = task.pop("stages")
    assert stages["pretrain"]["method"] == read(bundle / "configs/pretrain.json")["method"]
    assert (task["dataset_dir"], task["datalist_file"]) == (str(data), "dataset.json")
    assert (task["labelled_fraction"], task["split_seed"]) == (1, 0)
    assert (task["in_channels"], task["roi_size"]) == (2, [32, 40])
    assert (task["class_names"], task["label_values"]) == (["Cyst", "Meniscus"], [5, 2])
    for name in ("pretrain", "train", "evaluate", "inference"):
        config = read(bundle / "configs" / f"{name}.json")
        config["network_def"] = {key: config["network_def"][key] for key in task["network_def"]}  # not the levels
        assert {key: config[key] for key in task} == task


def test_the_numbers_are_of_the_training_part_that_is_asked_for(make, data):
    task = read(make(labelled_fraction=0.5, split_seed=3) / "task.json")
    assert (task["labelled_fraction"], task["split_seed"]) == (0.5, 3)
    intensities = []
    for record in SegmentationDatalist(data, labelled_fraction=0.5, split_seed=3).labelled:
        inside = nib.load(record["label"]).get_fdata() > 0
        intensities += [[nib.load(file).get_fdata()[inside] for file in record["image"]]]
    pooled = np.concatenate(intensities, axis=1)  # no foreground is larger than the sample that is drawn of it
    assert task["scaling"]["subtrahend"] == pytest.approx(pooled.mean(1), rel=1e-5)
    assert task["scaling"]["divisor"] == pytest.approx(pooled.std(1), rel=1e-5)


def rename(data, name):
    for file in [*data.glob("imagesTr/*"), *data.glob("labelsTr/*")]:
        number, rest = file.name[2:5], file.name[5:]
        file.rename(file.with_name(name(int(number)) + rest))


def test_scans_that_share_a_stem_share_a_patient_and_the_bundle_says_so(make, data, capsys):
    rename(data, lambda number: f"p{number // 2:02d}_scan{number % 2}")
    bundle = make()
    line = "Case names show 12 scans of 6 patients. Splits keep patients together: group_pattern '"
    (shown,) = (shown for shown in capsys.readouterr().out.splitlines() if shown.startswith(line))
    assert shown.endswith("'. If these are not patients, give --group_pattern none.")
    pattern = read(bundle / "task.json")["group_pattern"]
    assert read(bundle / "configs/evaluate.json")["group_pattern"] == pattern
    split = SegmentationDatalist(data, labelled_fraction=1, group_pattern=pattern).split
    assert len({case[:3] for cases in list(split.values())[2:] for case in cases}) == 2
    assert "group_pattern" not in read(make("a_b_c", group_pattern="none") / "task.json")
    assert "Case names show" not in capsys.readouterr().out
    assert read(make("a_b_d", group_pattern=r"^p\d+") / "task.json")["group_pattern"] == r"^p\d+"


def test_numbered_cases_are_no_patients(make, capsys):
    assert "group_pattern" not in read(make() / "task.json")
    assert "patients" not in capsys.readouterr().out


@pytest.mark.parametrize("labelled", [1, 2])
def test_with_fewer_than_three_labelled_cases_the_refusal_names_the_option_and_it_works(make, data, labelled):
    for file in sorted(data.glob("labelsTr/*"))[labelled:]:
        file.unlink()
    refuse(make, rf"validation part is empty: too few .* got {labelled}; --validation none trains with so few")
    with pytest.warns(UserWarning, match="no volume is held out for the test"):
        task = read(make(labelled_fraction=1.0, validation="none") / "task.json")
    assert task["validation"] == "none"
    refuse(make, "validation must be one of best, none, got 'last'", "a_b_c", validation="last")


@pytest.mark.parametrize("validation", ["none", "None", None])  # Fire reads None as Python's
def test_without_validation_the_numbers_are_of_its_volumes_too(make, data, capsys, validation):
    bundle = make(labelled_fraction=1.0, validation=validation)
    assert read(bundle / "task.json")["validation"] == "none"
    assert "8 labelled, 2 unlabelled, 0 validation, 2 test" in capsys.readouterr().out


def test_the_metadata_follow_the_schema_they_name_and_fit_the_network(make, tmp_path):
    bundle = make()
    metadata = read(bundle / "configs/metadata.json")
    assert metadata["schema"].endswith(f"/{SCHEMA.name}")
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    verify_metadata(meta_file=str(bundle / "configs/metadata.json"), filepath=str(tmp_path / "schema.json"))
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        bundle_root=str(bundle),
    )
    assert metadata["changelog"][metadata["version"]]
    image, pred = metadata["network_data_format"]["inputs"]["image"], metadata["network_data_format"]["outputs"]["pred"]
    assert (image["modality"], image["channel_def"]) == ("T1, T2", {"0": "T1", "1": "T2"})
    assert (image["value_range"], pred["value_range"]) == ([], [0, 2])
    assert pred["channel_def"] == {"0": "background", "1": "Cyst", "2": "Meniscus"}


def test_channels_that_are_not_named_are_numbered(make):
    metadata = read(make(modality="CT") / "configs/metadata.json")
    image = metadata["network_data_format"]["inputs"]["image"]
    assert image["channel_def"] == {"0": "channel 0", "1": "channel 1"}
    assert image["value_range"] == [0, 1]


def test_the_modality_given_goes_before_that_of_the_file(make, data):
    assert read(make() / "task.json")["scaling"]["_target_"] == "NormalizeIntensityd"
    assert read(make("a_b_ct", modality="CT") / "task.json")["scaling"]["_target_"] == "ScaleIntensityRanged"
    write_description(data, channel_names={"0": "CT", "1": "CT"})
    assert read(make("a_b_c") / "task.json")["scaling"]["_target_"] == "ScaleIntensityRanged"
    assert read(make("a_b_d", modality="MRI") / "task.json")["scaling"]["_target_"] == "NormalizeIntensityd"


def test_other_channels_than_the_description_names_are_refused(make, data):
    images = [[f"imagesTr/k_{n:03d}_{c:04d}.nii.gz" for c in (0, 1)] for n in range(12)]
    training = [{"image": image, "label": f"labelsTr/k_{n:03d}.nii.gz"} for n, image in enumerate(images[:10])]
    write_description(data, channel_names=["T1", "T2", "FLAIR"], training=training)
    with pytest.raises(InputError, match=r"dataset\.json must name the 2 channels .*, got 3 names: T1, T2, FLAIR"):
        make()
    make(modality="MRI")


def test_the_task_is_the_source_of_the_configs(make):
    bundle = make()
    before = {file.name: file.read_text() for file in (bundle / "configs").iterdir()}
    export_bundle(str(bundle))
    assert {file.name: file.read_text() for file in (bundle / "configs").iterdir()} == before
    task = read(bundle / "task.json")
    (bundle / "task.json").write_text(json.dumps({**task, "roi_size": [64, 64]}))
    export_bundle(str(bundle))
    assert read(bundle / "configs/train.json")["roi_size"] == [64, 64]


def test_what_is_held_out_or_unlabelled_is_not_opened(make, data, monkeypatch):
    lists = SegmentationDatalist(data, labelled_fraction=1)
    allowed = {file for record in lists.training for file in record["image"]} | {lists.labelled[0]["label"]}
    opened, load = [], nib.load

    def record(file, **options):
        opened.append(str(file))
        return load(file, **options)

    monkeypatch.setattr(nib, "load", record)
    make()
    assert lists.labelled[0]["label"] in opened
    assert len({Path(file).name[:5] for file in opened}) == 8  # 6 of the ten, and two without label
    assert set(opened) <= allowed


def test_a_bundle_needs_nothing_of_what_is_held_out_but_that_it_is_there(make, data):
    lists = SegmentationDatalist(data, labelled_fraction=1)
    for record in [*lists.validation, *lists.test]:
        for file in (*record["image"], record["label"]):
            Path(file).write_bytes(b"not to be read")
    for case in lists.split["unlabelled"][:5]:
        (data / f"labelsTr/{case}.nii.gz").write_bytes(b"not to be read")
    assert (make() / "task.json").is_file()


@pytest.mark.parametrize("keeps", [True, False])
def test_the_summary_tells_if_parts_of_masks_are_left_out(make, data, capsys, keeps):
    for file in data.glob("labelsTr/*"):
        label = np.zeros((20, 40, 6), np.uint8)
        label[5:10, 5:10], label[10:12, 5:10] = 2, 5
        label[:5, -5:] = 0 if keeps else 5
        save(label, file)
    bundle = make(labelled_fraction=3)
    assert ("--largest_component false" in capsys.readouterr().out) is keeps
    assert read(bundle / "configs/inference.json")["largest_component"] is keeps


def test_the_summary_tells_if_images_are_rotated_as_some_lie_turned(make, data, capsys):
    for file in [*data.glob("imagesTr/k_00[0-3]_*"), *data.glob("labelsTr/k_00[0-3].*")]:
        save(np.rot90(np.asanyarray(nib.load(file).dataobj)), file)
    bundle = make(spatial_dims=2)
    printed = capsys.readouterr().out
    assert "  rotation   by 90, 180 or 270 degrees at random, " in printed
    assert "  mirroring  predictions are the mean of 4 mirror images" in printed
    assert read(bundle / "configs/train.json")["rotate90_prob"] == 0.5
    assert [read(bundle / f"configs/{stage}.json")["mirror_axes"] for stage in ("evaluate", "inference")] == [
        [0, 1]
    ] * 2


def test_the_summary_tells_the_numbers_and_commands_that_run(make, capsys):
    bundle = make(spatial_dims=2)
    printed = capsys.readouterr().out
    for line in ("1 labelled, 7 unlabelled, 2 validation, 2 test", "Cyst, Meniscus", "32 x 40 pixels, across axis 2"):
        assert line in printed
    commands = [line.split() for line in printed.splitlines() if line.startswith("python -m monai.bundle")]
    assert [command[3:5] for command in commands] == [
        ["run", "pretrain"],
        ["run", "--config_file"],
        ["run", "evaluate"],
        ["run", "--config_file"],
    ]
    for command in commands:
        config = Path(command[command.index("--config_file") + 1])
        assert config.parent == bundle / "configs"
        assert (command[4] if command[4][0] != "-" else "run") in ConfigParser.load_config_file(str(config))
    assert "# self_training has no pre-training: the first command saves the untrained network" in printed


@pytest.mark.parametrize(
    ("method", "batch", "trains_first"),
    [
        (
            "self_training",
            "2 patches; with unlabelled volumes 1 labelled and 2 unlabelled ones, 1 of each volume",
            False,
        ),
        ("random", "2 patches, 1 of each volume", False),
        ("global_local", "2 patches, 1 of each volume", True),
    ],
)
def test_the_summary_is_that_of_the_method(make, capsys, method, batch, trains_first):
    make(spatial_dims=3, method=method)
    printed = capsys.readouterr().out
    assert f"  batch      {batch}\n" in printed
    assert ("has no pre-training" not in printed) == trains_first


def test_a_datalist_elsewhere_is_found_and_stays_where_it_is(make, data, tmp_path, monkeypatch):
    records = [
        {"image": f"{data}/imagesTr/k_{number:03d}_0000.nii.gz", "label": f"{data}/labelsTr/k_{number:03d}.nii.gz"}
        for number in range(5)
    ]
    (tmp_path / "lists.json").write_text(json.dumps({"training": records}))
    monkeypatch.chdir(tmp_path)
    task = read(make(dataset_dir="my data", datalist="../lists.json") / "task.json")
    assert (task["dataset_dir"], task["datalist_file"]) == (str(data), str(tmp_path / "lists.json"))
    assert "in_channels" not in task
    assert task["class_names"] == ["class 5", "class 2"]
    absolute = read(make("a_b_c", datalist=str(tmp_path / "lists.json")) / "task.json")
    assert absolute["datalist_file"] == str(tmp_path / "lists.json")


def refuse(make, message, *arguments, **options):
    """Expect a refusal of one line."""
    with pytest.raises(InputError, match=message) as raised:
        make(*arguments, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["Knee_mri", "knee-mri", "knee mri", "_knee", "knee__mri", "../knee", ""])
def test_a_name_that_is_no_bundle_name_is_refused(make, tmp_path, name):
    refuse(make, "name must be lower-case letters, digits and single '_', as in kidney_ct_segmentation, got '", name)
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("word", ["deepedit", "deepgrow", "detection", "classification", "_pretraining"])
def test_a_name_that_monai_label_reads_otherwise_is_refused(make, tmp_path, word):
    name = f"knee_{word.strip('_')}"
    refuse(make, f"name must not contain '{word}', which MONAI Label uses for other models, got '{name}'", name)
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_left_alone(make, tmp_path, kind):
    (tmp_path / "bundles").mkdir()
    there = tmp_path / "bundles" / NAME
    if kind == "folder":
        there.mkdir()
    else:
        there.write_text("mine")
    refuse(make, f"{there} exists already: move it away, or give another name")
    assert (list(there.iterdir()) == []) if kind == "folder" else (there.read_text() == "mine")


def test_a_folder_without_a_description_is_refused(make, data):
    refuse(make, rf"{data}/nowhere\.json does not exist: wanted a JSON file", datalist="nowhere.json")
    refuse(make, r"/nowhere/dataset\.json does not exist", dataset_dir="/nowhere")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"background": 0, "Meniscus": 2},
            r"the labels hold the value 5, but 'labels' of the JSON file names only \[2\]",
        ),
        ({"background": 0, "whole": [2, 5]}, "'regions_class_order' must be a list of 1 values of labels"),
        ({f"c{value}": value for value in range(1, 102)}, "at most 100 classes, got 101"),
    ],
)
def test_classes_that_cannot_be_are_refused_and_nothing_is_left(make, data, tmp_path, labels, message):
    write_description(data, labels=labels)
    refuse(make, message)
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("part", ["images", "labels"])
def test_data_that_cannot_be_read_are_refused_and_nothing_is_left(make, data, tmp_path, part):
    (record,) = SegmentationDatalist(data, labelled_fraction=1).labelled
    file = record["image"][0] if part == "images" else record["label"]
    Path(file).write_bytes(b"broken")
    refuse(make, rf"case {record['case']}: .*{part}Tr/k_.* cannot be read as NIfTI")
    assert not (tmp_path / "bundles").exists()


def test_a_split_that_cannot_be_is_refused(make):
    refuse(make, "labelled_fraction asks for 9 volumes, but there are 6 training volumes", labelled_fraction=9)


def test_a_place_that_cannot_be_written_to_is_refused(make, tmp_path):
    (tmp_path / "file").touch()
    refuse(make, rf"the bundle cannot be written to {tmp_path}/file/{NAME}: ", folder=str(tmp_path / "file"))


def test_a_failure_in_the_middle_leaves_nothing(make, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("semicl_monai.apps.bundle_folder.bundle_metadata", fail)
    refuse(make, rf"the bundle cannot be written to .*{NAME}: No space left on device")
    assert list((tmp_path / "bundles").iterdir()) == []


def test_nan_is_refused_unless_it_may_be_replaced_and_then_in_every_stage(make, data):
    for file in (data / "imagesTr").iterdir():
        volume = np.asarray(nib.load(file).dataobj).copy()
        volume[:2] = np.nan
        save(volume, file)
    with pytest.raises(InputError, match=r"NaN or infinity in 960 voxel\(s\); --replace_nan 0 replaces NaN by 0\."):
        make()
    bundle = make(replace_nan=0)
    assert read(bundle / "task.json")["replace_nan"] == 0
    for name in ("pretrain", "train", "evaluate", "inference"):
        parser = ConfigParser(read(bundle / "configs" / f"{name}.json"))
        transforms = parser["preprocessing::transforms" if "preprocessing" in parser else "deterministic_transforms"]
        assert (parser["replace_nan"], transforms[0]["replace_nan"]) == (0, "@replace_nan")


def test_a_label_in_another_place_than_its_image_is_refused_at_once(make, data):
    for file in (data / "labelsTr").iterdir():
        nib.save(nib.Nifti1Image(np.asarray(nib.load(file).dataobj), np.diag([1.0, 1.0, 4.01, 1.0])), file)
    message = r"label file .* of .*_0000\.nii\.gz must have the same affine to within 0\.001"
    with pytest.raises(InputError, match=message):
        make()


def test_names_that_are_not_ascii_in_the_locale_c(data, tmp_path):
    file = data / "dataset.json"
    content = json.loads(file.read_text())
    names = {name if value == 0 else f"{name}ö": value for name, value in content["labels"].items()}
    file.write_text(json.dumps({**content, "labels": names}, ensure_ascii=False), encoding="utf-8")
    words = [sys.executable, "-m", "semicl_monai", "new_bundle", NAME, "--dataset_dir", data, "--folder", tmp_path]
    locale = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    ended = subprocess.run(words, env=locale, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert r"\xf6" in ended.stdout
    assert all("ö" in name for name in read(tmp_path / NAME / "task.json")["class_names"])
    assert "ö" in (tmp_path / NAME / "docs/README.md").read_text(encoding="utf-8")
    for config in (tmp_path / NAME / "configs").iterdir():
        assert config.read_bytes().isascii()


def test_a_path_with_relative_parts_is_stored_without_them(make, data):
    bundle = make(dataset_dir=str(data / ".." / data.name), datalist=f"../{data.name}/dataset.json")
    task = read(bundle / "task.json")
    assert (task["dataset_dir"], task["datalist_file"]) == (str(data.resolve()), str((data / "dataset.json").resolve()))


def test_a_folder_that_python_gives_as_a_number_is_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"/5/dataset\.json does not exist"):
        new_bundle(NAME, 5, folder=2024)


def test_a_modality_that_is_no_word_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="modality must be a word, such as CT, got 5"):
        new_bundle(NAME, data, folder=tmp_path, modality=5)
