"""A study of the bundle, tiny: every step is a command of MONAI's runner."""

from __future__ import annotations

import json

import pytest

from semicl_monai.apps.report import report
from semicl_monai.apps.study import study
from semicl_monai.study import read_table
from semicl_monai.utils import InputError

FEW = {"epochs": 1, "iterations_per_epoch": 1, "batch_size": 2, "samples_per_volume": 2}
TINY = {"network_def::features": [4, 4, 8, 8, 8, 4], "roi_size": [32, 32], "device": "cpu"}


@pytest.fixture
def settings(tmp_path):
    methods = {"broken": {"method": "random", "train": {"method": "pcl"}}}
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"stages": {"pretrain": FEW, "train": FEW}, "methods": methods}))
    return str(file)


@pytest.mark.slow
def test_it_runs_all_cells_records_a_failure_and_repeats_nothing(bundle, dataset_dir, tmp_path, settings, capsys):
    folder = tmp_path / "study"
    options = {"bundle": str(bundle), "methods": ("global_local", "broken"), "fractions": 2, "split_seeds": 3}
    options |= {"settings": settings, **TINY}
    failure = pytest.raises(InputError, match="1 of 2 cells have failed; give --retry_failed true to run them again")
    with failure:
        study(str(dataset_dir), str(folder), **options)
    assert "[6/6]" in capsys.readouterr().out

    done, failed = read_table(folder / "cells.csv")
    assert (done["method"], done["state"], done["labelled_volumes"]) == ("global_local", "done", "2")
    assert (failed["method"], failed["state"]) == ("broken", "failed")
    assert "method pcl needs its own pre-trained weights" in failed["error"]
    cell = folder / "global_local/2/split_3"
    cases = json.loads((cell / "eval/evaluate/split.json").read_text())["test"]
    assert {row["case"] for row in read_table(folder / "cases.csv")} == set(cases)
    for stage in ("train", "evaluate"):
        config = json.loads((cell / f"configs/{stage}.json").read_text())
        assert (config["split_seed"], config["labelled_fraction"]) == (3, 2)
        assert (cell / f"logs/{stage}.log").is_file()
    record = json.loads((cell / "models/model.json").read_text())
    assert (record["method"], len(record["labelled"]), record["validation"]) == ("global_local", 2, [])

    with pytest.raises(InputError, match=r"holds runs whose pretrain has roi_size \[32, 32\], not \[16, 16\]: give"):
        study(str(dataset_dir), str(folder), **{**options, "roi_size": [16, 16], "methods": "random"})
    settings_file = json.loads((tmp_path / "settings.json").read_text())
    settings_file["methods"]["global_local"] = {"train": {"learning_rate": 0.1}}
    (tmp_path / "others.json").write_text(json.dumps(settings_file))
    with pytest.raises(InputError, match="holds runs of method global_local with other settings: give another output"):
        study(str(dataset_dir), str(folder), **{**options, "settings": str(tmp_path / "others.json"), "split_seeds": 4})
    with failure:
        study(f"{dataset_dir}/../{dataset_dir.name}", str(folder), **options)
    assert "[" not in capsys.readouterr().out
    report(str(folder), scratch="broken")
    assert (folder / "report/report.html").read_text().count("<img ") == 2


def test_a_bundle_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no bundle at .*nowhere, pretrain\.json is missing: run from a clone of the"):
        study("data", str(tmp_path), bundle=str(tmp_path / "nowhere"))


def test_another_way_to_choose_the_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="validation must be one of none, best, got 'test'"):
        study("data", str(tmp_path), validation="test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 3}, "stage evaluate of the bundle has no option epochs"),
        ({"labelled_fraction": 3}, "a study may not have labelled_fraction, because the study sets it for each run"),
        ({"split_file": "s.json"}, "a study may not have split_file, because the study sets it for each run"),
        ({"split_seeds": "0-3"}, "split_seed must be a whole number from 0"),
        ({"workers": 0}, "workers must be a whole number from 1, got 0"),
        ({"workers": True}, "workers must be a whole number from 1, got True"),
        ({"workers": 0.5}, "workers must be a whole number from 1, got 0.5"),
        ({"retry_failed": "maybe"}, "retry_failed must be true or false"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(bundle, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        study("data", str(tmp_path), bundle=str(bundle), methods="random", **options)
    assert not list(tmp_path.rglob("logs"))


@pytest.mark.parametrize("name", ["cases.csv", "cells.csv"])
def test_a_table_that_no_study_has_written_stays(bundle, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} was not written by a study in this folder: give another output_dir"):
        study("data", str(tmp_path), bundle=str(bundle), methods="random")
    assert (tmp_path / name).read_text() == "mine"


def test_as_long_as_nothing_is_done_other_options_may_be_tried(bundle, tmp_path):
    options = {"bundle": str(bundle), "methods": "random", "split_seeds": 0, "fractions": 2}
    for dataset_dir in ("there", "here"):
        with pytest.raises(InputError, match="1 of 1 cells have failed; give --retry_failed true to run"):
            study(str(tmp_path / dataset_dir), str(tmp_path), **options)
        noted = json.loads((tmp_path / "study.json").read_text())["options"]
        assert noted["train"]["dataset_dir"] == str(tmp_path / dataset_dir)


def test_a_study_of_other_configs_is_not_gone_on_with(bundle, tmp_path):
    (tmp_path / "study.json").write_text('{"bundle": "another"}')
    with pytest.raises(
        InputError, match="holds runs of bundle another with configs other than the current configs of hippocampus"
    ):
        study("data", str(tmp_path), bundle=str(bundle), methods="random")
