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


def paired_batches(
    labelled: AugmentingDataLoader, dataset: VolumeDataset, wanted: bool, warm_up_epochs: int = 0
) -> AugmentingDataLoader | PairedDataLoader:
    """Return a loader of labelled batches, which are paired with batches of another data set if ``wanted``.

    Args:
        labelled: loader of labelled batches. The loader of the other data set gets the same batch size, number of
            processes and buffer size.
        dataset: the other data set.
        wanted: whether the batches are paired.
        warm_up_epochs: as for :class:`PairedDataLoader`.

    Raises:
        InputError: When the batches are paired and ``dataset`` is empty.
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
    return PairedDataLoader(labelled, other, warm_up_epochs)


class PairedDataLoader:
    """Add the images of an unlabelled batch to every labelled batch, under ``unlabelled_image``.

    The ``case`` names are added too, under ``unlabelled_case``. An unlabelled sample may have several images, such as a
    weakly augmented image or two views. All of them are added (``unlabelled_weak_image``, ``unlabelled_view1_image``).
    During the warm-up only labelled batches are given.

    Args:
        labelled: loader of batches with ``image`` and ``label``.
        unlabelled: loader of the same number of batches. The keys of its images end with ``image``.
        warm_up_epochs: number of warm-up epochs.

    Attributes:
        loaders: both loaders.
        epoch: the current epoch, counted from 1.

    Raises:
        InputError: When there is no unlabelled case.
    """

    def __init__(self, labelled: DataLoader[Any], unlabelled: DataLoader[Any], warm_up_epochs: int = 0) -> None:
        _check_not_empty(unlabelled.dataset)
        self.loaders, self.warm_up_epochs, self.epoch = (labelled, unlabelled), warm_up_epochs, 1

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
        for labelled, unlabelled in zip(*self.loaders, strict=False):
            kept = {key: part for key, part in unlabelled.items() if key.endswith("image") or key == "case"}
            yield {**labelled, **{f"unlabelled_{key}": part for key, part in kept.items()}}


def _check_not_empty(dataset: Any) -> None:
    if len(dataset) == 0:
        raise InputError(
            "semi-supervised training needs unlabelled training volumes, got none: lower labelled_fraction, add "
            "unlabelled images to the datalist, or choose a method that needs none."
        )
