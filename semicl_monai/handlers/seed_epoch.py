"""Randomness that depends on the epoch alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from semicl_monai.utils.distributed import rank_and_size


class SeedEpoch:
    """Seed everything random at the start of each epoch from the run's seed and the epoch's number.

    The random state of an epoch follows from its number. A checkpoint therefore only has to hold the epoch. A resumed
    run draws the same batches and the same augmentation as a run that was never stopped. All ranks seed the loader
    alike and so share its draws (see :class:`semicl_monai.data.SeededRandomSampler`). Each rank seeds torch itself
    differently.

    Args:
        dataloader: loader whose transforms and sampler are seeded. The sampler is seeded by its ``generator`` or its
            ``set_epoch``. A loader may consist of several ``loaders``, such as
            :class:`semicl_monai.data.PairedDataLoader`. All of them are then seeded, and the outer loader gets the
            epoch by ``set_epoch``.
        seed: the run's seed.
        generators: further random generators that all ranks share, such as that of a pixel sampler.
    """

    def __init__(self, dataloader: DataLoader[Any], seed: int = 0, generators: Sequence[torch.Generator] = ()) -> None:
        self.dataloader, self.seed, self.generators = dataloader, int(seed), generators

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, as its first handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 1_000_003 + engine.state.epoch * 1_009) % 2**31
        torch.manual_seed(seed + rank_and_size()[0])
        _set_epoch(self.dataloader, engine.state.epoch)
        for number, loader in enumerate(getattr(self.dataloader, "loaders", [self.dataloader])):
            self._seed_loader(loader, engine.state.epoch, (seed + 7_919 * number) % 2**31)
        for number, generator in enumerate(self.generators, start=1):
            generator.manual_seed((seed + 104_729 * number) % 2**31)
        # A new iterator: the old one would be asked for one batch too many. This would draw from the generator.
        engine.set_data(self.dataloader)

    def _seed_loader(self, loader: DataLoader[Any], epoch: int, seed: int) -> None:
        loader.dataset.transform.set_random_state(seed=seed)  # type: ignore[attr-defined]
        sampler = loader.sampler
        _set_epoch(sampler, epoch)
        if getattr(sampler, "generator", None) is not None:
            sampler.generator.manual_seed(seed)  # type: ignore[attr-defined]


def _set_epoch(part: Any, epoch: int) -> None:
    if hasattr(part, "set_epoch"):
        part.set_epoch(epoch)
