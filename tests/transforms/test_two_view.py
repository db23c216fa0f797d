from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import (
    Compose,
    MapTransform,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
)

from semicl_monai.transforms import TRANSFORMS, TwoViewd
from semicl_monai.utils import InputError

BOTH = ("image", "label")


def affine(*modes):
    return RandAffined(
        BOTH,
        prob=1,
        rotate_range=0.5,
        scale_range=(0.3, 0.3),
        translate_range=(4, 4),
        mode=modes,
        padding_mode="zeros",
        allow_missing_keys=True,
    )


def noise():
    return [
        RandShiftIntensityd("image", offsets=0.5, prob=1),
        RandScaleIntensityd("image", factors=0.3, prob=1),
        RandGaussianNoised("image", prob=1),
    ]


class Darken(MapTransform):
    def __call__(self, data):
        return {**data, **{key: data[key] * 0.5 for key in self.key_iterator(data)}}


@pytest.fixture
def sample():
    """A label map of two squares, 1 and 3, and the same map as image."""
    label = torch.zeros(1, 24, 24)
    label[0, 5:12, 6:14] = 1
    label[0, 12:20, 9:18] = 3
    return {"image": label.clone(), "label": label, "case": "a"}


@pytest.mark.parametrize("seed", range(5))
def test_image_and_label_stay_aligned_in_each_view(sample, seed):
    views = TwoViewd(spatial=[affine("nearest", "nearest")], intensity=[]).set_random_state(seed)(sample)
    for name in ("view1", "view2"):
        assert torch.equal(views[f"{name}_image"], views[f"{name}_label"])
        assert not torch.equal(views[f"{name}_label"], sample["label"])
        assert views[f"{name}_label"].any()


def test_a_bilinear_image_still_lies_on_its_label(sample):
    views = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=[]).set_random_state(0)(sample)
    for name in ("view1", "view2"):
        image, label = views[f"{name}_image"], views[f"{name}_label"]
        assert torch.corrcoef(torch.stack([image.flatten(), label.flatten()]))[0, 1] > 0.9


def test_the_label_keeps_its_values(sample):
    views = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=noise()).set_random_state(0)
    for _ in range(5):
        made = views(sample)
        values = set(torch.cat([made["view1_label"], made["view2_label"]]).unique().tolist())
        assert values <= {0.0, 1.0, 3.0}


def test_an_interpolated_label_is_refused(sample):
    views = TwoViewd(spatial=affine("bilinear", "bilinear"), intensity=[]).set_random_state(0)
    message = r"made label value 0\.\d+ that the sample does not have: give it mode 'nearest' for 'label'"
    with pytest.raises(InputError, match=message):
        views(sample)


def test_the_refusal_survives_compose(sample):
    with pytest.raises(RuntimeError, match="TwoViewd") as raised:
        Compose([TwoViewd(spatial=affine("bilinear", "bilinear"), intensity=[])]).set_random_state(0)(sample)
    assert isinstance(raised.value.__cause__, InputError)


def test_padding_with_background_is_no_new_label_value(sample):
    sample["label"] = torch.ones(1, 24, 24)
    views = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=[]).set_random_state(0)(sample)
    assert set(views["view1_label"].unique().tolist()) == {0.0, 1.0}


def test_intensity_changes_the_image_and_never_the_label(sample):
    views = TwoViewd(spatial=[], intensity=noise()).set_random_state(0)(sample)
    for name in ("view1", "view2"):
        assert torch.equal(views[f"{name}_label"], sample["label"])
        assert not torch.isclose(views[f"{name}_image"], sample["image"]).any()


def test_the_views_differ_in_place_and_in_intensity(sample):
    spatial = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=[]).set_random_state(0)(sample)
    assert not torch.equal(spatial["view1_label"], spatial["view2_label"])
    intensity = TwoViewd(spatial=[], intensity=noise()).set_random_state(0)(sample)
    assert not torch.equal(intensity["view1_image"], intensity["view2_image"])


def test_the_same_seed_gives_the_same_views_and_another_seed_others(sample):
    def views(seed):
        transform = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=noise())
        return torch.stack([transform.set_random_state(seed)(sample)[f"view{n}_image"] for n in (1, 2)])

    assert torch.equal(views(1), views(1))
    assert not torch.isclose(views(1), views(2)).all()


def test_compose_seeds_what_is_inside(sample):
    def views(seed):
        transform = Compose([TwoViewd(spatial=affine("bilinear", "nearest"), intensity=noise())])
        return transform.set_random_state(seed)(sample)["view2_image"]

    assert torch.equal(views(1), views(1))
    assert not torch.equal(views(1), views(2))


def test_an_unlabelled_sample_gives_no_label(sample):
    del sample["label"]
    views = TwoViewd(spatial=affine("bilinear", "nearest"), intensity=noise()).set_random_state(0)(sample)
    assert set(views) == {"view1_image", "view2_image", "case"}


def test_other_keys_are_kept_and_image_and_label_give_way(sample):
    sample["weight"] = torch.ones(1)
    views = TwoViewd(spatial=RandFlipd(BOTH, prob=1), intensity=[])(sample)
    assert set(views) == {"view1_image", "view1_label", "view2_image", "view2_label", "case", "weight"}
    assert views["weight"] is sample["weight"]


def test_other_keys_can_be_named(sample):
    renamed = {"scan": sample["image"], "mask": sample["label"]}
    views = TwoViewd(spatial=RandFlipd(("scan", "mask"), prob=1), intensity=[], image_key="scan", label_key="mask")(
        renamed
    )
    assert set(views) == {"view1_image", "view1_label", "view2_image", "view2_label"}
    assert torch.equal(views["view1_label"], sample["label"].flip(1, 2))


def test_the_sample_itself_is_not_changed(sample):
    before = {key: value.clone() for key, value in sample.items() if key in BOTH}
    TwoViewd(spatial=affine("bilinear", "nearest"), intensity=noise()).set_random_state(0)(sample)
    assert set(sample) == {"image", "label", "case"}
    assert all(torch.equal(sample[key], before[key]) for key in BOTH)


def test_an_intensity_transform_on_the_label_finds_none(sample):
    with pytest.raises(RuntimeError, match=r"applying transform .*Darken") as raised:
        TwoViewd(spatial=[], intensity=Darken(BOTH))(sample)
    assert isinstance(raised.value.__cause__, KeyError)


def test_it_builds_from_a_config(sample):
    config = {
        "views": {
            "_target_": "semicl_monai.transforms.TwoViewd",
            "spatial": [{"_target_": "RandFlipd", "keys": ["image", "label"], "prob": 1}],
            "intensity": {"_target_": "RandShiftIntensityd", "keys": "image", "offsets": 0.1, "prob": 1},
        }
    }
    assert "view2_label" in ConfigParser(config).get_parsed_content("views")(sample)
    assert isinstance(TRANSFORMS.build("two_view", spatial=[], intensity=[]), TwoViewd)
