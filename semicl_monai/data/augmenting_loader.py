"""Batches that are augmented beside the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from monai.data import DataLoader, Dataset, ThreadDataLoader, get_track_meta, list_data_collate, set_track_meta
from monai.data.thread_buffer import buffer_iterator
from monai.data.utils import worker_init_fn

from semicl_monai.data.case_errors import collate_cases
from semicl_monai.data.seeded_sampler import SeededRandomSampler
from semicl_monai.data.whole_epoch import whole_epoch
from semicl_monai.utils import InputError


class AugmentingDataLoader(ThreadDataLoader):
    """Augment the batches to come in a thread, or in processes that live on from epoch to epoch.

    A thread shares its core with the training, which costs little where the network is at work on that core too.
    Beside a GPU it is what the training waits for, and a process is faster. The batches are the same, and so is the
    state of torch's random generator after an epoch. An error of either ends the epoch as an error here; one of the
    collation names the cases of the batch.

    Args:
        dataset: what takes an index and the seed of its random transforms, such as a
            :class:`semicl_monai.data.VolumeDataset`. Where processes are not forked, each gets a copy of what it keeps
            in memory.
        num_samples: records an epoch, drawn by a :class:`SeededRandomSampler`; by default those of ``sampler``.
        num_workers: processes of this loader; 0 for the thread.
        buffer_size: batches the thread may be ahead.
        options: as for :class:`torch.utils.data.DataLoader`.

    Raises:
        InputError: When ``num_workers`` is not a whole number from 0.

    Example:
        >>> [batch.tolist() for batch in AugmentingDataLoader([1, 2, 3], batch_size=2)]
        [[1, 2], [3]]
    """

    def __init__(
        self,
        dataset: Dataset,
        num_samples: int | None = None,
        num_workers: int = 0,
        buffer_size: int = 2,
        **options: Any,
    ) -> None:
        if not isinstance(num_workers, int) or isinstance(num_workers, bool) or num_workers < 0:
            raise InputError(f"num_workers must be a whole number from 0, got {num_workers!r}.")
        if num_samples is not None:
            options["sampler"] = SeededRandomSampler(dataset, num_samples=num_samples, generator=torch.Generator())
        options |= {"num_workers": num_workers, "persistent_workers": num_workers > 0}
        options["collate_fn"] = partial(collate_cases, collate=options.get("collate_fn") or list_data_collate)
        super().__init__(dataset, buffer_size=buffer_size, **options)
        self.started = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Return the batches of an epoch.

        Raises:
            InputError: When a batch cannot be made; errors of the data set are raised as they are.
            RuntimeError: When there are fewer batches than ``len()`` has promised.
        """
        return whole_epoch(self._from_processes() if self.num_workers else self._from_thread(), len(self))

    def _from_thread(self) -> Iterator[Any]:
        source = _with_error(DataLoader.__iter__(self))
        for batch in buffer_iterator(source, self.buffer_size, self.buffer_timeout, self.repeats):
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch

    def _from_processes(self) -> Iterator[Any]:
        if self.started:
            # The thread of each epoch draws a seed, which lasting processes do when they start alone.
            torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        self.started, self.worker_init_fn = True, partial(_begin, track_meta=get_track_meta())
        # A thread that reads from lasting processes could take the first batch of the next epoch for the last one's.
        return self._until_error(DataLoader.__iter__(self))

    def _until_error(self, batches: Any) -> Iterator[Any]:
        try:
            yield from batches
        except Exception as error:
            # What frees an error and its processes at once waits five seconds for each of them.
            batches._shutdown_workers()
            self._iterator, self.started = None, False
            if not isinstance(error, InputError):
                raise
            # torch puts all the process's traceback before the one line
            line = str(error).rpartition(f"{InputError.__module__}.{InputError.__qualname__}: ")[2]
            raise InputError(line.strip()) from error


@dataclass
class _Failure:
    """Stands behind the last batch of a thread."""

    error: Exception


def _with_error(batches: Iterable[Any]) -> Iterator[Any]:
    """Give an error on as the last batch: with it a thread of MONAI would end, and the epoch as if it were whole."""
    try:
        yield from batches
    except Exception as error:
        yield _Failure(error)


def _begin(worker_id: int, track_meta: bool) -> None:
    """Have in a process what is set in the one it comes from, also where it is not forked."""
    set_track_meta(track_meta)
    worker_init_fn(worker_id)
