from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import BarlowTwinsLoss

from semicl_monai.losses import TwoViewLoss


@pytest.mark.parametrize("target", [None, torch.zeros(8)])
def test_the_loss_gets_the_first_views_and_then_the_second_ones(target):
    first, second = torch.rand(4, 5), torch.rand(4, 5)
    loss = BarlowTwinsLoss(lambd=0.1)
    assert torch.equal(TwoViewLoss(loss)(torch.cat([first, second]), target), loss(first, second))


def test_it_comes_from_a_config():
    config = {"_target_": "semicl_monai.losses.TwoViewLoss", "loss": {"_target_": "monai.losses.BarlowTwinsLoss"}}
    assert isinstance(ConfigParser({"loss": config}).get_parsed_content("loss"), TwoViewLoss)
