from __future__ import annotations

import numpy as np
import pytest

from semicl_monai.planning import topology_of

# What get_pool_and_conv_props of nnunetv2 2.8.1 answers: poolings along each axis, and levels with thin kernels.
OF_NNUNET = [
    ((36, 51, 35), (1.0, 1.0, 1.0), [(2, 2, 2)] * 3, 0),
    ((216, 256, 10), (1.5, 1.5, 10.0), [(2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 1), (2, 2, 1)], 2),
    ((218, 241, 17), (1.56, 1.56, 5.0), [(2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1)], 1),
    ((56, 192, 160), (2.5, 0.8, 0.8), [(1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)], 1),
    ((64, 64, 12), (1.0, 1.0, 5.0), [(2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 1)], 2),
    ((20, 320, 256), (6.25, 0.78, 0.78), [(1, 2, 2)] * 3 + [(2, 2, 2)] * 2 + [(1, 2, 2)], 3),
]


@pytest.mark.parametrize(("patch", "spacing", "strides", "thin"), OF_NNUNET)
def test_strides_and_kernels_are_those_of_nnunet(patch, spacing, strides, thin):
    topology = topology_of(patch, spacing)
    assert topology.strides == ((1, 1, 1), *strides)
    kernel = tuple(1 if edge == max(spacing) != min(spacing) else 3 for edge in spacing)
    assert topology.kernels == (kernel,) * thin + ((3, 3, 3),) * (len(strides) + 1 - thin)


def test_a_patch_of_whole_multiples_of_the_divisor_is_halved_without_a_rest():
    topology = topology_of((224, 256, 10), (1.5, 1.5, 10.0))
    assert topology.divisor.tolist() == [32, 32, 2]
    sizes = topology.sizes((224, 256, 10))
    assert sizes[0].tolist() == [224, 256, 10]
    assert sizes[-1].tolist() == [7, 8, 5]
    assert (sizes * np.cumprod(topology.strides, axis=0) == [224, 256, 10]).all()


def test_a_last_single_axis_is_halved_from_twelve_voxels_on():
    assert len(topology_of((4, 4, 11), (1.0, 1.0, 1.0)).strides) == 1
    assert topology_of((4, 4, 12), (1.0, 1.0, 1.0)).strides == ((1, 1, 1), (1, 1, 2))
