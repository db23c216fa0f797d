"""In one process; across ranks it is in test_across_ranks.py."""

from __future__ import annotations

import torch
from monai.bundle import ConfigParser
from monai.losses import DiceCELoss

from semicl_monai.losses import GlobalBatchLoss


def test_in_one_process_it_is_the_loss_itself():
    generator = torch.Generator().manual_seed(0)
    pred, label = torch.randn(3, 3, 4, 4, generator=generator), torch.randint(0, 3, (3, 1, 4, 4), generator=generator)
    loss = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    assert torch.equal(GlobalBatchLoss(loss)(pred, label), loss(pred, label))


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.losses.GlobalBatchLoss", "loss": {"_target_": "DiceLoss"}}
    assert ConfigParser({"loss": config}).get_parsed_content("loss").loss.batch is False
