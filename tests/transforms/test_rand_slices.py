from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from semicl_monai.transforms import TRANSFORMS, RandSlicesd
from semicl_monai.utils import InputError, pack_volume

SIZE = (5, 6, 20)


@pytest.fixture
def sample():
    """A volume in which each voxel is different, with foreground in the slices 4, 5 and 6 of the last axis."""
    label = torch.zeros(1, *SIZE)
    label[0, 1:3, 2:5, 4:7] = 2
    return {"image": torch.arange(600.0).view(1, *SIZE), "label": label, "case": "a"}


def drawn(transform, data):
    """Return the indices of the drawn slices, read from the images themselves."""
    slices = transform(data)
    axis = transform.axis
    volume = data["image"].movedim(1 + axis, 0)
    return [next(i for i, plane in enumerate(volume) if torch.equal(plane, s["image"])) for s in slices]


def draw(seed=0, **options):
    return RandSlicesd(**{"keys": ("image", "label"), **options}).set_random_state(seed)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_map_is_the_plain_slice_of_the_volume(sample, axis):
    transform = draw(axis=axis, num_samples=3)
    slices = transform(sample)
    assert len(slices) == 3
    for index, result in zip(transform.indices, slices, strict=True):
        position = [slice(None)] * 4
        position[1 + axis] = index
        assert torch.equal(result["image"], sample["image"][tuple(position)])
        assert torch.equal(result["label"], sample["label"][tuple(position)])
        assert result["case"] == "a"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sample_says_which_slice_of_how_many_it_is(sample, axis):
    for result in draw(axis=axis, num_samples=5)(sample):
        assert result["num_places"] == SIZE[axis]
        assert torch.equal(result["image"], sample["image"].unbind(1 + axis)[result["place"]])
        assert torch.equal(result["label"], sample["label"].unbind(1 + axis)[result["place"]])
    assert "place" not in sample


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_volume_gives_the_same_slices(sample, axis):
    turned = {key: sample[key].movedim(3, 1 + axis) for key in ("image", "label")}
    for one, other in zip(draw(axis=axis)(turned), draw(axis=2)(sample), strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["label"], other["label"])


@pytest.mark.parametrize(("foreground", "least"), [(0.0, 0), (0.25, 1), (0.3, 1), (0.5, 2), (0.75, 3)])
def test_at_least_the_share_holds_foreground(sample, foreground, least):
    counts = [sum(s["label"].any() for s in draw(seed, foreground=foreground)(sample)) for seed in range(40)]
    assert min(counts) == least


def test_the_share_holds_on_average_when_one_slice_is_drawn_of_a_volume(sample):
    transform = draw(num_samples=1, foreground=0.5)
    count = sum(bool(transform(sample)[0]["label"].any()) for _ in range(1000))
    # a half of them, and of the others 3 of 20; a standard deviation of 16
    assert count == pytest.approx(500 + 500 * 3 / 20, abs=64)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_packed_volume_gives_the_same_slices(sample, axis):
    for seed in range(5):
        slices = draw(seed, axis=axis)(pack_volume(sample))
        for found, wanted in zip(slices, draw(seed, axis=axis)(sample), strict=True):
            assert set(found) == set(wanted)
            assert found["place"] == wanted["place"]
            assert all(torch.equal(found[key], wanted[key]) for key in ("image", "label"))
            assert found["image"].dtype == found["label"].dtype == torch.float32


def test_empty_slices_are_still_drawn(sample):
    counts = [sum(not s["label"].any() for s in draw(seed, foreground=0.5)(sample)) for seed in range(40)]
    # Of the two slices that are not asked to hold foreground, 17 of 20 hold none.
    assert np.mean(counts) == pytest.approx(2 * 17 / 20, abs=0.2)


def test_with_a_share_of_one_every_slice_holds_foreground(sample):
    assert all(set(drawn(draw(seed, num_samples=3, foreground=1), sample)) == {4, 5, 6} for seed in range(5))


def test_foreground_is_found_along_the_axis_that_is_sliced(sample):
    assert set(drawn(draw(axis=0, num_samples=2, foreground=1), sample)) == {1, 2}
    assert set(drawn(draw(axis=1, num_samples=3, foreground=1), sample)) == {2, 3, 4}


