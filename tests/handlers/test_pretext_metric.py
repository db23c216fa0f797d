from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import TensorBoardStatsHandler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from semicl_monai.engines import view_retrieval
from semicl_monai.handlers import PretextMetric

# Scores and chances of the anchors of each batch.
BATCHES = [([1.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.25, 0.25]), ([0.0], [0.1]), ([], [])]


def evaluator(batches, *handlers):
    """An evaluator whose network hands on the scores of a batch, and whose labels are the chances."""
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": torch.tensor(a), "label": torch.tensor(b)} for a, b in batches],
        network=nn.Identity(),
        val_handlers=list(handlers),
        decollate=False,
    )


def given(pred, target):
    return pred, target


def test_the_mean_is_over_all_anchors_and_chance_stands_beside_it():
    engine = evaluator(BATCHES, PretextMetric(given))
    engine.run()
    assert engine.state.metrics == pytest.approx({"pretext": 3 / 5, "pretext_chance": 1.6 / 5})
    assert all(type(value) is float for value in engine.state.metrics.values())


def test_every_epoch_is_counted_anew():
    engine = evaluator(BATCHES, PretextMetric(given, name="found"))
    engine.run(global_epoch=1)
    engine.run(global_epoch=2)
    assert engine.state.metrics == pytest.approx({"found": 3 / 5, "found_chance": 1.6 / 5})


def test_an_epoch_without_an_anchor_has_no_score_and_goes_on():
    engine = evaluator(BATCHES[2:], PretextMetric(given))
    engine.run()
    assert all(math.isnan(value) for value in engine.state.metrics.values())


def test_both_reach_tensorboard(tmp_path):
    report = TensorBoardStatsHandler(log_dir=str(tmp_path), iteration_log=False)
    engine = evaluator(BATCHES, PretextMetric(given), report)
    engine.run(global_epoch=3)
    report.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    for name, wanted in (("pretext", 3 / 5), ("pretext_chance", 1.6 / 5)):
        ((step, value),) = [(event.step, event.value) for event in events.Scalars(name)]
        assert (step, value) == (3, pytest.approx(wanted))


def test_a_trainer_is_scored_while_it_trains():
    """By a real score, on what the network gave before each of its steps."""
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    images = torch.randn(2, 8, 3)
    wanted = torch.cat([view_retrieval(network(image))[0] for image in images]).mean().item()
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.PretextMetric",
            "scores": {"_target_": "semicl_monai.engines.view_retrieval", "_mode_": "callable"},
            "name": "views",
        }
    }
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": image, "label": torch.zeros(8)} for image in images],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=lambda pred, target: pred.sum(),
        decollate=False,
        train_handlers=[ConfigParser(config).get_parsed_content("handler")],
    )
    trainer.run()
    assert 0 < wanted < 1
    assert trainer.state.metrics == pytest.approx({"views": wanted, "views_chance": 1 / 7})
