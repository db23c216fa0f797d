from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from semicl_monai.engines import SampledLoss
from semicl_monai.inferers import Bfloat16Inferer
from semicl_monai.networks import DenseHead, ProjectedMap
from semicl_monai.samplers import BalancedSampler, BlockSampler, FullSampler, RegionSampler, StrideSampler

SAMPLERS = {
    "stride": lambda: StrideSampler(stride=4, random_offset=True, generator=torch.Generator().manual_seed(0)),
    "block": lambda: BlockSampler(block_size=5),  # pads the map
    "balanced": lambda: BalancedSampler(num_per_class=9, generator=torch.Generator().manual_seed(0)),
    "full": FullSampler,
    "region": RegionSampler,
}


def contrast(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss to which every embedding contributes in its own way, whatever the order of its elements."""
    weights = torch.linspace(1, 2, targets.numel(), dtype=embeddings.dtype).reshape(targets.shape) * (targets >= 0)
    return (weights * embeddings.sin().sum(dim=2)).sum()


@pytest.mark.parametrize("size", [(16, 18), (16, 16, 17)])
@pytest.mark.parametrize("build", SAMPLERS.values(), ids=SAMPLERS)
def test_pixels_are_projected_as_in_a_map_of_all_pixels(build: Callable, size: tuple[int, ...]):
    head = DenseHead(in_channels=3, hidden_channels=6, out_channels=4, spatial_dims=len(size)).double()
    maps = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (2, 1, *size), generator=torch.Generator().manual_seed(1))
    found = []
    for head.lazy in (False, True):
        head.zero_grad()
        x = maps.clone().requires_grad_()
        loss = SampledLoss(build(), contrast)(head(x), labels)
        loss.backward()
        found.append([loss.detach(), x.grad, *(parameter.grad.clone() for parameter in head.parameters())])
    torch.testing.assert_close(*found)


def test_a_head_with_a_nonlinearity_projects_the_map_at_once():
    head = DenseHead(in_channels=3, out_channels=4, act="relu", lazy=True)
    assert head(torch.rand(1, 3, 8, 8)).shape == (1, 4, 8, 8)


def test_bfloat16_keeps_it_and_returns_features_in_float32():
    head = DenseHead(in_channels=3, out_channels=4, lazy=True)
    plain, maps = Bfloat16Inferer()(torch.rand(1, 3, 8, 8), lambda x: (x, head(x.bfloat16())))
    assert isinstance(maps, ProjectedMap)
    assert {part.dtype for part in (plain, *maps)} == {torch.float32}
