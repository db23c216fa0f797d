from __future__ import annotations

from itertools import product

import pytest
import torch

from semicl_monai.utils import InputError, check_regions, decode_regions, region_maps


def test_a_map_of_a_region_is_one_at_its_classes_and_nothing_is_at_ignored_voxels():
    labels = torch.tensor([[[0.0, 1, 2, 3, -1]]])
    assert region_maps(labels, [[1, 2, 3], [3], [2, 1]]).tolist() == [
        [[0, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 1, 1, 0, 0]]
    ]


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [1, 3, 3]])
def test_later_regions_overwrite_earlier_ones(order):
    inside = torch.tensor(list(product([False, True], repeat=3))).T[None]  # all answers of three regions
    found = decode_regions(inside, order)[0, 0].tolist()
    for answers, number in zip(inside[0].T.tolist(), found, strict=True):
        wanted = 0
        for region, answer in zip(order, answers, strict=True):
            wanted = region if answer else wanted
        assert number == wanted


@pytest.mark.parametrize("order", [[1], [1, 2, 2], [1, 4]])
def test_an_order_that_does_not_fit_is_refused(order):
    with pytest.raises(
        InputError, match=r"regions_class_order must be 2 class numbers of regions, one for each, got \["
    ):
        check_regions([[1, 2], [2]], order)
