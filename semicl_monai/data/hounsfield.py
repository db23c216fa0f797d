"""Whether an image looks like CT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from semicl_monai.data.images import image_files
from semicl_monai.utils.formats import open_volume

AIR = -900  # Hounsfield units of air are about -1000


def looks_like_ct(record: Mapping[str, Any], allow_gaps: bool = False) -> bool:
    """Whether an image of one channel holds whole numbers, some of them as low as those of air in Hounsfield units.

    Args:
        record: ``{"image": path}``.
        allow_gaps: whether the slices of a DICOM series may lie at uneven distances.
    """
    files = image_files(record["image"])
    if len(files) > 1:
        return False
    voxels = np.asarray(open_volume(files[0], allow_gaps).read())
    return bool(voxels.min() <= AIR and voxels.max() > 0 and (voxels == np.rint(voxels)).all())
