"""Contrast of pixels with prototypes of the classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.losses.unit_length import unit_length
from semicl_monai.utils import InputError, at_least_float32


class PrototypeContrast(_Loss):
    r"""Pull embeddings to the prototype of their class, and push them from those of all others.

    The prototype of a class is the moving average of the mean of its embeddings,
    :math:`p_c \leftarrow \beta p_c + (1 - \beta) \bar z_c`. It starts with the first mean :math:`\bar z_c`. It moves
    before each loss of embeddings that have a gradient, and is a constant in this loss:

    .. math::
        \ell_i = -\log \frac{\exp(z_i \cdot \hat p_{y_i} / \tau)}{\sum_c \exp(z_i \cdot \hat p_c / \tau)}

    Embeddings and prototypes :math:`\hat p` have unit length. Classes that were not seen yet are left out. The loss is
    the mean over the embeddings that are anchors, or zero without any. The prototypes are a part of the state dict.
    Every process has its own ones.

    Args:
        temperature: :math:`\tau`.
        momentum: :math:`\beta`, at least 0 and below 1.
        background_index: embeddings with this target make a prototype, but are never anchors.
        ignore_index: embeddings with this target are left out completely.

    Raises:
        InputError: When ``temperature`` is not positive, or ``momentum`` is out of its range.

    References:
        Zhou et al., Rethinking Semantic Segmentation: A Prototype View, CVPR 2022 (there with several prototypes of
        each class). https://arxiv.org/abs/2203.15102

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
        >>> PrototypeContrast(temperature=0.5)(embeddings, torch.tensor([0, 1])).item()
        0.126928...
    """

    def __init__(
        self,
        temperature: float = 0.1,
        momentum: float = 0.99,
        background_index: int | None = None,
        ignore_index: int = -1,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1, got {momentum}.")
        self.temperature, self.momentum = temperature, momentum
        self.background_index, self.ignore_index = background_index, ignore_index
        self.prototypes: dict[int, Tensor] = {}

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of embeddings ``(..., N, C)`` with targets ``(..., N)``."""
        targets = target.as_subclass(torch.Tensor).long().flatten()
        embeddings = unit_length(at_least_float32(input.as_subclass(torch.Tensor).flatten(0, -2)))
        if input.requires_grad:
            self._move(embeddings.detach(), targets)
        known = torch.tensor(sorted(self.prototypes), dtype=torch.long, device=targets.device)
        anchors = torch.isin(targets, known)
        if self.background_index is not None:
            anchors &= targets != self.background_index
        if not anchors.any():
            return embeddings.sum() * 0
        prototypes = unit_length(torch.stack([self.prototypes[number] for number in known.tolist()]).to(embeddings))
        similarities = embeddings[anchors] @ prototypes.T / self.temperature
        return F.cross_entropy(similarities, torch.searchsorted(known, targets[anchors]))

    def _move(self, embeddings: Tensor, targets: Tensor) -> None:
        for number in targets.unique().tolist():
            if number != self.ignore_index:
                mean = embeddings[targets == number].mean(0)
                before = self.prototypes.get(number, mean).to(mean)
                self.prototypes[number] = self.momentum * before + (1 - self.momentum) * mean

    def get_extra_state(self) -> dict[str, Any]:
        """Return the prototypes, for the state dict."""
        return {"prototypes": dict(self.prototypes)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the prototypes from a state dict."""
        self.prototypes = dict(state["prototypes"])
