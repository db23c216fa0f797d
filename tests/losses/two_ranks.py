"""Two processes: the gradients of parameters through DistributedDataParallel.

A case is a model, a loss and the loss's arguments on each rank; the model is applied to the first of them.
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


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=2)
    cases = torch.load(folder / "cases.pt", weights_only=False)
    torch.save({name: gradients(rank, *case) for name, case in cases.items()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def gradients(rank: int, model: torch.nn.Module, loss: torch.nn.Module, arguments: list) -> list[torch.Tensor]:
    input, *target = arguments[rank]
    replica = DistributedDataParallel(copy.deepcopy(model))  # gradients are averaged only as long as it is alive
    loss(replica(input), *target).backward()
    return [parameter.grad for parameter in replica.parameters()]


if __name__ == "__main__":
    torch.set_num_threads(1)  # threads do not survive a fork
    start_processes(main, args=(Path(sys.argv[1]),), nprocs=2, start_method="fork")
