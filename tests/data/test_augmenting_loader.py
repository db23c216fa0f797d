from __future__ import annotations

import os

import pytest
import torch
from monai.transforms import Compose, Randomizable, Transform

from semicl_monai.data import AugmentingDataLoader, SeededRandomSampler, VolumeDataset


class Draw(Randomizable, Transform):
    def __call__(self, data):
        return {**data, "drawn": self.R.rand(), "process": os.getpid()}


def epochs(num_workers, count=3):
    """Return what is drawn for each record of some epochs, and which processes have drawn it."""
    dataset = VolumeDataset([{"case": case} for case in "abcde"], Compose([Draw()]))
    sampler = SeededRandomSampler(dataset, num_samples=12, generator=torch.Generator().manual_seed(0))
    loader = AugmentingDataLoader(dataset, num_workers=num_workers, batch_size=3, sampler=sampler, buffer_size=2)
    batches = [list(loader) for _ in range(count)]
    drawn = [[(batch["case"], batch["drawn"].tolist()) for batch in epoch] for epoch in batches]
    return drawn, {process for epoch in batches for batch in epoch for process in batch["process"].tolist()}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_processes_give_the_batches_of_the_thread_and_live_on(num_workers):
    by_thread, here = epochs(0)
    by_processes, elsewhere = epochs(num_workers)
    assert by_processes == by_thread
    assert [len(epoch) for epoch in by_thread] == [4, 4, 4]
    assert here == {os.getpid()}
    assert len(elsewhere) == num_workers
    assert here.isdisjoint(elsewhere)
