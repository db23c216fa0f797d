from __future__ import annotations

import torch
from ignite.engine import Engine
from torch import nn

from semicl_monai.handlers import SnapshotKeeper
from semicl_monai.networks import MeanTeacher


def test_a_snapshot_is_the_teacher_at_the_end_of_its_epoch():
    model = MeanTeacher(nn.Linear(1, 1), snapshots=2)

    def step(engine, batch):
        nn.init.constant_(model.teacher.weight, engine.state.iteration)

    engine = Engine(step)
    SnapshotKeeper(model, [2, 3]).attach(engine)
    engine.run(range(10), max_epochs=4)
    assert [snapshot.weight.item() for snapshot in model.snapshots] == [20, 30]
    assert torch.equal(model.teacher.weight, torch.full((1, 1), 40.0))
