from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import LOSSES, PartitionContrastLoss

# volume, slice and number of slices. Two views of a slice, another slice of that partition and volume, one and the
# same partition in another volume; then further partitions, the last of one slice.
SLICES = torch.tensor(
    [[5, 0, 8], [5, 0, 8], [5, 1, 8], [7, 2, 20], [7, 9, 20], [5, 3, 8], [9, 2, 5], [7, 10, 20], [7, 19, 20]]
)


def equation(embeddings: list[list[float]], slices: list[list[int]], num_partitions: int, temperature: float) -> float:
    """Chaitanya et al., eq. 1 and 2: the mean over all ordered pairs of the strategy G^D."""
    z = [[x / math.hypot(*row) for x in row] for row in embeddings]

    def s(i: int, k: int) -> float:
        return sum(a * b for a, b in zip(z[i], z[k], strict=True)) / temperature

    def partition(i: int) -> int:
        _, number, size = slices[i]
        return math.floor(num_partitions * (number / size))

    costs = []
    for a in range(len(z)):
        others = sum(math.exp(s(a, n)) for n in range(len(z)) if partition(n) != partition(a))
        for b in range(len(z)):
            two_volumes = slices[a][0] != slices[b][0] and partition(a) == partition(b)
            if b != a and (two_volumes or slices[a] == slices[b]):
                costs.append(-math.log(math.exp(s(a, b)) / (math.exp(s(a, b)) + others)))
    return sum(costs) / len(costs)


def images(number: int = 9, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    input = torch.randn(number, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return input.to(dtype).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("num_partitions", [2, 4, 8])
def test_it_is_the_equation(num_partitions: int, temperature: float):
    wanted = equation(images().tolist(), SLICES.tolist(), num_partitions, temperature)
    assert PartitionContrastLoss(num_partitions, temperature)(images(), SLICES).item() == pytest.approx(wanted)


@pytest.mark.parametrize("num_partitions", [2, 4])
def test_its_gradient_is_right(num_partitions: int):
    assert torch.autograd.gradcheck(PartitionContrastLoss(num_partitions), (images(), SLICES))


def test_two_slices_of_one_partition_and_volume_are_neither_positive_nor_negative():
    positive, negative = PartitionContrastLoss().pairs(SLICES)
    assert positive[0].nonzero().flatten().tolist() == [1, 3]
    assert negative[0].nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
    assert positive[2].nonzero().flatten().tolist() == [3]
    assert (positive == positive.T).all()
    assert (negative == negative.T).all()


def test_order_names_of_volumes_and_lengths_of_embeddings_change_nothing():
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    renamed = SLICES[order]
    renamed[:, 0] += 2**62  # no floating type tells these from one another
    torch.testing.assert_close(
        PartitionContrastLoss()(7 * images()[order], renamed), PartitionContrastLoss()(images(), SLICES)
    )


@pytest.mark.parametrize(
    "slices",
    [
        pytest.param([], id="no images"),
        pytest.param([[0, 3, 8]], id="one image"),
        pytest.param([[0, 0, 8], [0, 1, 8], [0, 5, 8], [0, 7, 8]], id="one volume"),
        pytest.param([[0, 0, 8], [1, 3, 8], [2, 5, 8], [3, 7, 8]], id="partitions of one slice"),
        pytest.param([[0, 0, 8], [1, 1, 8], [1, 1, 8]], id="no negatives"),
    ],
)
def test_without_a_positive_or_a_negative_it_is_zero_and_backward_works(slices: list):
    input = images(len(slices))
    result = PartitionContrastLoss()(input, torch.tensor(slices, dtype=torch.long).reshape(-1, 3))
    result.backward()
    assert result == 0
    assert input.grad.count_nonzero() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_partitions": 0}, r"num_partitions must be positive, got 0\."),
        ({"temperature": math.nan}, r"temperature must be positive, got nan\."),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PartitionContrastLoss(**options)


def test_a_target_that_is_no_slice_of_a_volume_is_refused():
    with pytest.raises(ValueError, match=r"must be of shape \(N, C\) and \(N, 3\), got \(9, 4\) and \(9, 2\)\."):
        PartitionContrastLoss()(images(), SLICES[:, :2])


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.PartitionContrastLoss", "num_partitions": 3}})
    assert parser.get_parsed_content("loss").num_partitions == 3
    assert isinstance(LOSSES.build("partition_contrast"), PartitionContrastLoss)
