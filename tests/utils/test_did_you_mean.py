from __future__ import annotations

from semicl_monai.utils import did_you_mean


def test_the_closest_name_stands_between_what_is_put_around_it():
    assert did_you_mean("blok", ["stride", "block"], "'", "'") == ", did you mean 'block'"


def test_nothing_is_said_where_no_name_is_close_enough():
    assert did_you_mean("xyz", ["cat", "red"]) == ""
    assert did_you_mean("epohs", {"epochs": 1}, cutoff=0.95) == ""
