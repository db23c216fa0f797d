"""MONAI's writer of masks, in the format of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import DtypeLike, PathLike
from monai.utils import convert_to_numpy

from semicl_monai.transforms.nifti_writer import NiftiWriter
from semicl_monai.utils.formats import format_of
from semicl_monai.utils.formats.nifti_volume import NiftiVolume


class MaskWriter(NiftiWriter):
    """Write a mask in the format that the ending of its file names, with the geometry of its image.

    NIfTI masks are written by :class:`NiftiWriter`. The others are written by the format, see
    :meth:`semicl_monai.utils.formats.Volume.write_mask`.

    Args:
        output_dtype: as in :class:`monai.data.NibabelWriter`.
        class_names: names of the classes without background, for formats that name segments.
        values: value of each class in the mask, by default 1, 2, ...
        kwargs: as in :class:`monai.data.NibabelWriter`.
    """

    def __init__(
        self,
        output_dtype: DtypeLike = np.uint8,
        class_names: Sequence[str] = (),
        values: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(output_dtype=output_dtype, **kwargs)
        self.names = dict(zip(values or range(1, len(class_names) + 1), class_names, strict=True))
        self.image: Mapping[str, Any] = {}

    def set_metadata(self, meta_dict: Mapping[str, Any] | None, resample: bool = True, **options: Any) -> None:
        """Set the metadata of the image, as read by :class:`~semicl_monai.transforms.VolumeReader`."""
        super().set_metadata(meta_dict, resample, **options)
        self.image = meta_dict or {}

    def write(self, filename: PathLike, verbose: bool = False, **obj_kwargs: Any) -> None:
        """Write the file.

        Raises:
            InputError: When the file cannot be written.
        """
        format = format_of(filename) or NiftiVolume
        if format is NiftiVolume:
            super().write(filename, verbose, **obj_kwargs)
            return
        mask = convert_to_numpy(self.data_obj).astype(self.output_dtype)
        affine = np.asarray(convert_to_numpy(self.affine), float)
        format.write_mask(Path(filename), mask, affine, self.image, self.names)
