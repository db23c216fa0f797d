from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import LOSSES, PartitionContrastLoss, Places

# volume, slice and number of slices. Two views of a slice, another slice of that partition and volume, one and the
# same partition in another volume; then further partitions, the last of one slice.
SLICES = torch.tensor(
    [[5, 0, 8], [5, 0, 8], [5, 1, 8], [7, 2, 20], [7, 9, 20], [5, 3, 8], [9, 2, 5], [7, 10, 20], [7, 19, 20]]
)
# volume, place and number of places along three axes; one volume has a single place along the last of them
PATCHES = torch.tensor(
    [
        [5, 0, 3, 2, 8, 6, 4],
        [5, 0, 3, 2, 8, 6, 4],
        [5, 1, 3, 2, 8, 6, 4],
        [7, 2, 9, 0, 20, 18, 1],
        [7, 9, 2, 0, 20, 18, 1],
        [5, 3, 3, 1, 8, 6, 4],
        [9, 2, 1, 5, 5, 9, 7],
        [7, 10, 2, 0, 20, 18, 1],
        [7, 9, 17, 0, 20, 18, 1],
    ]
)


def equation(
    embeddings: list[list[float]], places: list[list[int]], num_partitions: Sequence[int], temperature: float
) -> float:
    """Chaitanya et al., eq. 1 and 2: the mean over all ordered pairs of the strategy G^D."""
    z = [[x / math.hypot(*row) for x in row] for row in embeddings]

    def s(i: int, k: int) -> float:
        return sum(a * b for a, b in zip(z[i], z[k], strict=True)) / temperature

    def partition(i: int) -> list[int]:
        axes = len(num_partitions)
        along = zip(num_partitions, places[i][1 : 1 + axes], places[i][1 + axes :], strict=True)
        return [math.floor(parts * Fraction(place, number)) for parts, place, number in along]

    costs = []
    for a in range(len(z)):
        others = sum(math.exp(s(a, n)) for n in range(len(z)) if partition(n) != partition(a))
        for b in range(len(z)):
            two_volumes = places[a][0] != places[b][0] and partition(a) == partition(b)
            if b != a and (two_volumes or places[a] == places[b]):
                costs.append(-math.log(math.exp(s(a, b)) / (math.exp(s(a, b)) + others)))
    return sum(costs) / len(costs)


def images(number: int = 9, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    input = torch.randn(number, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return input.to(dtype).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("num_partitions", [2, 4, 8])
def test_it_is_the_equation(num_partitions: int, temperature: float):
    wanted = equation(images().tolist(), SLICES.tolist(), [num_partitions], temperature)
    assert PartitionContrastLoss(num_partitions, temperature)(
        images(), Places.from_rows(SLICES)
    ).item() == pytest.approx(wanted)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("num_partitions", [(4, 1, 1), (1, 2, 1), (1, 1, 3), (2, 2, 1), (2, 3, 2), (1, 8, 4)])
def test_of_patches_it_is_the_equation_with_partitions_along_each_axis(
    num_partitions: tuple[int, int, int], temperature: float
):
    wanted = equation(images().tolist(), PATCHES.tolist(), num_partitions, temperature)
    assert PartitionContrastLoss(num_partitions, temperature)(
        images(), Places.from_rows(PATCHES)
    ).item() == pytest.approx(wanted)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("num_partitions", [2, 4])
def test_patches_along_one_axis_are_as_slices(axis: int, num_partitions: int):
    patches = torch.tensor([0, 2, 2, 2, 5, 5, 5]).repeat(9, 1)
    patches[:, [0, 1 + axis, 4 + axis]] = SLICES
    wanted = PartitionContrastLoss(num_partitions)(images(), Places.from_rows(SLICES))
    along_it = [num_partitions if other == axis else 1 for other in range(3)]
    for numbers in (along_it, [num_partitions] * 3, num_partitions):
        torch.testing.assert_close(PartitionContrastLoss(numbers)(images(), Places.from_rows(patches)), wanted)


def test_two_patches_of_a_volume_that_are_apart_along_one_axis_only_are_two_patches():
    patches = torch.tensor([[5, 0, 1, 0, 8, 8, 8], [5, 0, 1, 0, 8, 8, 8], [5, 0, 0, 0, 8, 8, 8], [5, 0, 1, 7, 8, 8, 8]])
    positive, negative = PartitionContrastLoss((1, 1, 4)).pairs(Places.from_rows(patches))
    assert positive.nonzero().tolist() == [[0, 1], [1, 0]]
    assert negative[:3, 3].all()
    assert not negative[:3, :3].any()


@pytest.mark.parametrize("num_partitions", [2, 4])
def test_its_gradient_is_right(num_partitions: int):
    assert torch.autograd.gradcheck(
        partial(PartitionContrastLoss(num_partitions), target=Places.from_rows(SLICES)), images()
    )
    assert torch.autograd.gradcheck(
        partial(PartitionContrastLoss(num_partitions), target=Places.from_rows(PATCHES)), images()
    )


def test_two_slices_of_one_partition_and_volume_are_neither_positive_nor_negative():
    positive, negative = PartitionContrastLoss().pairs(Places.from_rows(SLICES))
    assert positive[0].nonzero().flatten().tolist() == [1, 3]
    assert negative[0].nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
    assert positive[2].nonzero().flatten().tolist() == [3]
    assert (positive == positive.T).all()
    assert (negative == negative.T).all()


def test_order_names_of_volumes_and_lengths_of_embeddings_change_nothing():
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    renamed = SLICES[order]
    renamed[:, 0] += 2**62  # no floating type tells these from one another
    found = PartitionContrastLoss()(7 * images()[order], Places.from_rows(renamed))
    torch.testing.assert_close(found, PartitionContrastLoss()(images(), Places.from_rows(SLICES)))


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
    result = PartitionContrastLoss()(input, Places.from_rows(torch.tensor(slices, dtype=torch.long).reshape(-1, 3)))
    result.backward()
    assert result == 0
    assert input.grad.count_nonzero() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_partitions": 0}, r"num_partitions must be positive, got 0\."),
        ({"num_partitions": [4, 0, 1]}, r"num_partitions must be positive, got \[4, 0, 1\]\."),
        ({"temperature": math.nan}, r"temperature must be positive, got nan\."),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PartitionContrastLoss(**options)


def test_places_of_fewer_images_are_refused():
    wanted = r"must be of shape \(N, C\) and \(N,\), \(N, A\), \(N, A\), got \[\(9, 4\), \(8,\), \(8, 3\), \(8, 3\)\]\."
    with pytest.raises(ValueError, match=wanted):
        PartitionContrastLoss()(images(), Places.from_rows(PATCHES[:8]))


def test_numbers_of_partitions_for_other_axes_than_the_places_have_are_refused():
    for target, axes, num_partitions in ((SLICES, 1, (4, 1, 1)), (PATCHES, 3, (4, 1))):
        with pytest.raises(ValueError, match=rf"Sequence must have length {axes}, got {len(num_partitions)}"):
            PartitionContrastLoss(num_partitions)(images(), Places.from_rows(target))


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.PartitionContrastLoss", "num_partitions": 3}})
    assert parser.get_parsed_content("loss").num_partitions == 3
    assert isinstance(LOSSES.build("partition_contrast"), PartitionContrastLoss)
