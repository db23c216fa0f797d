from __future__ import annotations

import logging
import re

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Lambda

from semicl_monai.data import VolumeDataset, check_foreground
from semicl_monai.utils import InputError


def dataset(**values):
    """A data set of volumes whose labels hold one voxel of a value; ``None`` stands for a volume without a label."""
    labels = {case: {} if value is None else {"label": torch.eye(3) * value} for case, value in values.items()}
    return VolumeDataset([{"case": case, **label} for case, label in labels.items()], Compose([]))


def test_labels_that_are_all_empty_are_refused_and_named(caplog):
    message = "at least one label of the training volumes must hold foreground (a value above 0), got 2 empty: a, b."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_foreground([dataset(x=1.0), dataset(a=0.0, b=0.0)])
    with pytest.raises(InputError, match=r"got 1 empty: a\.$"):
        check_foreground([dataset(a=0.0, unlabelled=None)])
    with pytest.raises(InputError, match=r"got 12 empty: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more\.$"):
        check_foreground([dataset(**{f"c{i}": 0.0 for i in range(12)})])
    assert not caplog.records


def test_some_that_are_empty_are_named_in_a_warning(caplog):
    check_foreground([dataset(a=0.0, b=2.0, c=0.0, d=None)])
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        "2 of 3 training labels hold no foreground: a, c.",
    )


@pytest.mark.parametrize("datasets", [[], [dataset()], [dataset(a=1.0, b=2.0)], [dataset(a=None, b=None)]])
def test_nothing_is_said_of_full_labels_and_of_none(datasets, caplog):
    check_foreground(datasets)
    assert not caplog.records


def test_it_looks_at_the_prepared_label():
    """Values that a transform turns into background count as such."""
    records = [{"case": "a", "label": torch.ones(3)}]
    empty = VolumeDataset(records, Compose([Lambda(lambda data: {**data, "label": data["label"] * 0})]))
    config = {"check": {"_target_": "semicl_monai.data.check_foreground", "datasets": [empty]}}
    with pytest.raises(RuntimeError, match="check_foreground") as raised:
        ConfigParser(config).get_parsed_content("check")
    assert isinstance(raised.value.__cause__, InputError)
