"""Draw 2-D slices from every part of a volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection

from semicl_monai.transforms.partitions import draw_shares
from semicl_monai.transforms.rand_slices import RandSlicesd
from semicl_monai.utils import InputError


class RandPartitionSlicesd(RandSlicesd):
    r"""Draw the same number of slices from each partition of a volume; the partitions have equal thickness.

    Slice :math:`i` of :math:`n` lies in partition :math:`\lfloor S i / n \rfloor`. If a volume has fewer slices than
    partitions, some partitions are empty. They give no slice, and the volume gives fewer samples.

    Args:
        keys: maps of shape ``(C, H, W, D)``. All are sliced at the same place.
        axis: spatial axis to slice along, 0, 1 or 2.
        num_samples: number of slices to draw from a volume. If it is not a multiple of ``num_partitions``, some
            partitions give one more slice. These partitions are drawn anew each time.
        num_partitions: number of partitions :math:`S` of a volume.
        allow_missing_keys: whether keys may be missing in a sample.

    Raises:
        InputError: When ``axis`` or ``num_samples`` is out of its range, or ``num_partitions`` is not positive.

    References:
        Chaitanya et al., Contrastive learning of global and local features for medical image segmentation with limited
        annotations, NeurIPS 2020, section 3.2. https://arxiv.org/abs/2006.10511

    Example:
        >>> draw = RandPartitionSlicesd("image", num_samples=4, num_partitions=4).set_random_state(0)
        >>> [sample["place"] // 2 for sample in draw({"image": torch.zeros(1, 8, 8, 8)})]
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        keys: KeysCollection,
        axis: int = 2,
        num_samples: int = 4,
        num_partitions: int = 4,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, axis, num_samples, foreground=0.0, allow_missing_keys=allow_missing_keys)
        if num_partitions < 1:
            raise InputError(f"num_partitions must be positive, got {num_partitions}.")
        self.num_partitions = num_partitions

    def randomize(self, data: Mapping[Hashable, torch.Tensor]) -> None:
        """Draw the slice indices for one sample."""
        size = self._size(data)
        partition = np.arange(size) * self.num_partitions // size
        numbers = draw_shares(self.num_samples, self.num_partitions, self.R)
        slices = [np.flatnonzero(partition == number) for number in range(self.num_partitions)]
        self.indices = [
            i for own, number in zip(slices, numbers, strict=True) for i in self._draw(own, number if len(own) else 0)
        ]
