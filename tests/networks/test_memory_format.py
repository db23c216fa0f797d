from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from semicl_monai.networks import ChannelsLastInstanceNorm, channels_last

NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_norm_is_instance_norm(spatial_dims, affine, batch_size):
    torch.manual_seed(0)
    norm = NORMS[spatial_dims](5, affine=affine, eps=1e-3).double()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    x = torch.rand(batch_size, 5, *[4] * spatial_dims, dtype=torch.float64) * torch.rand(
        batch_size, 5, *[1] * spatial_dims
    )
    x = x.contiguous(memory_format=torch.channels_last if spatial_dims == 2 else torch.channels_last_3d)
    normalized = ChannelsLastInstanceNorm(norm)(x)
    mean = x.flatten(2).mean(2).reshape(batch_size, 5, *[1] * spatial_dims)
    var = x.flatten(2).var(2, unbiased=False).reshape(mean.shape)
    weight, bias = (norm.weight, norm.bias) if affine else (torch.ones(5), torch.zeros(5))
    shape = [1, 5, *[1] * spatial_dims]
    torch.testing.assert_close(normalized, (x - mean) / (var + 1e-3).sqrt() * weight.view(shape) + bias.view(shape))
    assert normalized.stride() == x.stride()


def test_the_gradients_of_the_norm_are_right():
    torch.manual_seed(0)
    norm = ChannelsLastInstanceNorm(nn.InstanceNorm2d(2, affine=True).double())
    x = torch.rand(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, *norm.parameters()))


def test_a_norm_of_one_pixel_is_refused_as_by_pytorch():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ChannelsLastInstanceNorm(nn.InstanceNorm2d(2))(torch.rand(1, 2, 1, 1))


def test_a_network_gives_the_same_values_and_gradients_and_keeps_its_state_dict(network):
    spatial_dims = next(p.ndim for p in network.parameters() if p.ndim > 2) - 2
    other, x = channels_last(deepcopy(network)), torch.rand(2, 1, *[32] * spatial_dims)
    first, second = network(x), other(x)
    torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-4)
    first.square().mean().backward(), second.square().mean().backward()
    for own, changed in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(changed.grad, own.grad, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())
    assert list(other.state_dict()) == list(network.state_dict())


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
