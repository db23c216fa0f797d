"""Names of mask files, and a check that masks replace no file of the user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import FolderLayoutBase

from semicl_monai.data.images import case_name, case_of, image_files
from semicl_monai.utils import InputError
from semicl_monai.utils.nifti import MASK_DESCRIPTION, mask_description


class MaskLayout(FolderLayoutBase):
    """Name the mask of a case ``<case>_<postfix>.nii.gz``, for :class:`monai.transforms.SaveImaged`.

    Args:
        output_dir: folder of the masks.
        postfix: text after the case name of a mask. With ``""`` the mask of ``c00_0000.nii.gz`` is ``c00.nii.gz``, as
            in nnU-Net.

    Raises:
        InputError: When ``postfix`` names a folder.

    Example:
        >>> MaskLayout("predictions").filename("c00").as_posix()
        'predictions/c00_seg.nii.gz'
    """

    def __init__(self, output_dir: str | os.PathLike[str], postfix: str = "seg") -> None:
        self.output_dir, self.postfix = Path(output_dir), "" if postfix is None else str(postfix)
        if {"/", os.sep} & set(self.postfix):
            raise InputError(f"output_postfix must be a part of a file name, got '{postfix}'.")

    def filename(self, subject: str = "", **kwargs: Any) -> Path:
        """Return the file of a mask.

        Args:
            subject: the case.
            kwargs: other arguments of SaveImaged; not used.
        """
        postfix = f"_{self.postfix}" if self.postfix else ""
        return self.output_dir / f"{subject}{postfix}.nii.gz"

    def check(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Refuse masks that would replace another file, before the first mask is written.

        Args:
            records: ``{"image": path, "case": name}`` of each image, see :func:`~semicl_monai.data.list_images`.

        Raises:
            InputError: When a mask would replace an input image or a file that this project did not write as a mask.
        """
        records = list(records)
        images = {os.path.realpath(file) for record in records for file in image_files(record["image"])}
        for record in records:
            mask = self.filename(case_of(record))
            what = "an image that is to be segmented" if os.path.realpath(mask) in images else _not_ours(mask)
            if what:
                raise InputError(
                    f"case {case_of(record)}: the mask would replace {mask}, {what}; give another --output_dir, "
                    "--log_dir or --output_postfix."
                )


def mask_subject(meta: Mapping[str, Any], saver: Any) -> dict[str, str]:
    """Return the case of a mask; :class:`monai.transforms.SaveImage` gives it to :class:`MaskLayout`.

    Args:
        meta: metadata of the mask. They hold ``case`` or the file of the image.
        saver: not used.
    """
    return {"subject": meta["case"] if "case" in meta else case_name(meta["filename_or_obj"])}


def _not_ours(mask: Path) -> str:
    """Why a file is not a mask of ours; empty if it is one or does not exist."""
    if not os.path.lexists(mask):
        return ""
    try:
        ours = not mask.is_symlink() and _is_as_written(nib.load(mask))
    except Exception:  # a broken file can make nibabel raise anything
        ours = False
    return "" if ours else "a file that inference has not written"


def _is_as_written(image: Any) -> bool:
    """Whether a mask is unchanged since we wrote it; a program that corrects masks may keep our description."""
    says: bytes = image.header["descrip"].item()
    if says == MASK_DESCRIPTION:  # of earlier versions, which had no checksum
        return True
    # the voxels of a file that is not ours are not read
    return says.startswith(MASK_DESCRIPTION) and says == mask_description(np.asarray(image.dataobj))
