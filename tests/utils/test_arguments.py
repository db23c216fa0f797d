from __future__ import annotations

import re

import pytest

from semicl_monai.utils import InputError, check_arguments, paths_of


def make(name, dataset_dir, labelled_fraction=1.0, folder="."):
    """A command; that it is not called is the point."""
    raise AssertionError("called")


def study(dataset_dir, **options):
    raise AssertionError("called")


COMMANDS = {"make": make, "study": study, "benchmark": {"loss": lambda repeats=3: None}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mak a", "unknown command mak, did you mean make? Known: make, study, benchmark."),
        ("benchmark los", "unknown command benchmark los, did you mean loss? Known: loss."),
        (
            "make a b --labeled_fraction 0.5",
            "make: unknown option --labeled_fraction, did you mean --labelled_f",
        ),
        (
            "make a b --labeled-fraction=0.5",
            "make: unknown option --labeled_fraction, did you mean --labelled_f",
        ),
        ("make a b --zzz", "make: unknown option --zzz? Known: --name, --dataset_dir, --labelled_fraction, --folder."),
        ("make a b -f x", "make: unknown option --f"),
        ("make a", "make needs --dataset_dir."),
        ("make --name", "make needs --dataset_dir."),
        ("make a b 1 . more", "make takes 4 arguments, got 'more' too many."),
        ("make a --name b --dataset_dir c", "make: --name is given twice."),
        (
            "make a --dataset_dir x#1",
            "dataset_dir must not hold '#' or '::', which separate names in MONAI's co",
        ),
        ("make a b::c", "dataset_dir must not hold '#' or '::'"),
    ],
)
def test_what_a_command_does_not_take_is_refused_before_it_is_called(line, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        check_arguments(COMMANDS, line.split())


@pytest.mark.parametrize(
    "line",
    [
        *("", "benchmark", "benchmark loss --repeats 2", "make a b -- --trace"),
        *("make a b", "make a b 0.5", "make --name=a --dataset-dir b", "make a --dataset_dir b --labelled_fraction -1"),
        *("study b --device cpu --amp", "study --dataset_dir b --anything=1"),
    ],
)
def test_what_a_command_takes_is_left_to_it(line):
    assert check_arguments(COMMANDS, line.split()) == line.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--help", "-- --help"),
        ("benchmark -h", "benchmark -- --help"),
        ("benchmark loss -h", "benchmark loss -- --help"),
        ("make --help", "make -- --help"),
        ("study a --help --device cpu", "study -- --help"),
        ("make a b -- --help", "make -- --help"),
    ],
)
def test_help_calls_no_command(line, words):
    assert check_arguments(COMMANDS, line.split()) == words.split()


def test_folders_are_text_whatever_they_look_like():
    assert paths_of(make) == ["name", "dataset_dir", "folder"]
