"""Names of mask files, and a check that masks replace no file of the user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.data import FolderLayoutBase

from semicl_monai.data.images import case_name, case_of, image_files
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import format_of, mask_suffix, stored_files


class MaskLayout(FolderLayoutBase):
    """Name the mask of a case ``<case>_<postfix>.nii.gz``, for :class:`monai.transforms.SaveImaged`.

    The ending is that of the format of the image: ``.nii.gz``, ``.nrrd``, ``.mha``, or ``.dcm`` for a DICOM SEG.

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

    def filename(self, subject: str = "", suffix: str = ".nii.gz", **kwargs: Any) -> Path:
        """Return the file of a mask.

        Args:
            subject: the case.
            suffix: the ending of the file, see :func:`semicl_monai.utils.formats.mask_suffix`.
            kwargs: other arguments of SaveImaged; not used.
        """
        postfix = f"_{self.postfix}" if self.postfix else ""
        return self.output_dir / f"{subject}{postfix}{suffix}"

    def check(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Refuse masks that would replace another file, before the first mask is written.

        Args:
            records: ``{"image": path, "case": name}`` of each image, see :func:`~semicl_monai.data.list_images`.

        Raises:
            InputError: When a mask would replace an input image or a file that this project did not write as a mask, or
                a package that writes masks is missing.
        """
        records = list(records)
        for format in filter(None, {format_of(image_files(record["image"])[0]) for record in records}):
            format.check_writable()
        masks = [self.filename(case_of(record), mask_suffix(image_files(record["image"])[0])) for record in records]
        if not any(map(os.path.lexists, masks)):
            return  # the files of many series need not be found
        images = {os.path.realpath(file) for record in records for file in _files(record)}
        for record, mask in zip(records, masks, strict=True):
            what = "an image that is to be segmented" if os.path.realpath(mask) in images else _not_ours(mask)
            if what:
                raise InputError(
                    f"case {case_of(record)}: the mask would replace {mask}, {what}; give another --output_dir, "
                    "--log_dir or --output_postfix."
                )


def mask_subject(meta: Mapping[str, Any], saver: Any) -> dict[str, str]:
    """Return case and ending of a mask; :class:`monai.transforms.SaveImage` gives them to :class:`MaskLayout`.

    Args:
        meta: metadata of the mask. They hold ``case`` or the file of the image.
        saver: not used.
    """
    image = meta.get("filename_or_obj", "")
    return {"subject": meta["case"] if "case" in meta else case_name(image), "suffix": mask_suffix(image)}


def _files(record: Mapping[str, Any]) -> list[str | Path]:
    """All files of an image: its parts, and what they are stored in."""
    files = image_files(record["image"])
    return [*files, *(part for file in files for part in stored_files(file))]


def _not_ours(mask: Path) -> str:
    """Why a file is not a mask of ours; empty if it is one, unchanged since we wrote it, or does not exist."""
    if not os.path.lexists(mask):
        return ""
    try:
        format = format_of(mask)
        ours = not mask.is_symlink() and format is not None and format.is_own_mask(mask)
    except Exception:  # a broken file can make its reader raise anything
        ours = False
    return "" if ours else "a file that inference has not written"
