from __future__ import annotations

import os
import re
import threading
from collections import deque

import pytest
import torch
from ignite.engine import Engine
from monai.data import get_track_meta, set_track_meta
from monai.transforms import Compose, Randomizable, Transform
from torch.utils.data import SequentialSampler

from semicl_monai.data import AugmentingDataLoader, SeededRandomSampler, VolumeDataset, augmenting_loader
from semicl_monai.utils import InputError

HAS_FREE_CORE = augmenting_loader._has_free_core


@pytest.fixture(params=[True, False], ids=["thread", "no thread"], autouse=True)
def free_core(request, monkeypatch):
    """Run every test with and without a thread."""
    monkeypatch.setattr(augmenting_loader, "_has_free_core", lambda: request.param)
    return request.param


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


def test_the_batches_of_a_thread_are_those_without_one(monkeypatch):
    def by(core):
        monkeypatch.setattr(augmenting_loader, "_has_free_core", lambda: core)
        return epochs(0)

    assert by(True) == by(False)


def test_a_thread_augments_only_where_the_training_leaves_a_core_to_it(free_core):
    class Where(Transform):
        def __call__(self, data):
            return {"main": threading.current_thread() is threading.main_thread()}

    loader = AugmentingDataLoader(VolumeDataset([{"case": "a"}], [Where()]), collate_fn=lambda batch: batch[0])
    assert [batch["main"] for batch in loader] == [not free_core]


@pytest.mark.parametrize(
    ("threads", "cores", "gpu", "free"),
    [(1, 2, False, True), (2, 2, False, False), (2, 1, False, False), (16, 16, True, True), (8, 16, False, True)],
)
def test_a_core_is_free_if_torch_has_fewer_threads_than_cores_or_a_gpu(monkeypatch, threads, cores, gpu, free):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert HAS_FREE_CORE() is free


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


class Fail(Randomizable, Transform):
    """Fail on one case, or give samples of two sizes."""

    def __init__(self, case="", uneven=False):
        self.case, self.uneven = case, uneven

    def __call__(self, data):
        if data["case"] == self.case:
            raise TypeError("'float' object cannot\n be interpreted")
        return {**data, "image": torch.zeros(2 + (self.uneven and data["case"] == "b"))}


def batches_until(error, num_workers, transform, **options):
    """Return the batches that come before an error, and its text."""
    dataset = VolumeDataset([{"case": case} for case in "abcdef"], Compose([transform]))
    given = []
    loader = AugmentingDataLoader(dataset, num_workers=num_workers, batch_size=2, **options)
    with pytest.raises(error) as raised:
        deque(given.append(batch["case"]) for batch in loader)
    return given, str(raised.value)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("case", "before"), [("a", []), ("d", [["a", "b"]]), ("f", [["a", "b"], ["c", "d"]])])
def test_an_error_of_a_transform_ends_the_epoch_in_one_line_that_names_the_case(num_workers, case, before):
    given, text = batches_until(InputError, num_workers, Fail(case))
    assert text == f"case {case}: Fail failed: TypeError: 'float' object cannot be interpreted"
    assert given == before


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_of_the_collation_names_the_cases_of_the_batch(num_workers):
    given, text = batches_until(InputError, num_workers, Fail(uneven=True))
    assert text.startswith("cases a, b: cannot be put into one batch: RuntimeError: stack expects each tensor to be")
    assert "\n" not in text
    assert given == []


class FailOnce(Transform):
    """Fail on a case while there is a file."""

    def __init__(self, case, file):
        self.case, self.file = case, file

    def __call__(self, data):
        if data["case"] == self.case and self.file.exists():
            raise ValueError("not now")
        return data


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_goes_on_after_an_epoch_that_has_failed(num_workers, tmp_path):
    (tmp_path / "failing").touch()
    dataset = VolumeDataset([{"case": case} for case in "abc"], Compose([Draw(), FailOnce("c", tmp_path / "failing")]))
    loader = AugmentingDataLoader(dataset, num_workers=num_workers)
    with pytest.raises(InputError, match="case c: FailOnce failed: ValueError: not now"):
        list(loader)
    (tmp_path / "failing").unlink()
    assert [batch["case"] for batch in loader] == [["a"], ["b"], ["c"]]


def test_samples_without_a_name_that_do_not_fit_together_are_an_error_too():
    loader = AugmentingDataLoader(["a", None], num_workers=1)
    with pytest.raises(InputError, match=r"^cases \?: cannot be put into one batch: TypeError: .*NoneType"):
        list(loader)


class Short(SequentialSampler):
    """Promises more than it gives."""

    def __iter__(self):
        return iter([0, 1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_epoch_that_is_shorter_than_promised_is_an_error(num_workers):
    given, text = batches_until(RuntimeError, num_workers, Fail(), sampler=Short(range(6)))
    assert text == "an epoch must have 3 batches, got 1: its loader ended early."
    assert given == [["a", "b"]]


def test_a_training_whose_augmentation_fails_ends_with_the_error():
    """And not well, on no batch at all."""
    loader = AugmentingDataLoader(VolumeDataset([{"case": "a"}], Compose([Fail("a")])))
    trained = Engine(lambda engine, batch: batch)
    with pytest.raises(InputError, match=r"^case a: Fail failed: TypeError: 'float' object cannot be interpreted$"):
        trained.run(loader, max_epochs=2)
    assert trained.state.iteration == 0
