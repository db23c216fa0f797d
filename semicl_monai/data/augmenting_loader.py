"""Batches that are augmented in parallel with the training."""

from __future__ import annotations

import os
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
    """Augment the next batches in a thread, or in processes that stay alive from epoch to epoch.

    If torch's threads use all cores, a further thread would slow them down. Each batch is then augmented when it is
    needed, unless there is a GPU. If the network runs on a GPU, the training waits for the thread, and processes are
    faster. All ways give the same batches. They also leave torch's random generator in the same state after an epoch.
    An error in the thread or in a process is raised here and ends the epoch. A collation error names the cases of the
    batch.

    Args:
        dataset: a data set that takes an index and the seed of the random transforms, such as a
            :class:`semicl_monai.data.VolumeDataset`. If processes are not forked, each one gets a copy of the data that
            the data set keeps in memory.
        num_samples: number of records per epoch, drawn by a :class:`SeededRandomSampler`. By default ``sampler`` draws
            the records.
        num_workers: number of processes of this loader; 0 uses none.
        buffer_size: number of batches that the thread may prepare in advance.
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
            InputError: When a batch cannot be made. Errors of the data set are raised unchanged.
            RuntimeError: When there are fewer batches than ``len()`` says.
        """
        return whole_epoch(self._batches(), len(self))

    def _batches(self) -> Iterator[Any]:
        if self.num_workers:
            return self._from_processes()
        return self._from_thread() if _has_free_core() else DataLoader.__iter__(self)

    def _from_thread(self) -> Iterator[Any]:
        source = _with_error(DataLoader.__iter__(self))
        for batch in buffer_iterator(source, self.buffer_size, self.buffer_timeout, self.repeats):
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch

    def _from_processes(self) -> Iterator[Any]:
        if self.started:
            # The thread draws a seed in each epoch. Persistent processes draw a seed only when they start.
            torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        self.started, self.worker_init_fn = True, partial(_begin, track_meta=get_track_meta())
        # No thread reads from persistent processes: it could take the next epoch's first batch for one of this epoch.
        return self._until_error(DataLoader.__iter__(self))

    def _until_error(self, batches: Any) -> Iterator[Any]:
        try:
            yield from batches
        except Exception as error:
            # If the error and its processes are freed together, torch waits five seconds for each process.
            batches._shutdown_workers()
            self._iterator, self.started = None, False
            if not isinstance(error, InputError):
                raise
            # torch puts the whole traceback of the process before this one line
            line = str(error).rpartition(f"{InputError.__module__}.{InputError.__qualname__}: ")[2]
            raise InputError(line.strip()) from error


def _has_free_core() -> bool:
    """Whether the training leaves a core to a further thread."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return torch.get_num_threads() < cores or torch.cuda.is_available()


@dataclass
class _Failure:
    """An error, which a thread gives after its last batch."""

    error: Exception


def _with_error(batches: Iterable[Any]) -> Iterator[Any]:
    """Pass an error on as the last batch.

    A raised error would end MONAI's thread, and the epoch would end as if it were complete.
    """
    try:
        yield from batches
    except Exception as error:
        yield _Failure(error)


def _begin(worker_id: int, track_meta: bool) -> None:
    """Give a process the settings of its parent process, even if it is not forked."""
    set_track_meta(track_meta)
    worker_init_fn(worker_id)
