"""A memory layout in which networks run faster on a CPU."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from semicl_monai.networks.channels_last_norm import ChannelsLastInstanceNorm

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(network: nn.Module) -> nn.Module:
    """Store a network on a CPU with channels last, which gives the same values in less time.

    Convolutions use channels last internally. When the maps also have channels last, nothing is rearranged between the
    convolutions. A network on another device stays unchanged. Names and values of the state dict do not change.

    Args:
        network: any network of convolutions. It is changed in place and returned.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return network
    for parameter in network.parameters():
        if parameter.ndim in FORMATS:
            # not contiguous(): it would not change the strides of a convolution with one channel
            parameter.data = torch.empty_like(parameter.data, memory_format=FORMATS[parameter.ndim]).copy_(
                parameter.data
            )
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, _InstanceNorm) and not child.track_running_stats:
                setattr(module, name, ChannelsLastInstanceNorm(child))
    return network
