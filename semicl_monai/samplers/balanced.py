"""The same number of random pixels of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semicl_monai.samplers.pixel import PixelSampler, as_one_group
from semicl_monai.utils import InputError


class BalancedSampler(PixelSampler):
    """Up to ``num_per_class`` random pixels of each class over all views, as one group.

    A class with fewer pixels gives all its pixels.

    Args:
        num_per_class: maximum number of pixels: one number for all classes, or a number for each class. The latter is a
            mapping (in JSON, its keys are text) or a sequence in the order of the classes. Classes without a number
            give no pixels.
        generator: random generator. With ``None``, it is torch's default generator.
        ignore_index: pixels with this label are never taken.

    Raises:
        InputError: When a number of ``num_per_class`` is negative.

    Example:
        >>> labels = torch.zeros(2, 1, 8, 8)
        >>> labels[..., :3] = 1
        >>> _, targets = BalancedSampler(num_per_class=20)(torch.rand(2, 3, 8, 8), labels)
        >>> targets.unique(return_counts=True)
        (tensor([0, 1]), tensor([20, 20]))
    """

    def __init__(
        self,
        num_per_class: int | Sequence[int] | Mapping[int | str, int] = 256,
        generator: torch.Generator | None = None,
        ignore_index: int = -1,
    ) -> None:
        self.num_per_class = num_per_class if isinstance(num_per_class, int) else _by_class(num_per_class)
        numbers = [self.num_per_class] if isinstance(self.num_per_class, int) else self.num_per_class.values()
        if any(number < 0 for number in numbers):
            raise InputError(f"num_per_class must not be negative, got {num_per_class}.")
        self.generator = generator
        self.ignore_index = ignore_index

    def sample(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take random pixels of each class."""
        embeddings, targets = as_one_group(embeddings, labels)
        chosen = self.randomize(targets[0])
        return embeddings[:, chosen], targets[:, chosen]

    def randomize(self, targets: Tensor) -> Tensor:
        """Draw the positions of the pixels to take, from targets of shape (N,)."""
        present = [label for label in targets.unique().tolist() if label != self.ignore_index]
        drawn = [self._draw((targets == label).nonzero()[:, 0], self._limit(label)) for label in present]
        return torch.cat([targets.new_zeros(0), *drawn])

    def _draw(self, positions: Tensor, limit: int) -> Tensor:
        device = self.generator.device if self.generator else None
        order = torch.randperm(len(positions), generator=self.generator, device=device)
        return positions[order[:limit].to(positions.device)]

    def _limit(self, label: int) -> int:
        return self.num_per_class if isinstance(self.num_per_class, int) else self.num_per_class.get(label, 0)


def _by_class(numbers: Sequence[int] | Mapping[int | str, int]) -> dict[int, int]:
    pairs = numbers.items() if isinstance(numbers, Mapping) else enumerate(numbers)
    return {int(label): number for label, number in pairs}
