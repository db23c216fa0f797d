"""What the runner, the model zoo and MONAI Label ask of the bundle's files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out
from monai.handlers import from_engine

SCHEMA = Path(
    os.environ.get("SEMICL_SCHEMA", Path(__file__).parents[3] / "shared/docs/schema/meta_schema_20240725.json")
)


@pytest.mark.parametrize("name", ["pretrain", "train", "evaluate", "inference"])
def test_a_stage_has_every_property_monai_asks_for(run_stage, workflow, dataset_dir, name):
    if name in ("train", "evaluate", "inference"):
        run_stage("train", pretrained="none", validation="none")
    options = {"train": {"pretrained": "none"}, "inference": {"dataset_dir": str(dataset_dir / "imagesTs")}}
    built = workflow(name, **options.get(name, {}))
    built.initialize()
    assert built.check_properties() == []


def test_the_metadata_follows_its_schema(config, tmp_path):
    if not SCHEMA.is_file():
        pytest.skip(f"no schema at {SCHEMA}; name the file with SEMICL_SCHEMA")
    copy = tmp_path / "schema.json"
    copy.write_text(SCHEMA.read_text())
    verify_metadata(meta_file=str(config("metadata")), filepath=str(copy))


def test_the_changelog_of_the_bundle_knows_its_version(config):
    metadata = json.loads(config("metadata").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_the_network_gives_what_the_metadata_says(config):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(config("metadata")),
        config_file=str(config("inference")),
        device="cpu",
    )


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


def test_the_fine_tuned_network_exports_to_torchscript_and_gives_the_same_output(run_stage, config, tmp_path):
    run_stage("train", pretrained="none", validation="none")
    override = {"network_def::features": [4, 4, 8, 8, 8, 4], "output_dir": str(tmp_path)}
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "models/model.pt"),
        meta_file=str(config("metadata")),
        config_file=str(config("inference")),
        **override,
    )
    parser = ConfigParser()
    parser.read_config(str(config("inference")))
    parser.update(override)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(tmp_path / "models/model.pt", weights_only=True))
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    exported = torch.jit.load(tmp_path / "model.ts")
    assert torch.allclose(network.eval()(images), exported(images), atol=1e-5)


@pytest.mark.parametrize("name", ["pretrain", "train", "evaluate", "inference", "metadata"])
def test_a_config_file_has_no_key_twice(config, name, monkeypatch):
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    assert ConfigParser.load_config_file(str(config(name)))


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
