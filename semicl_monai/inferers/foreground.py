"""A sliding window that overlaps only around foreground."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import Inferer, SlidingWindowInferer
from monai.inferers.utils import _get_scan_interval
from monai.utils import convert_to_dst_type, convert_to_tensor, ensure_tuple_rep, fall_back_tuple
from torch.nn import functional

from semicl_monai.inferers.window_sums import Place, WindowSums

# options of SlidingWindowInferer that are not supported: a second device, buffers, and windows that know their place
UNSUPPORTED = ("sw_device", "device", "cpu_thresh", "buffer_steps", "with_coord", "roi_weight_map")


class ForegroundInferer(Inferer):
    """Slide a window over an image, with its full overlap around foreground only.

    Windows, weights and padding are those of MONAI's ``SlidingWindowInferer``. The network first runs on the fewest
    windows that cover the image. Then it runs on each further window with a voxel whose foreground probability is above
    ``threshold``, by the mean over the windows so far. This is repeated until there is no such window. No window is run
    twice.

    A voxel with a foreground probability above ``threshold`` therefore gets the logits of ``SlidingWindowInferer``.
    Other voxels get the mean over fewer windows. Foreground is missed if only windows see it that were not run. In
    measurements, these were small false positives. A small image, with at most ``few`` windows, gets all of them.

    Args:
        inferer: the sliding window.
        threshold: foreground probability from which all windows of a voxel are run.
        few: largest number of windows that are all run.
        enabled: whether windows are left out. Otherwise, the inferer is called unchanged.
        sigmoid: whether logits are those of regions, without a background. The foreground probability of a voxel is
            then the largest of its regions.

    Raises:
        ValueError: When ``inferer`` is of another kind or has an option of devices or buffers, or ``threshold`` is out
            of its range.

    Example:
        >>> def network(windows):
        ...     seen.append(windows)
        ...     return torch.cat([0.5 - windows, windows - 0.5], dim=1)
        >>> seen, image = [], torch.zeros(1, 1, 64, 64)
        >>> image[..., 20, 20] = 9
        >>> infer = ForegroundInferer(SlidingWindowInferer((8, 8), overlap=0.5, mode="gaussian"), threshold=0.5)
        >>> infer(image, network).argmax(1).sum(), len(seen)  # of 225 windows
        (tensor(1), 67)
    """

    def __init__(
        self,
        inferer: SlidingWindowInferer,
        threshold: float = 0.3,
        few: int = 27,
        enabled: bool = True,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if type(inferer) is not SlidingWindowInferer or any(getattr(inferer, name) for name in UNSUPPORTED):
            raise ValueError(f"inferer must be a SlidingWindowInferer without {', '.join(UNSUPPORTED)}, got {inferer}.")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be above 0 and below 1, got {threshold}.")
        self.inferer, self.few, self.enabled, self.sigmoid = inferer, few, enabled, sigmoid
        self.lowest_logit = math.log(threshold / (1 - threshold))

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return logits for ``inputs`` ``(B, C, H, W[, D])``.

        Args:
            inputs: the images.
            network: returns logits for windows, with the background as class 0, or of regions.
            args: further arguments of the network.
            kwargs: further keyword arguments of the network.
        """
        window = fall_back_tuple(self.inferer.roi_size, inputs.shape[2:])
        images, inside = self._padded(convert_to_tensor(inputs, track_meta=False), window)
        places = self._places(images.shape[2:], window)
        if not self.enabled or len(places) <= self.few:
            return self.inferer(inputs, network, *args, **kwargs)  # type: ignore[return-value]  # see ``network``
        found = [self._infer(image, places, window, lambda x: network(x, *args, **kwargs)) for image in images]
        logits = found[0][None] if len(found) == 1 else torch.stack(found)
        return convert_to_dst_type(logits[inside], inputs)[0]

    def _padded(self, images: torch.Tensor, window: Sequence[int]) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Return images that are no smaller than the window, and where the given images are in them."""
        size = images.shape[2:]
        missing = [max(edge - length, 0) for edge, length in zip(window, size, strict=True)]
        pad = [width for n in reversed(missing) for width in (n // 2, n - n // 2)]
        if any(pad):
            images = functional.pad(images, pad, self.inferer.padding_mode, self.inferer.cval)
        return images, (..., *(slice(n // 2, n // 2 + length) for n, length in zip(missing, size, strict=True)))

    def _places(self, size: Sequence[int], window: Sequence[int]) -> list[Place]:
        interval = _get_scan_interval(size, window, len(size), ensure_tuple_rep(self.inferer.overlap, len(size)))
        return [tuple(int(edge.start) for edge in edges) for edges in dense_patch_slices(size, window, interval)]

    def _infer(
        self, image: torch.Tensor, places: list[Place], window: tuple[int, ...], network: Callable[..., torch.Tensor]
    ) -> torch.Tensor:
        """Return the logits of one image ``(C, H, W[, D])``."""
        mode, sigma_scale, batch_size = self.inferer.mode, self.inferer.sigma_scale, self.inferer.sw_batch_size
        sums = WindowSums(image.shape[1:], compute_importance_map(window, mode, sigma_scale, image.device, image.dtype))
        new, left = _cover(places, window), set(places)
        while new:
            left -= set(new)
            for batch in (new[first : first + batch_size] for first in range(0, len(new), batch_size)):
                windows = torch.stack([image[(slice(None), *_voxels(place, window))] for place in batch])
                for place, logits in zip(batch, network(windows), strict=True):
                    sums.add(place, logits)
            new = self._needed(sums, new, left, window)
        return sums.mean()

    def _needed(self, sums: WindowSums, new: list[Place], left: set[Place], window: tuple[int, ...]) -> list[Place]:
        """Return the windows that were not run and see foreground, which only ``new`` windows can have changed."""
        needed: set[Place] = set()
        for place in new:
            shared = {other: _shared(place, other, window) for other in left - needed if _overlap(place, other, window)}
            if shared:
                logits = sums.mean_in(place)
                highest = logits.amax(0) if self.sigmoid else logits[1:].logsumexp(0) - logits[0]
                foreground = highest > self.lowest_logit
                needed.update(other for other, voxels in shared.items() if foreground[voxels].any())
        return sorted(needed)


def _cover(places: list[Place], window: Sequence[int]) -> list[Place]:
    """Return the fewest windows that cover the image."""
    axes = zip(zip(*places, strict=True), window, strict=True)
    return list(product(*(_cover_axis(sorted(set(starts)), edge) for starts, edge in axes)))


def _cover_axis(starts: list[int], edge: int) -> list[int]:
    kept = starts[:1]
    while kept[-1] < starts[-1]:
        kept.append(max(start for start in starts if start <= kept[-1] + edge))
    return kept


def _voxels(place: Place, window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + edge) for start, edge in zip(place, window, strict=True))


def _overlap(place: Place, other: Place, window: Sequence[int]) -> bool:
    return all(abs(start - begin) < edge for start, begin, edge in zip(place, other, window, strict=True))


def _shared(place: Place, other: Place, window: Sequence[int]) -> tuple[slice, ...]:
    """Return the voxels that two overlapping windows share, counted from the start of the first."""
    steps = (begin - start for start, begin in zip(place, other, strict=True))
    return tuple(slice(max(step, 0), edge + min(step, 0)) for step, edge in zip(steps, window, strict=True))
