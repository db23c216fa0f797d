"""NIfTI files as volumes; :mod:`semicl_monai.utils.nifti` has the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from semicl_monai.utils.formats.volume import Volume
from semicl_monai.utils.nifti import (
    MASK_DESCRIPTION,
    NIFTI_SUFFIXES,
    affine_in_mm,
    mask_description,
    open_nifti,
    read_voxels,
)


class NiftiVolume(Volume):
    """A NIfTI file, see :mod:`semicl_monai.utils.nifti`.

    Attributes:
        image: nibabel's image.
    """

    format, suffixes, mask_suffix = "NIfTI", NIFTI_SUFFIXES, ".nii.gz"
    image: Any

    @classmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> NiftiVolume:
        """Open a NIfTI file, see :func:`~semicl_monai.utils.nifti.open_nifti`."""
        image = open_nifti(file)
        volume = cls(file, image.shape, affine_in_mm(image), image.header)
        volume.image = image
        return volume

    def read(self) -> np.ndarray:
        """Return the voxels, see :func:`~semicl_monai.utils.nifti.read_voxels`."""
        return read_voxels(self.image)

    @classmethod
    def is_own_mask(cls, file: Path) -> bool:
        """Whether the description in the header fits the voxels."""
        mask: Any = nib.load(file)
        says: bytes = mask.header["descrip"].item()
        if says == MASK_DESCRIPTION:  # of earlier versions, which had no checksum
            return True
        # the voxels of a file that is not ours are not read
        return says.startswith(MASK_DESCRIPTION) and says == mask_description(np.asarray(mask.dataobj))
