from __future__ import annotations

import math

import numpy as np
import pytest

from semicl_monai.planning import block_edges, grid_strides

PATCHES = [((40, 56, 40), (1.0, 1.0, 1.0)), ((128, 128, 10), (1.5, 1.5, 10.0)), ((96, 128, 48), (0.8, 0.8, 2.5))]


@pytest.mark.parametrize(("patch", "spacing"), PATCHES)
@pytest.mark.parametrize("points", [256, 2731])
def test_a_grid_has_about_the_wanted_points_and_is_even_in_mm(patch, spacing, points):
    strides = grid_strides(patch, spacing, points)
    count = math.prod(len(range(0, size, stride)) for size, stride in zip(patch, strides, strict=True))
    assert points / 2.1 < count < 2.1 * points
    length = np.array(strides) * spacing
    assert (length <= length.max()).all()
    assert length.max() - length.min() <= max(spacing)


@pytest.mark.parametrize(("patch", "spacing"), PATCHES)
def test_a_block_has_about_the_wanted_voxels_and_is_even_in_mm(patch, spacing):
    edges = block_edges(patch, spacing, 512)
    assert 512 / 1.5 < math.prod(edges) < 512 * 1.5
    assert np.ptp(np.array(edges) * spacing) <= max(spacing)


def test_a_small_patch_is_taken_whole():
    assert grid_strides((4, 4, 4), (1.0, 1.0, 1.0), 1000) == [1, 1, 1]
    assert block_edges((4, 4, 4), (1.0, 1.0, 1.0), 1000) == [4, 4, 4]


def test_isotropic_voxels_get_the_stride_and_the_block_of_the_shipped_bundle():
    assert grid_strides((24, 32, 24), (1.0, 1.0, 1.0), 256) == [4, 4, 4]
    assert block_edges((24, 32, 24), (1.0, 1.0, 1.0), 512) == [8, 8, 8]
