from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.transforms import RandWarp
from semicl_monai.utils import InputError

NOTHING = {"rotate": 0.0, "scale": 0.0, "shear": 0.0, "translate": 0.0, "deform": 0.0, "prob": 1.0, "deform_prob": 1.0}


def warp(images, seed=0, **options):
    """A warp drawn for the images that does what the options say and nothing else."""
    drawn = RandWarp(**{**NOTHING, **options}, generator=torch.Generator().manual_seed(seed))
    drawn.randomize(images)
    return drawn


def ramps(*size):
    """Images of which each channel is a coordinate in voxels, counted from the middle."""
    axes = [torch.arange(float(edge)) - (edge - 1) / 2 for edge in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def inner(maps, margin=0.3):
    """The middle of maps, where nothing can come from beyond a border."""
    cut = [slice(round(margin * edge), round((1 - margin) * edge)) for edge in maps.shape[2:]]
    return maps[(slice(None), slice(None), *cut)]


@pytest.mark.parametrize("size", [(12, 20), (10, 14, 18)])
def test_nothing_drawn_changes_nothing(size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warp(images)(images), images, atol=1e-5, rtol=0)
    everything = RandWarp(prob=0.0, deform_prob=0.0)
    everything.randomize(images)
    torch.testing.assert_close(everything(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(30, 44), (24, 30, 36)])
def test_rotations_keep_distances_in_voxels_whatever_the_edges(size):
    images = ramps(*size)
    turned = inner(warp(images, rotate=0.3)(images))
    same = inner(images)
    torch.testing.assert_close(turned.square().sum(1), same.square().sum(1), atol=2e-2, rtol=0)
    assert (turned - same).abs().max() > 1


@pytest.mark.parametrize(("option", "most"), [("scale", 0.2), ("shear", 0.15)])
def test_the_middle_stays_and_all_else_moves_by_its_distance_from_it(option, most):
    images = ramps(25, 31)
    for seed in range(10):
        warped = warp(images, seed, **{option: most})(images)
        moved = inner(warped) - inner(images)
        reach = inner(images).abs().amax(1, keepdim=True)
        assert (moved.abs() <= most * (1 + most) * reach + 1e-3).all()  # one shear after the other
        assert warped[0, :, 12, 15].abs().max() < 1e-3
    assert moved.abs().max() > 0.1


@pytest.mark.parametrize(("size", "thick"), [((25, 31), None), ((21, 23, 25), None), ((21, 23, 25), 2)])
def test_a_zoom_is_one_factor_along_all_axes_but_the_thick_one_and_as_often_larger_as_smaller(size, thick):
    images, factors = ramps(*size), []
    for seed in range(60):
        steps = [
            (inner(warp(images, seed, zoom=0.4, thick_axis=thick)(images))[0, axis].diff(dim=axis)).mean().item()
            for axis in range(len(size))
        ]
        moving = [step for axis, step in enumerate(steps) if axis != thick]
        assert max(moving) - min(moving) < 1e-3
        assert thick is None or steps[thick] == pytest.approx(1)
        factors.append(moving[0])
    assert 1 / 1.4 <= min(factors) < 0.75
    assert 1.33 < max(factors) <= 1.4
    assert 15 < sum(factor > 1 for factor in factors) < 45  # four standard deviations


@pytest.mark.parametrize(
    ("size", "thick", "axes"), [((6, 6), None, (0, 1)), ((6, 6, 4), None, (0, 1)), ((4, 6, 6), 0, (1, 2))]
)
def test_an_image_is_rotated_by_each_multiple_of_90_degrees_in_its_planes(size, thick, axes):
    images, seen = torch.rand(1, 1, *size), []
    rotated = [torch.rot90(images, turns, [axis + 2 for axis in axes]) for turns in range(4)]
    for seed in range(80):
        found = warp(images, seed, rotate90_prob=0.75, thick_axis=thick)(images)
        (turns,) = (k for k, wanted in enumerate(rotated) if torch.allclose(found, wanted, atol=1e-5))
        seen.append(turns)
    assert all(8 < seen.count(turns) < 35 for turns in range(4))


def test_shifts_are_whole_maps_moved_by_their_share():
    images, seen = ramps(40, 20), []
    for seed in range(200):
        moved = inner(warp(images, seed, translate=0.1)(images) - images)
        assert (moved - moved.mean((2, 3), keepdim=True)).abs().max() < 1e-3
        seen.append(moved.mean((2, 3))[0])
    largest = torch.stack(seen).abs().amax(0)
    assert (largest <= torch.tensor([4.0, 2.0]) + 1e-3).all()
    assert (largest > torch.tensor([3.7, 1.85])).all()


def test_a_deformation_is_interpolated_between_four_points_an_axis():
    images = ramps(31, 31)
    drawn = warp(images, deform=0.1)
    moved = (drawn(images) - images)[0] / 15.5  # in half edges
    assert 0.02 < inner(moved[None]).abs().max() <= 0.1
    for channel, row, column in product(range(2), (11, 14, 17), (11, 14, 17)):  # between the two middle points
        middle = moved[channel, row - 1 : row + 2, column - 1 : column + 2]
        assert (middle[0] + middle[2] - 2 * middle[1]).abs().max() < 1e-3
        assert (middle[:, 0] + middle[:, 2] - 2 * middle[:, 1]).abs().max() < 1e-3


@pytest.mark.parametrize(("option", "amount"), [("prob", "rotate"), ("deform_prob", "deform")])
def test_so_many_images_are_changed_as_the_probability_says(option, amount):
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(400, 1, 8, 8)
    changed = (warp(images, **{option: 0.25, amount: 0.2})(images) - images).abs().flatten(1).amax(1) > 1e-3
    assert abs(int(changed.sum()) - 100) < 35  # four standard deviations


def test_other_maps_of_the_images_are_warped_alike_and_from_beyond_the_border_comes_zero():
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    drawn = RandWarp(prob=1.0, deform_prob=1.0, generator=torch.Generator().manual_seed(0))
    drawn.randomize(images)
    both = drawn(torch.cat([images, 2 * images], dim=1))
    torch.testing.assert_close(both[:, :1], drawn(images))
    torch.testing.assert_close(both[:, 1:], 2 * drawn(images))
    ones = drawn(torch.ones(2, 1, 16, 16))
    assert ones.min() == 0
    assert ones.max() == pytest.approx(1)
    assert not torch.equal(drawn(images)[0], drawn(images[:1].expand(2, 1, 16, 16))[1])  # each image has its own


def test_positions_are_exact_under_bfloat16_autocast():
    images = ramps(40, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = warp(images, rotate=0.3)(images)
    assert torch.equal(half, warp(images, rotate=0.3)(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate": -0.1}, "rotate must not be negative, got -0.1"),
        ({"zoom": -0.2}, "zoom must not be negative, got -0.2"),
        ({"deform": -1}, "deform must not be negative, got -1"),
        ({"prob": 1.5}, "prob must be between 0 and 1, got 1.5"),
        ({"rotate90_prob": 2}, "rotate90_prob must be between 0 and 1, got 2"),
        ({"deform_prob": -0.5}, "deform_prob must be between 0 and 1, got -0.5"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandWarp(**options)


def test_it_builds_from_a_config():
    config = {"warp": {"_target_": "semicl_monai.transforms.RandWarp", "rotate": 0.5}}
    assert ConfigParser(config).get_parsed_content("warp").rotate == 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("option", ["rotate", "scale", "shear", "translate", "deform"])
def test_nothing_moves_along_a_thick_axis_and_something_across_it(axis, option):
    images = ramps(16, 18, 20)
    moved = inner(warp(images, thick_axis=axis, **{option: 0.2})(images)) - inner(images)
    others = [other for other in range(3) if other != axis]
    assert moved[:, axis].abs().max() < 1e-3
    assert moved[:, others].abs().amax(dim=(0, 2, 3, 4)).min() > 0.01


def test_planes_across_a_thick_axis_are_warped_alike_and_keep_their_slices():
    images = ramps(16, 18, 6)
    moved = warp(images, thick_axis=2, rotate=0.3, scale=0.2, shear=0.1, translate=0.1)(images) - images
    inside = inner(moved)
    torch.testing.assert_close(inside[..., :2], inside[..., -2:], atol=1e-3, rtol=0)


def test_the_same_numbers_are_drawn_with_and_without_a_thick_axis():
    drawn = [RandWarp(thick_axis=axis, generator=torch.Generator().manual_seed(0)) for axis in (None, 1)]
    for one in drawn:
        one.randomize(torch.zeros(4, 1, 8, 8, 8))
    assert torch.equal(*(one.generator.get_state() for one in drawn))
