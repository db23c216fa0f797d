"""Small networks of every class whose layout is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from torch import nn

BUILD: dict[str, Callable[..., nn.Module]] = {
    "BasicUNet": lambda **kw: BasicUNet(**kw, features=(4, 4, 4, 8, 8, 4)),
    "DynUNet": lambda **kw: DynUNet(
        **kw, kernel_size=[3, 3, 3], strides=[1, 2, 2], upsample_kernel_size=[2, 2], filters=[4, 8, 8]
    ),
    "SegResNet": lambda **kw: SegResNet(**kw, init_filters=8, blocks_down=(1, 1, 1), blocks_up=(1, 1)),
    "UNet": lambda **kw: UNet(**kw, channels=(4, 8, 8, 16), strides=(2, 2, 2), num_res_units=1),
    "flat UNet": lambda **kw: UNet(**kw, channels=(4, 8), strides=(2,)),
}


@pytest.fixture
def build() -> Callable[..., nn.Module]:
    """A function from a name to a network whose weights follow from a seed."""

    def network(name: str = "BasicUNet", seed: int = 0, spatial_dims: int = 2, out_channels: int = 3) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return BUILD[name](spatial_dims=spatial_dims, in_channels=1, out_channels=out_channels)

    return network


@pytest.fixture
def deeply_supervised() -> Callable[..., nn.Module]:
    """A function to a network that gives three levels in training: its logits and those of two earlier maps."""

    def network(spatial_dims: int, deep_supervision: bool = True) -> nn.Module:
        options = {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3, "filters": [4] * 4}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return DynUNet(spatial_dims, 1, 3, **options, deep_supervision=deep_supervision, deep_supr_num=2)

    return network


@pytest.fixture(params=[*((name, 2) for name in BUILD), ("BasicUNet", 3)], ids=lambda p: f"{p[0]} {p[1]}-D")
def network(request: pytest.FixtureRequest, build: Callable[..., nn.Module]) -> nn.Module:
    """Each network in turn."""
    name, spatial_dims = request.param
    return build(name, spatial_dims=spatial_dims)
