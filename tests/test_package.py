"""What an installation brings beside the modules."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name

from semicl_monai.__main__ import main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_command_is_the_module_that_python_runs():
    assert resolve_name(PROJECT["project"]["scripts"]["semicl-monai"]) is main


def test_type_checkers_are_told_that_there_are_types():
    assert files("semicl_monai").joinpath("py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["semicl_monai"]
