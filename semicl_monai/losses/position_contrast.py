"""Contrast of slices or patches by where they lie in their volumes."""

from __future__ import annotations

import torch
from torch import Tensor

from semicl_monai.losses.pair_contrast import PairContrastLoss, masked_logsumexp
from semicl_monai.losses.places import Places
from semicl_monai.utils import InputError


class PositionContrastLoss(PairContrastLoss):
    r"""Positional contrastive learning: slices at about the same relative position attract each other.

    Let :math:`\mathrm{pos}_i` be the number of a slice divided by the number of slices of its volume. The positives are
    :math:`P(i) = \{p \neq i : |\mathrm{pos}_i - \mathrm{pos}_p| < t\}`. :math:`A(i)` are all other slices of the batch:

    .. math::
        \ell_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)}
            \log \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \in A(i)} \exp(z_i \cdot z_a / \tau)}

    The loss is the average over the slices that have a positive. In 3-D, :math:`\mathrm{pos}_i` has three coordinates.
    Each is the place number of the patch's centre along an axis, divided by the number of places along this axis.
    :math:`|\cdot|` is then the Euclidean distance.

    Args:
        threshold: :math:`t`, as a share of the volume's thickness.
        temperature: :math:`\tau`, divides every cosine similarity.
        across_ranks: whether the images of all ranks are one batch, see :class:`PairContrastLoss`.

    Raises:
        InputError: When ``threshold`` or ``temperature`` is not positive.

    References:
        Zeng et al., Positional Contrastive Learning for Volumetric Medical Image Segmentation, MICCAI 2021, eq. 2.
        https://arxiv.org/abs/2106.09157

    Example:
        >>> slices = Places.from_rows(torch.tensor([[0, 1, 10], [1, 10, 100], [0, 7, 10], [1, 70, 100]]))
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> PositionContrastLoss(threshold=0.1, temperature=0.5)(embeddings, slices)
        tensor(0.2395)
    """

    def __init__(self, threshold: float = 0.1, temperature: float = 0.1, across_ranks: bool = True) -> None:
        if not threshold > 0:
            raise InputError(f"threshold must be positive, got {threshold}.")
        super().__init__(temperature, across_ranks)
        self.threshold = threshold

    def pairs(self, target: Places) -> tuple[Tensor, Tensor]:
        """Positive: closer than the threshold. Negative: all other pairs."""
        position = target.place.double() / target.num_places
        close = torch.linalg.vector_norm(position[:, None] - position[None], dim=2) < self.threshold
        others = ~torch.eye(len(position), dtype=torch.bool, device=position.device)
        return close & others, ~close & others

    def contrast(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Mean over the positives of a slice, then over the slices that have one."""
        log_probability = similarity - masked_logsumexp(similarity, positive | negative)
        count = positive.sum(dim=1)
        per_slice = -log_probability.masked_fill(~positive, 0).sum(dim=1) / count.clamp(min=1)
        return per_slice.sum() / (count > 0).sum().clamp(min=1)
