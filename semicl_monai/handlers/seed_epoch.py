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

    The random state of an epoch is thereby a part of every checkpoint that knows its epoch: a run that is continued
    draws the same batches and the same augmentation as one that was never stopped. All ranks seed the loader alike, to
    share its draws (see :class:`semicl_monai.data.SeededRandomSampler`), and torch itself differently.

    Args:
        dataloader: its transforms and its sampler's ``generator`` (or ``set_epoch``) are seeded, and torch itself; of a
            loader made of several, such as :class:`semicl_monai.data.PairedDataLoader`, those of all its ``loaders``,
            and it is told the epoch.
        seed: the run's seed.
        generators: further sources of randomness that all ranks share, such as a pixel sampler's.
    """

    def __init__(self, dataloader: DataLoader[Any], seed: int = 0, generators: Sequence[torch.Generator] = ()) -> None:
        self.dataloader, self.seed, self.generators = dataloader, int(seed), generators

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer; it has to be its first handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 1_000_003 + engine.state.epoch * 1_009) % 2**31
        torch.manual_seed(seed + rank_and_size()[0])
        _set_epoch(self.dataloader, engine.state.epoch)
        for number, loader in enumerate(getattr(self.dataloader, "loaders", [self.dataloader])):
            self._seed_loader(loader, engine.state.epoch, (seed + 7_919 * number) % 2**31)
        for number, generator in enumerate(self.generators, start=1):
            generator.manual_seed((seed + 104_729 * number) % 2**31)
        # An iterator of the epoch before would first be asked for one batch too many, which draws from the generator.
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
