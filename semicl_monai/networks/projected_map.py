"""Embeddings of pixels that are not computed before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class ProjectedMap(NamedTuple):
    """A feature map, and the linear projection that makes an embedding of each of its pixels.

    A loss that contrasts a sixteenth of the pixels projects only these. The embeddings and their gradients are the same
    as for a projected map of all pixels.

    Args:
        features: shape ``(B, C, H, W[, D])``.
        weight: shape ``(E, C)``.
        bias: shape ``(E,)``.

    Example:
        >>> import torch
        >>> from semicl_monai.samplers import StrideSampler
        >>> maps = ProjectedMap(torch.rand(2, 3, 16, 16), torch.rand(5, 3), torch.rand(5))
        >>> embeddings, targets = maps.sample(StrideSampler(stride=4), torch.ones(2, 1, 16, 16))
        >>> embeddings.shape, targets.shape
        (torch.Size([1, 32, 5]), torch.Size([1, 32]))
    """

    features: Tensor
    weight: Tensor
    bias: Tensor

    def sample(
        self, sampler: Callable[..., tuple[Tensor, Tensor]], labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the groups of a sampler as embeddings ``(G, N, E)``, and their targets.

        Args:
            sampler: function of maps and labels that returns groups ``(G, N, C)`` and targets. A group may join the
                pixels of a region, one pixel after the other: ``(G, N, P * C)``. Its embeddings are then
                ``(G, N, P * E)``.
            labels: label maps ``(B, 1, H, W[, D])``, if the sampler needs them.
        """
        groups, targets = sampler(self.features, labels)
        pixels = groups.unflatten(2, (-1, self.weight.shape[1]))
        return F.linear(pixels, self.weight, self.bias).flatten(2), targets
