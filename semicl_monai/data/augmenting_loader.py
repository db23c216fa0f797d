"""Batches that are augmented beside the training."""

from __future__ import annotations

from typing import Any

from monai.data import DataLoader, Dataset, ThreadDataLoader


class AugmentingDataLoader(ThreadDataLoader):
    """Augment the batches to come in a thread, or in processes that live on from epoch to epoch.

    A thread shares its core with the training, which costs little where the network is at work on that core too.
    Beside a GPU it is what the training waits for, and a process is faster. The batches are the same.

    Args:
        dataset: what takes an index and the seed of its random transforms, such as a
            :class:`semicl_monai.data.VolumeDataset`.
        num_workers: processes; 0 for the thread.
        options: as for :class:`monai.data.ThreadDataLoader`.

    Example:
        >>> [batch.tolist() for batch in AugmentingDataLoader([1, 2, 3], batch_size=2)]
        [[1, 2], [3]]
    """

    def __init__(self, dataset: Dataset, num_workers: int = 0, **options: Any) -> None:
        super().__init__(dataset, num_workers=num_workers, persistent_workers=num_workers > 0, **options)

    def __iter__(self) -> Any:
        """Return the batches of an epoch."""
        # A thread that reads from lasting processes could take the first batch of the next epoch for the last one's.
        return DataLoader.__iter__(self) if self.num_workers else super().__iter__()
