"""Contrast with the embeddings of earlier steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import InputError


class RememberedContrast(_Loss):
    """Contrast the embeddings of a step together with those of the last steps.

    So few volumes in a batch are contrasted with those of other batches. Earlier embeddings are constants: the loss is
    that of all embeddings as one batch, and its gradient is that of the current ones. Only embeddings with a gradient
    are remembered, so none of a validation. The memory is a part of the state dict. Every process has its own one.

    Args:
        loss: function of groups of embeddings ``(G, N, C)`` or ``(N, C)`` and targets ``(G, N)`` or ``(N,)``, such as
            :class:`SupConLoss`.
        steps: number of earlier steps. Steps with another number of groups are left out.

    Raises:
        InputError: When ``steps`` is not positive.

    References:
        Wang et al., Exploring Cross-Image Pixel Contrast for Semantic Segmentation, ICCV 2021, section 3.2 (there with
        a memory of chosen pixels). https://arxiv.org/abs/2101.11939

    Example:
        >>> loss = RememberedContrast(lambda embeddings, targets: torch.tensor(len(targets)), steps=1)
        >>> embeddings, targets = torch.rand(4, 2, requires_grad=True), torch.tensor([0, 1, 0, 1])
        >>> [int(loss(embeddings, targets)) for _ in range(3)]
        [4, 8, 8]
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise InputError(f"steps of the memory of a contrast must be positive, got {steps}.")
        self.loss, self.memory = loss, deque[tuple[Tensor, Tensor]](maxlen=steps)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of embeddings ``input`` with targets ``target``, and of those remembered."""
        earlier = [(one.to(input.device), other.to(target.device)) for one, other in self.memory]
        alike = [(one, other) for one, other in earlier if one.shape[:-2] == input.shape[:-2]]
        embeddings = torch.cat([input, *(one for one, _ in alike)], dim=-2)
        targets = torch.cat([target, *(other for _, other in alike)], dim=-1)
        if input.requires_grad:
            self.memory.append((input.detach(), target.detach()))
        return self.loss(embeddings, targets)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the embeddings and targets of earlier steps, for the state dict."""
        return {"memory": list(self.memory)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over embeddings and targets from a state dict."""
        self.memory.clear()
        self.memory.extend(state["memory"])
