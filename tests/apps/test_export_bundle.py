from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

import semicl_monai
from semicl_monai.apps.export_bundle import (
    FILES,
    MULTI_GPU,
    NAMES,
    OLD_NAMES,
    export_bundle,
    export_config,
    label_pretraining,
)
from semicl_monai.utils import InputError

BUNDLES = sorted(task.parent for task in (Path(__file__).parents[2] / "bundles").glob("*/task.json"))


@pytest.fixture
def bundle(tmp_path):
    """A new bundle: nothing but its task."""
    (tmp_path / "task.json").write_text(json.dumps({"epochs": 7, "class_names": ["a"], "brand_new": 1}))
    return tmp_path


def test_there_is_a_bundle_to_check():
    assert BUNDLES


@pytest.mark.parametrize("shipped", BUNDLES, ids=lambda path: path.name)
def test_the_logging_of_all_bundles_is_one(shipped):
    source = Path(semicl_monai.__file__).with_name("configs") / "logging.conf"
    assert (shipped / "configs/logging.conf").read_text() == source.read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shipped", BUNDLES, ids=lambda path: path.name)
def test_what_ships_is_what_is_exported(shipped, name):
    assert (shipped / "configs" / f"{name}.json").read_text() == export_config(shipped, name)


def test_export_writes_all_files(bundle, capsys):
    export_bundle(str(bundle))
    written = sorted(path.name for path in (bundle / "configs").iterdir())
    assert written == sorted([*(f"{name}.json" for name in NAMES), "logging.conf"])
    for name in NAMES:
        assert (bundle / "configs" / f"{name}.json").read_text() == export_config(bundle, name)
    assert capsys.readouterr().out.count("wrote ") == len(NAMES) + 1


@pytest.mark.parametrize("name", FILES)
def test_the_task_goes_over_the_sources_and_the_run_stands_last(bundle, name):
    config = json.loads(export_config(bundle, name))
    assert (config["epochs"], config["class_names"], config["brand_new"]) == (7, ["a"], 1)
    run = [key for key in config if key in ("initialize", "pretrain", "run", "evaluate", "steps", "finalize")]
    assert list(config)[-len(run) :] == run
    assert run[0] == "initialize"
    assert len(run) > 1


@pytest.mark.parametrize("name", FILES)
def test_a_stage_may_have_numbers_of_its_own(bundle, name):
    of_stages = {"pretrain": {"epochs": 8}, "inference": {"epochs": 9}}
    (bundle / "task.json").write_text(json.dumps({"epochs": 7, "stages": of_stages}))
    config = json.loads(export_config(bundle, name))
    assert config["epochs"] == {"pretrain": 8, "inference": 9}.get(name, 7)
    assert "stages" not in config


@pytest.mark.parametrize(("roi_size", "kind"), [([32, 32], "Slice"), ([32, 32, 32], "Patch"), (None, "Slice")])
def test_the_edges_of_the_patches_tell_whether_slices_are_drawn(bundle, roi_size, kind):
    (bundle / "task.json").write_text(json.dumps({} if roi_size is None else {"roi_size": roi_size}))
    for name in ("pretrain", "train"):
        drawn = json.loads(export_config(bundle, name))["draw"]["_target_"]
        assert drawn.rpartition(".")[2] == {"Slice": "RandSlicesd", "Patch": "RandPatchesd"}[kind]
    inferer = json.loads(export_config(bundle, "evaluate"))["window_inferer"]["_target_"]
    assert inferer == {"Slice": "SliceInferer", "Patch": "SlidingWindowInferer"}[kind]


@pytest.mark.parametrize("name", FILES)
def test_every_reference_names_something_in_the_file(bundle, name):
    text = export_config(bundle, name)
    config = ConfigParser(json.loads(text))
    for reference in set(re.findall(r"[@%](\w+(?:::\w+)*)", text)):
        assert reference in config, reference


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_first_what_it_is_made_from(bundle, name):
    first, *_ = json.loads(export_config(bundle, name)).items()
    assert first == ("generated_from", "task.json, by python -m semicl_monai export_bundle")


@pytest.mark.parametrize("name", FILES)
def test_what_is_null_and_only_handed_on_is_left_out_unless_a_task_needs_it(bundle, name):
    for task, there in (({}, False), ({"stray_values": {"3": 2}}, True)):
        (bundle / "task.json").write_text(json.dumps(task))
        text = export_config(bundle, name)
        assert ('"stray_values": {"3": 2}' in text) == ('"stray_values": "@stray_values"' in text) == there
        assert '"replace_nan": null' in text  # an option


@pytest.mark.parametrize("name", FILES)
def test_short_lists_stay_on_their_line(bundle, name):
    text = export_config(bundle, name)
    assert '    "class_names": ["a"],\n' in text
    assert not re.search(r"[\[{]\n\s+[^\n\[\]{}]{1,40}\n\s+[\]}]", text)


