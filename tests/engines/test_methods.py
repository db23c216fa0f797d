from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from semicl_monai.engines import METHODS, objectives
from semicl_monai.utils import InputError


@pytest.mark.parametrize(
    ("method", "stages"), [("global", ["global"]), ("local", ["local"]), ("global_local", ["global", "local"])]
)
def test_a_method_trains_for_its_objectives_in_order(method, stages):
    assert objectives(method) == stages


def test_every_method_has_one_or_two_objectives():
    assert all(1 <= len(objectives(method)) <= 2 for method in METHODS.names)


def test_an_unknown_method_is_refused_with_what_was_probably_meant():
    with pytest.raises(InputError, match="unknown method 'global_locl', did you mean 'global_local'"):
        objectives("global_locl")


def test_it_builds_from_a_config():
    config = {"objectives": {"_target_": "semicl_monai.engines.objectives", "method": "local"}}
    assert ConfigParser(config).get_parsed_content("objectives") == ["local"]
