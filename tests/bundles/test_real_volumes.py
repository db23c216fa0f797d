"""The four stages on real volumes of the Decathlon's hippocampus task, where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SEMICL_TEST_DATA", Path(__file__).parents[3] / "shared/data/Task04_Hippocampus"))


@pytest.mark.skipif(not (DATA / "dataset.json").is_file(), reason=f"no real volumes at {DATA} (SEMICL_TEST_DATA)")
def test_the_whole_job_runs_on_real_volumes(run_stage, tmp_path):
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (DATA / "imagesTr").glob("*.nii.gz"))[:9]
    split = {"labelled": cases[:2], "unlabelled": cases[2:6], "validation": cases[6:7], "test": cases[7:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    common = {"dataset_dir": str(DATA), "split_file": str(tmp_path / "split.json"), "roi_size": [64, 64]}

    run_stage("pretrain", **common)
    run_stage("train", **common, val_interval=1)
    run_stage("evaluate", **common)
    run_stage("inference", dataset_dir=str(DATA / "imagesTr" / f"{cases[0]}.nii.gz"), roi_size=[64, 64])

    summary = json.loads((tmp_path / "eval/evaluate/summary.json").read_text())
    assert summary["num_cases"] == 2
    assert (tmp_path / "eval/predictions" / f"{cases[0]}_seg.nii.gz").is_file()
