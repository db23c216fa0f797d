from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import DiceLoss

from semicl_monai.losses import MixupLoss


def dice(prediction: list[float], label: list[float]) -> float:
    both = sum(p * y for p, y in zip(prediction, label, strict=True))
    return 1 - 2 * both / (sum(prediction) + sum(label))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two probability maps with both their label maps."""
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(2, 1, 3, 3, generator=generator, dtype=torch.float64)
    first, second = (torch.rand(2, 1, 3, 3, generator=generator).round().double() for _ in range(2))
    return prediction.requires_grad_(), first, second


def loss() -> MixupLoss:
    return MixupLoss(DiceLoss(smooth_nr=0, smooth_dr=0))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_is_the_equation(share: float):
    prediction, first, second = batch()
    wanted = [
        share * dice(p, a) + (1 - share) * dice(p, b)
        for p, a, b in zip(*(maps.flatten(1).tolist() for maps in (prediction, first, second)), strict=True)
    ]
    ours = loss()(prediction, (first, second, torch.tensor(share, dtype=torch.float64)))
    assert ours.item() == pytest.approx(sum(wanted) / 2)


def test_its_gradient_is_right():
    prediction, *labels = batch()
    share = torch.tensor(0.3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda input: loss()(input, (*labels, share)), prediction)


def test_both_label_maps_exchanged_with_their_shares_change_nothing():
    prediction, first, second = batch()
    ours = loss()(prediction, (first, second, torch.tensor(0.3, dtype=torch.float64)))
    torch.testing.assert_close(loss()(prediction, (second, first, torch.tensor(0.7, dtype=torch.float64))), ours)


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.losses.MixupLoss", "loss": {"_target_": "monai.losses.DiceCELoss"}}
    built = ConfigParser({"loss": config}).get_parsed_content("loss")
    assert isinstance(built, MixupLoss)
