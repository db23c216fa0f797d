"""Every method, from pre-training to fine-tuning, for one epoch on tiny synthetic volumes."""

from __future__ import annotations

import pytest

from semicl_monai.engines import METHODS


@pytest.mark.parametrize("method", METHODS.names)
def test_every_method_runs_from_pretraining_to_evaluation(run_stage, tmp_path, method):
    run_stage("pretrain", method=method)
    run_stage("train", method=method, validation="none")
    run_stage("evaluate", num_overlays=0)
    assert (tmp_path / "eval/evaluate/summary.json").is_file()
