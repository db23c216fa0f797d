from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from semicl_monai.transforms import TRANSFORMS, RandJigsawd
from semicl_monai.utils import InputError


def cells(*size, grid):
    """An image that is everywhere the number of its cell, and a thousand where no cell is."""
    image = torch.full((1, *size), 1000.0)
    for pixel in product(*map(range, size)):
        place = [at // (edge // grid) for at, edge in zip(pixel, size, strict=True)]
        if max(place) < grid:
            image[(0, *pixel)] = sum(p * grid**power for power, p in enumerate(reversed(place)))
    return {"image": image}


def coordinates(*size):
    """An image whose channels are the coordinates of its pixels."""
    return {"image": torch.stack(torch.meshgrid(*(torch.arange(float(edge)) for edge in size), indexing="ij"))}


def cut(data, seed=0, **options):
    return RandJigsawd("image", **options).set_random_state(seed)(data)["patches"]


@pytest.mark.parametrize(
    ("size", "grid"), [((24, 24), 3), ((26, 40), 3), ((9, 8), 2), ((12, 13, 17), 3), ((8, 10, 9), 2)]
)
def test_every_patch_lies_within_a_cell_of_its_own_in_the_drawn_order(size, grid):
    data = cells(*size, grid=grid)
    for seed in range(5):
        transform = RandJigsawd("image", grid, patch_size=5).set_random_state(seed)
        patches = transform(data)["patches"]
        assert patches.shape == (grid ** len(size), 1, *[5] * len(size))
        flat = patches.flatten(1)
        torch.testing.assert_close(flat, flat[:, :1].expand_as(flat))
        found = flat[:, 0].round().int().tolist()
        assert found == list(transform.order)
        assert sorted(found) == list(range(grid ** len(size)))


@pytest.mark.parametrize(("size", "grid"), [((24, 24), 2), ((16, 40), 1), ((16, 8, 32), 2)])
def test_a_patch_is_a_window_of_three_quarters_of_its_cell_resized(size, grid):
    for patch in cut(coordinates(*size), grid=grid, patch_size=9):
        for axis, channel in enumerate(patch):
            cell = size[axis] // grid
            window = cell * 3 // 4
            # where the middles of 9 pixels lie in the window, the outermost no farther than the window's own
            places = [min(max((i + 0.5) * window / 9 - 0.5, 0), window - 1) for i in range(9)]
            start = round(channel.min().item() - places[0])
            assert 0 <= start % cell <= cell - window
            wanted = torch.tensor([start + place for place in places])
            torch.testing.assert_close(channel.movedim(axis, -1), wanted.expand_as(channel))


def test_patches_as_large_as_their_windows_are_those_of_the_image():
    data = coordinates(24, 24)
    starts = set()
    for seed in range(20):
        for patch in cut(data, seed, grid=3, patch_size=6):
            row, column = (round(v) for v in patch[:, 0, 0].tolist())
            torch.testing.assert_close(patch, data["image"][:, row : row + 6, column : column + 6])
            starts.add((row % 8, column % 8))
    assert starts == set(product(range(3), repeat=2))


def test_the_image_and_all_else_stay_as_they_are():
    data = {**coordinates(12, 12), "case": "a"}
    before = data["image"].clone()
    result = RandJigsawd("image", patch_size=4)(data)
    assert set(data) == {"image", "case"}
    assert set(result) == {"image", "case", "patches"}
    assert result["image"] is data["image"]
    result["patches"].zero_()
    assert torch.equal(data["image"], before)


def test_several_images_are_cut_each_by_itself():
    data = {**cells(12, 12, grid=3), "other": cells(15, 15, grid=3)["image"]}
    result = RandJigsawd(("image", "other"), patch_size=4, patches_keys=("a", "b")).set_random_state(0)(data)
    orders = [result[key][:, 0, 0, 0].round().tolist() for key in ("a", "b")]
    assert [sorted(order) for order in orders] == [list(range(9))] * 2
    assert orders[0] != orders[1]


def test_the_same_seed_gives_the_same_patches_and_another_seed_others():
    def patches(seed):
        return Compose([RandJigsawd("image", patch_size=8)]).set_random_state(seed)(coordinates(48, 48))["patches"]

    assert torch.equal(patches(1), patches(1))
    assert not torch.equal(patches(1), patches(2))


def test_one_transform_draws_anew_each_time():
    transform = RandJigsawd("image").set_random_state(0)
    assert len({tuple(transform(cells(12, 12, grid=3))["patches"][:, 0, 0, 0].tolist()) for _ in range(5)}) > 1


def test_the_smallest_image_is_one_of_four_pixels_a_cell():
    assert cut(coordinates(12, 12), patch_size=3).shape == (9, 2, 3, 3)
    with pytest.raises(InputError, match=r"needs images of at least 12 pixels per edge, got \(12, 11\)"):
        cut(coordinates(12, 11))


def test_a_missing_image_is_refused_unless_allowed():
    with pytest.raises(KeyError, match="image"):
        RandJigsawd("image")({"case": "a"})
    assert RandJigsawd("image", allow_missing_keys=True)({"case": "a"}) == {"case": "a"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, "grid and patch_size must be positive, got 0 and 32"),
        ({"patch_size": 0}, "grid and patch_size must be positive, got 3 and 0"),
        ({"keys": ("image", "label")}, r"patches_keys must differ, got \('patches', 'patches'\)"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandJigsawd(**{"keys": "image", **options})


def test_it_builds_from_a_config():
    config = {"cut": {"_target_": "semicl_monai.transforms.RandJigsawd", "keys": "image", "grid": 2, "patch_size": 4}}
    assert ConfigParser(config).get_parsed_content("cut")(coordinates(12, 12))["patches"].shape == (4, 2, 4, 4)
    assert isinstance(TRANSFORMS.build("rand_jigsaw", keys="image"), RandJigsawd)
