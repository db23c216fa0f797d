"""What the runner, the model zoo and MONAI Label ask of the bundle's files."""

from __future__ import annotations

import json

import pytest
from monai.bundle import ConfigParser
from monai.handlers import from_engine


@pytest.mark.parametrize("name", ["pretrain", "train", "evaluate", "inference"])
def test_a_stage_has_every_property_monai_asks_for(run_stage, workflow, dataset_dir, name):
    if name in ("train", "evaluate", "inference"):
        run_stage("train", pretrained="none", validation="none")
    options = {"train": {"pretrained": "none"}, "inference": {"dataset_dir": str(dataset_dir / "imagesTs")}}
    built = workflow(name, **options.get(name, {}))
    built.initialize()
    assert built.check_properties() == []


def test_training_and_inference_build_the_same_network(config):
    stages = ("pretrain", "train", "evaluate", "inference")
    networks = [json.loads(config(name).read_text())["network_def"] for name in stages]
    assert all(network == networks[0] for network in networks)


def test_training_and_inference_scale_intensities_and_slide_the_window_alike(config):
    train, inference = (json.loads(config(name).read_text()) for name in ("train", "inference"))
    of_training, of_inference = train["deterministic_transforms"], inference["preprocessing"]["transforms"]
    kept = ("ScaleIntensityRangePercentilesd",)
    assert [t for t in of_training if t["_target_"] in kept] == [t for t in of_inference if t["_target_"] in kept]
    assert train["validate"]["inferer"] == inference["inferer"]


def test_a_client_that_brings_its_own_lists_needs_no_data_set(config, dataset_dir, tmp_path):
    records = [
        {"image": str(path), "label": str(path).replace("imagesTr", "labelsTr")} for path in _volumes(dataset_dir)
    ]
    parser = ConfigParser()
    parser.read_config(str(config("train")))
    parser["bundle_root"], parser["device"], parser["pretrained"] = str(tmp_path), "$torch.device('cpu')", "none"
    parser["train::dataset::data"], parser["validate::dataset::data"] = records[:1], records[1:2]
    parser["train::trainer::max_epochs"], parser["dataset_dir"] = 1, "nowhere"
    parser["iterations_per_epoch"], parser["network_def::features"] = 1, [4, 4, 8, 8, 8, 4]
    parser.get_parsed_content("train::trainer").run()
    assert (tmp_path / "models/model.pt").is_file()


def _volumes(dataset_dir):
    return sorted((dataset_dir / "imagesTr").glob("*.nii.gz"))


def test_training_has_one_run_list_only(config):
    lists = [key for key, value in json.loads(config("train").read_text()).items() if isinstance(value, list)]
    assert set(lists) & {"run", "pretrain", "evaluate"} == {"run"}


@pytest.mark.parametrize("name", ["pretrain", "train"])
def test_the_loss_of_a_step_is_where_the_tracking_of_the_runner_looks_for_it(run_stage, name):
    options = {"pretrain": {"method": "global"}, "train": {"pretrained": "none", "validation": "none"}}
    built = run_stage(name, **options[name])
    output = built.parser.get_parsed_content("train::trainer").state.output
    assert isinstance(from_engine(["loss"], first=True)(output), float)


def test_the_runner_tracks_a_stage_with_mlflow(workflow, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is in the extra 'tracking'")
    built = workflow("train", pretrained="none", validation="none", tracking="mlflow")
    built.initialize()
    built.run()
    built.finalize()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlruns.db")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "train_loss" in run.data.metrics
