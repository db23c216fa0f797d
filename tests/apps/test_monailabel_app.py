"""The folders of the app; a real server runs them in tests/bundles/test_monailabel.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.apps.export_bundle import label_pretraining, write_configs
from semicl_monai.apps.monailabel_app import monailabel_app
from semicl_monai.networks import load_network
from semicl_monai.utils import InputError

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_mri_segmentation"


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").touch()
    return tmp_path / "app"


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(BUNDLE, tmp_path / BUNDLE.name, ignore=shutil.ignore_patterns("models", "eval"))


def test_the_bundle_and_its_pretraining_are_put_into_the_app(app, bundle, capsys):
    monailabel_app(str(app), str(bundle))
    models = app / "model"
    assert sorted(folder.name for folder in models.iterdir()) == [BUNDLE.name, f"{BUNDLE.name}_pretraining"]
    configs = models / f"{BUNDLE.name}_pretraining/configs"
    assert json.loads((configs / "train.json").read_text()) == label_pretraining(bundle)
    several = (bundle / "configs/multi_gpu_pretrain.json").read_text()
    assert (configs / "multi_gpu_train.json").read_text() == several
    assert BUNDLE.name in json.loads((configs / "metadata.json").read_text())["description"]
    assert f"--conf models {BUNDLE.name},{BUNDLE.name}_pretraining" in capsys.readouterr().out


def test_a_bundle_without_weights_gets_some_that_its_network_takes(app, bundle, capsys):
    monailabel_app(str(app), str(bundle))
    installed = app / "model" / BUNDLE.name
    parser = ConfigParser()
    parser.read_config(str(installed / "configs/inference.json"))
    load_network(parser.get_parsed_content("network_def"), installed / "models/model.pt")
    assert "its masks are noise until the first training" in capsys.readouterr().out


def test_the_weights_of_a_bundle_are_taken_along_but_no_results(app, bundle, capsys):
    (bundle / "models/checkpoints").mkdir(parents=True)
    (bundle / "eval").mkdir()
    torch.save({"a": torch.ones(1)}, bundle / "models/model.pt")
    monailabel_app(str(app), str(bundle))
    installed = app / "model" / BUNDLE.name
    assert (installed / "models/model.pt").read_bytes() == (bundle / "models/model.pt").read_bytes()
    assert not (installed / "eval").exists()
    assert not (installed / "models/checkpoints").exists()
    assert "noise" not in capsys.readouterr().out


def test_what_is_in_the_app_is_not_overwritten(app, bundle):
    kept = app / "model" / f"{BUNDLE.name}_pretraining"
    kept.mkdir(parents=True)
    with pytest.raises(InputError, match="_pretraining already exists and may hold trained weights: move it away"):
        monailabel_app(str(app), str(bundle))
    assert list((app / "model").iterdir()) == [kept]


def test_a_folder_that_is_no_app_is_refused_with_the_way_to_one(tmp_path, bundle):
    with pytest.raises(InputError, match=r"because it has no main\.py: get the app by monailabel apps --download"):
        monailabel_app(str(tmp_path), str(bundle))


def test_another_bundle_is_refused(app, tmp_path):
    with pytest.raises(InputError, match=r"no bundle at .*, pretrain\.json is missing"):
        monailabel_app(str(app), str(tmp_path))


def test_a_bundle_whose_network_cannot_be_built_is_refused(app, bundle):
    file = bundle / "configs/inference.json"
    file.write_text(file.read_text().replace("BasicUNet", "BasicUNett"))
    with pytest.raises(InputError, match=r"inference\.json: network_def cannot be built: .*BasicUNett"):
        monailabel_app(str(app), str(bundle))
    assert not (app / "model" / BUNDLE.name).exists()


def test_damaged_weights_of_a_bundle_are_refused(app, bundle):
    (bundle / "models").mkdir()
    (bundle / "models/model.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"cannot load weights from .*model\.pt: it is damaged"):
        monailabel_app(str(app), str(bundle))
    assert not (app / "model" / BUNDLE.name).exists()


def test_a_bundle_of_regions_is_refused(app, bundle):
    task = json.loads((bundle / "task.json").read_text())
    task |= {"regions": [[1, 2], [2]], "regions_class_order": [1, 2]}
    (bundle / "task.json").write_text(json.dumps(task))
    write_configs(bundle)
    with pytest.raises(InputError, match="has 2 regions that share voxels, but a label of MONAI Label has one segment"):
        monailabel_app(str(app), str(bundle))


def test_the_pretraining_knows_the_value_to_ignore(app, bundle):
    task = json.loads((bundle / "task.json").read_text())
    (bundle / "task.json").write_text(json.dumps(task | {"ignore_value": 3}))
    write_configs(bundle)
    monailabel_app(str(app), str(bundle))
    config = json.loads((app / "model" / f"{BUNDLE.name}_pretraining/configs/train.json").read_text())
    assert config["datalist"]["ignore_value"] == "@ignore_value"
    assert config["ignore_value"] == 3
