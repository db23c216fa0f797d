from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from semicl_monai.networks import ChannelsLastInstanceNorm

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


def test_it_starts_anew_as_the_norm_of_torch_does():
    norm = nn.InstanceNorm2d(2, affine=True)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    ChannelsLastInstanceNorm(norm).reset_parameters()
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([1, 1], [0, 0])
    ChannelsLastInstanceNorm(nn.InstanceNorm2d(2)).reset_parameters()


def test_the_gradients_of_the_norm_are_right():
    torch.manual_seed(0)
    norm = ChannelsLastInstanceNorm(nn.InstanceNorm2d(2, affine=True).double())
    x = torch.rand(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, *norm.parameters()))


def test_a_norm_of_one_pixel_is_refused_as_by_pytorch():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ChannelsLastInstanceNorm(nn.InstanceNorm2d(2))(torch.rand(1, 2, 1, 1))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_gradients_of_maps_with_channels_last_are_those_of_pytorch(spatial_dims: int, affine: bool):
    torch.manual_seed(0)
    norm = NORMS[spatial_dims](5, affine=affine).double()
    memory_format = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
    maps = 3 + torch.randn(3, 5, *[4] * spatial_dims, dtype=torch.float64)
    found = []
    for module in (norm, ChannelsLastInstanceNorm(norm)):
        x = maps.clone(memory_format=memory_format).requires_grad_()
        norm.zero_grad()
        module(x).sin().sum().backward()
        found.append([x.grad, *(parameter.grad.clone() for parameter in norm.parameters())])
    torch.testing.assert_close(*found)
    assert found[1][0].is_contiguous(memory_format=memory_format)


def test_maps_with_metadata_can_be_activated_in_place():
    normalized = ChannelsLastInstanceNorm(nn.InstanceNorm2d(2, affine=True))(MetaTensor(torch.rand(1, 2, 4, 4)))
    nn.LeakyReLU(inplace=True)(normalized).sum().backward()
    assert type(normalized) is torch.Tensor


@pytest.mark.parametrize("affine", [True, False])
def test_bfloat16_is_instance_norm_too(affine: bool):
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(4, affine=affine)
    x = torch.randn(2, 4, 64, 64).bfloat16().contiguous(memory_format=torch.channels_last)
    normalized = ChannelsLastInstanceNorm(norm)(x)
    assert normalized.dtype == torch.bfloat16
    assert normalized.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normalized.float(), norm(x.float()), rtol=1e-2, atol=1e-2)
