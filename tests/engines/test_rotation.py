from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import RotationPrepareBatch
from semicl_monai.utils import InputError


def turned_by_hand(image, turns):
    """Turn a square list of rows anticlockwise, pixel by pixel."""
    size = len(image)
    for _ in range(turns):
        image = [[image[column][size - 1 - row] for column in range(size)] for row in range(size)]
    return image


@pytest.fixture
def images():
    return torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def test_every_image_is_turned_as_its_target_says(images):
    turned, target = RotationPrepareBatch()({"image": images})
    assert turned.shape == (12, 2, 5, 5)
    for index, (image, turns) in enumerate(zip(turned, target.tolist(), strict=True)):
        for channel, original in zip(image, images[index % 3], strict=True):
            assert channel.tolist() == turned_by_hand(original.tolist(), turns)


def test_every_image_occurs_once_in_every_rotation_unturned_ones_first(images):
    turned, target = RotationPrepareBatch()({"image": images})
    assert target.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert torch.equal(turned[:3], images)


def test_volumes_are_turned_slice_by_slice():
    volume = torch.rand(1, 1, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    turned, target = RotationPrepareBatch()({"image": volume})
    assert turned.shape == (4, 1, 4, 4, 3)
    for image, turns in zip(turned, target.tolist(), strict=True):
        for depth in range(3):
            assert image[0, ..., depth].tolist() == turned_by_hand(volume[0, 0, ..., depth].tolist(), turns)


@pytest.mark.parametrize(
    ("shape", "plane"),
    [((24, 32, 24), (0, 2)), ((5, 4, 4), (1, 2)), ((4, 4, 5), (0, 1)), ((3, 3, 3), (0, 1)), ((4, 5, 4), (0, 2))],
)
def test_volumes_are_turned_in_the_plane_of_the_first_two_axes_whose_edges_are_equal(shape, plane):
    volumes = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    turned, target = RotationPrepareBatch()({"image": volumes})
    assert turned.shape == (8, 1, *shape)
    assert target.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    (other,) = {0, 1, 2} - set(plane)
    for index, (image, turns) in enumerate(zip(turned, target.tolist(), strict=True)):
        planes, originals = (values[0].unbind(other) for values in (image, volumes[index % 2]))
        for found, original in zip(planes, originals, strict=True):
            assert found.tolist() == turned_by_hand(original.tolist(), turns)


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (5, 6, 7)])
def test_images_that_are_not_square_are_refused(shape):
    with pytest.raises(InputError, match=r"rotation needs square images, got .*give a square --roi_size"):
        RotationPrepareBatch()({"image": torch.zeros(2, 1, *shape)})


def test_the_batch_goes_to_the_device_and_the_type_asked_for(images):
    turned, target = RotationPrepareBatch()({"image": images}, "meta", non_blocking=True, dtype=torch.float64)
    assert turned.device.type == target.device.type == "meta"
    assert (turned.dtype, target.dtype) == (torch.float64, torch.int64)


def test_it_builds_from_a_config(images):
    config = {"prepare_batch": {"_target_": "semicl_monai.engines.RotationPrepareBatch"}}
    assert len(ConfigParser(config).get_parsed_content("prepare_batch")({"image": images})[0]) == 12
