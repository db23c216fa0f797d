from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose, Randomizable, Transform

from semicl_monai.data import VolumeDataset
from semicl_monai.utils import InputError


class Load(Transform):
    """Stands for opening a file."""

    def __init__(self):
        self.opened = []

    def __call__(self, data):
        self.opened.append(data["case"])
        return {**data, "image": len(self.opened)}


class Draw(Randomizable, Transform):
    def __call__(self, data):
        return {**data, "drawn": self.R.rand()}


@pytest.fixture
def load():
    return Load()


@pytest.fixture
def dataset(load):
    return VolumeDataset([{"case": case} for case in "abc"], Compose([load, Draw()]))


def test_building_it_opens_no_file(dataset, load):
    assert len(dataset) == 3
    assert load.opened == []


def test_a_volume_is_opened_when_it_is_first_needed_and_only_once(dataset, load):
    samples = [dataset[1] for _ in range(3)]
    assert load.opened == ["b"]
    assert len({sample["drawn"] for sample in samples}) == 3


def test_prepare_opens_every_volume_once(dataset, load):
    assert dataset[1]["image"] == 1
    dataset.prepare()
    assert load.opened == ["b", "a", "c"]
    dataset.prepare()
    assert [dataset[index]["case"] for index in range(3)] == ["a", "b", "c"]
    assert load.opened == ["b", "a", "c"]


def test_prepare_meets_bad_input_before_training():
    def refuse(data):
        raise ValueError(f"bad case {data['case']}")

    dataset = VolumeDataset(
        [{"case": "a"}], Compose([type("Refuse", (Transform,), {"__call__": lambda s, d: refuse(d)})()])
    )
    with pytest.raises(InputError, match=r"^case a: Refuse failed: ValueError: bad case a$"):
        dataset.prepare()
    with pytest.raises(InputError, match=r"^case a: Refuse failed: ValueError: bad case a$"):
        dataset[0]


def test_prepare_shows_its_progress_and_says_nothing_about_no_volumes(dataset, capsys):
    VolumeDataset([], Compose([])).prepare()
    assert capsys.readouterr().err == ""
    dataset.prepare()
    assert "Loading volumes: 100%" in capsys.readouterr().err


class NoSlice(Randomizable, Transform):
    def __call__(self, data):
        raise IndexError("no such slice")


def test_a_random_transform_that_fails_names_the_case_and_ends_no_iteration():
    dataset = VolumeDataset([{"case": case} for case in "ab"], Compose([NoSlice()]))
    message = "^case b: NoSlice failed: IndexError: no such slice$"
    with pytest.raises(InputError, match=message):
        dataset[1]
    with pytest.raises(InputError, match=message):
        dataset[-1, 7]
    with pytest.raises(InputError, match=r"^case a: NoSlice failed"):
        list(dataset)


def test_an_index_too_high_ends_an_iteration(dataset):
    assert [sample["case"] for sample in dataset] == ["a", "b", "c"]
    with pytest.raises(IndexError):
        dataset[3]


def test_what_is_prepared_has_not_been_augmented(dataset, load):
    dataset[1]
    assert dataset.prepared() == [{"case": case, "image": number} for case, number in [("a", 2), ("b", 1), ("c", 3)]]
    dataset.prepared()
    assert load.opened == ["b", "a", "c"]


def test_it_builds_from_a_config():
    config = {
        "dataset": {
            "_target_": "semicl_monai.data.VolumeDataset",
            "data": [{"image": 1.0}],
            "transform": {
                "_target_": "Compose",
                "transforms": [{"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x + 1"}],
            },
        }
    }
    assert ConfigParser(config).get_parsed_content("dataset")[0]["image"] == 2


def test_a_record_without_a_name_is_named_by_its_image():
    records = [{"image": "folder/a.nii.gz"}, {"image": "folder/b.nii.gz", "case": "other"}]
    assert [record["case"] for record in VolumeDataset(records).data] == ["a", "other"]
