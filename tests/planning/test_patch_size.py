from __future__ import annotations

import numpy as np
import pytest

from semicl_monai.planning import largest_patch, smaller_patch, topology_of

CT = ((512, 512, 250), (0.8, 0.8, 1.25))
MR = ((384, 384, 24), (0.6, 0.6, 5.0))
BODY = ((250, 250, 600), (2.0, 2.0, 2.0))


def at_most(voxels):
    return lambda patch, topology: np.prod(patch) <= voxels


def test_a_patch_is_as_large_as_the_image_if_it_fits():
    patch, topology = largest_patch((35, 50, 36), (1.0, 1.0, 1.0), at_most(1e9))
    assert patch == [40, 56, 40]  # whole multiples of eight, by three poolings
    assert topology == topology_of((35, 50, 36), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(("shape", "spacing"), [CT, MR, BODY])
@pytest.mark.parametrize("voxels", [50_000, 300_000, 2_000_000])
def test_a_patch_fits_can_be_halved_and_is_no_larger_than_the_image(shape, spacing, voxels):
    patch, topology = largest_patch(shape, spacing, at_most(voxels))
    assert np.prod(patch) <= voxels
    assert not (patch % topology.divisor).any()
    assert (topology.sizes(patch)[-1] >= 3).all()
    assert (np.array(patch) < shape + topology.divisor).all()


@pytest.mark.parametrize(("shape", "spacing"), [CT, MR, BODY])
def test_a_patch_comes_close_to_a_cube_in_mm(shape, spacing):
    patch, topology = largest_patch(shape, spacing, at_most(400_000))
    length, step = np.array(patch) * spacing, topology.divisor * spacing
    whole = np.array(patch) >= shape
    assert (length[whole] <= length[~whole].min(initial=np.inf)).all()
    assert np.ptp(length[~whole]) < 2 * step.max()


def test_the_smallest_patch_is_returned_if_none_fits():
    assert largest_patch((200, 200, 200), (1.0, 1.0, 1.0), lambda *_: False)[0] == [16, 16, 16]


def test_a_smaller_patch_keeps_the_network():
    patch, topology = largest_patch(*CT, at_most(2_000_000))
    small = smaller_patch(patch, CT[1], topology, 0.2 * np.prod(patch))
    assert not (small % topology.divisor).any()
    assert np.prod(small) <= 0.2 * np.prod(patch)
    assert (topology.sizes(small)[-1] >= [3, 2, 2]).all()


def test_a_smaller_patch_is_not_too_small_for_its_network():
    topology = topology_of((32, 32, 32), (1.0, 1.0, 1.0))
    assert smaller_patch((32, 32, 32), (1.0, 1.0, 1.0), topology, 1) == (topology.divisor * [3, 2, 2]).tolist()
