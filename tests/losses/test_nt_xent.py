from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import LOSSES, NTXentLoss


def equation(view1: list[list[float]], view2: list[list[float]], temperature: float) -> list[float]:
    """Chen et al., eq. 1, of each of the 2B views."""
    z = [*view1, *view2]

    def s(i: int, k: int) -> float:
        product = sum(a * b for a, b in zip(z[i], z[k], strict=True))
        return product / math.hypot(*z[i]) / math.hypot(*z[k]) / temperature

    losses = []
    for i in range(len(z)):
        j = (i + len(view1)) % len(z)
        total = sum(math.exp(s(i, k)) for k in range(len(z)) if k != i)
        losses.append(-math.log(math.exp(s(i, j)) / total))
    return losses


def views(num_images: int = 4, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(num_images, 5, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_is_the_equation(temperature: float):
    view1, view2 = views()
    wanted = equation(view1.tolist(), view2.tolist(), temperature)
    ours = NTXentLoss(temperature, reduction="none")(torch.cat([view1, view2]))
    torch.testing.assert_close(ours, torch.tensor(wanted, dtype=torch.float64))
    assert NTXentLoss(temperature)(torch.cat([view1, view2])).item() == pytest.approx(sum(wanted) / len(wanted))


def test_its_gradient_is_right():
    assert torch.autograd.gradcheck(NTXentLoss(), torch.cat(views()).requires_grad_())


def test_the_order_of_images_changes_nothing():
    view1, view2 = views()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(NTXentLoss()(torch.cat([view1[order], view2[order]])), NTXentLoss()(torch.cat(views())))


def test_image_numbers_tell_which_views_belong_together():
    view1, view2 = views()
    interleaved = torch.stack([view1, view2], dim=1).flatten(0, 1)
    numbers = torch.tensor([7, 7, 3, 3, 5, 5, 4, 4])
    torch.testing.assert_close(NTXentLoss()(interleaved, numbers), NTXentLoss()(torch.cat(views())))


def test_one_image_is_told_from_no_other():
    input = torch.cat(views(1)).requires_grad_()
    result = NTXentLoss()(input)
    result.backward()
    assert result.item() == pytest.approx(0.0)
    assert input.grad.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_lowest_temperature_in_half_precision_is_finite(dtype: torch.dtype):
    input = torch.cat(views(dtype=dtype)).requires_grad_()
    result = NTXentLoss(temperature=0.01)(input)
    result.backward()
    assert result.isfinite()
    assert input.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(3, 5), (2, 2, 5)])
def test_what_is_not_two_views_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"input must be of shape \(2B, C\), two views of B images, got"):
        NTXentLoss()(torch.zeros(shape))


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"temperature must be positive, got -1\."):
        NTXentLoss(temperature=-1)
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'median'"):
        NTXentLoss(reduction="median")


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.NTXentLoss", "temperature": 0.2}})
    assert parser.get_parsed_content("loss").temperature == 0.2
    assert isinstance(LOSSES.build("nt_xent"), NTXentLoss)
