from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from semicl_monai.__main__ import COMMANDS
from semicl_monai.apps.lazy_commands import LazyCommands
from semicl_monai.apps.options import options

HEAVY = {"torch", "monai", "ignite", "matplotlib", "sklearn", "numpy", "scipy", "nibabel", "tensorboard"}
# the first command does not exist: whatever imports it fails
SOME = LazyCommands({"gone": "no_such_module:gone", "options": "semicl_monai.apps.options:options"})


@pytest.mark.parametrize("words", [["--help"], ["benchmark", "--help"], []])
def test_the_list_of_commands_imports_no_heavy_library(words):
    program = [sys.executable, "-X", "importtime", "-m", "semicl_monai", *words]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", ended.stderr, re.MULTILINE)}
    assert "semicl_monai" in imported
    assert not imported & HEAVY


def test_the_list_of_commands_has_the_summary_of_each():
    shown, groups = COMMANDS.overview(), dict(COMMANDS)
    pairs = [(shown[name], command) for name, command in groups.items() if callable(command)]
    pairs += [(shown["benchmark"][name], command) for name, command in groups["benchmark"].items()]
    assert [one.__doc__ for one, _ in pairs] == [inspect.getdoc(command) for _, command in pairs]
    assert [one.__name__ for one, _ in pairs] == [command.__name__ for _, command in pairs]


def test_only_the_command_that_is_asked_for_is_imported():
    assert SOME["options"] is options
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        SOME["gone"]


@pytest.mark.parametrize(
    ("line", "several"),
    [("", True), ("benchmark", True), ("benchmark loss", False), ("benchmark los", False), ("stduy a", False)],
)
def test_what_names_no_single_command_is_answered_by_the_list(line, several):
    assert COMMANDS.is_group(line.split()) is several
