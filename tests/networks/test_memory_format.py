from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from semicl_monai.networks import ChannelsLastInstanceNorm, channels_last


def test_a_network_gives_the_same_values_and_keeps_its_state_dict(network):
    other, x = channels_last(deepcopy(network)), _images(network)
    torch.testing.assert_close(other(x), network(x), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())
    assert list(other.state_dict()) == list(network.state_dict())


def test_a_network_gives_the_same_gradients(network):
    network.double()  # else a value near 0 may get the other slope of the activation
    other, x = channels_last(deepcopy(network)), _images(network).double()
    network(x).square().mean().backward(), other(x).square().mean().backward()
    for own, changed in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(changed.grad, own.grad, rtol=1e-6, atol=1e-9)


def _images(network):
    spatial_dims = next(p.ndim for p in network.parameters() if p.ndim > 2) - 2
    return torch.rand(2, 1, *[32] * spatial_dims)


def test_nothing_is_rearranged_between_convolutions(deeply_supervised):
    network = channels_last(deeply_supervised(3, deep_supervision=False))
    laid_out = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | ChannelsLastInstanceNorm):
            module.register_forward_hook(
                lambda _, __, y, name=name: laid_out.update(
                    {name: y.is_contiguous(memory_format=torch.channels_last_3d)}
                )
            )
    network(torch.rand(2, 1, 16, 16, 16))
    laid_out.pop("output_block.conv.conv")  # behind which nothing is convolved
    assert len(laid_out) == 31
    assert all(laid_out.values())


def test_blocks_that_stand_at_two_places_stay_one(deeply_supervised):
    network = channels_last(deeply_supervised(3, deep_supervision=False))
    assert network.skip_layers.downsample is network.input_block
    assert isinstance(network.input_block.norm1, ChannelsLastInstanceNorm)
    assert len(list(network.parameters())) == len(list(deeply_supervised(3, deep_supervision=False).parameters()))


def test_norms_with_running_statistics_and_networks_elsewhere_stay_as_they_are():
    norm = nn.Sequential(nn.InstanceNorm2d(2, track_running_stats=True))
    assert channels_last(norm)[0] is norm[0]
    elsewhere = nn.Sequential(nn.Conv2d(2, 2, 3), nn.InstanceNorm2d(2)).to("meta")
    assert isinstance(channels_last(elsewhere)[1], nn.InstanceNorm2d)
    assert elsewhere[0].weight.is_contiguous()
