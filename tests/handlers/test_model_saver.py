from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Metric
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader, ValidationHandler
from torch import nn

from semicl_monai.handlers import BestMetric, ModelSaver, ResumeCheckpoint, RunProvenance, SeedEpoch
from semicl_monai.networks import read_provenance
from semicl_monai.utils import InputError, Provenance, image_digest


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


def names(cases):
    return [case["case"] for case in cases]


def written(tmp_path, network, **options):
    ModelSaver(tmp_path / "model.pt", network, provenance=RunProvenance(network, **options)).write()
    return json.loads((tmp_path / "model.json").read_text())


def test_what_the_weights_have_seen_is_in_their_file_and_beside_it(stage, seen, tmp_path):
    record = written(tmp_path, stage().network, seen=seen, method="pcl")
    assert Provenance.from_dict(record, "model.json") == read_provenance(tmp_path / "model.pt")
    assert {part: names(record[part]) for part in seen} == {
        "labelled": ["a"],
        "unlabelled": ["b", "c"],
        "validation": ["d"],
    }
    assert record["labelled"] == [
        {"case": "a", "image": image_digest(seen["labelled"][0]["image"]), "patient": "a"},
    ]
    assert (record["method"], record["pretrained"], record["from_unknown"]) == ("pcl", None, False)


def test_the_file_is_a_flat_state_dict_of_tensors_for_everybody_else(stage, seen, path):
    one = stage()
    ModelSaver(path, one.network, provenance=RunProvenance(one.network, seen)).write()
    content = torch.load(path, weights_only=True)
    assert list(content) == list(one.network.state_dict())
    assert all(isinstance(value, torch.Tensor) for value in content.values())
    other = stage(seed=5)
    other.run(CheckpointLoader(str(path), {"network": other.network}), _Stop(other.network, one.weights()))


class _Stop:
    """Compare the weights that a training starts from, and stop it."""

    def __init__(self, network, wanted):
        self.network, self.wanted = network, wanted

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine):
        assert all(torch.equal(a, b) for a, b in zip(self.network.parameters(), self.wanted, strict=True))
        engine.terminate()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_is_not_finite_is_refused_and_leaves_the_old_file(stage, path, value):
    one = stage()
    saver = ModelSaver(path, one.network)
    saver.write()
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    with torch.no_grad():
        one.network[0].weight[0, 0, :2, 0] = value
    message = (
        r"^the network that was to be saved to .*model\.pt must hold finite numbers, got NaN or infinity in 1 of 4 "
        r"tensors, the first is '0\.weight' with 2 such value\(s\) of 27\.$"
    )
    with pytest.raises(InputError, match=message):
        saver.write()
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_a_run_that_fails_leaves_the_last_model_of_the_run_before(stage, path):
    first = stage(epochs=1)
    first.run(ModelSaver(path, first.network))
    before = path.read_bytes()
    one = stage(seed=3)
    one.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), _fail)
    with pytest.raises(RuntimeError, match="of the loss"):
        one.run(ModelSaver(path, one.network))
    assert path.read_bytes() == before


def _fail():
    raise RuntimeError("of the loss")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path):
    """In a process of its own, whose files may not be larger than 4 KiB."""
    ModelSaver(path, nn.Linear(3, 3)).write()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    code = (
        "import resource, signal, sys; from torch import nn\n"
        "from semicl_monai.handlers import ModelSaver; from semicl_monai.utils import show_input_errors\n"
        "show_input_errors(); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "ModelSaver(sys.argv[1], nn.Linear(64, 64)).write()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == f"error: cannot write {path}: File too large; give a writable --output_dir."
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
