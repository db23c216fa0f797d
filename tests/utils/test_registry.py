from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from semicl_monai.utils import InputError, Registry


@pytest.fixture
def animals():
    store = Registry("animal", "Animals by name.")
    store.add("cat", "A cat.", lambda legs=4, tail=True: ("cat", legs, tail))
    store.add("dog", "A dog.", lambda legs=4: ("dog", legs))
    return store


def test_a_component_is_built_with_its_own_options_only(animals):
    options = {"cat": {"legs": 3}, "dog": {"legs": 2}}
    assert animals.build("cat", options) == ("cat", 3, True)
    assert animals.build("dog", options) == ("dog", 2)


def test_without_options_for_it_a_component_has_its_defaults(animals):
    assert animals.build("dog") == animals.build("dog", {"cat": {"legs": 3}}) == ("dog", 4)


def test_shared_arguments_reach_every_component(animals):
    assert animals.build("cat", {"cat": {"tail": False}}, legs=1) == ("cat", 1, False)
    assert animals.build("dog", {"cat": {"tail": False}}, legs=1) == ("dog", 1)


def test_a_name_may_be_a_keyword_and_a_value_anything(animals):
    assert animals.add("global", "All of them.", ("cat", "dog")) == ("cat", "dog")
    assert animals["global"] == ("cat", "dog")


@pytest.mark.parametrize("ask", [lambda store: store["cart"], lambda store: store.build("cart", {"cart": {}})])
def test_an_unknown_name_is_refused_with_the_nearest_and_all_known_ones(animals, ask):
    with pytest.raises(InputError, match=r"^unknown animal 'cart', did you mean 'cat'; known: cat, dog\.$"):
        ask(animals)


def test_a_name_like_no_other_is_refused_without_a_guess(animals):
    with pytest.raises(InputError, match=r"^unknown animal 'xyz'; known: cat, dog\.$"):
        animals["xyz"]


def test_it_builds_from_a_config_by_name():
    config = {
        "name": "stride",
        "sampler": {
            "_target_": "semicl_monai.samplers.SAMPLERS.build",
            "name": "@name",
            "options": {"stride": {"stride": 2}},
        },
    }
    sampler = ConfigParser(config).get_parsed_content("sampler")
    assert (type(sampler).__name__, sampler.stride) == ("StrideSampler", 2)
