from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from ignite.engine import Engine
from monai.bundle import ConfigParser

from semicl_monai.handlers import ChanceWarning


def warnings_of(caplog, **metrics):
    """What is said at the end of a run of three epochs, of which the second was the last to be validated."""
    evaluator = SimpleNamespace(state=SimpleNamespace(metrics=metrics, epoch=2))
    config = {"_target_": "semicl_monai.handlers.ChanceWarning", "evaluator": evaluator, "objective": "global"}
    handler = ConfigParser({"handler": config}).get_parsed_content("handler")
    assert isinstance(handler, ChanceWarning)
    trainer = Engine(lambda engine, batch: None)
    handler.attach(trainer)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        trainer.run([0], max_epochs=3)
    return [record.getMessage() for record in caplog.records]


def test_a_score_at_chance_is_said_at_the_end_in_one_line(caplog):
    (line,) = warnings_of(caplog, pretext=1 / 16, pretext_chance=1 / 15)
    assert line == (
        "Pre-training global is at chance: score 0.062, chance 0.067, in epoch 2 of 3. Fine-tuning from its weights "
        "may be worse than from scratch: use more --epochs or --iterations_per_epoch, another --learning_rate, or a "
        "larger --batch_size."
    )


@pytest.mark.parametrize(
    ("score", "chance", "at_chance"),
    [
        (0.0, 0.125, True),  # below chance
        (2 / 16, 1 / 15, True),  # a hit more than chance, of 16 anchors
        (3 / 16, 1 / 15, False),
        (0.32, 0.25, True),
        (0.33, 0.25, False),
        (0.935, 0.93, True),  # where most keys are right ones
        (1.0, 0.93, False),
        (1.0, 1.0, False),  # no key is wrong: nothing to be found
        (float("nan"), float("nan"), False),  # no anchor
    ],
)
def test_a_score_is_clearly_above_chance_from_a_tenth_of_the_way_to_1(caplog, score, chance, at_chance):
    assert len(warnings_of(caplog, pretext=score, pretext_chance=chance)) == at_chance


def test_without_a_validation_nothing_is_said(caplog):
    assert warnings_of(caplog) == []
