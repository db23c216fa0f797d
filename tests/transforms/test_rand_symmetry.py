from __future__ import annotations

from itertools import combinations, permutations, product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from semicl_monai.transforms import RandSymmetry
from semicl_monai.utils import InputError


def symmetry(images, scale=(1.0, 1.0), seed=0):
    """A symmetry drawn for the images."""
    pi = RandSymmetry(scale, torch.Generator().manual_seed(seed))
    pi.randomize(images)
    return pi


def random_images(*shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def coordinates(*size):
    """An image whose channels are the coordinates of its pixels, as shares of the way from its middle to its edge."""
    shares = [(2 * torch.arange(float(edge)) + 1) / edge - 1 for edge in size]
    return torch.stack(torch.meshgrid(*shares, indexing="ij"))


def found(results, candidates):
    """Which candidate each result is."""
    distance = (results[:, None] - candidates[None]).flatten(2).abs().amax(2)
    assert distance.amin(1).max() < 1e-4
    return distance.argmin(1).tolist()


def test_a_square_gets_one_of_its_eight_symmetries_and_all_are_drawn_alike():
    image = random_images(3, 6, 6)
    turned = [torch.rot90(image, turns, (1, 2)) for turns in range(4)]
    candidates = torch.stack([*turned, *(torch.flip(one, (2,)) for one in turned)])
    batch = image.expand(400, 3, 6, 6)
    counts = torch.bincount(torch.tensor(found(symmetry(batch)(batch), candidates)), minlength=8)
    # Each is drawn 50 times on average, with a standard deviation of 7.
    assert ((counts - 50).abs() < 28).all()


def test_a_cube_gets_one_of_its_forty_eight_symmetries_and_all_are_drawn():
    image = random_images(1, 4, 4, 4)
    axes = [1, 2, 3]
    flips = [[a for a, flip in zip(axes, chosen, strict=True) if flip] for chosen in product([0, 1], repeat=3)]
    candidates = torch.stack([image.permute(0, *order).flip(flip) for order in permutations(axes) for flip in flips])
    batch = image.expand(600, 1, 4, 4, 4)
    assert set(found(symmetry(batch)(batch), candidates)) == set(range(48))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_positions_are_exact_under_bfloat16_autocast(dtype):
    image = random_images(1, 40, 56, 40, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        flipped = symmetry(image[None])(image[None])[0]
    assert flipped.dtype == dtype
    choices = [axes for count in range(4) for axes in combinations((1, 2, 3), count)]
    assert any(torch.allclose(flipped.float(), image.flip(axes).float(), atol=1e-2) for axes in choices)


@pytest.mark.parametrize("size", [(4, 6), (4, 4, 5)])
def test_where_edges_differ_it_only_flips(size):
    image = random_images(2, *size)
    axes = range(1, image.ndim)
    flips = [[a for a, flip in zip(axes, chosen, strict=True) if flip] for chosen in product([0, 1], repeat=len(size))]
    batch = image.expand(200, *image.shape)
    results = symmetry(batch)(batch)
    assert set(found(results, torch.stack([image.flip(flip) for flip in flips]))) == set(range(len(flips)))


def test_images_and_their_maps_move_alike():
    images = random_images(20, 1, 8, 8)
    pi = symmetry(images, scale=(0.8, 1.2))
    maps = torch.cat([images, 2 * images, 1 - images], dim=1)
    moved = pi(images)
    torch.testing.assert_close(pi(maps), torch.cat([moved, 2 * moved, 1 - moved], dim=1))
    assert torch.equal(pi(images), moved)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 2.0])
@pytest.mark.parametrize("size", [(6, 8), (4, 6, 8)])
def test_an_image_is_scaled_about_its_middle_and_its_border_repeated(size, factor):
    places = coordinates(*size)
    moved = symmetry(places[None], scale=(factor, factor))(places[None])[0]
    for axis, channel in enumerate(moved):
        last = 1 - 1 / size[axis]
        # A flip only changes the sign. What lies at p in the result was at p / factor, or else at the outermost pixel.
        wanted = [min(abs(p / factor), last) for p in places[axis].flatten().tolist()]
        torch.testing.assert_close(channel.abs().flatten(), torch.tensor(wanted))


def test_factors_are_drawn_between_the_two_for_each_image_and_are_the_same_along_all_axes():
    places = coordinates(10, 8).expand(200, 2, 10, 8)
    moved = symmetry(places, scale=(0.9, 1.1))(places)
    factors = (places[:, :, 6, 5] / moved[:, :, 6, 5]).abs()
    torch.testing.assert_close(factors[:, 0], factors[:, 1])
    assert 0.9 <= factors.min() < 0.92
    assert 1.08 < factors.max() <= 1.1001


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (3, 3, 3)])
def test_the_gradient_passes(size):
    images = random_images(2, 2, *size, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(symmetry(images, scale=(0.9, 1.1)), (images,))


def test_metadata_is_dropped():
    images = MetaTensor(random_images(2, 1, 4, 4))
    assert type(symmetry(images)(images)) is torch.Tensor


def test_the_same_seed_gives_the_same_symmetries_and_another_seed_others():
    images = random_images(8, 1, 6, 6)
    drawn = [symmetry(images, (0.9, 1.1), seed)(images) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_each_draw_is_new():
    images = random_images(8, 1, 6, 6)
    pi = symmetry(images)
    before = pi(images)
    pi.randomize(images)
    assert not torch.equal(pi(images), before)


@pytest.mark.parametrize("scale", [(1.1, 0.9), (0.0, 1.0), (1.0,), (1.0, 1.0, 1.0)])
def test_a_scale_that_is_no_range_is_refused(scale):
    with pytest.raises(InputError, match="scale must be two positive numbers, the lower first, got"):
        RandSymmetry(scale)


def test_it_builds_from_a_config():
    config = {"pi": {"_target_": "semicl_monai.transforms.RandSymmetry", "scale": [1.0, 1.0]}}
    pi = ConfigParser(config).get_parsed_content("pi")
    pi.randomize(torch.zeros(2, 1, 4, 4))
    assert pi(torch.ones(2, 3, 4, 4)).shape == (2, 3, 4, 4)
