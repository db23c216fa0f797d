from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import SimpleInferer, SlidingWindowInferer
from torch import nn

from semicl_monai.inferers import MirroredInferer
from semicl_monai.utils import InputError


def images(spatial_dims, dtype=torch.float64):
    shape = (2, 1, 4, 5, 3)[: 2 + spatial_dims]
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def convolution(spatial_dims, kernel_size=3):
    torch.manual_seed(0)
    layer = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(1, 3, kernel_size, padding=kernel_size // 2)
    return layer.double().requires_grad_(False)


def mirrored(place, size, flipped):
    """The place that a voxel comes to when an image of this size is flipped along these axes."""
    return tuple(n - 1 - i if axis in flipped else i for axis, (i, n) in enumerate(zip(place, size, strict=True)))


def mean_of_mirror_images(image, network, axes):
    """The mean over all flips of what softmax gives at every voxel, by voxel: one list of class probabilities each."""
    size = image.shape[2:]
    flips = [
        [axis for axis, on in zip(axes, switches, strict=True) if on] for switches in product([0, 1], repeat=len(axes))
    ]
    totals = {(b, *place): [0.0] * 3 for b in range(len(image)) for place in product(*map(range, size))}
    for flipped in flips:
        turned = torch.empty_like(image)
        for place in product(*map(range, size)):
            turned[(slice(None), slice(None), *mirrored(place, size, flipped))] = image[
                (slice(None), slice(None), *place)
            ]
        logits = network(turned)
        for (b, *place), total in totals.items():
            values = [math.exp(logits[(b, c, *mirrored(place, size, flipped))]) for c in range(3)]
            for c, value in enumerate(values):
                total[c] += value / sum(values) / len(flips)
    return totals


@pytest.mark.parametrize(
    ("spatial_dims", "axes"), [(2, [0]), (2, [1]), (2, [1, 0]), (3, [2]), (3, [0, 2]), (3, (0, 1, 2))]
)
def test_it_is_the_mean_of_the_probabilities_of_all_mirror_images(spatial_dims, axes):
    image, network = images(spatial_dims), convolution(spatial_dims)
    logits = MirroredInferer(SimpleInferer(), axes)(image, network)
    assert logits.shape == (2, 3, *image.shape[2:])
    for (b, *place), wanted in mean_of_mirror_images(image, network, axes).items():
        found = logits[(b, slice(None), *place)]
        assert found.exp().tolist() == pytest.approx(wanted)
        assert found.softmax(0).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(("axes", "times"), [([], 1), ([1], 2), ([0, 1], 4), ([2, 0, 1], 8)])
def test_an_image_is_seen_two_to_the_power_of_the_axes_times(axes, times):
    seen = []

    def network(x):
        seen.append(x)
        return x

    image = images(3)
    MirroredInferer(SimpleInferer(), axes)(image, network)
    assert len(seen) == times
    assert torch.equal(seen[0], image)
    assert all(not torch.equal(seen[i], seen[j]) for i in range(times) for j in range(i))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_without_axes_it_is_the_inferer(spatial_dims):
    image, network = images(spatial_dims), convolution(spatial_dims)
    assert torch.equal(MirroredInferer(SimpleInferer())(image, network), network(image))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_network_that_mirrors_with_its_image_gives_the_same_probabilities(spatial_dims):
    image, network = images(spatial_dims), convolution(spatial_dims, kernel_size=1)
    found, alone = MirroredInferer(SimpleInferer(), [0, 1])(image, network), network(image)
    assert len(alone.argmax(1).unique()) > 1
    assert torch.equal(found.argmax(1), alone.argmax(1))
    torch.testing.assert_close(found, alone.log_softmax(1))


def test_a_mirror_image_is_wholly_another_for_a_network_that_sees_sides():
    def network(x):
        return torch.cat([x, 0 * x], dim=1) * torch.tensor([9.0, -1.0])

    found = MirroredInferer(SimpleInferer(), [1])(torch.ones(1, 1, 2, 2), network)
    wanted = (1 / (1 + math.exp(-9)) + 1 / (1 + math.exp(1))) / 2
    assert found[0, 0].exp().flatten().tolist() == pytest.approx([wanted] * 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_probability_of_zero_has_a_finite_logit(dtype):
    def network(x):
        return torch.cat([x, torch.full_like(x, -2000)], dim=1)

    found = MirroredInferer(SimpleInferer(), [0])(images(2, dtype), network)
    assert found.dtype == dtype
    assert found.isfinite().all()
    assert (found.argmax(1) == 0).all()
    assert found.softmax(1)[:, 1].max() < 1e-30


def test_each_mirror_image_is_seen_as_the_inferer_does_it_with_all_arguments():
    def network(x, shift, *, factor):
        assert x.shape == (1, 1, 4, 4)
        return torch.cat([factor * x, x + shift], dim=1)

    inferer, image = SlidingWindowInferer((4, 4), 1, overlap=0.5), torch.rand(1, 1, 8, 6)
    found = MirroredInferer(inferer, [0])(image, network, 0.3, factor=2)
    torch.testing.assert_close(found, torch.cat([2 * image, image + 0.3], dim=1).log_softmax(1))


@pytest.mark.parametrize("axes", [[3], [-1], [0, 0], [0, 1, 2, 0]])
def test_axes_out_of_range_or_named_twice_are_refused(axes):
    with pytest.raises(InputError, match=r"mirror_axes must be axes 0, 1 or 2, each at most once, got \[.*\]\."):
        MirroredInferer(SimpleInferer(), axes)


def test_it_builds_from_a_config():
    config = {
        "window": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4]},
        "inferer": {"_target_": "semicl_monai.inferers.MirroredInferer", "inferer": "@window", "axes": [0, 1]},
    }
    parser = ConfigParser(config)
    inferer = parser.get_parsed_content("inferer")
    assert inferer.inferer is parser.get_parsed_content("window")
    assert inferer(images(2), convolution(2)).shape == (2, 3, 4, 5)


def test_probabilities_of_regions_are_sigmoids():
    image, network = images(2), convolution(2)
    logits = MirroredInferer(SimpleInferer(), [1], sigmoid=True)(image, network)
    plain, turned = network(image), network(image.flip(3)).flip(3)
    for place in product(*map(range, logits.shape)):
        wanted = sum(1 / (1 + math.exp(-maps[place])) for maps in (plain, turned)) / 2
        assert 1 / (1 + math.exp(-logits[place])) == pytest.approx(wanted)


def test_certain_regions_have_finite_logits():
    certain = MirroredInferer(SimpleInferer(), [0], sigmoid=True)(
        torch.ones(1, 1, 2, 2), lambda x: torch.cat([x, -x], 1) * 1e4
    )
    assert certain.isfinite().all()
    assert (certain[:, 0] > 0).all()
    assert (certain[:, 1] < 0).all()
