"""Each test draws the same random numbers in every run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    """Seed what tests and MONAI's transforms draw from."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
