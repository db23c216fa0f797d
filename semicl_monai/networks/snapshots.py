"""Copies of a network at several times of its training."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import nn


class Snapshots(nn.Module):
    """Keep copies of a network. They are in evaluation mode and have no gradients.

    Args:
        network: the network.
        number: largest number of copies.

    Attributes:
        kept: number of copies kept so far.

    References:
        Huang et al., Snapshot Ensembles: Train 1, Get M for Free, ICLR 2017, section 3. https://arxiv.org/abs/1704.00109

    Example:
        >>> network = nn.Linear(1, 1)
        >>> snapshots = Snapshots(network, number=2)
        >>> snapshots.keep(network)
        >>> len(list(snapshots))
        1
    """

    kept: torch.Tensor

    def __init__(self, network: nn.Module, number: int) -> None:
        super().__init__()
        copies = [deepcopy(network).eval().requires_grad_(False) for _ in range(number)]
        self.copies = nn.ModuleList(copies)
        self.register_buffer("kept", torch.zeros((), dtype=torch.long))

    def __iter__(self) -> Iterator[nn.Module]:
        """Iterate over the copies kept so far."""
        return iter(self.copies[: int(self.kept)])

    def keep(self, network: nn.Module) -> None:
        """Copy all parameters and buffers of a network."""
        self.copies[int(self.kept)].load_state_dict(network.state_dict())
        self.kept += 1

    def train(self, mode: bool = True) -> Snapshots:
        """Leave the copies in evaluation mode."""
        return self
