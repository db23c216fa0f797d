from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from semicl_monai.transforms import TRANSFORMS, RandPartitionSlicesd
from semicl_monai.utils import InputError


def volume(*size):
    """A volume in which each voxel is different."""
    return {"image": torch.arange(float(torch.tensor(size).prod())).view(1, *size), "case": "a"}


def draw(seed=0, keys="image", **options):
    return RandPartitionSlicesd(keys, **options).set_random_state(seed)


def shares(slices, num_partitions):
    """How many of the slices each partition gave, told by where between 0 and 1 a slice lies."""
    places = [Fraction(s["place"], s["num_places"]) for s in slices]
    edges = [Fraction(number, num_partitions) for number in range(num_partitions + 1)]
    return [sum(low <= place < high for place in places) for low, high in pairwise(edges)]


@pytest.mark.parametrize("thickness", [8, 10, 17, 36])
@pytest.mark.parametrize(
    ("num_samples", "num_partitions", "wanted"),
    [(8, 4, [2] * 4), (6, 4, [1, 1, 2, 2]), (2, 4, [0, 0, 1, 1]), (5, 3, [1, 2, 2]), (4, 1, [4])],
)
def test_every_partition_gives_its_share(thickness, num_samples, num_partitions, wanted):
    for seed in range(10):
        slices = draw(seed, num_samples=num_samples, num_partitions=num_partitions)(volume(2, 2, thickness))
        assert sorted(shares(slices, num_partitions)) == wanted
        assert len({s["place"] for s in slices}) == num_samples


def test_fewer_samples_than_partitions_come_from_any_of_them():
    transform = draw(num_samples=1, num_partitions=4)
    assert {s["place"] for _ in range(100) for s in transform(volume(2, 2, 8))} == set(range(8))


def test_every_slice_of_a_partition_is_drawn():
    transform = draw()
    assert {s["place"] for _ in range(100) for s in transform(volume(2, 2, 10))} == set(range(10))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sample_is_the_slice_it_says(axis):
    data = volume(8, 9, 10)
    for sample in draw(axis=axis)(data):
        assert sample["num_places"] == 8 + axis
        assert torch.equal(sample["image"], data["image"].unbind(1 + axis)[sample["place"]])
        assert sample["case"] == "a"


@pytest.mark.parametrize(("thickness", "wanted"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2])])
def test_a_volume_of_fewer_slices_than_partitions_gives_fewer_samples(thickness, wanted):
    assert [s["place"] for s in draw(num_samples=4, num_partitions=4)(volume(2, 2, thickness))] == wanted


def test_a_partition_of_one_slice_gives_it_again_and_again():
    slices = draw(num_samples=8, num_partitions=4)(volume(2, 2, 4))
    assert [s["place"] for s in slices] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_foreground_does_not_matter():
    data = volume(2, 2, 12)
    data["label"] = torch.zeros(1, 2, 2, 12)
    data["label"][..., 0] = 1
    with_label, without = draw(keys=("image", "label"))(data), draw()(volume(2, 2, 12))
    assert [s["place"] for s in with_label] == [s["place"] for s in without]
    assert all(s["label"].shape == (1, 2, 2) for s in with_label)


def test_the_same_seed_gives_the_same_slices_and_another_seed_others():
    def indices(seed):
        pipeline = Compose([RandPartitionSlicesd("image"), lambda s: s["place"]]).set_random_state(seed)
        return pipeline(volume(2, 2, 40))

    assert indices(1) == indices(1) != indices(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_partitions": 0}, "num_partitions must be positive, got 0"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"axis": 3}, "axis must be 0, 1 or 2, got 3"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RandPartitionSlicesd("image", **options)


def test_it_builds_from_a_config():
    config = {
        "draw": {
            "_target_": "semicl_monai.transforms.RandPartitionSlicesd",
            "keys": ["image"],
            "num_samples": 6,
            "num_partitions": 3,
        }
    }
    assert shares(ConfigParser(config).get_parsed_content("draw")(volume(2, 2, 9)), 3) == [2, 2, 2]
    assert isinstance(TRANSFORMS.build("rand_partition_slices", keys="image"), RandPartitionSlicesd)
