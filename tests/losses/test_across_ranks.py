"""Two gloo ranks against one process with the whole batch, for all losses in one start of the two."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.losses import DiceCELoss

from semicl_monai.losses import (
    AnnotatedLoss,
    GlobalBatchLoss,
    NTXentLoss,
    PartitionContrastLoss,
    PIRLLoss,
    Places,
    PositionContrastLoss,
    SupConLoss,
)
from semicl_monai.utils.distributed import all_gather_rows

TARGET = torch.tensor([[0, 1, 2, -1, 1, 0, 2, 1, 3], [5, 0, 0, 5, 5, 0, 5, -1, -1]])
# volume, slice and number of slices; the first of rank 0 and the last of rank 1 are two views of one slice
SLICES = torch.tensor(
    [[5, 0, 8], [7, 2, 20], [5, 1, 8], [7, 9, 20], [5, 3, 8], [9, 2, 5], [7, 10, 20], [7, 19, 20], [5, 0, 8]]
)
# the same along the first axis of patches, whose other axes have five places
PATCHES = torch.cat(
    [SLICES[:, :2], SLICES[:, 1:2] % 3, SLICES[:, 1:2] % 4, SLICES[:, 2:], *[0 * SLICES[:, :1] + 5] * 2], dim=1
)
# not a mean over the samples: without the others' samples each rank would have another loss
DICE = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
SPLITS = {"even": (4, 4), "ragged": (7, 2), "without anchors on one rank": (8, 1), "without anything on one": (9, 0)}
# the images of two steps, those of rank 0 first; some are known in the second, and one is on both ranks
BATCHES = [[1, 2, 2**62, 4], [3, 2, 5, 3]]
MEMORY_SPLITS = {"even": (2, 2), "ragged": (3, 1)}
ROWS = {
    "ragged": torch.arange(5).split((3, 2)),
    "of several dimensions": torch.arange(12.0).reshape(3, 2, 2).split((1, 2)),
    "without a row on one rank": torch.ones(4, 2).split((0, 4)),
    "without a row on both": torch.ones(0, 2).split((0, 0)),
    "not contiguous": torch.arange(12.0).reshape(3, 4).T.split((3, 1)),
}


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


def slices_case(split: tuple[int, int]) -> tuple[list, tuple]:
    return places_case(split, SLICES)


def patches_case(split: tuple[int, int]) -> tuple[list, tuple]:
    return places_case(split, PATCHES)


def places_case(split: tuple[int, int], rows: torch.Tensor) -> tuple[list, tuple]:
    input, rows = random(sum(split), 4), rows[-sum(split) :]
    places = [Places.from_rows(part) for part in rows.split(split)]
    return list(zip(input.split(split), places, strict=True)), (input, Places.from_rows(rows))


def batch_case(split: tuple[int, int], lowest: int = 0) -> tuple[list, tuple]:
    input, target = random(sum(split), 4), TARGET[0, : sum(split), None].clamp(lowest, 2)
    return list(zip(input.split(split), target.split(split), strict=True)), (input, target)


def all_cases() -> dict[str, tuple]:
    """By name: model, loss, the loss's arguments on each rank, and on one process."""
    torch.manual_seed(0)
    model, supcon = torch.nn.Linear(4, 3), SupConLoss(background_index=0, across_ranks=True)
    cases = {}
    for name, split in SPLITS.items():
        cases[f"supcon, {name}"] = (model, supcon, *supcon_case(split, one_group=False))
        cases[f"supcon in one group, {name}"] = (model, supcon, *supcon_case(split, one_group=True))
        cases[f"dice of a batch, {name}"] = (model, GlobalBatchLoss(DICE), *batch_case(split))
        annotated = GlobalBatchLoss(AnnotatedLoss(DICE))  # one sample is to be ignored
        cases[f"dice of annotated samples, {name}"] = (model, annotated, *batch_case(split, lowest=-1))
        cases[f"nt_xent, {name}"] = (model, NTXentLoss(), *nt_xent_case(split))
        cases[f"position_contrast, {name}"] = (model, PositionContrastLoss(threshold=0.2), *slices_case(split))
        cases[f"partition_contrast, {name}"] = (model, PartitionContrastLoss(), *slices_case(split))
        position, partition = PositionContrastLoss(threshold=0.5), PartitionContrastLoss((2, 1, 1))
        cases[f"position_contrast of patches, {name}"] = (model, position, *patches_case(split))
        cases[f"partition_contrast of patches, {name}"] = (model, partition, *patches_case(split))
    return cases


