"""A student with pixel embeddings, contrasted by the teacher's labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from semicl_monai.networks.contrastive import ContrastiveNetwork
from semicl_monai.networks.layout import NetworkLayout
from semicl_monai.networks.self_training import SelfTraining


class LocalPseudo(SelfTraining):
    """A :class:`SelfTraining` that also returns embeddings of the student's last decoder map.

    Embeddings and logits come from the same forward pass (see :class:`semicl_monai.losses.LocalPseudoLoss`).

    Args:
        student: the network to train.
        head: callable that builds the projection head, as for :class:`ContrastiveNetwork`.
        transform: as for :class:`SelfTraining`.
        layout: module names of the network's parts. By default, they follow from the network's class.
        options: further options of :class:`SelfTraining`.

    Raises:
        InputError: When the network has no known layout and none was given.

    References:
        Chaitanya et al., Local contrastive loss with pseudo-label based self-training for semi-supervised medical image
        segmentation, Medical Image Analysis 2023, section 3. https://arxiv.org/abs/2112.09645
    """

    def __init__(
        self,
        student: nn.Module,
        head: Callable[..., nn.Module],
        *,
        transform: Any = None,
        layout: NetworkLayout | None = None,
        **options: Any,
    ) -> None:
        super().__init__(student, transform, **options)
        tapped = ContrastiveNetwork(student, head, tap="decoder", layout=layout)
        self.tap, self.head = tapped.tap, tapped.head

    def forward(self, x: torch.Tensor, *views: torch.Tensor) -> Any:  # type: ignore[override]
        """Return the outputs of :class:`SelfTraining`, and embeddings ``(B + U, E, H, W[, D])`` of the student's input.

        Without views, only the logits of ``x`` are returned.
        """
        if not views:
            return self.student(x)
        maps: list[torch.Tensor] = []
        hook = self.student.get_submodule(self.tap).register_forward_hook(lambda *call: maps.append(call[-1]))
        try:
            outputs = super().forward(x, *views)
        finally:
            hook.remove()
        return *outputs, self.head(maps[0])
