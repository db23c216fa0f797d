"""Random records, each with a seed for its augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch.utils.data import RandomSampler

from semicl_monai.utils.distributed import rank_and_size


class SeededRandomSampler(RandomSampler):
    """Draw records at random, each with a seed for its random transforms.

    The augmentation of a record then depends only on its place in the epoch. Under ``torch.distributed`` all ranks draw
    the same records, and each rank gets every ``world_size``-th of them. The batches of all ranks together are then the
    batch of one process.

    Args:
        data_source: dataset that takes ``(index, seed)``, such as a :class:`semicl_monai.data.VolumeDataset`.
        replacement: as in :class:`torch.utils.data.RandomSampler`.
        num_samples: number of records per epoch, over all ranks. Each rank gets an equal share, and the remainder is
            dropped.
        generator: source of randomness. It must have the same seed on all ranks.

    Example:
        >>> sampler = SeededRandomSampler(["a", "b"], num_samples=4, generator=torch.Generator().manual_seed(0))
        >>> sorted(index for index, seed in sampler)
        [0, 0, 1, 1]
    """

    def __iter__(self) -> Iterator[tuple[int, int]]:  # type: ignore[override]
        rank, size = rank_and_size()
        draws = ((index, int(torch.randint(2**31, (), generator=self.generator))) for index in super().__iter__())
        return islice(draws, rank, len(self) * size, size)

    def __len__(self) -> int:
        return self.num_samples // rank_and_size()[1]
