"""MONAI's federated client: weights travel, images stay."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import monai
import nibabel
import pytest
import torch
from ignite.engine import Events
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, ModelType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import get_state_dict

from semicl_monai.synthetic import make_synthetic_hippocampus

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_mri_segmentation"
TINY = {
    "network_def::features": [4, 4, 8, 8, 8, 4],
    "roi_size": [32, 32],
    "device": "cpu",
    "iterations_per_epoch": 2,
    "batch_size": 2,
    "samples_per_volume": 2,
    "labelled_fraction": 2,
}

# MONAI warns that a config is code, once for each folder.
pytestmark = pytest.mark.filterwarnings("ignore:executing the bundle config")


@pytest.fixture(autouse=True)
def working_folder(tmp_path_factory, monkeypatch):
    """The client's, which is not that of the bundle."""
    folder, hook = tmp_path_factory.mktemp("client"), sys.excepthook
    monkeypatch.chdir(folder)
    yield folder
    sys.excepthook = hook
    monai.data.set_track_meta(True)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """The data of two clients: other images under the same names."""
    root = tmp_path_factory.mktemp("sites")
    size = {"num_cases": 10, "num_test": 1, "spatial_size": (24, 30, 16)}
    return [make_synthetic_hippocampus(root / name, seed=seed, **size) for seed, name in enumerate("ab")]


@pytest.fixture
def client(tmp_path):
    """Make a client with a copy of the bundle, which holds no weights, and data of its own."""

    def make(data, config="pretrain", evaluate=None, **options):
        root = tmp_path / data.name
        shutil.copytree(BUNDLE, root / "bundle", ignore=shutil.ignore_patterns("models", "eval"), dirs_exist_ok=True)
        given = {**TINY, "dataset_dir": str(data), **options}
        algo = MonaiAlgo(
            bundle_root="bundle",
            send_weight_diff=False,
            config_train_filename=f"configs/{config}.json",
            config_evaluate_filename=evaluate,
            train_kwargs=dict(given),
            eval_kwargs=dict(given),
        )
        algo.initialize(extra={ExtraItems.CLIENT_NAME: data.name, ExtraItems.APP_ROOT: str(root)})
        return algo

    return make


def average(states):
    return {key: sum(state[key] for state in states) / len(states) for key in states[0]}


def rounds(clients, number=2):
    """Plain federated averaging; return what was sent and what came back, round by round."""
    weights, history = get_state_dict(clients[0].trainer.network), []
    for _ in range(number):
        sent = {key: value.clone() for key, value in weights.items()}
        answers = []
        for algo in clients:
            algo.train(ExchangeObject(weights=sent), extra={})
            answers.append(algo.get_weights(extra={}))
        history.append((sent, answers))
        weights = average([answer.weights for answer in answers])
    return history, weights


def test_a_client_writes_nothing_but_into_its_bundle(client, sites, working_folder):
    algo = client(sites[0], config="train", evaluate="default")
    rounds([algo], number=1)
    algo.finalize()
    assert list(working_folder.iterdir()) == []


def test_two_clients_pretrain_one_network_on_images_that_stay_where_they_are(client, sites):
    clients = [client(data, method="global") for data in sites]
    started_from = []
    for algo in clients:
        algo.trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: started_from.append(_copy(e.network)))
    history, _ = rounds(clients)

    assert len(started_from) == 4
    for (sent, answers), starts in zip(history, (started_from[:2], started_from[2:]), strict=True):
        one, other = (answer.weights for answer in answers)
        for start in starts:
            assert all(torch.equal(start[key], sent[key]) for key in sent)
        for weights in (one, other):
            assert all(torch.isfinite(value).all() for value in weights.values())
            assert any(not torch.equal(weights[key], sent[key]) for key in sent)  # in the last round too
        assert any(not torch.equal(one[key], other[key]) for key in sent)  # each by its own images


def _copy(network):
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def test_nothing_but_weights_and_counts_leaves_a_client(client, sites):
    algo = client(sites[0], method="global")
    (_, (answer,)), *_ = rounds([algo], number=1)[0]
    own = algo.trainer.network.state_dict()
    assert {key: value.shape for key, value in answer.weights.items()} == {key: v.shape for key, v in own.items()}
    assert set(answer) <= {"weights", "optim", "metrics", "weight_type", "statistics"}
    assert answer.optim is None
    assert answer.metrics is None
    assert all(isinstance(value, int | float) for value in answer.statistics.values())


def test_a_client_opens_its_own_images_alone(client, sites, monkeypatch):
    opened = []
    load = nibabel.load

    def watched(file, *args, **kwargs):
        opened.append(Path(str(file)))
        return load(file, *args, **kwargs)

    monkeypatch.setattr(nibabel, "load", watched)
    rounds([client(sites[0], method="global")], number=1)
    assert opened
    assert all(sites[0] in file.parents for file in opened)


def test_the_averaged_network_is_fine_tuned_like_any_other(client, sites, run_stage, tmp_path):
    _, weights = rounds([client(data, method="global") for data in sites], number=1)
    prefix = "network."
    plain = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    torch.save(plain, tmp_path / "averaged.pt")
    built = run_stage("train", pretrained=str(tmp_path / "averaged.pt"), validation="none", epochs=1, learning_rate=0.0)
    trained = built.parser.get_parsed_content("network").state_dict()
    encoder = [key for key in trained if key.startswith(("conv_0", "down"))]
    assert all(torch.equal(trained[key], plain[key]) for key in encoder)


def test_a_client_without_any_weights_fine_tunes_evaluates_and_hands_over_its_models(client, sites):
    algo = client(sites[0], config="train", evaluate="default")
    _, weights = rounds([algo])
    metrics = algo.evaluate(ExchangeObject(weights=weights), extra={}).metrics
    assert 0 <= metrics["val_mean_dice"] <= 1
    for kind in (ModelType.BEST_MODEL, ModelType.FINAL_MODEL):
        handed = algo.get_weights(extra={ExtraItems.MODEL_TYPE: kind}).weights
        assert handed.keys() == weights.keys()
    algo.finalize()
    assert all(torch.equal(handed[key], value) for key, value in weights.items())  # one client: its last
