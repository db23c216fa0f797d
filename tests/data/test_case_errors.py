from __future__ import annotations

import re

import pytest
import torch
from monai.data import list_data_collate
from monai.transforms import Compose, Lambda, MapTransform, Transform

from semicl_monai.data.case_errors import collate_cases, errors_of_case
from semicl_monai.utils import InputError


class Break(Transform):
    def __call__(self, data):
        raise ValueError("no such\n   slice")


class Outer(Transform):
    """A transform that applies others, as TwoViewd does."""

    def __call__(self, data):
        return Compose([Break()])(data)


class Refuse(MapTransform):
    def __call__(self, data):
        raise InputError("case a: image file a.nii is not there.")


def error_of(transform, data=None):
    with pytest.raises(InputError) as raised, errors_of_case("c01"):
        transform(data or {"case": "c01"})
    return str(raised.value)


@pytest.mark.parametrize("transform", [Compose([Break()]), Compose([Compose([Break()])]), Compose([Outer()])])
def test_the_innermost_transform_is_named_and_its_reason_in_one_line(transform):
    assert error_of(transform) == "case c01: Break failed: ValueError: no such slice"


def test_what_is_no_transform_fails_too():
    assert error_of(lambda data: data["image"]) == "case c01: preparing it failed: KeyError: 'image'"
    assert error_of(Compose([Lambda(lambda data: 1 / 0)])) == (
        "case c01: Lambda failed: ZeroDivisionError: division by zero"
    )


def test_an_input_error_passes_without_what_is_wrapped_around_it():
    assert error_of(Compose([Refuse("image")])) == "case a: image file a.nii is not there."


def test_the_original_error_is_the_cause():
    with pytest.raises(InputError) as raised, errors_of_case("c01"):
        raise KeyError("image")
    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_no_error_of_a_case(end):
    with pytest.raises(end), errors_of_case("c01"):
        raise end


def sample(case, size):
    return {"case": case, "image": torch.zeros(1, size)}


@pytest.mark.parametrize("drawn", [False, True])
def test_samples_that_do_not_fit_together_are_named(drawn):
    samples = [[sample(case, size)] * 2 if drawn else sample(case, size) for case, size in [("a", 3), ("b", 4)]]
    wanted = "cases a, b: cannot be put into one batch: RuntimeError: stack expects each tensor to be equal size"
    with pytest.raises(InputError, match=f"^{re.escape(wanted)}") as raised:
        collate_cases(samples, list_data_collate)
    assert "\n" not in str(raised.value)


def test_samples_that_fit_are_a_batch():
    assert collate_cases([sample("a", 3), sample("b", 3)], list_data_collate)["image"].shape == (2, 1, 3)
