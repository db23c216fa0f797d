from __future__ import annotations

import math

import pytest
from ignite.engine import Engine
from monai.bundle import ConfigParser
from torch import nn

from semicl_monai.handlers import ConsistencyRampUp
from semicl_monai.losses import ConsistencyLoss
from semicl_monai.utils import InputError


def weights(steps, weight=10.0, epochs=4, after=0, warm_up=0):
    """Return the weight that each step of five an epoch is done with, resumed ``after`` so many epochs."""
    loss, used = ConsistencyLoss(nn.MSELoss()), []
    engine = Engine(lambda engine, batch: used.append(loss.weight))
    ConsistencyRampUp(loss, weight, steps, warm_up).attach(engine)
    if after:
        engine.load_state_dict({"epoch": after, "max_epochs": epochs, "epoch_length": 5})
        engine.run(range(5))
    else:
        engine.run(range(5), max_epochs=epochs)
    return used


@pytest.mark.parametrize("steps", [1, 12, 100])
def test_the_weight_follows_the_formula_and_stays_at_its_largest(steps):
    wanted = [10.0 * math.exp(-5 * (1 - t / steps) ** 2) if t < steps else 10.0 for t in range(20)]
    assert weights(steps) == pytest.approx(wanted)


def test_it_rises_from_nearly_nothing_in_the_first_step():
    rising = weights(12)
    assert rising[0] == pytest.approx(0.0674, abs=1e-4)
    assert rising == sorted(rising)
    assert rising[12:] == [10.0] * 8


def test_a_resumed_run_goes_on_where_it_stopped():
    assert weights(12, after=2) == weights(12)[10:]


def test_steps_are_counted_from_the_end_of_the_warm_up():
    assert weights(12, warm_up=5) == [0.0] * 5 + weights(12)[:15]
    assert weights(12, warm_up=5, after=2) == weights(12)[5:15]


def test_no_weight_is_no_consistency():
    assert weights(3, weight=0) == [0.0] * 20


@pytest.mark.parametrize(
    ("weight", "steps", "message"),
    [
        (-0.1, 5, "consistency_weight must not be negative, got -0.1"),
        (1.0, 0, "steps of the consistency ramp-up must be positive, got 0"),
    ],
)
def test_what_is_out_of_range_is_refused(weight, steps, message):
    with pytest.raises(InputError, match=message):
        ConsistencyRampUp(ConsistencyLoss(nn.MSELoss()), weight, steps)


def test_it_builds_from_a_config():
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.ConsistencyRampUp",
            "loss": {"_target_": "semicl_monai.losses.ConsistencyLoss", "supervised": {"_target_": "torch.nn.MSELoss"}},
            "weight": 3,
            "steps": 7,
        }
    }
    assert ConfigParser(config).get_parsed_content("handler").steps == 7
