from __future__ import annotations

import math
import re
from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import LOSSES, Places, PositionContrastLoss

# volume, slice and number of slices: at 0, 0.125, 0.15, 0.45, 0.4, 0.9, 0.875 of the thickness
SLICES = torch.tensor([[0, 0, 8], [0, 1, 8], [1, 3, 20], [1, 9, 20], [2, 4, 10], [2, 9, 10], [0, 7, 8]])
# volume, place and number of places along three axes
PATCHES = torch.tensor(
    [
        [0, 0, 3, 2, 8, 6, 4],
        [0, 1, 3, 2, 8, 6, 4],
        [1, 3, 9, 9, 20, 20, 18],
        [1, 9, 2, 0, 20, 20, 18],
        [2, 4, 1, 0, 10, 9, 1],
        [2, 9, 4, 0, 10, 9, 1],
        [0, 7, 3, 1, 8, 6, 4],
    ]
)


def equation(embeddings: list[list[float]], places: list[list[int]], threshold: float, temperature: float) -> float:
    """Zeng et al., eq. 2, with cosine similarities and Euclidean distances, over the images that have a positive."""
    z = [[x / math.hypot(*row) for x in row] for row in embeddings]
    axes = len(places[0]) // 2
    position = [
        [place / number for place, number in zip(row[1 : 1 + axes], row[1 + axes :], strict=True)] for row in places
    ]
    losses = []
    for i in range(len(z)):
        s = {k: sum(a * b for a, b in zip(z[i], z[k], strict=True)) / temperature for k in range(len(z)) if k != i}
        positives = [k for k in s if math.dist(position[k], position[i]) < threshold]
        if positives:
            total = sum(math.exp(s[a]) for a in s)
            losses.append(-sum(math.log(math.exp(s[p]) / total) for p in positives) / len(positives))
    return sum(losses) / len(losses)


def images(number: int = 7, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    input = torch.randn(number, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return input.to(dtype).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(
    ("places", "threshold"),
    [(SLICES, 0.1), (SLICES, 0.35), (SLICES, 2.0), (PATCHES, 0.15), (PATCHES, 0.35), (PATCHES, 0.6), (PATCHES, 2.0)],
)
def test_it_is_the_equation(places: torch.Tensor, threshold: float, temperature: float):
    wanted = equation(images().tolist(), places.tolist(), threshold, temperature)
    assert PositionContrastLoss(threshold, temperature)(images(), Places.from_rows(places)).item() == pytest.approx(
        wanted
    )


@pytest.mark.parametrize(("places", "threshold"), [(SLICES, 0.1), (SLICES, 0.35), (PATCHES, 0.35)])
def test_its_gradient_is_right(places: torch.Tensor, threshold: float):
    assert torch.autograd.gradcheck(partial(PositionContrastLoss(threshold), target=Places.from_rows(places)), images())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threshold", [0.1, 0.35])
def test_patches_along_one_axis_are_as_slices(axis: int, threshold: float):
    patches = torch.tensor([0, 2, 2, 2, 5, 5, 5]).repeat(7, 1)
    patches[:, [0, 1 + axis, 4 + axis]] = SLICES
    loss = PositionContrastLoss(threshold)
    torch.testing.assert_close(loss(images(), Places.from_rows(patches)), loss(images(), Places.from_rows(SLICES)))


def test_patches_far_apart_along_any_axis_are_no_positives():
    patches = torch.tensor([[0, 0, 0, 0, 8, 8, 8], [1, 4, 0, 0, 8, 8, 8], [2, 0, 4, 0, 8, 8, 8], [3, 0, 0, 4, 8, 8, 8]])
    positive, negative = PositionContrastLoss(threshold=0.45).pairs(Places.from_rows(patches))
    assert not positive.any()
    assert torch.equal(negative, ~torch.eye(4, dtype=torch.bool))
    # each half a volume from the first along one axis; from one another along two, sqrt(0.5) of a volume
    positive, _ = PositionContrastLoss(threshold=0.6).pairs(Places.from_rows(patches))
    assert positive.nonzero().tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [2, 0], [3, 0]]
    assert PositionContrastLoss(threshold=0.71).pairs(Places.from_rows(patches))[0].sum() == 12


def test_order_names_of_volumes_and_lengths_of_embeddings_change_nothing():
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    renamed = SLICES[order]
    renamed[:, 0] = torch.tensor([2**62 + 1, 2**62, 5])[renamed[:, 0]]
    loss = PositionContrastLoss(threshold=0.35)
    torch.testing.assert_close(
        loss(7 * images()[order], Places.from_rows(renamed)), loss(images(), Places.from_rows(SLICES))
    )


def test_slices_just_at_the_threshold_are_no_positives():
    slices = torch.tensor([[0, 0, 8], [0, 1, 8], [0, 5, 8]])
    assert PositionContrastLoss(threshold=0.125)(images(3), Places.from_rows(slices)) == 0
    assert PositionContrastLoss(threshold=0.126)(images(3), Places.from_rows(slices)) > 0


@pytest.mark.parametrize(
    "slices",
    [
        pytest.param([], id="no images"),
        pytest.param([[0, 3, 8]], id="one image"),
        pytest.param([[0, 0, 8], [0, 2, 8], [0, 5, 8]], id="one volume, far slices"),
    ],
)
def test_without_a_positive_it_is_zero_and_backward_works(slices: list):
    input = images(len(slices))
    result = PositionContrastLoss()(input, Places.from_rows(torch.tensor(slices, dtype=torch.long).reshape(-1, 3)))
    result.backward()
    assert result == 0
    assert input.grad.count_nonzero() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, r"threshold must be positive, got 0\.0\."),
        ({"threshold": math.nan}, r"threshold must be positive, got nan\."),
        ({"temperature": -1.0}, r"temperature must be positive, got -1\.0\."),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PositionContrastLoss(**options)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 7, 4), (7,), (7, 1), (7, 1)],
        [(7, 4), (7, 1), (7, 1), (7, 1)],
        [(7, 4), (6,), (6, 1), (6, 1)],
        [(7, 4), (7,), (7, 3), (7, 1)],
        [(7, 4), (7,), (7, 3), (6, 3)],
    ],
)
def test_wrong_shapes_are_refused(shapes: list):
    input, *places = map(torch.zeros, shapes)
    wanted = f"input and places must be of shape (N, C) and (N,), (N, A), (N, A), got {shapes}."
    with pytest.raises(ValueError, match=re.escape(wanted)):
        PositionContrastLoss()(input, Places(*places))


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.PositionContrastLoss", "threshold": 0.35}})
    assert parser.get_parsed_content("loss").threshold == 0.35
    assert isinstance(LOSSES.build("position_contrast"), PositionContrastLoss)
