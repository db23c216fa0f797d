"""A study whose steps are programs of a line, and tables of made-up values."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from semicl_monai.study import Runner, write_table
from semicl_monai.study.results import CASES, CELLS


class ShortRunner(Runner):
    """Runs ``scripts[method]``, or that of the stage, in place of a stage; by default one that notes its stage."""

    scripts: dict[str, str]

    def words(self, step, folder):
        note = f"open({str(self.output_dir / 'ran.txt')!r}, 'a').write('{step.stage} {step.folder}\\n')"
        script = self.scripts.get(step.options.get("method"), self.scripts.get(step.stage, ""))
        return [sys.executable, "-c", f"{note}\n{script}"]


@pytest.fixture
def runner(tmp_path):
    """Build a runner of short steps in ``tmp_path``."""

    def build(workers=1, retry_failed=False, **scripts):
        short = ShortRunner(tmp_path / "configs", tmp_path, workers, retry_failed=retry_failed)
        short.scripts = scripts
        return short

    return build


@pytest.fixture
def tables(tmp_path):
    """Write the tables of a study: ``{(method, volumes): {split: Dice of two classes (cases, 2)}}``."""

    def write(scores, patients=None):
        cases, cells = [], []

        def case(row):
            return {"case": f"case_{row}", "patient": (patients or {}).get(f"case_{row}")}

        for (method, volumes), splits in scores.items():
            for split, dice in splits.items():
                about = {"method": method, "labelled_fraction": volumes, "split_seed": split}
                cells.append({**about, "labelled_volumes": volumes, "state": "done", "seconds": 60, "cpu_seconds": 90})
                cases += [
                    {**about, **case(row), "class": name, "dice": value, "hd95": 10 * value, "asd": value}
                    for row, values in enumerate(np.asarray(dice))
                    for name, value in zip(("Front", "Back"), values, strict=True)
                ]
        write_table(tmp_path / "cases.csv", CASES, cases)
        write_table(tmp_path / "cells.csv", CELLS, cells)
        return tmp_path

    return write
