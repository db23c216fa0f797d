"""Two gloo ranks against one process with the whole batch, for all losses in one start of the two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from semicl_monai.losses import NTXentLoss, SupConLoss

TARGET = torch.tensor([[0, 1, 2, -1, 1, 0, 2, 1, 3], [5, 0, 0, 5, 5, 0, 5, -1, -1]])
SPLITS = {"even": (4, 4), "ragged": (7, 2), "without anchors on one rank": (8, 1), "without anything on one": (9, 0)}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def supcon_case(split: tuple[int, int], one_group: bool) -> tuple[list, tuple]:
    input, target = random(2, sum(split), 4), TARGET[:, : sum(split)]
    if one_group:
        input, target = input[0], target[0]
    ranks = zip(input.split(split, dim=-2), target.split(split, dim=-1), strict=True)
    return list(ranks), (input, target)


def nt_xent_case(split: tuple[int, int]) -> tuple[list, tuple]:
    views = random(2, sum(split), 4)
    return [(rank.flatten(0, 1),) for rank in views.split(split, dim=1)], (views.flatten(0, 1),)


def all_cases() -> dict[str, tuple]:
    """By name: model, loss, the loss's arguments on each rank, and on one process."""
    torch.manual_seed(0)
    model, supcon = torch.nn.Linear(4, 3), SupConLoss(background_index=0, across_ranks=True)
    cases = {}
    for name, split in SPLITS.items():
        cases[f"supcon, {name}"] = (model, supcon, *supcon_case(split, one_group=False))
        cases[f"supcon in one group, {name}"] = (model, supcon, *supcon_case(split, one_group=True))
        cases[f"nt_xent, {name}"] = (model, NTXentLoss(), *nt_xent_case(split))
    return cases


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("two_ranks")
    torch.save({name: case[:3] for name, case in all_cases().items()}, folder / "cases.pt")
    subprocess.run([sys.executable, Path(__file__).with_name("two_ranks.py"), folder], check=True, timeout=300)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", all_cases())
def test_two_ranks_have_the_parameter_gradients_of_one_process(two_ranks: list[dict], name: str):
    model, loss, _, (input, *target) = all_cases()[name]
    wanted = torch.autograd.grad(loss(model(input), *target), model.parameters())
    for rank in two_ranks:
        torch.testing.assert_close(tuple(rank[name]), wanted)
