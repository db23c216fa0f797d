from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.samplers import SAMPLERS, StrideSampler


@pytest.mark.parametrize(
    ("shape", "stride"), [((2, 9, 8), 4), ((2, 9, 8), (2, 3)), ((2, 5, 4, 6), 2), ((2, 5, 4, 6), (1, 2, 9))]
)
def test_it_takes_every_sth_pixel_of_each_axis(maps: Callable, shape: tuple[int, ...], stride: int | tuple[int, ...]):
    embeddings, labels = maps(*shape)
    groups, targets = StrideSampler(stride)(embeddings, labels)
    strides = (1, *(stride if isinstance(stride, tuple) else [stride] * (len(shape) - 1)))
    wanted = [
        place
        for place in torch.cartesian_prod(*map(torch.arange, shape)).tolist()
        if all(coordinate % step == 0 for coordinate, step in zip(place, strides, strict=True))
    ]
    assert groups.tolist() == [wanted]
    assert targets.tolist() == [[int(labels[place[0], 0][tuple(place[1:])]) for place in wanted]]


def test_a_random_offset_starts_anywhere_and_in_every_view_alike(maps: Callable):
    sampler = StrideSampler(4, random_offset=True, generator=torch.Generator().manual_seed(0))
    starts = set()
    for _ in range(200):
        groups, _ = sampler(*maps(2, 8, 3))
        first, second = groups[0].chunk(2)
        assert torch.equal(first[:, 1:], second[:, 1:])
        starts.add(tuple(first[0, 1:].int().tolist()))
    assert starts == {(row, column) for row in range(4) for column in range(3)}


@pytest.mark.parametrize("own_generator", [True, False])
def test_the_same_seed_gives_the_same_pixels(maps: Callable, own_generator: bool):
    def draw(seed: int) -> list:
        generator = torch.Generator().manual_seed(seed) if own_generator else None
        torch.manual_seed(0 if own_generator else seed)
        sampler = StrideSampler(50, random_offset=True, generator=generator)
        return [sampler(*maps(1, 50, 50))[0].tolist() for _ in range(3)]

    assert draw(1) == draw(1) != draw(2)


def test_wrong_options_are_refused(maps: Callable):
    with pytest.raises(ValueError, match=r"stride must be positive, got 0\."):
        StrideSampler(0)
    with pytest.raises(ValueError, match=r"Sequence must have length 2, got 3\."):
        StrideSampler((2, 2, 2))(*maps(1, 4, 4))


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"sampler": {"_target_": "semicl_monai.samplers.StrideSampler", "stride": [2, 4]}})
    assert parser.get_parsed_content("sampler").stride == [2, 4]
    assert SAMPLERS.build("stride", {"stride": {"stride": 3}, "block": {"block_size": 8}}).stride == 3
