"""One of two processes: the gradients of parameters through DistributedDataParallel.

A case is a model, a loss and the loss's arguments on each rank; the model is applied to the first of them.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=2)
    cases = torch.load(folder / "cases.pt", weights_only=False)
    torch.save({name: gradients(rank, *case) for name, case in cases.items()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def gradients(rank: int, model: torch.nn.Module, loss: torch.nn.Module, arguments: list) -> list[torch.Tensor]:
    input, *target = arguments[rank]
    model = copy.deepcopy(model)  # cases may share one
    loss(DistributedDataParallel(model)(input), *target).backward()
    return [parameter.grad for parameter in model.parameters()]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
