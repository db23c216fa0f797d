"""Projection heads: what stands between the network's features and the contrastive loss, and is dropped after it."""

from __future__ import annotations

import torch
from monai.networks.layers import Act, Conv, Pool
from torch import nn


class GlobalHead(nn.Module):
    """Project a feature map to one embedding: global average pooling, linear, ReLU, linear.

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width of the hidden layer, ``in_channels`` by default.
        out_channels: length of the embedding.
        spatial_dims: 2 or 3.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, section 2.1.
        https://arxiv.org/abs/2002.05709

    Example:
        >>> GlobalHead(in_channels=8, out_channels=4)(torch.zeros(2, 8, 5, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int | None = None, out_channels: int = 128, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        hidden_channels = in_channels if hidden_channels is None else hidden_channels
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, out_channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project ``x`` of shape ``(B, in_channels, H, W[, D])`` to ``(B, out_channels)``."""
        return self.mlp(self.pool(x).flatten(1))


class DenseHead(nn.Module):
    """Project every pixel of a feature map to an embedding: two 1x1 convolutions.

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width between the two convolutions.
        out_channels: length of the embeddings.
        spatial_dims: 2 or 3.
        act: nonlinearity between the convolutions by its name in MONAI (``"relu"``); none by default, as in the
            code released with the paper.

    References:
        Hu et al., Semi-supervised Contrastive Learning for Label-Efficient Medical Image Segmentation, MICCAI 2021,
        section 2.3 (the head h2). https://arxiv.org/abs/2109.07407

    Example:
        >>> DenseHead(in_channels=8, out_channels=4)(torch.zeros(2, 8, 5, 5)).shape
        torch.Size([2, 4, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        out_channels: int = 128,
        spatial_dims: int = 2,
        act: str | None = None,
    ) -> None:
        super().__init__()
        conv = Conv[Conv.CONV, spatial_dims]
        between = [] if act is None else [Act[act]()]
        self.layers = nn.Sequential(
            conv(in_channels, hidden_channels, kernel_size=1),
            *between,
            conv(hidden_channels, out_channels, kernel_size=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project ``x`` of shape ``(B, in_channels, H, W[, D])`` to ``(B, out_channels, H, W[, D])``."""
        return self.layers(x)
