"""Contrast of slices or patches by the part of the volume they lie in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import ensure_tuple, ensure_tuple_rep
from torch import Tensor

from semicl_monai.losses.pair_contrast import PairContrastLoss, masked_logsumexp
from semicl_monai.losses.places import Places
from semicl_monai.utils import InputError


class PartitionContrastLoss(PairContrastLoss):
    r"""The global loss with domain structure: slices of one partition attract each other across volumes.

    Every volume is cut into :math:`S` partitions along its slices. Two views of one slice are positive. Two slices of
    the same partition in different volumes are positive too. Slices of different partitions are negative, in any
    volumes. Other slices of the same partition and volume are neither. Every ordered positive pair :math:`(a, b)` costs

    .. math::
        \ell(a, b) = -\log \frac{\exp(z_a \cdot z_b / \tau)}
            {\exp(z_a \cdot z_b / \tau) + \sum_{n \in N(a)} \exp(z_a \cdot z_n / \tau)}

    with :math:`N(a)` the negatives of :math:`a`. The loss is the mean over all positive pairs. A pair whose anchor has
    no negative costs nothing. In 3-D, the possible places of a patch's centre are cut into partitions along each axis.

    Args:
        num_partitions: :math:`S` for slices. For patches, one number for each of the three axes.
        temperature: :math:`\tau`, divides every cosine similarity.
        across_ranks: whether the images of all ranks are one batch (see :class:`PairContrastLoss`).

    Raises:
        InputError: When ``num_partitions`` or ``temperature`` is not positive.
        ValueError: When the places of a call have another number of axes than ``num_partitions``.

    References:
        Chaitanya et al., Contrastive learning of global and local features for medical image segmentation with limited
        annotations, NeurIPS 2020, eq. 1 and 2 (the strategy G^D). https://arxiv.org/abs/2006.10511

    Example:
        >>> slices = Places.from_rows(torch.tensor([[0, 1, 10], [1, 10, 100], [0, 7, 10], [1, 70, 100]]))
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> PartitionContrastLoss(num_partitions=4, temperature=0.5)(embeddings, slices)
        tensor(0.2395)
    """

    def __init__(
        self, num_partitions: int | Sequence[int] = 4, temperature: float = 0.1, across_ranks: bool = True
    ) -> None:
        if min(ensure_tuple(num_partitions)) < 1:
            raise InputError(f"num_partitions must be positive, got {num_partitions}.")
        super().__init__(temperature, across_ranks)
        self.num_partitions = num_partitions

    def pairs(self, target: Places) -> tuple[Tensor, Tensor]:
        """Return the pairs. Positive: same slice, or same partition in two volumes. Negative: different partitions."""
        volume, place, num_places = target
        partition = place * place.new_tensor(ensure_tuple_rep(self.num_partitions, place.shape[1])) // num_places
        same_volume, same_partition, same_place = (
            (values[:, None] == values[None]).all(dim=2) for values in (volume[:, None], partition, place)
        )
        others = ~torch.eye(len(volume), dtype=torch.bool, device=volume.device)
        same_slice = same_volume & same_place
        return same_partition & (~same_volume | same_slice) & others, ~same_partition

    def contrast(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Mean over all positive pairs."""
        costs = torch.logaddexp(similarity, masked_logsumexp(similarity, negative)) - similarity
        return costs.masked_fill(~positive, 0).sum() / positive.sum().clamp(min=1)
