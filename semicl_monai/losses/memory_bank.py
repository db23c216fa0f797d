"""An embedding of every training image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemoryBank(nn.Module):
    r"""Keep a moving average of the embedding of every image seen so far.

    An image is added with its embedding when it is first seen. Later updates are
    :math:`m \leftarrow \mathrm{normalise}(\beta m + (1 - \beta) f)`. The bank is a part of the state dict. When every
    rank adds the embeddings of all ranks, the banks of all ranks stay the same.

    Args:
        momentum: :math:`\beta`, at least 0 and below 1.
        generator: random generator for choosing negatives. With ``None``, it is torch's default generator.

    Example:
        >>> bank = MemoryBank()
        >>> bank.update(torch.tensor([7, 5]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> bank.update(torch.tensor([5]), torch.tensor([[1.0, 0.0]]))
        >>> bank.recall(torch.tensor([5]))
        tensor([[0.7071, 0.7071]])
    """

    def __init__(self, momentum: float = 0.5, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.momentum, self.generator = momentum, generator
        self.memory = torch.empty(0, 0)
        self.rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def recall(self, images: Tensor) -> Tensor:
        """Return the embeddings ``(B, C)`` of ``images`` ``(B,)``, all of which must be known."""
        return self.memory[self._rows_of(images)]

    def negatives(self, images: Tensor, number: int) -> Tensor:
        """Return up to ``number`` random embeddings of images that are not in ``images``."""
        own = set(self._rows_of(images))
        candidates = torch.tensor([row for row in range(len(self)) if row not in own], dtype=torch.long)
        if len(candidates) > number:
            candidates = candidates[torch.randperm(len(candidates), generator=self.generator)[:number]]
        return self.memory[candidates]

    def add_unseen(self, images: Tensor, embeddings: Tensor) -> None:
        """Add the unknown images of ``images`` ``(B,)`` with their ``embeddings`` ``(B, C)``."""
        unit = F.normalize(embeddings.detach(), dim=1)
        first = {image: i for i, image in reversed(list(enumerate(images.tolist()))) if image not in self.rows}
        new = sorted(first.items(), key=lambda item: item[1])
        self.rows.update({image: len(self.rows) + i for i, (image, _) in enumerate(new)})
        added = unit[[i for _, i in new]]
        self.memory = torch.cat([self.memory.to(added), added]) if len(self.memory) else added

    def update(self, images: Tensor, embeddings: Tensor) -> None:
        """Move the embeddings of ``images`` ``(B,)`` towards ``embeddings`` ``(B, C)``.

        If an image is repeated, its last embedding counts.
        """
        self.add_unseen(images, embeddings)
        last = {image: i for i, image in enumerate(images.tolist())}
        rows = [self.rows[image] for image in last]
        unit = F.normalize(embeddings.detach(), dim=1)[list(last.values())]
        self.memory[rows] = F.normalize(self.momentum * self.memory[rows] + (1 - self.momentum) * unit, dim=1)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the images and their embeddings, for the state dict."""
        return {"images": list(self.rows), "memory": self.memory}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over images and embeddings from a state dict."""
        self.rows = {int(image): row for row, image in enumerate(state["images"])}
        self.memory = state["memory"]

    def _rows_of(self, images: Tensor) -> list[int]:
        return [self.rows[image] for image in images.tolist()]
