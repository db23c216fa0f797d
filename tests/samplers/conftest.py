"""Maps whose embeddings tell where they come from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def maps() -> Callable:
    """A function from a batch's shape (B, *spatial) to embeddings, each the coordinates of its pixel, and labels."""

    def build(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"), dim=1).float()
        labels = torch.randint(0, 3, (shape[0], 1, *shape[1:]), generator=torch.Generator().manual_seed(0))
        return embeddings, labels.float()

    return build