def apart_cases() -> dict[str, tuple]:
    """The same for losses that leave the ranks apart."""
    losses = {
        "position_contrast": PositionContrastLoss(threshold=0.2, across_ranks=False),
        "partition_contrast": PartitionContrastLoss(num_partitions=2, across_ranks=False),
    }
    apart = {"dice of a batch, apart": (torch.nn.Linear(4, 3), DICE, *batch_case((4, 4)))}
    return apart | {
        f"{name}, apart": (torch.nn.Linear(4, 3), loss, *slices_case((4, 4))) for name, loss in losses.items()
    }


def memory_cases() -> dict[str, tuple]:
    """By name: model, loss, the batches of each rank, and of one process."""
    torch.manual_seed(0)
    whole = [(random(2, 4, 2, 4)[step], torch.tensor(images)) for step, images in enumerate(BATCHES)]
    cases = {}
    for name, split in MEMORY_SPLITS.items():
        batches = [zip(views.split(split), images.split(split), strict=True) for views, images in whole]
        cases[name] = (torch.nn.Linear(4, 3), PIRLLoss(), list(zip(*batches, strict=True)), whole)
    return cases


@pytest.fixture(scope="module")
def cases() -> dict[str, dict]:
    torch.manual_seed(0)
    return {"gradients": all_cases() | apart_cases(), "memory": memory_cases()}


@pytest.fixture(scope="module")
def two_ranks(cases: dict, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("two_ranks")
    on_ranks = {kind: {name: case[:3] for name, case in of_kind.items()} for kind, of_kind in cases.items()}
    torch.save({**on_ranks, "rows": ROWS}, folder / "cases.pt")
    subprocess.run([sys.executable, Path(__file__).with_name("two_ranks.py"), folder], check=True, timeout=300)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", all_cases())
def test_two_ranks_have_the_parameter_gradients_of_one_process(two_ranks: list[dict], cases: dict, name: str):
    model, loss, _, (input, *target) = cases["gradients"][name]
    wanted = torch.autograd.grad(loss(model(input), *target), model.parameters())
    assert all(gradient.count_nonzero() > 0 for gradient in wanted)
    for rank in two_ranks:
        torch.testing.assert_close(tuple(rank["gradients"][name]), wanted)


@pytest.mark.parametrize("name", apart_cases())
def test_ranks_left_apart_contrast_each_its_own_images(two_ranks: list[dict], cases: dict, name: str):
    model, loss, ranks, _ = cases["gradients"][name]
    mean = sum(loss(model(input), target) for input, target in ranks) / 2
    wanted = torch.autograd.grad(mean, model.parameters())
    assert all(gradient.count_nonzero() > 0 for gradient in wanted)
    for rank in two_ranks:
        torch.testing.assert_close(tuple(rank["gradients"][name]), wanted)


@pytest.mark.parametrize("name", MEMORY_SPLITS)
def test_two_ranks_have_the_memory_bank_of_one_process(two_ranks: list[dict], cases: dict, name: str):
    model, loss, _, batches = cases["memory"][name]
    loss, images = copy.deepcopy(loss), torch.tensor([1, 2, 3, 4, 5, 2**62])
    for views, numbers in batches:
        result = loss(model(views).unbind(1), numbers)
    wanted = torch.autograd.grad(result, model.parameters())
    assert all(gradient.count_nonzero() > 0 for gradient in wanted)
    banks = []
    for rank in two_ranks:
        gradients, state = rank["memory"][name]
        if name == "even":  # otherwise the images of both ranks weigh differently, as in any loss under averaging
            torch.testing.assert_close(tuple(gradients), wanted)
        loaded = PIRLLoss()
        loaded.load_state_dict(state)
        torch.testing.assert_close(loaded.bank.recall(images), loss.bank.recall(images))
        assert len(loaded.bank) == len(images)
        banks.append(loaded.bank.memory)
    torch.testing.assert_close(*banks, rtol=0, atol=0)


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_of_two_ranks_are_joined_in_their_order(two_ranks: list[dict], name: str):
    for rank in two_ranks:
        torch.testing.assert_close(rank["rows"][name], torch.cat(ROWS[name]), rtol=0, atol=0)


def test_the_rows_of_one_process_are_the_tensor_itself():
    rows = random(3, 2)
    assert all_gather_rows(rows) is rows
