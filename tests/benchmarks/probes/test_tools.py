"""Steps and windows are counted right."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from monai.inferers import SlidingWindowInferer

from semicl_monai.benchmarks.probes import tools
from semicl_monai.benchmarks.probes.tools import Steps, Windows, watched


def test_the_numbers_are_the_last_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["probe", str(tools.TREE), '{"steps": 3}'])
    tools.main(lambda steps: print("a message") or {"steps": steps})
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"steps": 3}


def test_an_installed_package_in_place_of_the_build_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["probe", str(tmp_path), "{}"])
    with pytest.raises(SystemExit, match=f"^wanted the build in {tmp_path}, got {tools.TREE}$"):
        tools.main(dict)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves; processor time runs half as fast."""
    now = [0.0]
    monkeypatch.setattr(tools, "clock", lambda: (now[0], now[0] / 2))
    return now


def run(timer, seconds, clock, epochs=1):
    def step(engine, batch):
        clock[0] += batch

    engine = Engine(step)
    timer.attach(engine)
    engine.run(seconds, max_epochs=epochs)


def test_the_first_third_of_the_steps_is_not_counted(clock):
    timer = Steps()
    run(timer, [90.0, 50.0, 3.0, 5.0, 4.0, 8.0], clock)
    assert timer.per_step() == (4.5, 2.25)
    assert timer.batch == 8.0


def test_a_stopped_trainer_says_how_many_steps_it_would_make(clock):
    timer = Steps(stop_after=2)
    run(timer, [6.0, 4.0, 1.0, 1.0], clock, epochs=5)
    assert timer.planned == 20
    assert timer.per_step() == (4.0, 2.0)


def test_each_epoch_has_its_own_seconds(clock):
    timer = Steps()
    run(timer, [1.0, 3.0], clock, epochs=2)
    assert timer.per_epoch() == [1.0, 1.0]


def test_the_windows_of_a_validation_are_counted():
    def evaluator():
        data = [{"image": torch.zeros(1, 1, 12, 12, 12), "label": torch.zeros(1, 1, 12, 12, 12)}] * 3
        window = SlidingWindowInferer(roi_size=(8, 8, 8), sw_batch_size=3, overlap=0.5)
        return SupervisedEvaluator("cpu", data, torch.nn.Conv3d(1, 2, 1), inferer=window)

    windows = Windows(stop_after=2)
    with watched(SupervisedEvaluator, windows.attach):
        evaluator().run()
    assert (windows.windows, windows.volumes, windows.planned) == (2 * 8, 2, 3)  # two places along each axis
    evaluator().run()  # is not watched any more
    assert windows.volumes == 2
