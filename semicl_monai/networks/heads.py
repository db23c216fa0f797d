"""Projection heads between the network's features and the contrastive loss, which are dropped after pre-training."""

from __future__ import annotations

import torch
from monai.networks.layers import Act, Conv, Pool
from torch import nn

from semicl_monai.networks.projected_map import ProjectedMap
from semicl_monai.utils import InputError


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
        embedding: torch.Tensor = self.mlp(self.pool(x).flatten(1))
        return embedding


class LinearHead(nn.Module):
    """Classify a feature map: global average pooling, linear.

    Args:
        in_channels: channels of the feature map.
        out_channels: number of classes.
        spatial_dims: 2 or 3.

    Example:
        >>> LinearHead(in_channels=8, out_channels=4)(torch.zeros(2, 8, 5, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(self, in_channels: int, out_channels: int = 4, spatial_dims: int = 2) -> None:
        super().__init__()
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn ``x`` of shape ``(B, in_channels, H, W[, D])`` into logits ``(B, out_channels)``."""
        logits: torch.Tensor = self.linear(self.pool(x).flatten(1))
        return logits


class JigsawHead(nn.Module):
    """Project an image, and the shuffled patches of an image, to one embedding each.

    An image is pooled and projected by one linear layer. Every patch is pooled and projected by a second linear layer.
    The patch embeddings of an image are joined in their given order and projected by a third linear layer.

    Pooled features are standardised over the batch, as by the batch norm of the paper's network. Without this step, the
    instance norm of a U-Net makes the pooled features of all images almost equal. The loss could then not tell the
    embeddings apart.

    Args:
        in_channels: channels of the feature maps.
        out_channels: length of the embeddings.
        grid: cells of the jigsaw along each axis.
        spatial_dims: 2 or 3.

    References:
        Misra and van der Maaten, Self-Supervised Learning of Pretext-Invariant Representations, CVPR 2020, section 3.2
        (the heads f and g). https://arxiv.org/abs/1912.01991

    Example:
        >>> head = JigsawHead(in_channels=8, out_channels=4)
        >>> [embedding.shape for embedding in head(torch.zeros(2, 8, 5, 5), torch.zeros(18, 8, 2, 2))]
        [torch.Size([2, 4]), torch.Size([2, 4])]
    """

    def __init__(self, in_channels: int, out_channels: int = 128, grid: int = 3, spatial_dims: int = 2) -> None:
        super().__init__()
        pool = Pool[Pool.ADAPTIVEAVG, spatial_dims]
        self.image, self.patch = (
            nn.Sequential(
                pool(1), nn.Flatten(), nn.BatchNorm1d(in_channels, affine=False), nn.Linear(in_channels, out_channels)
            )
            for _ in range(2)
        )
        self.patches = nn.Linear(grid**spatial_dims * out_channels, out_channels)

    def forward(self, x: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Project images and patches.

        Args:
            x: maps of shape ``(B, in_channels, H, W[, D])``.
            patches: maps of shape ``(B * P, in_channels, h, w[, d])``. The P patches of an image follow one another.

        Returns:
            Embeddings of the images and of their patches, ``(B, out_channels)`` each.

        Raises:
            InputError: When a training batch has only one image. Features are standardised over the batch.
        """
        if self.training and len(x) == 1:
            raise InputError(
                "a jigsaw needs at least two slices per batch, got 1: raise batch_size or samples_per_volume."
            )
        return self.image(x), self.patches(self.patch(patches).reshape(len(x), -1))


class DenseHead(nn.Module):
    """Project every pixel of a feature map to an embedding: two 1x1 convolutions.

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width between the two convolutions.
        out_channels: length of the embeddings.
        spatial_dims: 2 or 3.
        act: MONAI's name of the nonlinearity between the convolutions, such as ``"relu"``. By default, there is none,
            as in the code released with the paper.
        lazy: whether to return a :class:`ProjectedMap`, which projects only the pixels that a sampler takes. It needs a
            head without nonlinearity; with one, the map is projected at once.

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
        lazy: bool = False,
    ) -> None:
        super().__init__()
        self.lazy = lazy
        conv = Conv[Conv.CONV, spatial_dims]
        self.hidden = conv(in_channels, hidden_channels, kernel_size=1)
        self.act = None if act is None else Act[act]()
        self.out = conv(hidden_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | ProjectedMap:
        """Project ``x`` of shape ``(B, in_channels, H, W[, D])`` to ``(B, out_channels, H, W[, D])``."""
        if self.act is None:
            weight, bias = self._one_matrix()
            return ProjectedMap(x, weight, bias) if self.lazy else _project(x, weight, bias)
        embeddings: torch.Tensor = self.out(self.act(self.hidden(x)))
        return embeddings

    def _one_matrix(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the product of both matrices. It gives the same map and gradients without the wide map in between."""
        first, second = self.hidden.weight.flatten(1), self.out.weight.flatten(1)
        return second @ first, torch.addmv(self.out.bias, second, self.hidden.bias)


def _project(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Apply a matrix to every pixel.

    On a CPU this batched product takes less than half the time of a 1x1 convolution, mostly in the backward pass.
    """
    pixels = torch.baddbmm(bias[:, None].expand(len(x), -1, 1), weight.expand(len(x), -1, -1), x.flatten(2))
    embeddings: torch.Tensor = pixels.unflatten(2, x.shape[2:])
    return embeddings
