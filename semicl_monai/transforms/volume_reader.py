"""MONAI's reader of all formats of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from semicl_monai.transforms.nifti_reader import NiftiReader
from semicl_monai.utils.formats import Volume, open_volume
from semicl_monai.utils.formats.nifti_volume import NiftiVolume

SEGMENTS = "segments"  # key of the names of segments in the metadata


class VolumeReader(NiftiReader):
    """A :class:`monai.data.ImageReader` of all formats of :mod:`semicl_monai.utils.formats`.

    NIfTI files give the metadata of :class:`NiftiReader`. Other files give affine, shape, and what a writer of masks
    needs.

    Args:
        allow_gaps: whether the slices of a DICOM series may lie at uneven distances.

    Example:
        >>> from monai.transforms import LoadImage
        >>> load = LoadImage(VolumeReader)
    """

    def __init__(self, allow_gaps: bool = False) -> None:
        super().__init__()
        self.allow_gaps = allow_gaps

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Volume:
        """Open a file.

        Raises:
            InputError: When the file cannot be used, see :func:`~semicl_monai.utils.formats.open_volume`.
        """
        self.filenames = ensure_tuple(data)
        return open_volume(self.filenames[0], self.allow_gaps)

    def get_data(self, img: Volume) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the voxels and metadata of an opened file."""
        if isinstance(img, NiftiVolume):
            voxels, meta = super().get_data(img.image)
            return voxels, meta
        voxels = img.read()
        img.tell()
        meta = {
            **img.metadata(),
            MetaKeys.AFFINE: img.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: img.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(img.shape[:3]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if voxels.ndim == 3 else -1,
        }
        return voxels, meta if img.segments is None else {**meta, SEGMENTS: img.segments}
