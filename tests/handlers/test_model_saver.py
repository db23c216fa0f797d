from __future__ import annotations

import hashlib
import json
import logging

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Metric
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler
from torch import nn

from semicl_monai.handlers import BestMetric, ModelSaver, ResumeCheckpoint, SeedEpoch
from semicl_monai.utils import InputError


class Script(Metric):
    """Gives the values of a list, one a validation."""

    def __init__(self, values):
        self.values = iter(values)
        super().__init__(output_transform=lambda output: (0, 0))

    def reset(self):
        pass

    def update(self, output):
        pass

    def compute(self):
        return next(self.values)


def validator(stage, values):
    """An evaluator whose key metric takes these values."""
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": torch.zeros(1, 1, 4, 4), "label": torch.zeros(1, 1, 4, 4)}],
        network=stage.network,
        key_val_metric={"val_mean_dice": Script(values)},
        decollate=False,
    )


def record(stage):
    """Keep the weights of each epoch, by its number."""
    weights = {}

    def keep(engine):
        weights[engine.state.epoch] = {key: value.clone() for key, value in stage.network.state_dict().items()}

    stage.trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
    return weights


def epoch_of(path, weights):
    """Return the epochs whose weights the file holds."""
    saved = torch.load(path, weights_only=True)
    return [epoch for epoch, own in weights.items() if all(torch.equal(saved[key], own[key]) for key in own)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "model.pt"


def test_without_validation_the_last_weights_are_written(stage, path, caplog):
    one = stage(epochs=3)
    weights = record(one)
    with caplog.at_level(logging.INFO):
        one.run(ModelSaver(path, one.network))
    assert epoch_of(path, weights) == [3]
    assert list(torch.load(path, weights_only=True)) == list(one.network.state_dict())
    assert f"Saved the last network to {path}." in caplog.text


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.1, 0.3, 0.2, 0.25], 2), ([0.4, 0.3, 0.2, 0.1], 1), ([0.1, 0.2, 0.3, 0.4], 4), ([0.0] * 4, 1)],
)
def test_with_validation_the_best_weights_are_kept(stage, path, values, best):
    one = stage(epochs=4)
    weights, evaluator = record(one), validator(one, values)
    one.run(ValidationHandler(interval=1, validator=evaluator), ModelSaver(path, one.network, evaluator))
    assert epoch_of(path, weights) == [best]
    assert evaluator.state.best_metric == max(values)


def test_epochs_between_validations_are_not_written(stage, path):
    one = stage(epochs=4)
    weights, evaluator = record(one), validator(one, [0.1])
    one.run(ValidationHandler(interval=3, validator=evaluator), ModelSaver(path, one.network, evaluator))
    assert epoch_of(path, weights) == [3]


def test_with_a_validation_that_never_comes_the_last_weights_are_written(stage, path):
    one = stage(epochs=2)
    weights, evaluator = record(one), validator(one, [])
    one.run(ValidationHandler(interval=5, validator=evaluator), ModelSaver(path, one.network, evaluator))
    assert epoch_of(path, weights) == [2]


@pytest.mark.parametrize(("later", "epoch"), [([0.2, 0.3], 1), ([0.2, 0.6], 4)])
def test_a_resumed_run_keeps_the_best_weights_of_the_run_before(stage, path, tmp_path, later, epoch):
    weights = {}
    for epochs, resume, values in ((2, False, [0.5, 0.1]), (4, True, later)):
        one = stage(epochs=epochs)
        evaluator = validator(one, values)
        kept = record(one)
        one.run(
            SeedEpoch(one.dataloader),
            ValidationHandler(interval=1, validator=evaluator),
            ModelSaver(path, one.network, evaluator),
            ResumeCheckpoint(tmp_path / "train", {**one.objects, "best_metric": BestMetric(evaluator)}, resume),
        )
        weights |= kept
    assert epoch_of(path, weights) == [epoch]


def test_a_wrapped_network_is_written_as_the_plain_one(stage, path):
    one = stage()

    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    ModelSaver(path, Wrapper(one.network)).save_last(one.trainer)
    assert list(torch.load(path, weights_only=True)) == list(one.network.state_dict())


def test_a_failure_while_writing_leaves_the_old_file(stage, path, monkeypatch):
    one = stage()
    saver = ModelSaver(path, one.network)
    saver.save_last(one.trainer)
    before = path.read_bytes()

    def fail(content, file, **options):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        saver.save_last(one.trainer)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.pt"]


def test_it_builds_from_a_config(stage, path):
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.ModelSaver",
            "path": str(path),
            "network": stage().network,
        }
    }
    assert ConfigParser(config).get_parsed_content("handler").path == path


def records(names):
    return [{"image": f"folder/{name}.nii.gz"} for name in names]


SEEN = {"labelled": records("a"), "unlabelled": records("abc"), "validation": records("d")}
NOTHING = {"method": None, "pretrained": None, "labelled": [], "unlabelled": [], "validation": []}


def written(tmp_path, network, **options):
    ModelSaver(tmp_path / "model.pt", network, **options).write()
    return json.loads((tmp_path / "model.json").read_text())


def test_what_the_weights_have_seen_is_written_beside_them(stage, tmp_path):
    cases = {"labelled": ["a"], "unlabelled": ["b", "c"], "validation": ["d"]}
    assert written(tmp_path, stage().network, seen=SEEN, method="pcl") == {**NOTHING, "method": "pcl", **cases}


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_a_network_that_has_seen_nothing_says_so(stage, tmp_path, pretrained):
    assert written(tmp_path, stage().network, pretrained=pretrained) == NOTHING


def test_what_the_pretrained_weights_have_seen_counts_too(stage, tmp_path):
    pretrained = tmp_path / "model_pretrained.pt"
    ModelSaver(pretrained, stage().network, seen={"labelled": records("e"), "unlabelled": records("afg")}).write()
    record = written(tmp_path, stage().network, seen=SEEN, pretrained=pretrained)
    assert record["labelled"] == ["e", "a"]
    assert record["unlabelled"] == ["f", "g", "b", "c"]
    assert record["validation"] == ["d"]
    assert record["pretrained"] == hashlib.sha256(pretrained.read_bytes()).hexdigest()


def test_an_unknown_part_is_refused(stage, path):
    with pytest.raises(InputError, match="seen must have the parts labelled, unlabelled, validation, got 'tested'"):
        ModelSaver(path, stage().network, seen={"tested": []})
