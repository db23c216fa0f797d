from __future__ import annotations

import io
import logging
import re
from itertools import count

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from torch import nn

from semicl_monai.handlers import EpochProgress, step_pace


class Terminal(io.StringIO):
    """A terminal: a bar is redrawn in its place."""

    def isatty(self):
        return True


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of the pace."""
    clock = Clock()
    monkeypatch.setattr(step_pace, "perf_counter", clock)
    return clock


@pytest.fixture
def train(stage, clock, caplog):
    """Train four steps an epoch; ``seconds`` gives those of each step, ``pause`` those of each break."""

    def run(seconds, pause=0.0, warm_up=0, **options):
        one, bar = stage(**options), Terminal()
        one.dataloader.warm_up_epochs = warm_up
        durations = iter(seconds)

        def step(engine):
            clock.now += next(durations)

        def rest(engine):
            clock.now += pause

        one.trainer.add_event_handler(Events.ITERATION_STARTED, step)
        one.trainer.add_event_handler(Events.EPOCH_COMPLETED, rest)
        with caplog.at_level(logging.INFO):
            one.run(EpochProgress("Fine-tuning", ncols=120, file=bar, mininterval=0))
        lines = [record.getMessage() for record in caplog.records if "about" in record.getMessage()]
        return re.split(r"[\r\n]+", bar.getvalue()), lines

    return run


def shown_at(bar, step, total):
    """Return what the bar said after a step."""
    return next(line for line in bar if f"| {step}/{total} steps" in line)


def test_one_bar_counts_all_steps_and_shows_the_epoch_and_the_last_loss(stage, capsys):
    one = stage(epochs=3)
    one.run(EpochProgress("Fine-tuning", ncols=100))
    shown = [line for line in re.split(r"[\r\n]+", capsys.readouterr().err) if line.strip()]
    assert shown[0].startswith("Fine-tuning [1/3]:   0%")
    last = next(line for line in reversed(shown) if line.strip())
    assert last.startswith("Fine-tuning [3/3]: 100%")
    assert "12/12 steps" in last
    loss = float(re.search(r"loss=([\d.e+-]+)", last)[1])
    assert loss == pytest.approx(one.trainer.state.output[0]["loss"], rel=0.01)


def test_the_log_ends_with_the_place_of_the_results(stage, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        stage(epochs=1).run(EpochProgress("Segmenting", results=tmp_path))
    assert f"Segmenting: the results are in {tmp_path}." in caplog.messages


def test_the_tenth_step_shows_the_time_left_without_the_slow_first_steps(train):
    bar, lines = train([60, 60, 60, *[2.0] * 37], epochs=10)
    assert "<01:00, loss=" in shown_at(bar, 10, 40)  # 30 steps of 2 s
    assert lines == ["Fine-tuning: 10 epochs of 4 steps, about 60 s (2 s each)."]


def test_a_long_epoch_shows_the_time_left_before_it_ends(stage, clock, caplog):
    one, bar = stage(epochs=1), Terminal()
    records = [{key: torch.rand(1, 4, 4) for key in ("image", "label")} for _ in range(40)]
    one.trainer.data_loader = DataLoader(Dataset(records), batch_size=2)
    one.trainer.state.epoch_length = 20
    one.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: setattr(clock, "now", clock.now + 7))
    one.run(EpochProgress("Fine-tuning", file=bar, mininterval=0, ncols=120))
    assert "<01:10, " in shown_at(re.split(r"[\r\n]+", bar.getvalue()), 10, 20)


def test_validation_counts_from_the_end_of_the_first_epoch_on(train):
    bar, _ = train(count(1, 0), epochs=4, pause=20)
    assert "<00:13, " in shown_at(bar, 3, 16)
    assert "<01:11, " in shown_at(bar, 5, 16)  # 11 steps of 1 s, and a break of 20 s after epochs 2, 3 and 4
    assert "<00:20, " in shown_at(bar, 16, 16)
    assert "<00:00, " in bar[-2]


def test_steps_after_a_warm_up_are_measured_anew(train):
    bar, lines = train([1.0] * 20 + [5.0] * 20, epochs=10, warm_up=5)
    assert "<00:30+, " in shown_at(bar, 10, 40)
    assert "<00:50, " in shown_at(bar, 30, 40)
    assert lines == [
        "Fine-tuning: 10 epochs of 4 steps, about 30 s (1 s each in the warm-up; steps after epoch 5 take longer).",
        "Fine-tuning: the last 5 of 10 epochs of 4 steps, about 50 s (5 s each).",
    ]


def test_a_resumed_run_counts_what_is_left(stage, clock, caplog):
    one, bar = stage(epochs=10), Terminal()

    def resume(engine):
        engine.load_state_dict({"epoch": 6, "epoch_length": 4, "max_epochs": 10})

    one.trainer.add_event_handler(Events.STARTED, resume)
    one.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: setattr(clock, "now", clock.now + 2))
    with caplog.at_level(logging.INFO):
        one.run(EpochProgress("Fine-tuning", file=bar, mininterval=0, ncols=120))
    assert "Fine-tuning: the last 4 of 10 epochs of 4 steps, about 12 s (2 s each)." in caplog.messages
    assert "<00:12, " in shown_at(re.split(r"[\r\n]+", bar.getvalue()), 34, 40)


def test_a_log_has_one_line_an_epoch(stage):
    file = io.StringIO()
    stage(epochs=5).run(EpochProgress("Fine-tuning", file=file, mininterval=0))
    lines = [line for line in file.getvalue().split("\r") if line.strip()]
    assert len(lines) <= 1 + 5 + 1  # the start, each epoch, the end


def test_an_evaluator_counts_cases(clock, caplog):
    records = [{key: torch.rand(1, 4, 4) for key in ("image", "label")} for _ in range(12)]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=DataLoader(Dataset(records)), network=nn.Identity()
    )
    evaluator.add_event_handler(Events.ITERATION_STARTED, lambda: setattr(clock, "now", clock.now + 30))
    EpochProgress("Evaluating", unit="case", file=io.StringIO()).attach(evaluator)
    with caplog.at_level(logging.INFO):
        evaluator.run()
    assert "Evaluating: 12 cases, about 60 s (30 s each)." in caplog.messages


def test_it_builds_from_a_config():
    config = {"handler": {"_target_": "semicl_monai.handlers.EpochProgress", "desc": "Fine-tuning"}}
    assert isinstance(ConfigParser(config).get_parsed_content("handler"), EpochProgress)
