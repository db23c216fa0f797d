"""Keep the connected component in which all classes are large."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy
from scipy import ndimage


class KeepMainComponentd(MapTransform):
    """Keep one connected component of the foreground, the main one, and set all other voxels to background.

    ``KeepLargestConnectedComponentd(independent=False)`` counts the voxels of all classes together. So a large false
    component of one class can win over an organ of several classes. Here the component with the largest geometric mean
    over the classes wins::

        score(component) = prod over classes c of (1 + number of voxels of c in the component)

    With one class, this is the largest component. Of components with equal scores, the one with more voxels wins.

    Args:
        keys: label maps ``(1, H, W[, D])`` of class numbers, 0 is background. Voxels that touch at a corner are
            connected.
        allow_missing_keys: whether a sample may lack one of ``keys``.

    Returns:
        The sample with label maps of the same type and metadata. The given maps are not changed.

    Example:
        >>> labels = torch.tensor([[[1, 1, 1, 1, 0, 1, 2, 2]]])
        >>> KeepMainComponentd("pred")({"pred": labels})["pred"].tolist()
        [[[0, 0, 0, 0, 0, 1, 2, 2]]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with the main component alone."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = _main_component(sample[key])
        return sample


def _main_component(labels: torch.Tensor) -> torch.Tensor:
    values = convert_to_numpy(labels)[0]
    foreground = values != 0
    components, count = ndimage.label(foreground, np.ones((3,) * values.ndim))
    if count < 2:
        return labels
    main = 1 + _best(_voxels(components[foreground] - 1, values[foreground]))
    return convert_to_dst_type(np.where(components == main, values, 0)[None], labels)[0]


def _voxels(components: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of voxels by component and class, from both of each voxel of the foreground."""
    classes, numbers = np.unique(labels, return_inverse=True)
    counts = np.bincount(components * len(classes) + numbers, minlength=(1 + components.max()) * len(classes))
    return counts.reshape(-1, len(classes))


def _best(voxels: np.ndarray) -> int:
    return int(np.lexsort((voxels.sum(1), np.log1p(voxels).sum(1)))[-1])
