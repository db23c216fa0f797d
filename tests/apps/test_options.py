from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from semicl_monai.apps.options import table
from semicl_monai.utils import options_of
from semicl_monai.utils.option_table import STAGES

ROOT = Path(__file__).parents[2]


def test_the_readme_holds_exactly_this_table():
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "put in what python -m semicl_monai options prints"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_the_bundles_have_the_options_of_the_table(stage):
    """An option of 3-D bundles alone is in one of them."""
    files = list(ROOT.glob(f"bundles/*/configs/{stage}.json"))
    known = {name for file in files for name in json.loads(file.read_text())}
    assert {option.name for option in options_of(stage) if not option.of_method} <= known


@pytest.mark.parametrize(
    "words", [["new_bundle", "a_b", "--dataset_dir", ".", "--labeled_fraction", "0.5"], ["report"], ["export_bundl"]]
)
def test_a_command_refuses_what_it_does_not_take_in_one_line(tmp_path, words):
    done = subprocess.run(
        [sys.executable, "-m", "semicl_monai", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_like_a_number_is_a_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "semicl_monai", "report", "2024"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().splitlines()[-1].startswith("error: there is no table 2024/cases.csv")