@pytest.mark.parametrize("change", [lambda s: s.pop("label"), lambda s: s["label"].zero_()])
def test_without_foreground_to_know_of_slices_are_drawn_alike_and_none_twice(sample, change):
    change(sample)
    transform = draw(num_samples=10, foreground=1, allow_missing_keys=True)
    indices = [drawn(transform, sample) for _ in range(100)]
    assert all(len(set(found)) == 10 for found in indices)
    counts = np.bincount(np.concatenate(indices), minlength=20)
    # Each of the 20 slices is drawn 50 times of 100 on average, with a standard deviation of 5.
    assert (np.abs(counts - 50) < 20).all()


def test_neither_draw_takes_a_slice_twice(sample):
    for seed in range(20):
        indices = draw(seed, num_samples=6, foreground=0.5)
        found = drawn(indices, sample)
        assert len(set(found[:3])) == len(set(found[3:])) == 3


def test_too_few_slices_are_drawn_more_than_once(sample):
    assert len(draw(num_samples=9, axis=0, foreground=0)(sample)) == 9
    assert set(drawn(draw(num_samples=8, foreground=1), sample)) <= {4, 5, 6}


def test_the_same_seed_gives_the_same_slices_and_another_seed_others(sample):
    assert drawn(draw(3), sample) == drawn(draw(3), sample)
    assert [drawn(draw(3), sample)] * 5 != [drawn(draw(seed), sample) for seed in range(5)]


def test_one_transform_draws_anew_each_time(sample):
    transform = draw()
    assert len({tuple(drawn(transform, sample)) for _ in range(5)}) > 1


def test_the_volume_is_not_shared_with_its_slices(sample):
    before = sample["image"].clone()
    for result in draw(num_samples=20, foreground=0)(sample):
        result["image"].zero_()
    assert torch.equal(sample["image"], before)


def test_a_missing_key_is_refused_unless_allowed(sample):
    del sample["label"]
    with pytest.raises(KeyError, match="label"):
        draw()(sample)
    assert set(draw(allow_missing_keys=True)(sample)[0]) == {"image", "case", "place", "num_places"}


def test_the_label_may_have_another_name_and_need_not_be_sliced(sample):
    sample["mask"] = sample.pop("label")
    slices = draw(keys="image", label_key="mask", foreground=1, num_samples=3)(sample)
    assert slices[0]["mask"] is sample["mask"]
    assert set(drawn(draw(keys="image", label_key="mask", foreground=1, num_samples=3), sample)) == {4, 5, 6}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": 3}, "axis must be 0, 1 or 2, got 3"),
        ({"axis": -1}, "axis must be 0, 1 or 2, got -1"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"foreground": 1.5}, r"foreground must be between 0 and 1, got 1\.5"),
        ({"foreground": -0.1}, r"foreground must be between 0 and 1, got -0\.1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandSlicesd("image", **options)


def test_compose_seeds_it_and_hands_its_slices_on_one_by_one(sample):
    def shapes(seed):
        pipeline = Compose([RandSlicesd(("image", "label")), lambda s: s["image"].sum()]).set_random_state(seed)
        return pipeline(sample)

    assert len(shapes(1)) == 4
    assert shapes(1) == shapes(1) != shapes(2)


def test_it_builds_from_a_config(sample):
    config = {
        "draw": {"_target_": "semicl_monai.transforms.RandSlicesd", "keys": ["image"], "axis": 0, "num_samples": 2}
    }
    assert len(ConfigParser(config).get_parsed_content("draw")(sample)) == 2
    assert isinstance(TRANSFORMS.build("rand_slices", keys="image"), RandSlicesd)


@pytest.mark.parametrize("foreground", [0.0, 0.5, 1.0])
def test_slices_without_annotation_are_not_drawn(foreground):
    label = torch.full((1, 8, 8, 6), -1.0)
    label[..., 1], label[..., 4] = 0, 0
    label[:, 3, 3, 4] = 1
    draw = RandSlicesd(["image", "label"], num_samples=4, foreground=foreground).set_random_state(0)
    drawn = [s["place"] for _ in range(20) for s in draw({"image": torch.ones(1, 8, 8, 6), "label": label})]
    assert set(drawn) == ({4} if foreground == 1 else {1, 4})


def test_of_a_volume_without_annotation_any_slice_is_drawn():
    draw = RandSlicesd("label", num_samples=4).set_random_state(0)
    drawn = {s["place"] for _ in range(20) for s in draw({"label": torch.full((1, 4, 4, 6), -1.0)})}
    assert drawn == set(range(6))
