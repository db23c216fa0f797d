from __future__ import annotations

import numpy as np
import pytest
import torch

from semicl_monai.utils import annotated_voxel, foreground_voxel
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


def partly():
    """A label map with two annotated slices, of which one has foreground, padded by one voxel in the first axis."""
    label, image = torch.full((6, 4, 5), -1), torch.ones(2, 6, 4, 5)
    label[:, :, 1], label[:, :, 3] = 0, 0
    label[2:4, 1, 3] = 2
    label[[0, -1]], image[:, [0, -1]] = 0, 0
    return label, image


def test_planes_without_an_annotated_voxel_are_known_and_padded_voxels_do_not_count():
    label, image = partly()
    index = index_foreground(label, image)
    assert [planes.tolist() for planes in index["annotated"]] == [
        [False, True, True, True, True, False],
        [True] * 4,
        [False, True, False, True, False],
    ]
    assert index["num_annotated"].tolist() == [0, 8, 8, 8, 8, 0]
    assert index["values"].tolist() == [2]


def test_each_annotated_voxel_has_a_number():
    label, image = partly()
    index = index_foreground(label, image)
    found = [annotated_voxel(label, index, number) for number in range(int(index["num_annotated"].sum()))]
    wanted = [(i, j, k) for i in range(1, 5) for j in range(4) for k in range(5) if label[i, j, k] >= 0]
    assert found == wanted


def test_if_all_voxels_are_annotated_all_planes_are_and_voxels_are_not_counted():
    index = index_foreground(torch.zeros(2, 3, 4))
    assert all(planes.all() for planes in index["annotated"])
    assert len(index["num_annotated"]) == 0
