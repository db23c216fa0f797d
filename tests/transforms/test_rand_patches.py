from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import list_data_collate
from monai.transforms import Compose

from semicl_monai.transforms import TRANSFORMS, RandPatchesd
from semicl_monai.utils import InputError, pack_volume

SIZE = (9, 10, 12)
ROI = (4, 3, 5)
PLACES = [6, 8, 8]


@pytest.fixture
def sample():
    """A volume in which each voxel is different, with 36 voxels of class 1 and one of class 3 far from its border."""
    label = torch.zeros(1, *SIZE)
    label[0, 3:6, 3:7, 4:7] = 1
    label[0, 6, 7, 8] = 3
    return {"image": torch.arange(1080.0).view(1, *SIZE), "label": label, "case": "a"}


def draw(seed=0, **options):
    return RandPatchesd(**{"keys": ("image", "label"), "roi_size": ROI, **options}).set_random_state(seed)


def places(transform, data):
    """Where the drawn patches begin, read from the images themselves: each voxel's value is its number."""
    return [np.unravel_index(int(patch["image"][0, 0, 0, 0]), data["image"].shape[1:]) for patch in transform(data)]


def classes_at_centres(transform, data):
    """The label of the voxel in the middle of each drawn patch; of an even number, the later of the two."""
    return [
        int(data["label"][0, x + ROI[0] // 2, y + ROI[1] // 2, z + ROI[2] // 2]) for x, y, z in places(transform, data)
    ]


def test_each_map_is_the_window_of_the_volume_that_its_place_tells(sample):
    sample["image"] = torch.cat([sample["image"], -sample["image"]])
    patches = draw(num_samples=20)(sample)
    assert len(patches) == 20
    for patch in patches:
        assert patch["image"].shape == (2, *ROI)
        assert patch["label"].shape == (1, *ROI)
        assert patch["case"] == "a"
        for offset in product(*map(range, ROI)):
            voxel = tuple(place + step for place, step in zip(patch["place"].tolist(), offset, strict=True))
            for key in ("image", "label"):
                assert torch.equal(patch[key][(slice(None), *offset)], sample[key][(slice(None), *voxel)])


def test_a_sample_says_where_it_begins_and_of_how_many_places(sample):
    transform = draw(num_samples=5)
    found = places(transform.set_random_state(1), sample)
    for place, patch in zip(found, transform.set_random_state(1)(sample), strict=True):
        assert tuple(patch["place"].tolist()) == place
        assert patch["num_places"].tolist() == PLACES
        assert patch["place"].dtype == patch["num_places"].dtype == torch.int64
    assert set(sample) == {"image", "label", "case"}


def test_a_volume_of_the_size_of_a_patch_has_one_place(sample):
    for patch in draw(roi_size=SIZE, num_samples=2)(sample):
        assert torch.equal(patch["image"], sample["image"])
        assert patch["place"].tolist() == [0, 0, 0]
        assert patch["num_places"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("foreground", "least"), [(0.0, 0), (0.25, 1), (0.3, 1), (0.5, 2), (0.75, 3), (1, 4)])
def test_at_least_the_share_is_centred_at_foreground(sample, foreground, least):
    counts = [
        np.count_nonzero(classes_at_centres(draw(seed, num_samples=4, foreground=foreground), sample))
        for seed in range(40)
    ]
    assert min(counts) == least


def test_the_share_holds_on_average_when_one_patch_is_drawn_of_a_volume(sample):
    sample["label"][sample["label"] == 3] = 0
    transform = draw(num_samples=1, foreground=0.5)
    count = sum(classes_at_centres(transform, sample)[0] > 0 for _ in range(1000))
    # a half of them, and of the others the share of foreground among the possible centres; a standard deviation of 16
    assert count == pytest.approx(500 + 500 * 36 / np.prod(PLACES), abs=64)


def test_the_other_patches_are_drawn_from_the_whole_volume(sample):
    transform = draw(roi_size=(8, 8, 10), num_samples=500, foreground=0.5)
    assert set(places(transform, sample)[250:]) == set(product(range(2), range(3), range(3)))


def test_a_rare_class_is_as_often_in_the_middle_as_a_frequent_one(sample):
    classes = classes_at_centres(draw(num_samples=1000, foreground=1), sample)
    assert set(classes) == {1, 3}
    # 500 on average, with a standard deviation of 16
    assert classes.count(3) == pytest.approx(500, abs=64)


def test_every_voxel_of_a_class_is_in_the_middle_equally_often(sample):
    found = places(draw(num_samples=4000, foreground=1), sample)
    counts = np.unique([place for place in found if place != (4, 6, 6)], axis=0, return_counts=True)[1]
    # 36 voxels, each 2000 / 36 times on average, with a standard deviation of 7.4
    assert len(counts) == 36
    assert (np.abs(counts - 2000 / 36) < 32).all()


def places_by_a_scan(data, seed, number):
    """Draw from the list of all voxels of a class, with the same random numbers."""
    label, random = data["label"][0].numpy(), np.random.RandomState(seed)
    classes = np.unique(label[label > 0])
    for _ in range(number):
        voxels = np.argwhere(label == classes[random.randint(len(classes))])
        voxel = voxels[random.randint(len(voxels))]
        yield tuple(np.clip(voxel - np.array(ROI) // 2, 0, np.array(PLACES) - 1))


@pytest.mark.parametrize("prepare", [dict, pack_volume])
def test_the_places_are_those_of_a_scan_of_the_whole_label(sample, prepare):
    sample["label"] = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (1, *SIZE)).astype(np.float32))
    for seed in range(5):
        patches = draw(seed, num_samples=20, foreground=1)(prepare(sample))
        found = [tuple(patch["place"].tolist()) for patch in patches]
        assert found == list(places_by_a_scan(sample, seed, number=20))


@pytest.mark.parametrize("voxel", [*product((0, 8), (0, 9), (0, 11)), (1, 5, 11), (4, 9, 1), (8, 1, 6)])
def test_a_patch_at_the_border_is_moved_inside(sample, voxel):
    sample["label"].zero_()[(0, *voxel)] = 2
    wanted = [max(0, min(v - size // 2, n - 1)) for v, size, n in zip(voxel, ROI, PLACES, strict=True)]
    (patch,) = draw(num_samples=1, foreground=1)(sample)
    assert patch["place"].tolist() == wanted
    assert patch["label"].shape == (1, *ROI)
    assert patch["label"].sum() == 2


@pytest.mark.parametrize("change", [lambda s: s.pop("label"), lambda s: s["label"].zero_()])
def test_without_foreground_to_know_of_all_places_are_drawn_alike(sample, change):
    change(sample)
    found = places(draw(num_samples=4000, foreground=1, allow_missing_keys=True), sample)
    for axis, number in enumerate(PLACES):
        counts = np.bincount([place[axis] for place in found], minlength=number)
        # a standard deviation of at most 24
        assert len(counts) == number
        assert (np.abs(counts - 4000 / number) < 95).all()
    assert len(set(found)) > 0.99 * np.prod(PLACES)


def test_the_same_seed_gives_the_same_patches_and_another_seed_others(sample):
    assert places(draw(3, num_samples=4), sample) == places(draw(3, num_samples=4), sample)
    assert places(draw(3, num_samples=4), sample) != places(draw(4, num_samples=4), sample)


def test_one_transform_draws_anew_each_time(sample):
    transform = draw()
    assert len({tuple(places(transform, sample)) for _ in range(5)}) > 1


def test_the_volume_is_not_changed_nor_shared_with_its_patches(sample):
    before = {key: sample[key].clone() for key in ("image", "label")}
    for patch in draw(num_samples=20)(sample):
        patch["image"].zero_()
        patch["label"].zero_()
    assert all(torch.equal(sample[key], value) for key, value in before.items())
    assert "place" not in sample


def test_a_missing_key_is_refused_unless_allowed(sample):
    del sample["label"]
    with pytest.raises(KeyError, match="label"):
        draw()(sample)
    assert set(draw(allow_missing_keys=True)(sample)[0]) == {"image", "case", "place", "num_places"}


def test_the_label_may_have_another_name_and_need_not_be_cut(sample):
    transform = draw(keys="image", label_key="mask", foreground=1, num_samples=30)
    patches = transform({"image": sample["image"], "mask": sample["label"]})
    assert patches[0]["mask"] is sample["label"]
    middle = [tuple((patch["place"] + torch.tensor(ROI) // 2).tolist()) for patch in patches]
    assert all(sample["label"][(0, *voxel)] > 0 for voxel in middle)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi_size": (4, 4)}, r"roi_size must be three positive numbers, got \[4, 4\]"),
        ({"roi_size": (4, 0, 4)}, r"roi_size must be three positive numbers, got \[4, 0, 4\]"),
        ({"roi_size": 4}, r"roi_size must be three positive numbers, got \[4\]"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"foreground": 1.5}, r"foreground must be between 0 and 1, got 1\.5"),
        ({"foreground": -0.1}, r"foreground must be between 0 and 1, got -0\.1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandPatchesd(**{"keys": "image", "roi_size": ROI, **options})


@pytest.mark.parametrize("size", [(3, 10, 12), (9, 10, 4)])
def test_a_volume_smaller_than_a_patch_is_refused(size):
    with pytest.raises(InputError, match=r"at least as large as patches of \[4, 3, 5\], got \[ ?\d+ +\d+ +\d+\]"):
        draw(keys="image")({"image": torch.zeros(1, *size)})


def test_compose_seeds_it_and_hands_its_patches_on_one_by_one(sample):
    def sums(seed):
        pipeline = Compose([RandPatchesd("image", ROI, num_samples=4), lambda s: s["image"].sum()])
        return pipeline.set_random_state(seed)(sample)

    assert len(sums(1)) == 4
    assert sums(1) == sums(1) != sums(2)


def test_places_of_a_batch_stand_in_rows(sample):
    batch = list_data_collate([draw(seed, num_samples=2)(sample) for seed in range(3)])
    assert batch["image"].shape == (6, 1, *ROI)
    assert batch["place"].shape == batch["num_places"].shape == (6, 3)
    assert batch["case"] == ["a"] * 6


def test_it_builds_from_a_config(sample):
    config = {
        "draw": {
            "_target_": "semicl_monai.transforms.RandPatchesd",
            "keys": ["image"],
            "roi_size": [8, 8, 4],
            "num_samples": 2,
        }
    }
    assert [p["image"].shape for p in ConfigParser(config).get_parsed_content("draw")(sample)] == [(1, 8, 8, 4)] * 2
    assert isinstance(TRANSFORMS.build("rand_patches", keys="image", roi_size=ROI), RandPatchesd)


@pytest.mark.parametrize("foreground", [0.0, 0.5])
def test_patches_are_centred_on_annotated_voxels_if_others_are_not(foreground):
    label = torch.full((1, 12, 12, 12), -1.0)
    label[:, 2:5, 6:9, 7] = 0
    label[:, 3, 7, 7] = 2
    draw = RandPatchesd(["image", "label"], (3, 3, 3), num_samples=4, foreground=foreground).set_random_state(0)
    drawn = [s for _ in range(20) for s in draw({"image": torch.ones_like(label), "label": label})]
    assert all(sample["label"][0, 1, 1, 1] >= 0 for sample in drawn)
    assert len({tuple(sample["place"].tolist()) for sample in drawn}) == 9  # all annotated voxels
