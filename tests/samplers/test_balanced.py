from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.samplers import SAMPLERS, BalancedSampler


def labelled(maps: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of 8 x 8 pixels: 104 of class 0, 16 of class 1, 6 of class 2, 2 ignored."""
    embeddings, labels = maps(2, 8, 8)
    labels[:] = 0
    labels[:, :, 0] = 1
    labels[1, :, 7, :6] = 2
    labels[1, :, 7, 6:] = -1
    return embeddings, labels


@pytest.mark.parametrize(
    ("num_per_class", "wanted"),
    [
        (10, {0: 10, 1: 10, 2: 6}),
        (1000, {0: 104, 1: 16, 2: 6}),
        ({0: 50, 1: 5, 7: 3}, {0: 50, 1: 5}),
        ({"0": 50, "1": 5}, {0: 50, 1: 5}),
        ({}, {}),
        ([0, 3, 100], {1: 3, 2: 6}),
        (0, {}),
    ],
)
def test_it_takes_at_most_so_many_of_each_class(
    maps: Callable, num_per_class: int | Mapping[int, int] | Sequence[int], wanted: dict[int, int]
):
    embeddings, labels = labelled(maps)
    groups, targets = BalancedSampler(num_per_class)(embeddings, labels)
    assert groups.shape == (1, sum(wanted.values()), 3)
    assert Counter(targets[0].tolist()) == wanted
    places = [tuple(map(int, place)) for place in groups[0].tolist()]
    assert len(set(places)) == len(places)
    assert targets[0].tolist() == [labels[view, 0, row, column] for view, row, column in places]


def test_every_pixel_of_a_class_can_be_drawn(maps: Callable):
    sampler = BalancedSampler(4, generator=torch.Generator().manual_seed(0))
    drawn = set()
    for _ in range(200):
        groups, targets = sampler(*labelled(maps))
        drawn |= set(map(tuple, groups[0, targets[0] == 1].tolist()))
    assert len(drawn) == 16


@pytest.mark.parametrize("own_generator", [True, False])
def test_the_same_seed_gives_the_same_pixels(maps: Callable, own_generator: bool):
    def draw(seed: int) -> list:
        generator = torch.Generator().manual_seed(seed) if own_generator else None
        torch.manual_seed(0 if own_generator else seed)
        sampler = BalancedSampler(8, generator=generator)
        return [sampler(*labelled(maps))[0].tolist() for _ in range(2)]

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize("num_per_class", [-1, {0: 5, 1: -1}, [3, -1]])
def test_wrong_options_are_refused(num_per_class: int | dict | list):
    with pytest.raises(ValueError, match="num_per_class must not be negative, got"):
        BalancedSampler(num_per_class)


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"sampler": {"_target_": "semicl_monai.samplers.BalancedSampler", "num_per_class": 64}})
    assert parser.get_parsed_content("sampler").num_per_class == 64
    assert SAMPLERS.build("balanced", {"balanced": {"num_per_class": 8}}).num_per_class == 8
