from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from torch import nn

from semicl_monai.data import UsableImages
from semicl_monai.utils import InputError

RECORDS = [{"image": f"{case}.nii.gz", "case": case} for case in "abcde"]


def prepare(record):
    """Refuse b, fail at d."""
    if record["case"] == "b":
        raise InputError("case b: image file b.nii.gz must not be constant, got 0 in every voxel.")
    if record["case"] == "d":
        raise MemoryError("Unable to allocate\n9 TiB")
    return {"image": torch.ones(1, 4, 4), "case": record["case"]}


def cases(dataset):
    return [sample["case"] for sample in dataset]


def test_what_cannot_be_prepared_is_left_out_logged_and_told_together_at_the_end(caplog):
    dataset = UsableImages(RECORDS, Compose([prepare]))
    assert cases(dataset) == ["a", "c", "e"]
    reasons = ["case b: image file b.nii.gz must not be constant, got 0 in every voxel"]
    reasons += ["case d: MemoryError: Unable to allocate 9 TiB"]
    logged = [record.getMessage().removesuffix(".") for record in caplog.records if "left out" in record.getMessage()]
    assert logged == [f"left out: {reason}" for reason in reasons]
    with pytest.raises(InputError) as raised:
        dataset.check_none_left_out()
    assert str(raised.value) == f"2 of 5 images were left out: {'; '.join(reasons)}."


def test_a_second_pass_counts_anew_and_nothing_is_refused_where_nothing_was_left_out():
    dataset = UsableImages(RECORDS, Compose([prepare]))
    for _ in range(2):
        cases(dataset)
        assert len(dataset.left_out) == 2
    dataset.data = RECORDS[:1]
    assert cases(dataset) == ["a"]
    dataset.check_none_left_out()


def evaluate(records):
    dataset, seen = UsableImages(records, Compose([prepare])), []
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(dataset, batch_size=1),
        network=nn.Identity(),
        prepare_batch=lambda batch, *_, **__: (batch["image"], None),
        postprocessing=lambda sample: seen.append(sample["case"]) or sample,
    ).run()
    return seen


def test_an_evaluator_goes_through_the_usable_ones_once():
    assert evaluate(RECORDS) == ["a", "c", "e"]
    assert evaluate(RECORDS[1:2]) == []


def test_a_worker_process_is_refused():
    loader = DataLoader(UsableImages(RECORDS[:1], prepare), num_workers=1)
    with pytest.raises(InputError, match="dataloader::num_workers must be 0 for inference"):
        list(loader)


def test_it_builds_from_a_config():
    config = {"dataset": {"_target_": "semicl_monai.data.UsableImages", "data": RECORDS[:1]}}
    assert list(ConfigParser(config).get_parsed_content("dataset")) == RECORDS[:1]
