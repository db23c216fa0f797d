from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.image import imread
from monai.bundle import ConfigParser
from torch import nn

from semicl_monai.handlers import EmbeddingPlot
from semicl_monai.utils import InputError


class Network(nn.Module):
    """Features at half the size of the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2, stride=2)
        self.dropout = nn.Dropout(0.9)

    def features(self, x):
        return self.dropout(self.conv(x))


class Endless:
    """Samples without end, each a list of two slices; counts how many were asked for."""

    def __init__(self, label=True):
        self.label, self.asked, self.generator = label, 0, torch.Generator().manual_seed(0)

    def __getitem__(self, index):
        self.asked += 1
        return [self.slice() for _ in range(2)]

    def slice(self):
        sample = {"view1_image": torch.randn(1, 4, 6, generator=self.generator)}
        if self.label:
            sample["view1_label"] = (sample["view1_image"] > 0.7).float() * 2
        return sample


def run(handler, epochs=1, resumed_from=0, train=None):
    engine = Engine(train or (lambda engine, batch: None))
    if resumed_from:
        engine.load_state_dict({"epoch": resumed_from, "max_epochs": epochs, "epoch_length": 1})
        handler.attach(engine)
        engine.run([0])
    else:
        handler.attach(engine)
        engine.run([0], max_epochs=epochs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "embedding.png"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_picture_of_both_states_is_written(path, network, method):
    run(EmbeddingPlot(path, network, Endless(), num_per_class=20, method=method))
    picture = imread(path)
    assert picture.shape[:2] == (528, 1080)
    assert picture.std() > 0.05


def test_the_features_are_those_of_the_chosen_pixels_by_plain_indexing(path, network):
    dataset = Endless()
    run(EmbeddingPlot(path, network, dataset, num_per_class=5))
    assert dataset.asked == 8
    with np.load(path.with_suffix(".npz")) as kept:
        assert kept["images"].shape == (16, 1, 4, 6)
        assert sorted(kept["labels"].tolist()) == [0] * 5 + [2] * 5
        assert len(set(kept["pixels"].tolist())) == 10
        maps = network.eval().features(torch.as_tensor(kept["images"]))
        for pixel, label, feature in zip(kept["pixels"], kept["labels"], kept["before"], strict=True):
            image, row, column = np.unravel_index(pixel, (16, 4, 6))
            assert (kept["images"][image, 0, row, column] > 0.7) == (label == 2)
            np.testing.assert_allclose(feature, maps[image, :, row // 2, column // 2].detach(), rtol=1e-5)


def test_the_network_is_left_in_its_mode_and_without_a_gradient(path, network):
    network.train()
    run(EmbeddingPlot(path, network, Endless()))
    assert network.training
    assert network.conv.weight.grad is None


def test_before_and_after_differ_by_the_training(path, network, monkeypatch):
    drawn = {}
    figure = EmbeddingPlot._figure

    def keep(self, features, labels):
        drawn.update(features)
        return figure(self, features, labels)

    monkeypatch.setattr(EmbeddingPlot, "_figure", keep)

    def train(engine, batch):
        with torch.no_grad():
            network.conv.weight.mul_(2)
            network.conv.bias.mul_(2)

    run(EmbeddingPlot(path, network, Endless()), train=train)
    np.testing.assert_allclose(drawn["after"], 2 * drawn["before"], rtol=1e-5)


def test_without_labels_there_is_no_picture_and_no_earlier_features_are_kept(path, network):
    run(EmbeddingPlot(path, network, Endless()))
    path.unlink()
    run(EmbeddingPlot(path, network, Endless(label=False)))
    assert list(path.parent.iterdir()) == []


def test_a_resumed_run_shows_what_was_there_at_the_very_beginning(path, network):
    run(EmbeddingPlot(path, network, Endless()))
    before = path.with_suffix(".npz").read_bytes()
    path.unlink()
    nn.init.zeros_(network.conv.weight)
    dataset = Endless()
    run(EmbeddingPlot(path, network, dataset), epochs=2, resumed_from=1)
    assert path.with_suffix(".npz").read_bytes() == before
    assert path.is_file()
    assert dataset.asked == 0


def test_a_run_started_anew_forgets_the_features_of_the_one_before(path, network):
    run(EmbeddingPlot(path, network, Endless()))
    nn.init.zeros_(network.conv.weight)
    run(EmbeddingPlot(path, network, Endless()))
    with np.load(path.with_suffix(".npz")) as kept:
        assert np.ptp(kept["before"], axis=0).max() == 0


def test_the_same_seed_chooses_the_same_pixels_and_another_seed_others(path, network):
    chosen = []
    for seed in (0, 0, 1):
        run(EmbeddingPlot(path, network, Endless(), num_per_class=20, seed=seed))
        with np.load(path.with_suffix(".npz")) as kept:
            chosen.append(kept["pixels"].tolist())
    assert chosen[0] == chosen[1] != chosen[2]


def test_an_unknown_method_is_refused(path, network):
    with pytest.raises(InputError, match="embedding must be one of pca, tsne, got 'umap'"):
        EmbeddingPlot(path, network, Endless(), method="umap")


def test_it_builds_from_a_config(path, network):
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.EmbeddingPlot",
            "path": str(path),
            "network": network,
            "dataset": [],
            "method": "tsne",
        }
    }
    assert ConfigParser(config).get_parsed_content("handler").path == path


def test_a_full_disk_leaves_neither_half_a_picture_nor_half_of_the_features(path, network, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(
        InputError, match=r"^cannot write .*\.npz: No space left on device; give a writable --output_dir"
    ):
        run(EmbeddingPlot(path, network, Endless()))
    assert list(path.parent.iterdir()) == []
