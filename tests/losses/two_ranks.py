"""Two processes: the gradients of parameters through DistributedDataParallel, memory banks, and rows of all ranks.

A case is a model, a loss and the loss's arguments on each rank; the model is applied to the first of them. A case with
a memory has several batches on each rank: both views of every image, and the images' numbers.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

import semicl_monai.losses  # noqa: F401 - slow to import, hence once and before the fork
from semicl_monai.utils.distributed import all_gather_rows


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=2)
    cases = torch.load(folder / "cases.pt", weights_only=False)
    results = {
        "gradients": {name: gradients(rank, *case) for name, case in cases["gradients"].items()},
        "memory": {name: gradients_and_memory(rank, *case) for name, case in cases["memory"].items()},
        "rows": {name: all_gather_rows(ranks[rank]) for name, ranks in cases["rows"].items()},
    }
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


def gradients(rank: int, model: torch.nn.Module, loss: torch.nn.Module, arguments: list) -> list[torch.Tensor]:
    input, *target = arguments[rank]
    replica = DistributedDataParallel(copy.deepcopy(model))  # gradients are averaged only as long as it is alive
    loss(replica(input), *target).backward()
    return [parameter.grad for parameter in replica.parameters()]


def gradients_and_memory(rank: int, model: torch.nn.Module, loss: torch.nn.Module, batches: list) -> tuple[list, dict]:
    """The gradients of the last step, and the state dict of the loss after it."""
    replica = DistributedDataParallel(copy.deepcopy(model))
    for views, images in batches[rank]:
        replica.zero_grad()
        loss(replica(views).unbind(1), images).backward()
    return [parameter.grad for parameter in replica.parameters()], loss.state_dict()


if __name__ == "__main__":
    torch.set_num_threads(1)  # threads do not survive a fork
    start_processes(main, args=(Path(sys.argv[1]),), nprocs=2, start_method="fork")
