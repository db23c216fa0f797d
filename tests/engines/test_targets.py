from __future__ import annotations

from hashlib import blake2b

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import image_number, place_in_volume


def batch(*names):
    """A collated batch of slices, named like ``"a 3"``: slice 3 of case a."""
    cases, slices = zip(*(name.split() for name in names), strict=True)
    return {
        "case": list(cases),
        "place": torch.tensor([int(number) for number in slices]),
        "num_places": torch.tensor([40 + len(case) for case in cases]),
    }


@pytest.fixture
def patches():
    """A collated batch of patches: the last two are at one place, the third is of another volume."""
    places = [[3, 1, 2], [3, 2, 1], [3, 1, 2], [0, 0, 7], [0, 0, 7]]
    sizes = [[5, 6, 8], [5, 6, 8], [9, 8, 7], [5, 6, 8], [5, 6, 8]]
    return {"case": ["a", "a", "b", "a", "a"], "place": torch.tensor(places), "num_places": torch.tensor(sizes)}


def test_the_same_slice_has_the_same_number_in_every_batch():
    first, second = image_number(batch("a 3", "b 3", "a 4")), image_number(batch("c 1", "a 4", "a 3"))
    assert first[0] == second[2]
    assert first[2] == second[1]
    assert image_number(batch("a 3", "a 3")).unique().numel() == 1


def test_other_slices_have_other_numbers_also_where_case_and_slice_read_alike():
    numbers = image_number(batch("a 12", "a1 2", "a12 0", "b 12", "a 2", "a 1"))
    assert numbers.unique().numel() == 6


def test_numbers_are_not_negative_and_a_thousand_slices_share_none():
    numbers = image_number(batch(*(f"case{case} {index}" for case in range(25) for index in range(40))))
    assert numbers.dtype == torch.int64
    assert numbers.min() >= 0
    assert numbers.unique().numel() == 1000


def test_numbers_follow_from_the_names_and_not_from_the_process():
    """Python's own hash of a text differs from one process, and from one rank, to the next."""
    digest = blake2b(b"a/3", digest_size=8).hexdigest()
    assert image_number(batch("a 3")).tolist() == [int(digest, 16) // 2]


def test_a_slice_of_a_volume_is_the_volume_the_slice_and_how_many_there_are():
    target = place_in_volume(batch("a 3", "bb 3", "a 5"))
    assert target.place.tolist() == [[3], [3], [5]]
    assert target.num_places.tolist() == [[41], [42], [41]]
    assert target.volume[0] == target.volume[2] != target.volume[1]
    assert place_in_volume(batch("ccc 1", "a 7")).volume[1] == target.volume[0]


def test_a_patch_of_a_volume_is_the_volume_its_places_and_how_many_there_are_along_each_axis(patches):
    target = place_in_volume(patches)
    assert [(part.shape, part.dtype) for part in target] == [((5, *axes), torch.int64) for axes in ((), (3,), (3,))]
    a, b = place_in_volume(batch("a 3", "b 3")).volume.tolist()
    assert target.volume.tolist() == [a, a, b, a, a]
    assert torch.equal(target.place, patches["place"])
    assert torch.equal(target.num_places, patches["num_places"])


def test_a_batch_of_one_patch_is_a_row(patches):
    one = {key: values[2:3] for key, values in patches.items()}
    wanted = place_in_volume(patches).map(lambda part: part[2:3])
    assert all(map(torch.equal, place_in_volume(one), wanted))
    assert image_number(one).tolist() == image_number(patches)[2:3].tolist()


def test_the_same_patch_has_the_same_number_and_others_have_others(patches):
    numbers = image_number(patches)
    assert numbers.dtype == torch.int64
    assert numbers.min() >= 0
    assert numbers[3] == numbers[4]
    assert numbers.unique().numel() == 4
    moved = {**patches, "place": patches["place"].flip(1)}
    assert not set(image_number(moved).tolist()) & set(numbers.tolist())


@pytest.mark.parametrize(("name", "length"), [("image_number", 2), ("place_in_volume", 3)])
def test_they_come_from_a_config(name, length):
    config = {"target": {"_target_": f"semicl_monai.engines.{name}", "_mode_": "callable"}}
    assert len(ConfigParser(config).get_parsed_content("target")(batch("a 3", "b 1"))) == length
