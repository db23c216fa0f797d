from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.methods import (
    METHODS,
    PCL,
    FineTuningMethod,
    Method,
    PretrainingMethod,
    SimCLR,
    build_method,
    find_method,
    objectives_of,
    stages_of,
)
from semicl_monai.methods.registry import name_of
from semicl_monai.utils import InputError

OBJECTIVES = {
    "random": [],
    "rotation": ["rotation"],
    "pirl": ["jigsaw"],
    "simclr": ["global"],
    "global": ["global"],
    "chaitanya_global": ["partition"],
    "chaitanya_global_local": ["partition", "region"],
    "pcl": ["position"],
    "local": ["local"],
    "global_local": ["global", "local"],
    "mixup": [],
    "mean_teacher": [],
    "tcsm": [],
    "self_training": [],
    "cross_teaching": [],
    "local_pseudo": [],
    "local_self_training": [],
    "joint": ["joint"],
}


@dataclass(frozen=True)
class Own(PretrainingMethod):
    """A method of the user's own."""

    objective = "own"
    rate: float = 1.0

    def loss(self):
        return torch.nn.MSELoss()


def test_these_methods_are_known():
    assert sorted(METHODS.names) == sorted(OBJECTIVES)


@pytest.mark.parametrize(("method", "stages"), OBJECTIVES.items())
def test_a_method_trains_for_its_objectives_in_order(method, stages):
    assert objectives_of(method) == stages
    assert issubclass(find_method(method), PretrainingMethod if stages else FineTuningMethod)


@pytest.mark.parametrize("name", METHODS.names)
def test_a_stage_is_a_method_that_trains_for_it_and_for_those_before(name):
    stages = stages_of(METHODS[name])
    assert [objectives_of(name_of(stage)) for stage in stages] == [
        OBJECTIVES[name][: count + 1] for count in range(len(stages))
    ]


def test_two_names_of_one_method_are_one_method():
    assert METHODS["global"] is METHODS["simclr"] is SimCLR
    assert name_of(SimCLR) == "simclr"


def test_a_method_of_the_users_own_is_found_by_its_dotted_path(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "own_methods", type(pytest)("own_methods"))
    monkeypatch.setattr("own_methods.Own", Own, raising=False)
    assert find_method("own_methods.Own") is Own
    assert build_method("own_methods.Own", rate=2.0, temperature=3.0) == Own(rate=2.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.Own", r"method nowhere\.Own cannot be loaded: No module named 'nowhere'\."),
        ("collections.Own", r"method collections\.Own cannot be loaded: module 'collections' has no attribute 'Own'\."),
        (
            "collections.OrderedDict",
            r"method collections\.OrderedDict must be a subclass of semicl_monai\.methods\.Method, ",
        ),
    ],
)
def test_what_is_no_method_is_refused(name, message):
    with pytest.raises(InputError, match=f"^{message}"):
        find_method(name)


def test_an_unknown_method_is_refused_with_what_was_probably_meant_and_all_that_are_known():
    with pytest.raises(InputError, match="unknown method 'global_locl', did you mean 'global_local'") as refusal:
        find_method("global_locl")
    assert set(str(refusal.value).split("known: ")[1].rstrip(".").split(", ")) == set(OBJECTIVES)


def test_fields_come_from_arguments_then_from_the_config_and_else_are_the_methods_own():
    config = {
        "temperature": 0.3,
        "position_threshold": 0.2,
        "method": {
            "_target_": "semicl_monai.methods.build_method",
            "method": "pcl",
            "temperature": 0.4,
            "patch_size": 3,
        },
    }
    built = ConfigParser(config).get_parsed_content("method")
    assert built == PCL(temperature=0.4, position_threshold=0.2)
    assert build_method("pcl") == PCL(temperature=0.1, position_threshold=0.1)
    assert built.options() == {"tap": "bottleneck", "temperature": 0.4, "position_threshold": 0.2}


def test_every_method_says_what_it_does_and_where_it_is_from():
    for name in METHODS.names:
        assert METHODS.components[name].description.endswith((".", ")."))
        assert issubclass(METHODS[name], Method)
        assert METHODS[name].paper == "-" or "arXiv:" in METHODS[name].paper


def test_an_option_that_no_method_has_is_refused():
    with pytest.raises(InputError, match=r"^method pcl has no option temperatur, did you mean temperature"):
        build_method("pcl", temperatur=0.4)


@dataclass(frozen=True)
class Nameless(PretrainingMethod):
    """Without an objective."""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Nameless, r"^method own_methods\.Kind must have an objective, the name of its folder of logs: got none\.$"),
        (
            type("Abstract", (PretrainingMethod,), {"objective": "a"}),
            "cannot be built: .* abstract class",
        ),
    ],
)
def test_a_class_that_is_no_whole_method_is_refused_in_one_line(monkeypatch, kind, message):
    monkeypatch.setitem(__import__("sys").modules, "own_methods", type(pytest)("own_methods"))
    monkeypatch.setattr("own_methods.Kind", kind, raising=False)
    with pytest.raises(InputError, match=message):
        build_method("own_methods.Kind")
