from __future__ import annotations

import pytest
import torch
from torch.utils.data import default_collate

from semicl_monai.transforms import FillUnannotatedd


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 4)])
def test_a_sample_without_label_map_gets_one_of_voxels_that_are_not_annotated(size):
    image = torch.rand(2, *size)
    sample = FillUnannotatedd()({"image": image, "case": "a"})
    assert set(sample) == {"image", "label", "case"}
    assert sample["image"] is image
    assert torch.equal(sample["label"], torch.full((1, *size), -1.0))


def test_a_label_map_stays_and_both_samples_make_a_batch():
    label = torch.tensor([[[0.0, 1.0]]])
    with_label = FillUnannotatedd()({"image": torch.rand(1, 1, 2), "label": label})
    assert with_label["label"] is label
    batch = default_collate([with_label, FillUnannotatedd()({"image": torch.rand(1, 1, 2)})])
    assert batch["label"].tolist() == [[[[0, 1]]], [[[-1, -1]]]]


def test_keys_may_have_other_names():
    sample = FillUnannotatedd("scan", "mask")({"scan": torch.rand(3, 2, 2)})
    assert sample["mask"].shape == (1, 2, 2)
