from __future__ import annotations

import pytest
import torch
from monai.transforms import RandShiftIntensityd, ScaleIntensityd

from semicl_monai.transforms import TRANSFORMS, StrongViewsd
from semicl_monai.utils import InputError


def shift():
    return RandShiftIntensityd("image", offsets=0.5, prob=1)


@pytest.fixture
def sample():
    image = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": torch.ones(1, 5, 6), "case": "a"}


def test_views_are_drawn_one_after_the_other_and_lie_behind_each_other(sample):
    views = StrongViewsd(shift(), num_views=3).set_random_state(0)
    alone = StrongViewsd(shift()).set_random_state(0)
    found = views(sample)
    wanted = [alone(sample)["image"] for _ in range(3)]
    assert found["image"].shape == (6, 5, 6)
    assert torch.equal(found["image"], torch.cat(wanted))
    assert not torch.allclose(wanted[0], wanted[1])
    assert torch.equal(found["label"], sample["label"])
    assert found["case"] == "a"


def test_each_view_goes_through_all_transforms(sample):
    double = [ScaleIntensityd("image", minv=None, maxv=None, factor=1.0)] * 2
    found = StrongViewsd([*double, shift()], num_views=2).set_random_state(0)(sample)["image"]
    wanted = StrongViewsd(shift(), num_views=2).set_random_state(0)({"image": 4 * sample["image"]})["image"]
    assert torch.allclose(found, wanted)


def test_many_samples_are_as_one_after_the_other(sample):
    other = {"image": torch.ones(2, 3, 3), "case": "b"}
    many = StrongViewsd(shift(), num_views=2).set_random_state(0).call_many([sample, other])
    one = StrongViewsd(shift(), num_views=2).set_random_state(0)
    for found, given in zip(many, (sample, other), strict=True):
        assert torch.equal(found["image"], one(given)["image"])
        assert found["case"] == given["case"]


def test_less_than_one_view_is_refused():
    with pytest.raises(InputError, match=r"^strong_views must be 1 or more, got 0\.$"):
        StrongViewsd([], num_views=0)


def test_it_is_registered():
    assert isinstance(TRANSFORMS.build("strong_views", intensity=[], num_views=2), StrongViewsd)
