from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator
from torch import nn

from semicl_monai.handlers import BestMetric


@pytest.fixture
def evaluator():
    """A function that makes an evaluator."""
    return lambda: SupervisedEvaluator(device=torch.device("cpu"), val_data_loader=[], network=nn.Identity())


def test_a_new_evaluator_has_the_best_metric_of_the_saved_one(evaluator, tmp_path):
    old, new = evaluator(), evaluator()
    old.state.best_metric, old.state.best_metric_epoch = torch.tensor(0.5), 3
    torch.save(BestMetric(old).state_dict(), tmp_path / "best.pt")
    BestMetric(new).load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))
    assert (new.state.best_metric, new.state.best_metric_epoch) == (0.5, 3)


def test_no_validation_yet_stays_no_validation_yet(evaluator):
    old, new = evaluator(), evaluator()
    BestMetric(new).load_state_dict(BestMetric(old).state_dict())
    assert new.state.best_metric_epoch == -1


def test_it_builds_from_a_config(evaluator):
    config = {"best": {"_target_": "semicl_monai.handlers.BestMetric", "evaluator": evaluator()}}
    assert ConfigParser(config).get_parsed_content("best").state_dict()["best_metric_epoch"] == -1
