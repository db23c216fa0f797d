"""Volumes, prepared once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset
from tqdm import tqdm

from semicl_monai.data.images import case_name


class VolumeDataset(CacheDataset):
    """A :class:`monai.data.CacheDataset` that loads a volume when it is first needed, or all with :meth:`prepare`.

    Building it opens no file: a stage that is not run, or a validation that is not asked for, costs nothing and
    reads no label.

    It takes an index, or an index and the seed of its random transforms, as a
    :class:`semicl_monai.data.SeededRandomSampler` gives them.

    Args:
        data: records, one a volume; one without ``case`` is named by the file of its ``image``.
        transform: transforms; those before the first random one are applied once and kept.
    """

    def __init__(self, data: Sequence[dict], transform: Sequence[Callable] | Callable | None = None) -> None:
        # The random transforms never write into what they get, so that the cached volumes need no copy.
        super().__init__(
            [_named(record) for record in data], transform, copy_cache=False, runtime_cache="threads", progress=False
        )

    def __getitem__(self, index: Any) -> Any:
        """Return the transformed record."""
        if isinstance(index, tuple):
            index, seed = index
            self.transform.set_random_state(seed=seed)
        return super().__getitem__(index)

    def prepare(self) -> None:
        """Load and check every volume now, with a progress bar, so that bad input is met before training starts."""
        for index in tqdm(range(self.cache_num), desc="Loading volumes", disable=self.cache_num == 0):
            if self._cache[index] is None:
                self._cache[index] = self._load_cache_item(index)


def _named(record: dict) -> dict:
    """The record with its ``case``, which MONAI Label does not give."""
    return (
        record
        if "case" in record or not isinstance(record.get("image"), str)
        else {**record, "case": case_name(record["image"])}
    )
