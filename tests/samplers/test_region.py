from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import exp, log, sqrt

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from semicl_monai.losses import SupConLoss
from semicl_monai.samplers import RegionSampler
from semicl_monai.utils import InputError

# First pixel of the regions of 3 pixels along an axis, by the size of the map: the outer grid, the inner grid.
STARTS = {
    16: ((0, 6, 12), (3, 9)),
    32: ((2, 14, 26), (8, 20)),
    64: ((6, 30, 54), (18, 42)),
}


def pixels_of(embedding: torch.Tensor, channels: int) -> list[tuple[int, ...]]:
    """The coordinates a joined embedding holds, pixel by pixel."""
    return [tuple(map(int, pixel)) for pixel in embedding.view(-1, channels).tolist()]


@pytest.mark.parametrize(
    ("size", "number"), [((16, 16), 13), ((32, 32), 13), ((64, 64), 13), ((16, 32), 13), ((16, 32, 16), 35)]
)
def test_regions_are_at_fixed_places_and_do_not_overlap(maps: Callable, size: tuple[int, ...], number: int):
    groups, targets = RegionSampler()(maps(2, *size)[0])
    assert targets.tolist() == [[*range(number)] * 2]
    assert targets.dtype == torch.int64
    corners = [corner for grid in (0, 1) for corner in product(*(STARTS[edge][grid] for edge in size))]
    assert groups.shape == (1, 2 * number, (1 + len(size)) * 3 ** len(size))
    seen = set()
    for position, embedding in enumerate(groups[0]):
        view, corner = position // number, corners[position % number]
        wanted = [(view, *pixel) for pixel in product(*(range(start, start + 3) for start in corner))]
        assert pixels_of(embedding, 1 + len(size)) == wanted
        assert seen.isdisjoint(wanted)
        seen.update(wanted)


@pytest.mark.parametrize("region", [1, 3, 5, 7])
def test_regions_lie_in_the_map_and_apart_from_each_other_in_every_map_that_is_taken(maps: Callable, region: int):
    least = -(-16 * region // 3)
    with pytest.raises(InputError, match=rf"regions of {region} pixels overlap in maps of \(64, {least - 1}\) pixels"):
        RegionSampler(region)(torch.zeros(2, 1, 64, least - 1))
    for size in range(least, least + 17):
        groups, _ = RegionSampler(region)(maps(2, size, size)[0])
        pixels = [pixel for embedding in groups[0] for pixel in pixels_of(embedding, 3)]
        assert len(set(pixels)) == 2 * 13 * region**2


def test_both_views_of_an_image_are_one_group(maps: Callable):
    groups, _ = RegionSampler()(maps(6, 16, 16)[0])
    first_channel = groups[:, :, 0]
    assert first_channel.tolist() == [[image] * 13 + [image + 3] * 13 for image in range(3)]


def test_the_loss_of_the_groups_is_that_of_the_paper():
    maps = torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tau, losses = 0.1, []

    def region(view, corner):
        return maps[view, :, corner[0] : corner[0] + 3, corner[1] : corner[1] + 3].flatten().tolist()

    def s(a, b):
        length = sqrt(sum(v * v for v in a)) * sqrt(sum(v * v for v in b))
        return sum(v * w for v, w in zip(a, b, strict=True)) / length / tau

    corners = [corner for grid in STARTS[16] for corner in product(grid, repeat=2)]
    for image in (0, 1):
        views = [[region(image + 2 * view, corner) for corner in corners] for view in (0, 1)]
        for own, u in product((0, 1), range(13)):
            anchor, positive = views[own][u], views[1 - own][u]
            negatives = [other[v] for other in views for v in range(13) if v != u]
            numerator = exp(s(anchor, positive))
            losses.append(-log(numerator / (numerator + sum(exp(s(anchor, n)) for n in negatives))))
    loss = SupConLoss(temperature=tau)(*RegionSampler()(maps))
    assert loss.item() == pytest.approx(sum(losses) / len(losses))


def test_gradients_reach_the_pixels_of_the_regions_alone(maps: Callable):
    embeddings = maps(2, 16, 16)[0].requires_grad_()
    RegionSampler()(embeddings)[0].sum().backward()
    assert embeddings.grad.unique().tolist() == [0, 1]
    assert embeddings.grad.sum() == 2 * 3 * 13 * 9


def test_labels_are_not_needed_and_metadata_is_dropped(maps: Callable):
    embeddings, labels = maps(2, 16, 16)
    with_labels, without = RegionSampler()(MetaTensor(embeddings), labels), RegionSampler()(embeddings)
    assert torch.equal(with_labels[0], without[0])
    assert torch.equal(with_labels[1], without[1])
    assert type(with_labels[0]) is torch.Tensor


@pytest.mark.parametrize("size", [0, -1, 2])
def test_a_size_without_a_middle_is_refused(size: int):
    with pytest.raises(InputError, match=f"size must be an odd positive number, got {size}"):
        RegionSampler(size)


def test_it_builds_from_a_config():
    parser = ConfigParser({"sampler": {"_target_": "semicl_monai.samplers.RegionSampler", "size": 5}})
    assert parser.get_parsed_content("sampler").size == 5
