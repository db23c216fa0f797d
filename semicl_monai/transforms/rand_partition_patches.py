"""Draw 3-D patches from every part of a volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from monai.config import KeysCollection
from monai.utils import ensure_tuple

from semicl_monai.transforms.partitions import draw_shares
from semicl_monai.transforms.rand_patches import RandPatchesd
from semicl_monai.utils import InputError


class RandPartitionPatchesd(RandPatchesd):
    r"""Draw the same number of patches from each partition of a volume.

    The places that a patch centre can take are divided into partitions. Place :math:`i` of :math:`n` along an axis lies
    in partition :math:`\lfloor S i / n \rfloor` of this axis. If a volume has fewer places than partitions, some
    partitions are empty. They give no patch, and the volume gives fewer samples.

    Args:
        keys: maps of shape ``(C, H, W, D)``. All are cut at the same place.
        roi_size: size of a patch in voxels along the three axes.
        num_samples: number of patches to draw from a volume. If it is not a multiple of the number of partitions, some
            partitions give one more patch. These partitions are drawn anew each time.
        num_partitions: number of partitions :math:`S` along each axis.
        allow_missing_keys: whether keys may be missing in a sample.

    Raises:
        InputError: When ``roi_size`` is not three positive numbers, ``num_samples`` is out of its range, or
            ``num_partitions`` is not three positive numbers.

    References:
        Chaitanya et al., Contrastive learning of global and local features for medical image segmentation with limited
        annotations, NeurIPS 2020, section 3.2. https://arxiv.org/abs/2006.10511

    Example:
        >>> draw = RandPartitionPatchesd("image", roi_size=(4, 4, 4), num_samples=4, num_partitions=(1, 4, 1))
        >>> [int(sample["place"][1]) // 2 for sample in draw.set_random_state(0)({"image": torch.zeros(1, 4, 11, 4)})]
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int],
        num_samples: int = 4,
        num_partitions: Sequence[int] = (1, 1, 4),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, roi_size, num_samples, foreground=0.0, allow_missing_keys=allow_missing_keys)
        if len(ensure_tuple(num_partitions)) != 3 or min(num_partitions) < 1:
            raise InputError(
                f"num_partitions must be three positive numbers, got {list(ensure_tuple(num_partitions))}."
            )
        self.num_partitions = num_partitions

    def randomize(self, data: Mapping[Hashable, torch.Tensor]) -> None:
        """Draw the starts of the patches of one sample."""
        counts = self._num_places(data)
        partitions = list(product(*(range(number) for number in self.num_partitions)))
        shares = draw_shares(self.num_samples, len(partitions), self.R)
        drawn = [self._draw(part, counts) for part, share in zip(partitions, shares, strict=True) for _ in range(share)]
        self.places = [place for place in drawn if place is not None]

    def _draw(self, numbers: Sequence[int], counts: np.ndarray) -> np.ndarray | None:
        """Draw a place of the partition with these numbers along the axes, or ``None`` if it is empty."""
        places = [
            np.flatnonzero(np.arange(count) * partitions // count == number)
            for number, partitions, count in zip(numbers, self.num_partitions, counts, strict=True)
        ]
        return np.array([self.R.choice(along) for along in places]) if all(map(len, places)) else None
