from __future__ import annotations

import re
from itertools import islice

import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset

from semicl_monai.data import AugmentingDataLoader, PairedDataLoader, paired_batches, paired_loader
from semicl_monai.utils import InputError


def loader(first, number, *keys, batch_size=2):
    return DataLoader(Dataset([dict.fromkeys(keys, first + i) for i in range(number)]), batch_size=batch_size)


class Seeded(Dataset):
    """Takes an index and a seed."""

    def __getitem__(self, index):
        return super().__getitem__(index[0])


def as_lists(batches):
    return [{key: values.tolist() for key, values in batch.items()} for batch in batches]


@pytest.fixture
def labelled():
    return loader(0, 4, "image", "label")


def test_batches_stand_side_by_side_and_unlabelled_ones_give_their_images_and_names_alone(labelled):
    pairs = PairedDataLoader(labelled, loader(10, 4, "image", "case", "place"))
    wanted = [
        {"image": [0, 1], "label": [0, 1], "unlabelled_image": [10, 11], "unlabelled_case": [10, 11]},
        {"image": [2, 3], "label": [2, 3], "unlabelled_image": [12, 13], "unlabelled_case": [12, 13]},
    ]
    assert as_lists(pairs) == wanted
    assert as_lists(pairs) == wanted, "a second epoch"
    assert len(pairs) == 2


def test_label_maps_of_unlabelled_images_come_along(labelled):
    pairs = PairedDataLoader(labelled, loader(10, 4, "image", "label"))
    assert as_lists(pairs)[1] == {
        "image": [2, 3],
        "label": [2, 3],
        "unlabelled_image": [12, 13],
        "unlabelled_label": [12, 13],
    }


def test_a_weak_view_of_unlabelled_images_comes_along_and_nothing_else(labelled):
    pairs = PairedDataLoader(labelled, loader(10, 4, "image", "weak_image", "place", "case"))
    assert as_lists(pairs)[1] == {
        "image": [2, 3],
        "label": [2, 3],
        "unlabelled_image": [12, 13],
        "unlabelled_weak_image": [12, 13],
        "unlabelled_case": [12, 13],
    }


def test_both_views_of_other_images_come_along_and_their_labels_do_not():
    pairs = PairedDataLoader(
        loader(0, 2, "view1_image", "view2_image", "view1_label"),
        loader(10, 2, "view1_image", "view2_image", "view1_label", "place"),
    )
    (pair,) = as_lists(pairs)
    others = {key: value for key, value in pair.items() if key.startswith("unlabelled_")}
    assert others == {"unlabelled_view1_image": [10, 11], "unlabelled_view2_image": [10, 11]}
    assert pair["view1_label"] == [0, 1]


def test_a_weak_view_is_not_taken_for_the_image():
    cases = [{"image": i, "weak_image": 100 + i} for i in range(2)]
    (pair,) = as_lists(PairedDataLoader(loader(0, 2, "image", "label"), DataLoader(Dataset(cases), batch_size=2)))
    assert (pair["unlabelled_image"], pair["unlabelled_weak_image"]) == ([0, 1], [100, 101])


def test_what_is_labelled_has_no_weak_view_of_its_own_taken_away():
    pairs = PairedDataLoader(loader(0, 2, "image", "label", "weak_image"), loader(10, 2, "image"))
    assert as_lists(pairs) == [{"image": [0, 1], "label": [0, 1], "weak_image": [0, 1], "unlabelled_image": [10, 11]}]


def test_batches_of_a_warm_up_are_labelled_ones_alone(labelled):
    pairs = PairedDataLoader(labelled, loader(10, 4, "image"), warm_up_epochs=2)
    for epoch, warm in [(1, True), (2, True), (3, False), (2, True)]:
        pairs.set_epoch(epoch)
        assert len(as_lists(pairs)) == len(pairs) == 2
        assert all(("unlabelled_image" in batch) != warm for batch in pairs)
        assert [batch["label"] for batch in as_lists(pairs)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_of_a_warm_up_is_as_long_as_any_other(labelled, epoch):
    pairs = PairedDataLoader(labelled, loader(10, 2, "image"), warm_up_epochs=1)
    pairs.set_epoch(epoch)
    assert len(as_lists(pairs)) == len(pairs) == 1


@pytest.mark.parametrize("epoch", [1, 2])
def test_after_the_warm_up_the_parts_of_a_labelled_batch_are_paired_one_by_one(epoch):
    labelled, unlabelled = loader(0, 12, "image", "label", batch_size=4), loader(10, 6, "image")
    pairs = PairedDataLoader(labelled, unlabelled, warm_up_epochs=1, parts=2)
    pairs.set_epoch(epoch)
    batches = as_lists(pairs)
    assert len(batches) == len(pairs) == 3
    whole, halves = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], [[0, 1], [2, 3], [4, 5]]
    assert [batch["image"] for batch in batches] == [batch["label"] for batch in batches] == [whole, halves][epoch - 1]
    others = [batch["unlabelled_image"] for batch in batches if "unlabelled_image" in batch]
    assert others == [[], [[10, 11], [12, 13], [14, 15]]][epoch - 1]


