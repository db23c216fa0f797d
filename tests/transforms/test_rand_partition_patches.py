from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product
from math import floor

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from semicl_monai.transforms import TRANSFORMS, RandPartitionPatchesd
from semicl_monai.utils import InputError

ROI = (3, 4, 2)


def volume(*num_places):
    """A volume in which each voxel is different, and a patch has so many places along each axis."""
    size = [number + edge - 1 for number, edge in zip(num_places, ROI, strict=True)]
    return {"image": torch.arange(float(torch.tensor(size).prod())).view(1, *size), "case": "a"}


def draw(seed=0, keys="image", **options):
    return RandPartitionPatchesd(keys, ROI, **options).set_random_state(seed)


def shares(patches, num_partitions):
    """How many of the patches each partition gave, told by where between 0 and 1 the place of a patch lies."""
    counts = Counter(
        tuple(
            floor(parts * Fraction(place, number))
            for parts, place, number in zip(num_partitions, p["place"].tolist(), p["num_places"].tolist(), strict=True)
        )
        for p in patches
    )
    return [counts.pop(numbers, 0) for numbers in product(*map(range, num_partitions))] + list(counts.values())


@pytest.mark.parametrize("num_places", [(5, 1, 8), (2, 9, 11), (7, 3, 17)])
@pytest.mark.parametrize(
    ("num_samples", "num_partitions", "wanted"),
    [
        (8, (1, 1, 4), [2] * 4),
        (6, (1, 1, 4), [1, 1, 2, 2]),
        (2, (1, 1, 4), [0, 0, 1, 1]),
        (9, (2, 1, 3), [1, 1, 1, 2, 2, 2]),
        (3, (1, 1, 1), [3]),
    ],
)
def test_every_partition_gives_its_share(num_places, num_samples, num_partitions, wanted):
    for seed in range(5):
        patches = draw(seed, num_samples=num_samples, num_partitions=num_partitions)(volume(*num_places))
        assert sorted(shares(patches, num_partitions)) == wanted


def test_fewer_samples_than_partitions_come_from_any_of_them():
    transform = draw(num_samples=1)
    assert {int(patch["place"][2]) for _ in range(100) for patch in transform(volume(1, 1, 8))} == set(range(8))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_partitions_lie_along_the_axis_that_has_them(axis):
    num_partitions = [4 if other == axis else 1 for other in range(3)]
    patches = draw(num_samples=4, num_partitions=num_partitions)(volume(8, 8, 8))
    assert [int(patch["place"][axis]) // 2 for patch in patches] == [0, 1, 2, 3]


def test_every_place_of_every_partition_is_drawn():
    transform = draw(num_samples=8, num_partitions=(2, 1, 2))
    found = {tuple(patch["place"].tolist()) for _ in range(150) for patch in transform(volume(3, 2, 5))}
    assert found == set(product(range(3), range(2), range(5)))


def test_a_sample_is_the_patch_it_says():
    data = volume(5, 6, 8)
    for patch in draw(num_samples=8)(data):
        assert patch["num_places"].tolist() == [5, 6, 8]
        x, y, z = patch["place"].tolist()
        assert torch.equal(patch["image"], data["image"][:, x : x + 3, y : y + 4, z : z + 2])
        assert patch["case"] == "a"


@pytest.mark.parametrize(("depth", "wanted"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2])])
def test_a_volume_of_fewer_places_than_partitions_gives_fewer_samples(depth, wanted):
    patches = draw(num_samples=4, num_partitions=(1, 1, 4))(volume(5, 5, depth))
    assert [int(patch["place"][2]) for patch in patches] == wanted


def test_a_partition_that_is_empty_along_one_axis_gives_nothing_whatever_the_others_have():
    patches = draw(num_samples=12, num_partitions=(2, 3, 2))(volume(1, 9, 2))
    assert [(int(p["place"][0]), int(p["place"][1]) // 3, int(p["place"][2])) for p in patches] == [
        *product([0], range(3), range(2))
    ]


def test_foreground_does_not_matter():
    data = volume(5, 5, 12)
    data["label"] = torch.zeros_like(data["image"])
    data["label"][0, 0, 0, 0] = 1
    with_label, without = draw(keys=("image", "label"))(data), draw()(volume(5, 5, 12))
    assert [p["place"].tolist() for p in with_label] == [p["place"].tolist() for p in without]
    assert all(p["label"].shape == (1, *ROI) for p in with_label)


def test_the_same_seed_gives_the_same_patches_and_another_seed_others():
    def places(seed):
        pipeline = Compose([RandPartitionPatchesd("image", ROI), lambda s: s["place"].tolist()])
        return pipeline.set_random_state(seed)(volume(9, 9, 40))

    assert places(1) == places(1) != places(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_partitions": (1, 0, 4)}, r"num_partitions must be three positive numbers, got \[1, 0, 4\]"),
        ({"num_partitions": (4,)}, r"num_partitions must be three positive numbers, got \[4\]"),
        ({"num_partitions": 4}, r"num_partitions must be three positive numbers, got \[4\]"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"roi_size": (4, 4)}, r"roi_size must be three positive numbers, got \[4, 4\]"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandPartitionPatchesd(**{"keys": "image", "roi_size": ROI, **options})


def test_a_volume_smaller_than_a_patch_is_refused():
    with pytest.raises(InputError, match=r"at least as large as patches of \[3, 4, 2\], got \[3 3 9\]"):
        draw()({"image": torch.zeros(1, 3, 3, 9)})


def test_it_builds_from_a_config():
    config = {
        "draw": {
            "_target_": "semicl_monai.transforms.RandPartitionPatchesd",
            "keys": ["image"],
            "roi_size": [3, 4, 2],
            "num_samples": 6,
            "num_partitions": [1, 3, 1],
        }
    }
    assert shares(ConfigParser(config).get_parsed_content("draw")(volume(4, 9, 4)), (1, 3, 1)) == [2, 2, 2]
    assert isinstance(TRANSFORMS.build("rand_partition_patches", keys="image", roi_size=ROI), RandPartitionPatchesd)
