from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.networks import HEADS, DenseHead, GlobalHead
from semicl_monai.utils import InputError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)])
def test_a_global_head_is_two_linear_layers_on_the_mean_of_the_map(size):
    head = GlobalHead(in_channels=3, hidden_channels=6, out_channels=4, spatial_dims=len(size)).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weights = head.state_dict()
    for image, embedding in zip(x, head(x), strict=True):
        mean = torch.stack([channel.sum() / channel.numel() for channel in image])
        hidden = (weights["mlp.0.weight"] @ mean + weights["mlp.0.bias"]).clamp(min=0)
        torch.testing.assert_close(embedding, weights["mlp.2.weight"] @ hidden + weights["mlp.2.bias"])


def test_a_global_head_is_as_wide_as_its_input_by_default():
    assert GlobalHead(in_channels=5).mlp[0].out_features == 5


@pytest.mark.parametrize("act", [None, "relu"])
@pytest.mark.parametrize("size", [(2, 3), (2, 1, 2)])
def test_a_dense_head_treats_every_pixel_alike_and_has_a_nonlinearity_only_if_asked(size, act):
    head = DenseHead(in_channels=3, hidden_channels=6, out_channels=4, spatial_dims=len(size), act=act).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    first, last = head.hidden, head.out
    hidden = torch.einsum("hc,bc...->bh...", first.weight.flatten(1), x) + first.bias.view(-1, *[1] * len(size))
    hidden = hidden if act is None else hidden.clamp(min=0)
    wanted = torch.einsum("oh,bh...->bo...", last.weight.flatten(1), hidden) + last.bias.view(-1, *[1] * len(size))
    torch.testing.assert_close(head(x), wanted)


@pytest.mark.parametrize(("name", "shape"), [("global_pool", (2, 4)), ("dense", (2, 4, 5, 5))])
def test_heads_are_built_by_name(name, shape):
    assert HEADS.build(name, in_channels=3, out_channels=4)(torch.zeros(2, 3, 5, 5)).shape == shape


def test_an_unknown_head_is_refused():
    with pytest.raises(InputError, match="unknown head 'densee', did you mean 'dense'"):
        HEADS["densee"]


@pytest.mark.parametrize("name", ["GlobalHead", "DenseHead"])
def test_it_builds_from_a_config(name):
    config = {"head": {"_target_": f"semicl_monai.networks.{name}", "in_channels": 3, "out_channels": 4}}
    assert ConfigParser(config).get_parsed_content("head")(torch.zeros(2, 3, 5, 5)).shape[:2] == (2, 4)
