from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.transforms import RandCutMix
from semicl_monai.utils import InputError


def mix(seed=0, **options):
    return RandCutMix(**{"prob": 1.0, "generator": torch.Generator().manual_seed(seed), **options})


def numbered(*shape):
    """Images filled with their numbers."""
    return torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1)).expand(shape)


@pytest.mark.parametrize("size", [(6, 8), (6, 4, 5)])
def test_a_box_of_every_image_holds_the_image_half_a_batch_before_it_and_the_rest_is_its_own(size):
    images = torch.rand(4, 2, *size, generator=torch.Generator().manual_seed(0))
    transform = mix(share=(0.4, 0.6))
    transform.randomize(images)
    mixed = transform(images)
    found = {place for place in product(*map(range, size)) if mixed[(0, 0, *place)] != images[(0, 0, *place)]}
    edges = [sorted({place[axis] for place in found}) for axis in range(len(size))]
    assert found == set(product(*edges))
    assert all(edge == list(range(edge[0], edge[-1] + 1)) for edge in edges)
    assert all(0.4 * n - 0.5 <= len(edge) <= 0.6 * n + 0.5 for edge, n in zip(edges, size, strict=True))
    for number, place in product(range(4), product(*map(range, size))):
        source = (number - 2) % 4 if place in found else number
        assert torch.equal(mixed[(number, slice(None), *place)], images[(source, slice(None), *place)])


def test_other_maps_of_the_images_are_mixed_alike():
    images, maps = numbered(4, 1, 8, 8), numbered(4, 3, 8, 8)
    transform = mix()
    transform.randomize(images)
    assert torch.equal(transform(maps), transform(images).expand(4, 3, 8, 8))
    assert not torch.equal(transform(maps), maps)


def test_boxes_are_of_all_shares_and_at_all_places():
    transform, images, lengths, starts = mix(share=(0.3, 0.7)), numbered(2, 1, 10), set(), set()
    for _ in range(300):
        transform.randomize(images)
        inside = transform(images)[0, 0].nonzero().flatten().tolist()
        lengths.add(len(inside))
        starts.add((len(inside), inside[0]))
    assert lengths == {3, 4, 5, 6, 7}
    assert {start for length, start in starts if length == 5} == set(range(6))


def test_the_box_is_drawn_anew_for_every_batch_and_along_every_axis():
    transform, boxes = mix(), []
    for _ in range(20):
        transform.randomize(torch.zeros(2, 1, 50, 50))
        boxes.append(transform.box)
    assert len({str(box) for box in boxes}) > 15
    assert sum(rows != columns for rows, columns in boxes) > 15


@pytest.mark.parametrize(("prob", "low", "high"), [(0.0, 0, 0), (0.3, 220, 380), (1.0, 1000, 1000)])
def test_so_many_batches_are_mixed(prob, low, high):
    transform, images, mixed = mix(prob=prob), numbered(2, 1, 4, 4), 0
    for _ in range(1000):
        transform.randomize(images)
        mixed += not torch.equal(transform(images), images)
    # a standard deviation of at most 16
    assert low <= mixed <= high


@pytest.mark.parametrize(("share", "wanted"), [((0.0, 0.0), [0, 1]), ((1.0, 1.0), [1, 0])])
def test_a_box_may_be_nothing_or_everything(share, wanted):
    transform, images = mix(share=share), numbered(2, 1, 4, 4)
    transform.randomize(images)
    assert transform(images).amax((1, 2, 3)).tolist() == transform(images).amin((1, 2, 3)).tolist() == wanted


def test_one_image_stays_as_it_is():
    transform, image = mix(), torch.rand(1, 1, 4, 4)
    transform.randomize(image)
    assert torch.equal(transform(image), image)


def test_the_maps_are_not_changed():
    transform, images = mix(), numbered(2, 1, 8, 8).clone()
    before = images.clone()
    transform.randomize(images)
    transform(images)
    assert torch.equal(images, before)


def test_gradients_reach_the_image_that_is_seen():
    transform, images = mix(), torch.zeros(2, 1, 8, 8, requires_grad=True)
    transform.randomize(images)
    transform(images)[0].sum().backward()
    rows, columns = transform.box
    own = torch.ones(8, 8)
    own[rows, columns] = 0
    assert torch.equal(images.grad[:, 0], torch.stack([own, 1 - own]))


def test_the_same_seed_gives_the_same_boxes_also_without_a_generator():
    def boxes(seed, with_generator):
        torch.manual_seed(0 if with_generator else seed)
        transform = RandCutMix(generator=torch.Generator().manual_seed(seed) if with_generator else None)
        drawn = []
        for _ in range(10):
            transform.randomize(torch.zeros(2, 1, 50, 50))
            drawn.append(transform.box)
        return drawn

    for with_generator in (False, True):
        assert boxes(1, with_generator) == boxes(1, with_generator) != boxes(2, with_generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob": 1.5}, r"prob must be between 0 and 1, got 1\.5"),
        ({"prob": -0.1}, r"prob must be between 0 and 1, got -0\.1"),
        ({"share": (0.7, 0.3)}, r"two numbers from 0 to 1, the lower first, got \(0\.7, 0\.3\)"),
        ({"share": (0.3, 1.1)}, r"got \(0\.3, 1\.1\)"),
        ({"share": (-0.1, 0.5)}, r"got \(-0\.1, 0\.5\)"),
        ({"share": [0.5]}, r"got \(0\.5,\)"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandCutMix(**options)


def test_it_builds_from_a_config():
    config = {"mix": {"_target_": "semicl_monai.transforms.RandCutMix", "prob": 1.0, "share": [1, 1]}}
    transform, images = ConfigParser(config).get_parsed_content("mix"), numbered(3, 1, 4, 4)
    transform.randomize(images)
    assert transform(images)[:, 0, 0, 0].tolist() == [2, 0, 1]
