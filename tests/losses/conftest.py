"""Two processes for the tests of losses that contrast across ranks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.fixture
def gradients_of_two_ranks(tmp_path: Path) -> Callable:
    """A function from cases to their parameters' gradients on each rank, see ``two_ranks.py``."""

    def run(cases: dict) -> list[dict]:
        torch.save(cases, tmp_path / "cases.pt")
        script = str(Path(__file__).with_name("two_ranks.py"))
        ranks = [subprocess.Popen([sys.executable, script, str(rank), str(tmp_path)]) for rank in range(2)]
        try:
            assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
        finally:
            for rank in ranks:
                rank.kill()
        return [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]

    return run
