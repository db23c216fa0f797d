from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.samplers import SAMPLERS, BlockSampler


@pytest.mark.parametrize(
    ("shape", "block"),
    [
        ((2, 8, 12), 4),
        ((3, 7, 9), 4),
        ((2, 7, 9), (3, 20)),
        ((2, 4, 5, 6), 2),
        ((2, 5, 3, 7), (2, 3, 4)),
        ((1, 3, 3), 8),
    ],
)
def test_every_pixel_is_in_the_group_of_its_block_exactly_once(
    maps: Callable, shape: tuple[int, ...], block: int | tuple[int, ...]
):
    embeddings, labels = maps(*shape)
    groups, targets = BlockSampler(block)(embeddings, labels)
    edges = block if isinstance(block, tuple) else [block] * (len(shape) - 1)
    positions = list(product(*(range(-(-size // edge)) for size, edge in zip(shape[1:], edges, strict=True))))
    found = []
    for position, group, group_targets in zip(positions, groups.tolist(), targets.tolist(), strict=True):
        for place, target in zip(group, group_targets, strict=True):
            view, *pixel = map(int, place)
            if target != -1:
                found.append((view, *pixel))
                assert position == tuple(at // edge for at, edge in zip(pixel, edges, strict=True))
                assert target == labels[view, 0][tuple(pixel)]
    assert sorted(found) == list(product(*map(range, shape)))


def test_a_group_is_pooled_over_views_and_filled_up(maps: Callable):
    groups, targets = BlockSampler(block_size=4, ignore_index=9)(*maps(3, 6, 4))
    assert groups.shape == (2, 3 * 4 * 4, 3)
    assert targets.shape == (2, 3 * 4 * 4)
    assert targets.dtype == torch.int64
    assert (targets == 9).sum(dim=1).tolist() == [0, 3 * 2 * 4]


def test_gradients_reach_every_pixel(maps: Callable):
    embeddings, labels = maps(2, 5, 7)
    embeddings.requires_grad_()
    BlockSampler(4)(embeddings, labels)[0].sum().backward()
    assert torch.equal(embeddings.grad, torch.ones_like(embeddings))


def test_wrong_options_are_refused(maps: Callable):
    with pytest.raises(ValueError, match=r"block_size must be positive, got \(4, 0\)\."):
        BlockSampler((4, 0))
    with pytest.raises(ValueError, match=r"Sequence must have length 3, got 2\."):
        BlockSampler((4, 4))(*maps(1, 4, 4, 4))


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"sampler": {"_target_": "semicl_monai.samplers.BlockSampler", "block_size": [8, 4]}})
    assert parser.get_parsed_content("sampler").block_size == [8, 4]
    assert SAMPLERS.build("block", {"block": {"block_size": 8}}).block_size == 8
