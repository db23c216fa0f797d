from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from semicl_monai.transforms import KeepMainComponentd


def kept(labels):
    return KeepMainComponentd("pred")({"pred": labels})["pred"]


def touching(voxel, component):
    return any(max(abs(a - b) for a, b in zip(voxel, other, strict=True)) <= 1 for other in component)


def main_component(labels):
    """The rule by plain loops: components one by one, and the product of their classes' voxels plus one."""
    components = []
    for voxel in map(tuple, np.argwhere(labels)):
        near = [component for component in components if touching(voxel, component)]
        components = [c for c in components if c not in near] + [sum(near, [voxel])]
    classes = set(labels.ravel().tolist()) - {0}
    scores = [
        (np.prod([1.0 + sum(labels[voxel] == c for voxel in component) for c in classes]), len(component))
        for component in components
    ]
    result = np.zeros_like(labels)
    for voxel in components[scores.index(max(scores))]:
        result[voxel] = labels[voxel]
    return result, scores


@pytest.mark.parametrize(("shape", "seed"), itertools.product([(9, 9), (5, 6, 5)], range(6)))
def test_as_the_rule_by_plain_loops(shape, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(1, 4, shape) * (random.random(shape) < (0.2 if len(shape) == 2 else 0.08))
    wanted, scores = main_component(labels)
    assert len(scores) > 1
    assert sorted(scores)[-1] > sorted(scores)[-2]
    assert np.array_equal(kept(torch.from_numpy(labels)[None])[0], wanted)


def bars(*components):
    """A row of components, each from the number of its voxels by class."""
    row = [c for counts in components for c in [*np.repeat(np.arange(1, 1 + len(counts)), counts), 0]]
    return torch.tensor(row).view(1, 1, -1)


@pytest.mark.parametrize(
    ("components", "main"),
    [
        ([(778, 6201, 7011), (4162, 7494, 2162)], 1),  # liver and heart of a patient: liver has more voxels
        ([(0, 900), (60, 200)], 1),
        ([(0, 900), (1, 1)], 0),  # a few voxels of a rare class are not an organ
        ([(500, 0), (0, 400)], 0),
        ([(1, 1), (0, 3)], 1),  # 4 and 4: more voxels
        ([(20,), (30,), (10,)], 1),
    ],
)
def test_the_component_in_which_all_classes_are_large(components, main):
    labels = bars(*components)
    others = bars(*(counts if i == main else (0,) * len(counts) for i, counts in enumerate(components)))
    result = kept(labels)
    assert torch.equal(result[result > 0], others[others > 0])
    assert result.count_nonzero() == sum(components[main])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_type_and_metadata_stay_and_the_given_map_is_not_changed(dtype):
    labels = MetaTensor(bars((1, 2), (4, 0)).to(dtype), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    before = labels.clone()
    result = kept(labels)
    assert torch.equal(labels.as_tensor(), before.as_tensor())
    assert (result.dtype, result.shape) == (labels.dtype, labels.shape)
    assert isinstance(result, MetaTensor)
    assert torch.equal(result.affine, labels.affine)
    assert result.flatten().tolist() == [1, 2, 2, 0, 0, 0, 0, 0, 0]


def test_no_foreground_or_one_component_stays():
    assert torch.equal(kept(torch.zeros(1, 3, 3)), torch.zeros(1, 3, 3))
    labels = torch.tensor([[[1, 0, 0], [0, 2, 0]]])
    assert torch.equal(kept(labels), labels)


def test_a_missing_key():
    with pytest.raises(KeyError, match="pred"):
        KeepMainComponentd("pred")({"image": torch.zeros(1, 2, 2)})
    assert list(KeepMainComponentd("pred", allow_missing_keys=True)({"image": 1})) == ["image"]
