"""What every contrastive loss on pairs of images does alike."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from semicl_monai.losses import PairContrastLoss, PartitionContrastLoss, Places, PositionContrastLoss

# volume, slice and number of slices
ROWS = torch.tensor([[0, 0, 8], [0, 1, 8], [1, 9, 20], [2, 4, 10], [2, 9, 10], [0, 7, 8], [1, 1, 20], [0, 0, 8]])
SLICES = Places.from_rows(ROWS)

pytestmark = pytest.mark.parametrize("kind", [PartitionContrastLoss, PositionContrastLoss])


def images(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(ROWS), 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_lowest_temperature_in_half_precision_is_finite(kind: type[PairContrastLoss], dtype: torch.dtype):
    input, loss = images(dtype=dtype), kind(temperature=0.01)
    result = loss(input, SLICES)
    result.backward()
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(loss(input.double(), SLICES).item(), rel=1e-4)
    assert input.grad.isfinite().all()


def test_autocast_changes_nothing(kind: type[PairContrastLoss]):
    results = []
    for enabled in (False, True):
        input = images(dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            result = kind()(input, SLICES)
        results.append((result, *torch.autograd.grad(result, input)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_inputs_may_carry_metadata(kind: type[PairContrastLoss]):
    result = kind()(MetaTensor(images()), SLICES.map(MetaTensor))
    assert type(result) is torch.Tensor
    torch.testing.assert_close(result, kind()(images(), SLICES))
