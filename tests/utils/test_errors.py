from __future__ import annotations

import sys
from itertools import pairwise

import pytest

from semicl_monai.utils import InputError, find_input_error, show_input_errors


def raised(*errors):
    """Return the last error as Python gives it when each is raised from the one before."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


@pytest.fixture
def hook(monkeypatch):
    """The hook of ``show_input_errors``, before which a recording one was in place."""
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: shown.append(error))
    show_input_errors()
    return sys.excepthook, shown


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)


def test_it_is_found_behind_what_it_caused():
    found = InputError("no file")
    assert find_input_error(found) is found
    assert find_input_error(raised(found, RuntimeError("in Compose"), RuntimeError("in the config"))) is found


def test_it_is_found_behind_an_error_that_was_met_while_handling_it():
    found = InputError("no file")
    outer = RuntimeError("in Compose")
    outer.__context__ = found
    assert find_input_error(outer) is found


def test_other_errors_hold_none():
    assert find_input_error(None) is None
    assert find_input_error(raised(ValueError("a"), RuntimeError("b"))) is None


def test_one_line_is_shown_for_a_wrapped_input_error(hook, capsys):
    show, shown = hook
    error = raised(InputError("case a: no file."), RuntimeError("applying transform"), RuntimeError("in the config"))
    show(type(error), error, error.__traceback__)
    assert capsys.readouterr() == ("", "error: case a: no file.\n")
    assert shown == []


def test_other_errors_are_shown_as_before(hook, capsys):
    show, shown = hook
    error = raised(KeyError("a"), RuntimeError("b"))
    show(type(error), error, error.__traceback__)
    assert shown == [(RuntimeError, error, error.__traceback__)]
    assert capsys.readouterr() == ("", "")


def test_asked_for_twice_it_still_shows_one_line(hook, capsys):
    show_input_errors()
    error = InputError("no file.")
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == "error: no file.\n"
