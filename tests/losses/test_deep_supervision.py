from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet
from torch import nn

from semicl_monai.losses import StackedDeepSupervisionLoss


def network(spatial_dims: int) -> DynUNet:
    torch.manual_seed(0)
    return DynUNet(
        spatial_dims,
        in_channels=1,
        out_channels=3,
        kernel_size=[3] * 4,
        strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3,
        filters=[4] * 4,
        deep_supervision=True,
        deep_supr_num=2,
    )


def images_and_labels(spatial_dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator, shape = torch.Generator().manual_seed(0), (2, 1, *[16] * spatial_dims)
    return torch.rand(shape, generator=generator), torch.randint(3, shape, generator=generator).float()


def dice_ce() -> DiceCELoss:
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_it_is_a_weighted_sum_over_the_levels_of_a_network(spatial_dims: int):
    images, labels = images_and_labels(spatial_dims)
    levels = network(spatial_dims)(images)
    assert levels.shape == (2, 3, 3, *[16] * spatial_dims)
    losses = [dice_ce()(levels[:, level], labels).item() for level in range(3)]
    wanted = losses[0] + 0.5 * losses[1] + 0.25 * losses[2]
    assert StackedDeepSupervisionLoss(dice_ce())(levels, labels).item() == pytest.approx(wanted, rel=1e-6)


def test_it_is_the_equation_for_a_squared_error():
    generator = torch.Generator().manual_seed(0)
    levels, target = torch.rand(2, 3, 1, 4, 4, generator=generator), torch.rand(2, 1, 4, 4, generator=generator)
    wanted = 0.0
    for level, weight in enumerate([1, 1 / 2, 1 / 4]):
        pairs = zip(levels[:, level].flatten().tolist(), target.flatten().tolist(), strict=True)
        wanted += weight * sum((a - b) ** 2 for a, b in pairs) / 32
    assert StackedDeepSupervisionLoss(nn.MSELoss())(levels, target).item() == pytest.approx(wanted)


def test_every_level_gets_its_share_of_the_gradient():
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(2, 1, 1, 4, 4, generator=generator).repeat(1, 3, 1, 1, 1).requires_grad_()
    StackedDeepSupervisionLoss(nn.MSELoss())(levels, torch.zeros(2, 1, 4, 4)).backward()
    own = 2 * levels.detach()[:, 0] / 32
    for level, weight in enumerate([1, 1 / 2, 1 / 4]):
        torch.testing.assert_close(levels.grad[:, level], weight * own)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_of_one_level_it_is_the_loss_itself(spatial_dims: int):
    images, labels = images_and_labels(spatial_dims)
    logits = network(spatial_dims).eval()(images)
    assert logits.shape == (2, 3, *[16] * spatial_dims)
    assert torch.equal(StackedDeepSupervisionLoss(dice_ce())(logits, labels), dice_ce()(logits, labels))
    assert torch.equal(StackedDeepSupervisionLoss(dice_ce())(logits[:, None], labels), dice_ce()(logits, labels))


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"weight_mode": "same"}, [1, 1, 1]),
        ({"weight_mode": "two"}, [1, 0.5, 0.5]),
        ({"weights": [0.0, 2.0, 0.5]}, [0, 2, 0.5]),
    ],
)
def test_the_weights_may_be_others(options: dict, weights: list[float]):
    levels, target = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    wanted = weights[0] * 1 + weights[1] * 4 + weights[2] * 9
    assert StackedDeepSupervisionLoss(nn.MSELoss(), **options)(levels, target).item() == pytest.approx(wanted)


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.losses.StackedDeepSupervisionLoss", "loss": {"_target_": "DiceCELoss"}}
    built = ConfigParser({"loss": config}).get_parsed_content("loss")
    assert isinstance(built.loss, DiceCELoss)
