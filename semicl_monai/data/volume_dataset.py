"""Volumes, prepared once and kept in memory or on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monai.data import CacheDataset
from tqdm import tqdm

from semicl_monai.data.case_errors import errors_of_case
from semicl_monai.data.compact_volumes import axis_of_planes, keep_compactly
from semicl_monai.data.prepared_files import PreparedFiles
from semicl_monai.data.sections import Record
from semicl_monai.data.studies import name_cases
from semicl_monai.utils import planes_in_one_piece
from semicl_monai.utils.distributed import rank_and_size


class VolumeDataset(CacheDataset):
    """A :class:`monai.data.CacheDataset` that loads a volume when it is first needed, or all with :meth:`prepare`.

    Volumes are kept in few bytes, see :func:`semicl_monai.utils.pack_volume`: images in half precision, labels as
    ``uint8``. The random transforms and the output of the data set have the types of the deterministic transforms.

    Creating the data set opens no file. An unused stage or validation therefore costs nothing and reads no label.

    An index may be a number, or a number and the seed of the random transforms. A
    :class:`semicl_monai.data.SeededRandomSampler` gives such pairs.

    Args:
        data: records, one per volume. A record without ``case`` gets the name of its study in MONAI Label, or else the
            name of its image file.
        transform: transforms. The output of the transforms before the first random one is kept.
        cache_dir: a folder for the prepared volumes. Later runs that prepare the same files in the same way use them
            too, see :class:`~semicl_monai.data.prepared_files.PreparedFiles`. By default the volumes are kept in
            memory.
        num_workers: number of volumes to prepare at the same time for ``cache_dir``. Without ``cache_dir``, it is one.

    Raises:
        InputError: When ``cache_dir`` is given and a deterministic transform cannot be distinguished from others, or
            when a transform fails. In the second case the message names the case.
    """

    def __init__(
        self,
        data: Sequence[Record],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        num_workers: int = 2,
    ) -> None:
        # The random transforms never change their input in place, so that the kept volumes need no copy.
        super().__init__(
            name_cases(data),
            keep_compactly(transform),
            num_workers=num_workers,
            copy_cache=False,
            runtime_cache="threads",
            progress=False,
        )
        self.files = PreparedFiles(cache_dir, self.transform) if cache_dir else None

    def __getitem__(self, index: Any) -> Any:
        """Return the transformed record."""
        if isinstance(index, tuple):
            index, seed = index
            self.transform.set_random_state(seed=seed)
        return super().__getitem__(index)

    def prepare(self) -> None:
        """Load and check every volume now, with a progress bar, so that bad input is found before training starts.

        If processes share a ``cache_dir``, each process begins with another part of the volumes.

        Raises:
            InputError: When a volume cannot be prepared, or ``cache_dir`` cannot be written to.
        """
        rank, size = rank_and_size()
        cases = sorted(range(self.cache_num), key=lambda index: (index - rank) % size)
        with ThreadPoolExecutor(self.num_workers) as pool:
            done = (pool.map if self.files else map)(self._keep, cases)
            for _ in tqdm(done, total=self.cache_num, desc="Loading volumes", disable=self.cache_num == 0):
                pass

    def prepared(self) -> list[Any]:
        """Return all volumes as they are kept, in few bytes; missing volumes are prepared first."""
        for index in range(self.cache_num):
            self._keep(index)
        return list(self._cache)

    def _keep(self, index: int) -> None:
        if self._cache[index] is None:
            with errors_of_case(self._case(index)):
                self._cache[index] = self._load_cache_item(index)

    def _transform(self, index: int) -> Any:
        case = self._case(index)  # outside the ``with``: the IndexError of a too high index must end an iteration
        with errors_of_case(case):
            return super()._transform(index)

    def _case(self, index: int) -> Any:
        return self.data[index].get("case", index)

    def _load_cache_item(self, idx: int) -> Any:
        if self.files:
            return self.files(self.data[idx])
        return planes_in_one_piece(super()._load_cache_item(idx), axis_of_planes(self.transform))
