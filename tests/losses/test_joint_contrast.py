from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import SampledLoss
from semicl_monai.losses import JointContrastLoss, NTXentLoss, SupConLoss
from semicl_monai.samplers import FullSampler

LOCAL = SampledLoss(FullSampler(), SupConLoss(temperature=0.1, background_index=0))
GLOBAL = NTXentLoss(temperature=0.5)


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    pixels, images = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((2, 4, 3, 3), (6, 5)))
    target = torch.randint(3, (2, 1, 3, 3), generator=generator)
    return pixels.requires_grad_(), images.requires_grad_(), target


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_it_is_the_weighted_sum_of_both_losses_in_value_and_gradient(maps, weight):
    pixels, images, target = maps
    loss = JointContrastLoss(LOCAL, GLOBAL, weight)((pixels, images), target)
    of_pixels, of_images = LOCAL(pixels, target), GLOBAL(images)
    assert loss.item() == pytest.approx(of_pixels.item() + weight * of_images.item())
    found = torch.autograd.grad(loss, (pixels, images))
    torch.testing.assert_close(found[0], *torch.autograd.grad(of_pixels, pixels))
    torch.testing.assert_close(found[1], weight * torch.autograd.grad(of_images, images)[0])


def test_images_count_as_much_as_pixels_by_default_and_it_comes_from_a_config(maps):
    config = {"_target_": "semicl_monai.losses.JointContrastLoss", "local_loss": LOCAL, "global_loss": GLOBAL}
    pixels, images, target = maps
    loss = ConfigParser({"loss": config}).get_parsed_content("loss")((pixels, images), target)
    assert loss.item() == pytest.approx(LOCAL(pixels, target).item() + GLOBAL(images).item())
