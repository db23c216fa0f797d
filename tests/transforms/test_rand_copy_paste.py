from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.transforms import RandCopyPaste
from semicl_monai.utils import InputError


def paste(seed=0, **options):
    return RandCopyPaste(**{"prob": 1.0, "generator": torch.Generator().manual_seed(seed), **options})


@pytest.mark.parametrize("size", [(6, 8), (6, 4, 5)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_voxel_is_of_the_image_or_of_its_partner_and_those_of_one_are_a_box(size, count):
    images = torch.rand(4, 2, *size, generator=torch.Generator().manual_seed(0))
    others = torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(1))
    transform, directions = paste(share=(0.4, 0.6)), set()
    transform.randomize(images, count)
    mixed = transform(images, others)
    boxes = set()
    for number in range(4):
        other = others[number % count]
        taken = [
            place
            for place in product(*map(range, size))
            if torch.equal(mixed[(number, slice(None), *place)], other[(slice(None), *place)])
        ]
        kept = [place for place in product(*map(range, size)) if place not in taken]
        assert all(
            torch.equal(mixed[(number, slice(None), *place)], images[(number, slice(None), *place)]) for place in kept
        )
        box = min(
            taken, kept, key=lambda places: len(set(product(*[{p[a] for p in places} for a in range(len(size))])))
        )
        edges = [sorted({place[axis] for place in box}) for axis in range(len(size))]
        assert set(box) == set(product(*edges))
        assert all(0.4 * n - 0.5 <= len(edge) <= 0.6 * n + 0.5 for edge, n in zip(edges, size, strict=True))
        boxes.add(tuple(box))
        directions.add(box is taken)
    assert len(boxes) == 1
    assert directions == {True, False}


def test_maps_are_mixed_like_the_images():
    images, others = torch.zeros(3, 1, 8, 8), torch.ones(2, 1, 8, 8)
    transform = paste()
    transform.randomize(images, 2)
    where = transform(images, others)
    mixed = transform(torch.full((3, 4, 8, 8), 5.0), torch.full((2, 4, 8, 8), 7.0))
    assert torch.equal(mixed, (5 + 2 * where).expand(3, 4, 8, 8))


@pytest.mark.parametrize(("prob", "low", "high"), [(0.0, 0, 0), (0.3, 220, 380), (1.0, 1000, 1000)])
def test_so_many_batches_are_mixed_and_in_both_directions_alike(prob, low, high):
    images, others, mixed, around = torch.zeros(2, 1, 8), torch.ones(2, 1, 8), 0, 0
    transform = paste(prob=prob, share=(0.25, 0.25))
    for _ in range(1000):
        transform.randomize(images, 2)
        both = transform(images, others)
        mixed += bool(both.any())
        around += int((both.sum((1, 2)) == 6).sum())  # all but the two voxels of the box
    assert low <= mixed <= high  # a standard deviation of at most 16
    assert prob < 1 or 900 < around < 1100


def test_without_others_nothing_is_mixed():
    images, transform = torch.zeros(2, 1, 8, 8), paste()
    transform.randomize(images, 0)
    assert transform(images, torch.zeros(0, 1, 8, 8)) is images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob": 1.5}, "prob must be between 0 and 1, got 1.5"),
        ({"share": (0.7, 0.3)}, "share must be two numbers from 0 to 1, the lower first"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandCopyPaste(**options)


def test_it_builds_from_a_config():
    config = {"paste": {"_target_": "semicl_monai.transforms.RandCopyPaste", "prob": 0.2}}
    assert ConfigParser(config).get_parsed_content("paste").prob == 0.2
