"""metadata.json after a change of task.json, and damaged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from semicl_monai.apps.bundle_metadata import bundle_metadata, modality_of
from semicl_monai.apps.export_bundle import as_text, export_bundle
from semicl_monai.apps.monailabel_app import monailabel_app
from semicl_monai.utils import InputError

BUNDLES = sorted(task.parent for task in (Path(__file__).parents[2] / "bundles").glob("*/task.json"))
Z_SCORE = {"_target_": "NormalizeIntensityd", "keys": "image"}
TASK = {"class_names": ["liver", "spleen"], "in_channels": 2, "roi_size": [32, 48], "scaling": Z_SCORE}
DAMAGED = {
    "empty": ("", "must be a JSON file, got: Expecting value"),
    "truncated": ('{"version": "0.1', "must be a JSON file, got: Unterminated string"),
    "list": ("[]", "must hold a JSON object, got a list"),
    "number": ("3", "must hold a JSON object, got a int"),
}
damaged = pytest.mark.parametrize(("text", "reason"), DAMAGED.values(), ids=DAMAGED)


@pytest.fixture
def bundle(tmp_path):
    """A bundle as new_bundle writes it."""
    folder = tmp_path / "abdomen_mri_segmentation"
    (folder / "configs").mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(TASK))
    metadata = bundle_metadata(folder.name, TASK, ["T1", "T2"])
    (folder / "configs/metadata.json").write_text(as_text(metadata))
    return folder


@pytest.fixture
def change(bundle):
    """Change what the task or the metadata hold, export, and return the metadata."""

    def export(metadata=None, **task):
        file = bundle / "configs/metadata.json"
        (bundle / "task.json").write_text(json.dumps({**TASK, **task}))
        if metadata:
            file.write_text(
                json.dumps({**json.loads(file.read_text()), **metadata}, ensure_ascii=False), encoding="utf-8"
            )
        export_bundle(str(bundle))
        return json.loads(file.read_text(encoding="ascii"))

    return export


def image_and_pred(metadata):
    data = metadata["network_data_format"]
    return data["inputs"]["image"], data["outputs"]["pred"]


@pytest.mark.parametrize("shipped", BUNDLES, ids=lambda path: path.name)
def test_what_ships_says_what_its_task_says(shipped, tmp_path):
    copy = shutil.copytree(shipped, tmp_path / shipped.name, ignore=shutil.ignore_patterns("docs", "models", "eval"))
    export_bundle(str(copy))
    assert (copy / "configs/metadata.json").read_bytes() == (shipped / "configs/metadata.json").read_bytes()


def test_what_has_not_changed_is_not_written_anew(bundle, change):
    before = (bundle / "configs/metadata.json").stat().st_ino
    change()
    assert (bundle / "configs/metadata.json").stat().st_ino == before


def test_another_task_is_in_the_metadata(change):
    metadata = change(class_names=["liver", "spleen", "tumour"], roi_size=[64, 64])
    image, pred = image_and_pred(metadata)
    assert metadata["task"] == "Segment liver, spleen, tumour"
    assert image["spatial_shape"] == pred["spatial_shape"] == [64, 64]
    assert (pred["num_channels"], pred["value_range"]) == (4, [0, 3])
    assert pred["channel_def"] == {"0": "background", "1": "liver", "2": "spleen", "3": "tumour"}
    assert (image["num_channels"], image["modality"]) == (2, "T1, T2")
    assert image["channel_def"] == {"0": "T1", "1": "T2"}


def test_other_channels_lose_names_that_nobody_knows(change):
    image, _ = image_and_pred(change(in_channels=3))
    assert (image["num_channels"], image["modality"]) == (3, "channel 0, channel 1, channel 2")
    assert image["channel_def"] == {"0": "channel 0", "1": "channel 1", "2": "channel 2"}


@pytest.mark.parametrize(
    ("scaling", "wanted"),
    [
        (Z_SCORE, []),
        ({"_target_": "ScaleIntensityRanged", "b_min": 0.0, "b_max": 1.0}, [0, 1]),
        ({"_target_": "ScaleIntensityRanged", "b_min": -0.5, "b_max": 0.5}, [-0.5, 0.5]),
        ({"_target_": "my.own.Scaling"}, [0, 9]),
        ("$my_scaling()", [0, 9]),
    ],
)
def test_the_values_of_the_image_are_those_of_the_scaling_where_it_tells(bundle, change, scaling, wanted):
    file = bundle / "configs/metadata.json"
    file.write_text(file.read_text().replace('"value_range": []', '"value_range": [0, 9]'))
    assert image_and_pred(change(scaling=scaling))[0]["value_range"] == wanted


def test_what_the_user_wrote_stays(change):
    own = {
        "authors": "Émile",
        "description": "Mine.",
        "version": "2.0.0",
        "changelog": {"2.0.0": "mine"},
        "task": "Segment two organs",
        "monai_version": "1.3.0",
        "mine": [1],
    }
    metadata = change(own, class_names=["liver", "spleen", "tumour"])
    assert {name: metadata[name] for name in own} == own


def test_names_of_the_user_are_ascii_after_the_export_as_monai_reads_them_in_any_locale(bundle, change):
    change({"authors": "Émile"})
    assert (bundle / "configs/metadata.json").read_bytes().isascii()


def test_what_the_task_computes_is_left_to_the_user(change):
    image, pred = image_and_pred(change(class_names="$names()", roi_size="$[8, 8]", in_channels="$2"))
    assert image["spatial_shape"] == [32, 48]
    assert (image["num_channels"], pred["num_channels"]) == (2, 3)


def test_a_bundle_without_metadata_is_exported(bundle):
    (bundle / "configs/metadata.json").unlink()
    export_bundle(str(bundle))
    assert not (bundle / "configs/metadata.json").exists()
    assert (bundle / "configs/train.json").is_file()


@damaged
def test_damaged_metadata_end_the_export_before_anything_is_written(bundle, text, reason):
    (bundle / "configs/metadata.json").write_text(text)
    with pytest.raises(InputError, match=rf"^metadata {bundle}/configs/metadata\.json {reason}"):
        export_bundle(str(bundle))
    assert os.listdir(bundle / "configs") == ["metadata.json"]


@pytest.mark.parametrize("keys", [[], ["network_data_format"], ["network_data_format", "inputs"]])
@pytest.mark.parametrize("value", [None, 3, ["image"]])
def test_metadata_without_what_is_renewed_are_refused(bundle, keys, value):
    file = bundle / "configs/metadata.json"
    content = json.loads(file.read_text())
    inner = content
    for key in keys:
        inner = inner[key]
    inner[["network_data_format", "inputs", "image"][len(keys)]] = value
    file.write_text(json.dumps(content))
    wanted = rf"^metadata {file} must have an object network_data_format, inputs, image\.$"
    with pytest.raises(InputError, match=wanted):
        export_bundle(str(bundle))
    with pytest.raises(InputError, match=wanted):
        modality_of(file)


def test_the_modality_must_be_text(bundle):
    file = bundle / "configs/metadata.json"
    assert modality_of(file) == "T1, T2"
    file.write_text(file.read_text().replace('"T1, T2"', "7"))
    with pytest.raises(InputError, match=r"network_data_format, inputs, image must have a text modality\.$"):
        modality_of(file)


@damaged
@pytest.mark.parametrize("name", ["metadata", "inference"])
def test_a_damaged_bundle_is_not_put_into_an_app(bundle, tmp_path, name, text, reason):
    export_bundle(str(bundle))
    (bundle / f"configs/{name}.json").write_text(text)
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").touch()
    with pytest.raises(InputError, match=rf"^(metadata|config) {bundle}/configs/{name}\.json {reason}"):
        monailabel_app(str(tmp_path / "app"), str(bundle))
    assert os.listdir(tmp_path / "app") == ["main.py"]


@damaged
def test_a_damaged_task_is_named(bundle, text, reason):
    (bundle / "task.json").write_text(text)
    with pytest.raises(InputError, match=rf"^task {bundle}/task\.json {reason}"):
        export_bundle(str(bundle))


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"class_names": "liver"}, "class_names must be a list of names, got 'liver'"),
        ({"class_names": {"1": "liver"}}, "class_names must be a list of names, got "),
        ({"class_names": [1, 2]}, r"class_names must be a list of names, got \[1, 2\]"),
        ({"roi_size": 64}, "roi_size must be a list of two or three numbers, got 64"),
        ({"roi_size": [64]}, r"roi_size must be a list of two or three numbers, got \[64\]"),
        ({"in_channels": 0}, "in_channels must be a whole number from 1, got 0"),
        ({"in_channels": True}, "in_channels must be a whole number from 1, got True"),
        ({"stages": ["train"]}, r"stages must be an object, got \['train'\]"),
        ({"stages": {"trian": {}}}, r"stages must be objects by name \(pretrain, train, .*\), got trian: "),
        ({"stages": {"train": 3}}, "stages must be objects by name .*, got train: 3"),
    ],
)
def test_a_task_of_other_types_is_refused(bundle, task, reason):
    (bundle / "task.json").write_text(json.dumps(task))
    with pytest.raises(InputError, match=rf"^task {bundle}/task\.json: {reason}"):
        export_bundle(str(bundle))


def test_what_cannot_be_appended_is_refused(bundle):
    (bundle / "task.json").write_text(json.dumps({"stages": {"train": {"+epochs": [1]}}}))
    with pytest.raises(InputError, match=r"^\+epochs must be a list to append to a list epochs, got \[1\]\.$"):
        export_bundle(str(bundle))


def test_a_task_with_a_byte_order_mark_and_letters_is_exported_in_ascii(bundle, change):
    (bundle / "task.json").write_text(json.dumps({"class_names": ["Tumör"]}, ensure_ascii=False), encoding="utf-8-sig")
    export_bundle(str(bundle))
    for file in (bundle / "configs").iterdir():
        assert file.read_bytes().isascii(), file
    assert json.loads((bundle / "configs/train.json").read_text())["class_names"] == ["Tumör"]
