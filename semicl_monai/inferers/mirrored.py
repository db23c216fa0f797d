"""Mirroring at test time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
from monai.inferers import Inferer

from semicl_monai.utils import InputError, at_least_float32


class MirroredInferer(Inferer):
    """Average the probabilities for an image and its mirror images, and return them as logits.

    With ``n`` axes, the network runs on :math:`2^n` versions of the image.

    Args:
        inferer: the inferer for each version of the image, which returns logits ``(B, C, H, W[, D])``.
        axes: spatial axes to mirror along, from 0. Without axes, the inferer is called unchanged.
        sigmoid: whether probabilities are those of regions, by a sigmoid, or of classes, by a softmax.

    Raises:
        InputError: When an axis is not 0, 1 or 2, or is given twice.

    References:
        Isensee et al., nnU-Net, Nature Methods 2021, supplementary note 4. https://doi.org/10.1038/s41592-020-01008-z

    Example:
        >>> from monai.inferers import SimpleInferer
        >>> MirroredInferer(SimpleInferer(), axes=[0])(torch.rand(1, 1, 4, 4), lambda x: torch.cat([x, -x], 1)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, inferer: Inferer, axes: Sequence[int] = (), sigmoid: bool = False) -> None:
        super().__init__()
        if not set(axes) <= {0, 1, 2} or len(set(axes)) < len(axes):
            raise InputError(f"mirror_axes must be axes 0, 1 or 2, each at most once, got {list(axes)}.")
        self.inferer, self.sigmoid = inferer, sigmoid
        self.flips = [[2 + axis for axis in flip] for n in range(len(axes) + 1) for flip in combinations(axes, n)]

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return logits for ``inputs`` ``(B, C, H, W[, D])``."""
        if len(self.flips) == 1:
            logits: torch.Tensor = self.inferer(inputs, network, *args, **kwargs)
            return logits
        mean = self._probabilities([], inputs, network, *args, **kwargs)
        for flip in self.flips[1:]:  # one by one: a volume has one map for each class
            mean += self._probabilities(flip, inputs, network, *args, **kwargs)
        mean /= len(self.flips)
        if self.sigmoid:
            return mean.logit(eps=torch.finfo(mean.dtype).eps)  # probabilities of zero and one have no finite logit
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()  # a probability of zero would have no finite logit

    def _probabilities(self, flip: list[int], inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        logits = at_least_float32(self.inferer(inputs.flip(flip), *args, **kwargs))
        return (logits.sigmoid() if self.sigmoid else logits.softmax(1)).flip(flip)
