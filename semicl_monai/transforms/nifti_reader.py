"""MONAI's reader of NIfTI files, with one rule for the space of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import NibabelReader
from monai.utils import ensure_tuple

from semicl_monai.utils.nifti import affine_in_mm, open_nifti, read_voxels


class NiftiReader(NibabelReader):
    """A :class:`monai.data.NibabelReader` that reads files to the end, by the rules of :mod:`semicl_monai.utils.nifti`.

    The reader of MONAI 1.6.1 has four faults. If ``pixdim`` is rounded, it uses an empty qform instead of a good sform.
    It reads micrometres as mm. It drops the imaginary part of complex numbers. It does not notice a damaged gzip
    stream.

    Args:
        kwargs: as in :class:`monai.data.NibabelReader`.

    Example:
        >>> from monai.transforms import LoadImage
        >>> load = LoadImage(NiftiReader)
    """

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Any:
        """Open a file, or several.

        Raises:
            InputError: When a header cannot be used, see :func:`~semicl_monai.utils.nifti.open_nifti`.
        """
        self.filenames = ensure_tuple(data)
        images = [open_nifti(file) for file in self.filenames]
        return images if len(images) > 1 else images[0]

    def _get_affine(self, img: Any) -> np.ndarray:
        return affine_in_mm(img)

    def _get_array_data(self, img: Any, filename: PathLike) -> np.ndarray:
        return read_voxels(img)
