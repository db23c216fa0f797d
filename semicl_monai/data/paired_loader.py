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
    """Return the labelled batches, or where they are wanted paired ones, with batches of another data set.

    Args:
        labelled: loader of labelled batches; the other one has its batch size, processes and buffer.
        dataset: of what comes beside them.
        wanted: whether they are to be paired.
        warm_up_epochs: as for :class:`PairedDataLoader`.

    Raises:
        InputError: When they are to be paired and ``dataset`` is empty.
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
    """Give every labelled batch the images of an unlabelled one, under ``unlabelled_image``, and their ``case`` names.

    Where the unlabelled samples have several images, such as a weakly augmented one or two views, they come likewise
    (``unlabelled_weak_image``, ``unlabelled_view1_image``). During a warm-up batches are labelled ones alone.

    Args:
        labelled: loader of batches with ``image`` and ``label``.
        unlabelled: loader of as many batches, whose images are under keys that end with ``image``.
        warm_up_epochs: epochs of the warm-up.

    Attributes:
        loaders: both of them.
        epoch: the current one, from 1.

    Raises:
        InputError: When there is no unlabelled case.
    """

    def __init__(self, labelled: DataLoader[Any], unlabelled: DataLoader[Any], warm_up_epochs: int = 0) -> None:
        _check_not_empty(unlabelled.dataset)
        self.loaders, self.warm_up_epochs, self.epoch = (labelled, unlabelled), warm_up_epochs, 1

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes, as :class:`semicl_monai.handlers.SeedEpoch` does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return min(len(loader) for loader in self.loaders)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the batches of an epoch.

        Raises:
            RuntimeError: When there are fewer batches than ``len()`` has promised.
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