def test_a_folder_that_is_no_source_is_refused_and_left_alone(tmp_path):
    with pytest.raises(InputError, match=r"is not the source of a bundle: it must have a file task\.json"):
        export_config(tmp_path, "train")
    with pytest.raises(InputError, match=r"must have a file task\.json"):
        export_bundle(str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "single"), MULTI_GPU.items())
def test_several_processes_begin_and_end_as_one_does(bundle, name, single):
    several, one = (json.loads(export_config(bundle, file)) for file in (name, single))
    start = [entry for entry in several["initialize"] if entry not in one["initialize"]]
    assert [entry["_target_"] for entry in start] == ["semicl_monai.utils.start_processes"]
    assert several["initialize"].index(start[0]) == 1  # after errors are shown in a line, before anything is written
    assert [entry for entry in several["initialize"] if entry not in start] == one["initialize"]
    assert several["finalize"][:-1] == one.get("finalize", [])


@pytest.mark.parametrize(("name", "single"), MULTI_GPU.items())
def test_what_several_processes_do_otherwise_is_in_the_config_it_is_put_over(bundle, name, single):
    config = ConfigParser(json.loads(export_config(bundle, single)))
    for key in json.loads(export_config(bundle, name)):
        parent, _, entry = key.rpartition("::")
        assert not parent or key in config or (parent in config and entry in ("sampler", "across_ranks")), key


def test_pretraining_in_monai_label_is_that_of_the_bundle_on_its_studies(bundle):
    export_bundle(str(bundle))
    file = bundle / "configs/pretrain.json"
    own = {**json.loads(file.read_text()), "batch_size": 3}
    file.write_text(json.dumps(own))  # the user's change goes along
    task = {**json.loads((bundle / "task.json").read_text()), "stages": {"monailabel_pretrain": {"method": "pcl"}}}
    (bundle / "task.json").write_text(json.dumps(task))
    label = label_pretraining(bundle)
    assert (label["batch_size"], label["method"]) == (3, "pcl")
    assert label["run"] == own["pretrain"]
    assert {"pretrain", "evaluate"}.isdisjoint(label)
    assert label["train"]["dataset"]["data"] == []  # MONAI Label writes into it
    assert label["train"]["dataset"]["transform"] == own["train"]["dataset"]["transform"]


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("self_training", "global_local"),
        ("random", "global_local"),
        ("pcl", "pcl"),
        ("my_methods.Own", "my_methods.Own"),
    ],
)
def test_a_method_without_pre_training_gives_way_in_the_pre_training_of_monai_label(bundle, method, wanted):
    task = json.loads((bundle / "task.json").read_text())
    (bundle / "task.json").write_text(json.dumps({**task, "stages": {"pretrain": {"method": method}}}))
    export_bundle(str(bundle))
    assert label_pretraining(bundle)["method"] == wanted
    assert json.loads((bundle / "configs/pretrain.json").read_text())["method"] == method


def test_a_mistyped_entry_of_a_stage_of_a_task_is_refused(bundle):
    task = json.loads((bundle / "task.json").read_text())
    (bundle / "task.json").write_text(json.dumps({**task, "stages": {"train": {"epohs": 3}}}))
    with pytest.raises(InputError, match=r"task\.json: stages: train: unknown entry epohs, did you mean epochs\?"):
        export_config(bundle, "train")


def test_a_mistyped_entry_of_a_task_is_refused_and_an_own_one_is_not(bundle):
    task = {"class_names": ["a"], "spaceing": [1, 1, 1]}
    (bundle / "task.json").write_text(json.dumps(task))
    with pytest.raises(InputError, match=r"task\.json: unknown entry spaceing, did you mean spacing\?"):
        export_bundle(str(bundle))
    (bundle / "task.json").write_text(json.dumps({**task, "slice_axis": "@spaceing"}))
    export_bundle(str(bundle))


def test_old_names_of_entries_are_taken_and_warn(bundle):
    """As keys of the task and of a stage, and where another entry refers to them."""
    task = {
        "class_names": ["a"],
        "least_size": [9, 9, -1],
        "layout": {"_target_": "own.sections", "smallest": "@least_size"},
        "stages": {"pretrain": {"sampler": "block"}},
    }
    (bundle / "task.json").write_text(json.dumps(task))
    with pytest.warns(FutureWarning) as warned:
        config = json.loads(export_config(bundle, "pretrain"))
    for old, new in OLD_NAMES.items():
        assert any(f"task.json: {old} is now called {new}" in str(each.message) for each in warned)
        assert old not in config
    assert config["min_size"] == [9, 9, -1]
    assert config["dataset_format"] == {"_target_": "own.sections", "smallest": "@min_size"}
    assert config["pixel_sampler"] == "block"
