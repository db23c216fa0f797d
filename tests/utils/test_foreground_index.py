from __future__ import annotations

import numpy as np
import pytest
import torch

from semicl_monai.utils import foreground_voxel
from semicl_monai.utils.foreground_index import index_foreground


class Planes:
    """A label map that remembers which of its planes were read."""

    def __init__(self, label):
        self.label, self.read = label, []

    def __getitem__(self, plane):
        self.read.append(plane)
        return self.label[plane]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int16])
def test_the_voxels_of_a_class_are_counted_as_numpy_counts_them_and_one_plane_is_read(dtype):
    label = np.random.default_rng(0).integers(0, 4, (5, 4, 3)) * 7
    label[[1, 3]] = 0
    planes = Planes(torch.from_numpy(label).to(dtype))
    index = index_foreground(planes.label)
    for row, value in enumerate((7, 14, 21)):
        for number, voxel in enumerate(np.argwhere(label == value)):
            planes.read.clear()
            assert foreground_voxel(planes, index, row, number) == tuple(voxel)
            assert planes.read == [voxel[0]]


def test_a_label_without_foreground_has_no_class():
    index = index_foreground(torch.zeros(3, 4, 5))
    assert (index["values"].shape, index["counts"].shape) == ((0,), (0, 3))
    assert [found.shape for found in index["occupied"]] == [(3,), (4,), (5,)]
    assert not any(found.any() for found in index["occupied"])
