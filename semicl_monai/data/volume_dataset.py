"""Volumes, prepared once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai.data import CacheDataset
from tqdm import tqdm


class VolumeDataset(CacheDataset):
    """A :class:`monai.data.CacheDataset` that loads a volume when it is first needed, or all with :meth:`prepare`.

    Building it opens no file: a stage that is not run, or a validation that is not asked for, costs nothing and
    reads no label.

    Args:
        data: records, one a volume.
        transform: transforms; those before the first random one are applied once and kept.
    """

    def __init__(self, data: Sequence[dict], transform: Sequence[Callable] | Callable | None = None) -> None:
        # The random transforms never write into what they get, so that the cached volumes need no copy.
        super().__init__(data, transform, copy_cache=False, runtime_cache="threads", progress=False)

    def prepare(self) -> None:
        """Load and check every volume now, with a progress bar, so that bad input is met before training starts."""
        for index in tqdm(range(self.cache_num), desc="Loading volumes", disable=self.cache_num == 0):
            if self._cache[index] is None:
                self._cache[index] = self._load_cache_item(index)
