from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR

from semicl_monai.engines import CosineCycles
from semicl_monai.utils import InputError


def rates(epochs, schedule):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler, seen = schedule(optimizer), []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(("epochs", "warm_up"), [(40, 0), (40, 20), (8, 4)])
def test_where_the_warm_up_divides_the_epochs_it_is_a_cosine_with_warm_restarts(epochs, warm_up):
    ours = rates(epochs, lambda o: LambdaLR(o, CosineCycles(epochs, warm_up)))
    assert ours == rates(epochs, lambda o: CosineAnnealingWarmRestarts(o, warm_up or epochs))


@pytest.mark.parametrize(("epochs", "warm_up"), [(41, 20), (25, 12), (100, 33), (50, 16), (40, 15), (40, 25), (7, 2)])
def test_it_starts_anew_after_the_warm_up_and_ends_with_the_training(epochs, warm_up):
    factor = CosineCycles(epochs, warm_up)
    length = epochs - warm_up
    assert factor(0) == factor(warm_up) == 1
    assert factor(warm_up - 1) == pytest.approx((1 + math.cos(math.pi * (warm_up - 1) / warm_up)) / 2)
    assert factor(epochs - 1) == pytest.approx((1 + math.cos(math.pi * (length - 1) / length)) / 2)


@pytest.mark.parametrize(
    ("epochs", "warm_up", "snapshots", "ends"),
    [(56, 14, 2, [28, 42]), (13, 3, 2, [6, 9]), (7, 0, 1, [3]), (4, 1, 2, [2, 3])],
)
def test_each_snapshot_is_the_end_of_a_cosine(epochs, warm_up, snapshots, ends):
    factor = CosineCycles(epochs, warm_up, snapshots)
    assert factor.ends == ends
    bounds = sorted({0, warm_up, *ends, epochs})
    for begin, end in itertools.pairwise(bounds):
        for epoch in range(begin, end):
            assert factor(epoch) == pytest.approx((1 + math.cos(math.pi * (epoch - begin) / (end - begin))) / 2)


def test_a_warm_up_longer_than_the_training_is_cut():
    assert [round(CosineCycles(2, 4)(epoch), 3) for epoch in range(2)] == [1.0, 0.854]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0,), "epochs must be at least 1, got 0"),
        ((3, -1), "warm_up_epochs must not be negative, got -1"),
        ((4, 1, 3), "^snapshots must be at least 0 and below 3, the epochs after the warm-up, got 3"),
        ((4, 1, -1), "^snapshots must be at least 0 and below 3, the epochs after the warm-up, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CosineCycles(*options)
