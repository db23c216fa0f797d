from __future__ import annotations

import os
import re

import pytest
import torch
from monai.data import get_track_meta, set_track_meta
from monai.transforms import Compose, Randomizable, Transform

from semicl_monai.data import AugmentingDataLoader, SeededRandomSampler, VolumeDataset
from semicl_monai.utils import InputError


class Draw(Randomizable, Transform):
    def __call__(self, data):
        return {**data, "drawn": self.R.rand(), "process": os.getpid()}


def epochs(num_workers, count=3):
    """Return what is drawn for each record of some epochs and for the training, and which processes have drawn it."""
    torch.manual_seed(0)
    dataset = VolumeDataset([{"case": case} for case in "abcde"], Compose([Draw()]))
    sampler = SeededRandomSampler(dataset, num_samples=12, generator=torch.Generator().manual_seed(0))
    loader = AugmentingDataLoader(dataset, num_workers=num_workers, batch_size=3, sampler=sampler, buffer_size=2)
    batches, by_training = [], []
    for _ in range(count):
        batches.append(list(loader))
        by_training.append(torch.rand(()).item())
    drawn = [[(batch["case"], batch["drawn"].tolist()) for batch in epoch] for epoch in batches]
    processes = {process for epoch in batches for batch in epoch for process in batch["process"].tolist()}
    return [drawn, by_training], processes


@pytest.mark.parametrize("num_workers", [1, 2])
def test_processes_give_the_batches_of_the_thread_and_live_on(num_workers):
    by_thread, here = epochs(0)
    by_processes, elsewhere = epochs(num_workers)
    assert by_processes == by_thread
    assert [len(epoch) for epoch in by_thread[0]] == [4, 4, 4]
    assert len(set(by_thread[1])) == 3
    assert here == {os.getpid()}
    assert len(elsewhere) == num_workers
    assert here.isdisjoint(elsewhere)


class Kind(Transform):
    def __call__(self, data):
        return {"tracked": get_track_meta()}


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_metadata_is_tracked_in_a_process_as_it_is_here(start):
    dataset = VolumeDataset([{"case": "a"}], Kind())
    loader = AugmentingDataLoader(dataset, num_workers=1, multiprocessing_context=start)
    set_track_meta(False)
    try:
        assert [batch["tracked"].item() for batch in loader] == [False]
    finally:
        set_track_meta(True)


@pytest.mark.parametrize("num_workers", [-1, 1.5, "2", True])
def test_a_number_of_processes_that_is_none_is_refused(num_workers):
    message = f"num_workers must be a whole number from 0, got {num_workers!r}."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        AugmentingDataLoader([1, 2, 3], num_workers=num_workers)
