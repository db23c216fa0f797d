from __future__ import annotations

import json

import pytest
import torch

from semicl_monai.utils import InputError, Provenance, save_tensors, state_digest, with_provenance
from semicl_monai.utils.provenance import provenance_in

CASE = {"case": "a", "image": "0123", "patient": "p"}
FULL = Provenance("pcl", "45", "67", True, ("heart", "aorta"), (CASE,), (), ({**CASE, "case": "b"},))


def test_it_is_read_back_from_json():
    assert Provenance.from_dict(json.loads(json.dumps(FULL.to_dict())), "model.json") == FULL


def test_it_travels_with_the_tensors_and_is_none_of_them(tmp_path):
    state = {"weight": torch.ones(2)}
    save_tensors(with_provenance(state, FULL), tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(loaded) == ["weight"]
    found = Provenance.from_dict(provenance_in(loaded), "model.pt")
    assert (found.method, found.state, found.labelled) == ("pcl", state_digest(state), (CASE,))
    assert found.belongs_to(loaded)
    loaded["weight"] += 1
    assert not found.belongs_to(loaded)


@pytest.mark.parametrize(
    "content", [{}, [1], torch.zeros(1), {"provenance": "from a friend"}, {"weight": torch.ones(1)}]
)
def test_what_says_nothing_has_none(content):
    assert provenance_in(content) is None


def test_cases_are_listed_by_part():
    assert [case["case"] for case in FULL.seen("validation", "labelled")] == ["b", "a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labelled": "a"}, "'labelled' must be a list of mappings with case, image, patient, got a."),
        ({"labelled": ["a"]}, r"'labelled' must be a list of mappings with case, image, patient, got \['a'\]."),
        ({"unlabelled": {"a": CASE}}, "'unlabelled' must be a list of mappings"),
        ({"validation": [{**CASE, "image": None}]}, "'validation' must be a list of mappings"),
        ({"validation": [{"case": "a"}]}, "'validation' must be a list of mappings"),
        ({"method": 3}, "'method' must be text, got 3."),
        ({"state": ["x"]}, r"'state' must be text, got \['x'\]."),
        ({"from_unknown": "false"}, "'from_unknown' must be a bool, got false."),
        ({"classes": "heart"}, "'classes' must be a list of text, got heart."),
        ({"classes": [1]}, r"'classes' must be a list of text, got \[1\]."),
        (
            {"tested": []},
            "must have the entries method, pretrained, state, from_unknown, classes, labelled, unlabel",
        ),
    ],
)
def test_anything_else_is_refused(change, message):
    with pytest.raises(InputError, match=rf"^the provenance in model\.pt {message}"):
        Provenance.from_dict({**FULL.to_dict(), **change}, "model.pt")


@pytest.mark.parametrize("content", ["labelled", [], None])
def test_it_must_be_a_mapping(content):
    with pytest.raises(InputError, match=r"^the provenance in model\.pt must be a mapping, got "):
        Provenance.from_dict(content, "model.pt")
