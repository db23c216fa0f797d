"""A U-Net that computes at a lower resolution than that of the image."""

from __future__ import annotations

from monai.networks.blocks.dynunet_block import get_conv_layer
from monai.networks.nets import DynUNet
from torch import nn


class StridedDynUNet(DynUNet):
    """A :class:`monai.networks.nets.DynUNet` with strides in the first level, whose output has the size of the image.

    Most of the time of a U-Net goes into the level of the image's own resolution. Here the first convolution has the
    strides of the first level, for instance 2, and no level has the full resolution. Each output is a transposed
    convolution without overlap. It gives each voxel of a block, of 2 x 2 pixels for instance, logits of its own. This
    is a 1 x 1 convolution followed by a pixel shuffle. So masks are as fine as the image.

    Args:
        args, kwargs: those of the base class. Edges of an image must be multiples of the product of all strides.

    References:
        Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
        Network, CVPR 2016, section 3.2. https://arxiv.org/abs/1609.05158

    Example:
        >>> import torch
        >>> network = StridedDynUNet(2, 1, 3, [3, 3, 3], [2, 2, 2], [2, 2], filters=[8, 16, 32])
        >>> network(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """

    def get_output_block(self, idx: int) -> nn.Module:
        """Return the layer that turns the maps of a decoder level into logits of the voxels of a block."""
        edges = self.strides[0]
        layer: nn.Module = get_conv_layer(
            self.spatial_dims,
            self.filters[idx],
            self.out_channels,
            kernel_size=edges,
            stride=edges,
            dropout=self.dropout,
            bias=True,
            act=None,
            norm=None,
            conv_only=False,
            is_transposed=True,
        )
        return layer
