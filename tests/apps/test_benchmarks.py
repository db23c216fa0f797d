"""The loss benchmark measures the same value and gradient as the dense formula; how fast is not a test."""

from __future__ import annotations

import pytest

from semicl_monai.apps.benchmark_loss import benchmark_loss


def test_the_loss_benchmark_agrees_with_the_dense_formula(capsys):
    (row,) = benchmark_loss(num_pixels=(256,), channels=8, repeats=1)
    assert row["value_diff"] == pytest.approx(0, abs=1e-5)
    assert row["grad_diff"] == pytest.approx(0, abs=1e-5)
    assert "times_faster" in capsys.readouterr().out