@pytest.mark.parametrize(("batch_size", "wanted", "parts"), [(4, None, 1), (4, 4, 1), (4, 2, 2), (4, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_labelled_batches_are_split_into_the_wanted_number_of_volumes(batch_size, wanted, parts, num_workers):
    dataset = Seeded([{"image": i, "label": i, "case": str(i)} for i in range(12)])
    labelled = AugmentingDataLoader(dataset, num_samples=12, batch_size=batch_size, num_workers=num_workers)
    pairs = paired_batches(labelled, dataset, wanted=True, labelled_batch_size=wanted)
    for _ in range(2):
        batches = list(pairs)
        assert pairs.parts == parts
        assert len(batches) == 12 // batch_size
        for batch in batches:
            assert len(batch["image"]) == len(batch["label"]) == len(batch["case"]) == batch_size // parts
            assert len(batch["unlabelled_image"]) == len(batch["unlabelled_case"]) == batch_size


def test_slices_of_a_volume_stay_together():
    dataset = Seeded([[{"image": 10 * i + n, "label": 0} for n in range(3)] for i in range(4)])
    labelled = AugmentingDataLoader(dataset, num_samples=4, batch_size=2)
    for batch in paired_batches(labelled, dataset, wanted=True, labelled_batch_size=1):
        first = int(batch["image"][0])
        assert first % 10 == 0
        assert batch["image"].tolist() == [first, first + 1, first + 2]


@pytest.mark.parametrize(("batch_size", "wanted"), [(4, 3), (2, 4)])
def test_a_batch_that_cannot_be_split_evenly_is_refused(batch_size, wanted):
    dataset = Seeded([{"image": 0, "label": 0}] * 4)
    labelled = AugmentingDataLoader(dataset, num_samples=4, batch_size=batch_size)
    message = f"batch_size must be a multiple of labelled_batch_size {wanted}, got {batch_size}."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        paired_batches(labelled, dataset, wanted=True, labelled_batch_size=wanted)


def test_each_of_several_processes_takes_at_least_one_labelled_volume(monkeypatch):
    monkeypatch.setattr(paired_loader, "rank_and_size", lambda: (0, 2))
    dataset = Seeded([{"image": 0, "label": 0}] * 4)
    labelled = AugmentingDataLoader(dataset, num_samples=4, batch_size=2)
    assert [paired_batches(labelled, dataset, True, 0, wanted).parts for wanted in (1, 2, 4)] == [2, 2, 1]


def test_batches_may_be_of_different_sizes(labelled):
    (first, _) = as_lists(PairedDataLoader(labelled, loader(10, 6, "image", batch_size=3)))
    assert (first["label"], first["unlabelled_image"]) == ([0, 1], [10, 11, 12])


@pytest.mark.parametrize("number", [2, 9])
def test_the_shorter_loader_ends_the_epoch(labelled, number):
    pairs = PairedDataLoader(labelled, loader(10, number, "image"))
    assert len(as_lists(pairs)) == len(pairs) == min(2, (number + 1) // 2)


class Short(DataLoader):
    """Ends one batch before what it has promised."""

    def __iter__(self):
        return islice(super().__iter__(), len(self) - 1)


@pytest.mark.parametrize("short", ["labelled", "unlabelled", "warm-up"])
def test_an_epoch_that_is_shorter_than_promised_is_an_error(labelled, short):
    other, early = loader(10, 4, "image"), Short(Dataset([{"image": 0, "label": 0}] * 4), batch_size=2)
    pair = (labelled, early) if short == "unlabelled" else (early, other)
    pairs = PairedDataLoader(*pair, warm_up_epochs=int(short == "warm-up"))
    with pytest.raises(RuntimeError, match=r"^an epoch must have 2 batches, got 1: its loader ended early\.$"):
        list(pairs)


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
