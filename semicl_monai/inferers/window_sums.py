"""The weighted mean of the outputs of overlapping windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Place = tuple[int, ...]  # the first voxel of a window along each axis


class WindowSums:
    """Sum the weighted outputs of windows, in any order and number, as MONAI's sliding window does for all of them.

    Args:
        size: spatial size of the image.
        weight: weight of the voxels of a window ``(h, w[, d])``. Sums have its dtype and device.

    Example:
        >>> sums = WindowSums((3,), weight=torch.tensor([1.0, 3.0]))
        >>> sums.add((0,), torch.tensor([[1.0, 1.0]]))
        >>> sums.add((1,), torch.tensor([[5.0, 5.0]]))
        >>> sums.mean()
        tensor([[1., 2., 5.]])
    """

    def __init__(self, size: Sequence[int], weight: torch.Tensor) -> None:
        self.weight, self.total = weight, weight.new_zeros(0, *size)
        self.count = weight.new_zeros(size)

    def add(self, place: Place, output: torch.Tensor) -> None:
        """Add the output ``(C, h, w[, d])`` of a window."""
        if not len(self.total):
            self.total = self.weight.new_zeros(len(output), *self.count.shape)
        # rounded to the dtype of the output, as by MONAI
        self.total[(slice(None), *self._voxels(place))] += (output * self.weight).to(output.dtype)
        self.count[self._voxels(place)] += self.weight

    def mean_in(self, place: Place) -> torch.Tensor:
        """Return the mean so far ``(C, h, w[, d])`` in a window that was added."""
        return self.total[(slice(None), *self._voxels(place))] / self.count[self._voxels(place)]

    def mean(self) -> torch.Tensor:
        """Return the mean ``(C, H, W[, D])``. Windows must cover the image, and none can be added afterwards."""
        self.total /= self.count
        return self.total

    def _voxels(self, place: Place) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(place, self.weight.shape, strict=True))
