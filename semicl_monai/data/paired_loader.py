"""Labelled and unlabelled batches side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from semicl_monai.data.augmenting_loader import AugmentingDataLoader
from semicl_monai.data.volume_dataset import VolumeDataset
from semicl_monai.data.whole_epoch import whole_epoch
from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import rank_and_size


def paired_batches(
    labelled: AugmentingDataLoader,
    dataset: VolumeDataset,
    wanted: bool,
    warm_up_epochs: int = 0,
    labelled_batch_size: int | None = None,
) -> AugmentingDataLoader | PairedDataLoader:
    """Return a loader of labelled batches, which are paired with batches of another data set if ``wanted``.

    Args:
        labelled: loader of labelled batches. The loader of the other data set gets the same batch size, number of
            processes and buffer size.
        dataset: the other data set.
        wanted: whether the batches are paired.
        warm_up_epochs: as for :class:`PairedDataLoader`.
        labelled_batch_size: number of labelled volumes of a batch after the warm-up, of all processes together. Each
            process takes at least one. By default, all labelled volumes of a batch stay together.

    Raises:
        InputError: When the batches are paired and ``dataset`` is empty, or when a labelled batch has no whole multiple
            of ``labelled_batch_size`` volumes.
    """
    if not wanted:
        return labelled
    _check_not_empty(dataset)
    other = AugmentingDataLoader(
        dataset,
        num_samples=labelled.sampler.num_samples,  # type: ignore[attr-defined]
        num_workers=labelled.num_workers,
        buffer_size=labelled.buffer_size,
        batch_size=labelled.batch_size,
    )
    return PairedDataLoader(labelled, other, warm_up_epochs, _count_parts(labelled.batch_size, labelled_batch_size))


class PairedDataLoader:
    """Add the images of an unlabelled batch to every labelled batch, under ``unlabelled_image``.

    The ``case`` names and label maps, if there are any, are added too, under ``unlabelled_case`` and
    ``unlabelled_label``. An unlabelled sample may have several images, such as a
    weakly augmented image or two views. All of them are added (``unlabelled_weak_image``, ``unlabelled_view1_image``).
    During the warm-up only labelled batches are given.

    Args:
        labelled: loader of batches with ``image`` and ``label``.
        unlabelled: loader of the same number of batches. The keys of its images end with ``image``.
        warm_up_epochs: number of warm-up epochs.
        parts: number of equal parts of a labelled batch after the warm-up. Each is paired with an unlabelled batch.

    Attributes:
        loaders: both loaders.
        epoch: the current epoch, counted from 1.

    Raises:
        InputError: When there is no unlabelled case.
    """

    def __init__(
        self, labelled: DataLoader[Any], unlabelled: DataLoader[Any], warm_up_epochs: int = 0, parts: int = 1
    ) -> None:
        _check_not_empty(unlabelled.dataset)
        self.loaders, self.warm_up_epochs, self.parts, self.epoch = (labelled, unlabelled), warm_up_epochs, parts, 1

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch; :class:`semicl_monai.handlers.SeedEpoch` calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return min(len(loader) for loader in self.loaders)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the batches of an epoch.

        Raises:
            RuntimeError: When there are fewer batches than ``len()`` says.
        """
        return whole_epoch(self._batches(), len(self))

    def _batches(self) -> Iterator[dict[str, Any]]:
        if self.epoch <= self.warm_up_epochs:
            yield from islice(self.loaders[0], len(self))
            return
        labelled_parts = (part for batch in self.loaders[0] for part in _split(batch, self.parts))
        for labelled, unlabelled in zip(islice(labelled_parts, len(self)), self.loaders[1], strict=False):
            kept = {key: part for key, part in unlabelled.items() if key.endswith("image") or key in ("case", "label")}
            yield {**labelled, **{f"unlabelled_{key}": part for key, part in kept.items()}}


def _count_parts(batch_size: int | None, labelled_batch_size: int | None) -> int:
    """Return the number of parts of a labelled batch of ``batch_size`` volumes on this process."""
    if labelled_batch_size is None:
        return 1
    share = max(1, labelled_batch_size // rank_and_size()[1])
    if not batch_size or batch_size % share:
        raise InputError(f"batch_size must be a multiple of labelled_batch_size {share}, got {batch_size}.")
    return batch_size // share


def _split(batch: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """Return equal parts of a batch."""
    size = len(next(iter(batch.values()))) // number
    return ({key: part[n * size : (n + 1) * size] for key, part in batch.items()} for n in range(number))


def _check_not_empty(dataset: Any) -> None:
    if len(dataset) == 0:
        raise InputError(
            "semi-supervised training needs unlabelled training volumes, got none: lower labelled_fraction, add "
            "unlabelled images to the datalist, or choose a method that needs none."
        )
