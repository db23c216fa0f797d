from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from semicl_monai.utils import InputError, local_device, share_of_rank, start_processes
from semicl_monai.utils import distributed as module


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(module.dist, "get_rank", lambda: 1)


def test_alone_a_process_is_the_first_of_one_and_takes_whole_batches():
    assert module.rank_and_size() == (0, 1)
    assert share_of_rank(3) == 3
    assert module.all_gather_object({"a": 1}) == [{"a": 1}]


def test_two_processes_share_a_batch(two_processes):
    assert module.rank_and_size() == (1, 2)
    assert share_of_rank(6) == 3


def test_a_batch_that_cannot_be_shared_is_refused(two_processes, monkeypatch):
    monkeypatch.setattr(module, "started_by_user", lambda: True)
    with pytest.raises(InputError, match="must be a multiple of their number 2, got 3"):
        share_of_rank(3)


@pytest.mark.parametrize(("size", "batch", "share"), [(3, 4, 1), (8, 4, 1), (3, 8, 3)])
def test_or_the_nearest_is_taken_where_no_user_sees_the_error(two_processes, monkeypatch, caplog, size, batch, share):
    monkeypatch.setattr(module.dist, "get_world_size", lambda: size)
    assert share_of_rank(batch) == share
    assert f"must be a multiple of their number {size}, got {batch}; taking {size * share}." in caplog.text


def test_processes_are_started_by_torchrun_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match=r"must be run by torchrun --nproc_per_node=N"):
        start_processes("cpu")


def test_processes_that_have_met_do_not_meet_again(two_processes, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(module.idist, "initialize", lambda backend: pytest.fail("joined twice"))
    start_processes("cpu")


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), (torch.device("cuda", 1), "nccl")])
def test_the_backend_is_that_of_the_device(monkeypatch, device, backend):
    monkeypatch.setenv("WORLD_SIZE", "2")
    backends = []
    monkeypatch.setattr(module.idist, "initialize", backends.append)
    start_processes(device)
    assert backends == [backend]


def test_each_process_takes_the_gpu_that_torchrun_numbers(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert local_device() == torch.device("cuda", 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device() == torch.device("cpu")


def test_objects_are_gathered_before_processes_meet_and_after_they_have_parted():
    """In a process of its own, as ignite remembers that there were several."""
    program = (
        "import torch.distributed as dist; from semicl_monai.utils.distributed import all_gather_object as gather; "
        "before = gather('a'); dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1); "
        "between = gather(('b', None)); dist.destroy_process_group(); print(before, between, gather('c'))"
    )
    rank = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | rank, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "['a'] [('b', None)] ['c']\n", ended.stderr
