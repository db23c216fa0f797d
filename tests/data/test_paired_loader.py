from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset

from semicl_monai.data import PairedDataLoader
from semicl_monai.utils import InputError


def loader(first, number, *keys, batch_size=2):
    return DataLoader(Dataset([dict.fromkeys(keys, first + i) for i in range(number)]), batch_size=batch_size)


def as_lists(batches):
    return [{key: values.tolist() for key, values in batch.items()} for batch in batches]


@pytest.fixture
def labelled():
    return loader(0, 4, "image", "label")


def test_batches_stand_side_by_side_and_unlabelled_ones_give_their_images_alone(labelled):
    pairs = PairedDataLoader(labelled, loader(10, 4, "image", "case"))
    wanted = [
        {"image": [0, 1], "label": [0, 1], "unlabelled_image": [10, 11]},
        {"image": [2, 3], "label": [2, 3], "unlabelled_image": [12, 13]},
    ]
    assert as_lists(pairs) == wanted
    assert as_lists(pairs) == wanted, "a second epoch"
    assert len(pairs) == 2


def test_batches_may_be_of_different_sizes(labelled):
    (first, _) = as_lists(PairedDataLoader(labelled, loader(10, 6, "image", batch_size=3)))
    assert (first["label"], first["unlabelled_image"]) == ([0, 1], [10, 11, 12])


@pytest.mark.parametrize("number", [2, 9])
def test_the_shorter_loader_ends_the_epoch(labelled, number):
    pairs = PairedDataLoader(labelled, loader(10, number, "image"))
    assert len(as_lists(pairs)) == len(pairs) == min(2, (number + 1) // 2)


def test_both_loaders_are_at_hand(labelled):
    unlabelled = loader(10, 4, "image")
    assert PairedDataLoader(labelled, unlabelled).loaders == (labelled, unlabelled)


def test_no_unlabelled_case_is_refused_in_one_line(labelled):
    with pytest.raises(InputError, match="needs unlabelled training volumes, got none: lower labelled_fraction") as no:
        PairedDataLoader(labelled, loader(0, 0, "image"))
    assert "\n" not in str(no.value)


def test_it_builds_from_a_config(labelled):
    config = {
        "loader": {
            "_target_": "semicl_monai.data.PairedDataLoader",
            "labelled": labelled,
            "unlabelled": loader(10, 4, "image"),
        }
    }
    assert len(ConfigParser(config).get_parsed_content("loader")) == 2
