"""MONAI's NIfTI writer, changed so that every viewer shows a mask at the place of its image."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import NdarrayOrTensor, PathLike
from monai.data import NibabelWriter
from monai.utils import convert_to_numpy

from semicl_monai.utils import write_whole
from semicl_monai.utils.nifti import mask_description, nifti_header

LONGEST = 2**15 - 1  # most voxels along an axis of a NIfTI-1 file


class NiftiWriter(NibabelWriter):
    """A :class:`monai.data.NibabelWriter` that gives a mask the sform, qform, form codes and units of its image.

    If sform and qform differ, some viewers use one and some the other. A mask with the same matrix in both would not
    lie on its image in some viewers. Data outside the grid of the image get the header that MONAI gives them. A mask
    has as many axes as its image, even for a single slice. The file appears only when it is complete. It is NIfTI-2 if
    an axis is too long for NIfTI-1.

    Args:
        output_dtype: as in :class:`monai.data.NibabelWriter`.
        kwargs: as in :class:`monai.data.NibabelWriter`.
    """

    header: nib.Nifti1Header | None = None

    def set_data_array(
        self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, squeeze_end_dims: bool = True, **kwargs: Any
    ) -> None:
        """Set the data; ``squeeze_end_dims`` drops only a single channel and keeps all axes of the volume."""
        super().set_data_array(data_array, channel_dim, False, **kwargs)
        data: Any = self.data_obj
        if squeeze_end_dims and data.ndim == 4 and data.shape[-1] == 1:
            self.data_obj = data[..., 0]

    def set_metadata(self, meta_dict: Mapping[str, Any] | None, resample: bool = True, **options: Any) -> None:
        """Set the metadata of the image, as read by :class:`~semicl_monai.transforms.NiftiReader`."""
        super().set_metadata(meta_dict, resample, **options)
        self.header = None
        if self._in_grid_of(meta_dict or {}):
            kind = nib.Nifti2Header if _is_long(self.data_obj) else nib.Nifti1Header
            self.header = nifti_header(_fields(meta_dict or {}), kind)

    def _in_grid_of(self, meta: Mapping[str, Any]) -> bool:
        if meta.get("original_affine") is None or meta.get("spatial_shape") is None:
            return False
        affine, wanted = (convert_to_numpy(each) for each in (self.affine, meta["original_affine"]))
        shape = tuple(np.asarray(self.data_obj).shape[:3])
        return shape == tuple(int(size) for size in meta["spatial_shape"]) and np.allclose(affine, wanted, atol=1e-3)

    @classmethod
    def create_backend_obj(
        cls, data_array: NdarrayOrTensor, affine: NdarrayOrTensor | None = None, dtype: Any = None, **kwargs: Any
    ) -> Any:
        """Return nibabel's image of the data."""
        if not _is_long(data_array):
            return super().create_backend_obj(data_array, affine, dtype, **kwargs)
        corner = super().create_backend_obj(data_array[:1, :1, :1], affine, dtype, **kwargs)
        voxels = convert_to_numpy(data_array).astype(corner.get_data_dtype(), copy=False)
        return nib.Nifti2Image(voxels, corner.affine)

    def write(self, filename: PathLike, verbose: bool = False, **obj_kwargs: Any) -> None:
        """Write the file.

        Raises:
            InputError: When the file cannot be written.
        """
        image = self.create_backend_obj(self.data_obj, affine=self.affine, dtype=self.output_dtype, **obj_kwargs)
        if self.header is None:
            image.set_sform(image.affine, code=1)
            image.set_qform(image.affine, code=1)
        else:
            self.header.set_data_dtype(image.get_data_dtype())
            # without an affine nibabel leaves the header as it is
            image = type(image)(image.dataobj, None, self.header)
        image.header["descrip"] = mask_description(np.asarray(image.dataobj))
        content = image.to_bytes()
        compressed = str(filename).endswith(".gz")
        write_whole(
            Path(filename),
            gzip.compress(content, 1, mtime=0) if compressed else content,
            "give a writable --output_dir",
        )


def _is_long(data: Any) -> bool:
    return bool(max(data.shape) > LONGEST)


def _fields(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the header, with the original ``pixdim``; MONAI's transforms may have changed it."""
    return {**meta, "pixdim": meta["original_pixdim"]} if "original_pixdim" in meta else dict(meta)
