"""Load a case and refuse unusable images and labels."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImaged
from monai.utils import MetaKeys

from semicl_monai.transforms.volume_reader import SEGMENTS, VolumeReader
from semicl_monai.utils import IGNORED, InputError, is_true
from semicl_monai.utils.formats import class_numbers, format_name, into_grid, is_of_frames, may_be_moved, without_suffix
from semicl_monai.utils.formats.dicom_series import NEAREST
from semicl_monai.utils.nifti import (
    Space,
    check_intensities,
    check_replace_nan,
    check_same_space,
    naming,
    whole_numbers,
    without_nan,
)


class LoadCased(LoadImaged):
    """Load image and label of a case as channel-first float32 tensors, and check that they can be used.

    This is a :class:`monai.transforms.LoadImaged` for all formats of :mod:`semicl_monai.utils.formats`. Every error is
    one line that names the file. The sample keys do not change. The tensors keep their metadata (``filename_or_obj``,
    affine), so that results can be saved in the space of the image. The image's metadata also get the sample's
    ``case``. Affines are in mm, in RAS+ convention.

    If the affines of image and label differ by at most 1e-3 mm, the label gets the affine of the image. Otherwise later
    transforms could resample the two to grids that lie half a voxel apart. Label values that differ from a whole number
    by at most 1e-3 are rounded.

    A label of named segments (``.seg.nrrd``) is read by the names of its segments. Such a label, and a label in another
    format than its image, may have its axes in another order and may cover a part of the image, see
    :mod:`semicl_monai.utils.formats.segments`.

    The label files of a data set may use other values than class numbers, see ``label_values``. The loaded label holds
    class numbers from 0 to ``num_classes - 1``. A file that already holds only class numbers is not changed, because
    MONAI Label stores class numbers. Voxels of ``ignore_value`` count nowhere.

    Args:
        keys: ``"image"``, or ``("image", "label")``.
        num_classes: number of classes with background. A label holds whole numbers from 0 to ``num_classes - 1``.
        in_channels: number of channels of the image. It is 1 for a 3-D file, the size of the fourth axis for a 4-D
            file, and the number of files for a list of 3-D files.
        image_key: which of ``keys`` is the image.
        label_key: which of ``keys`` is the label.
        label_values: value of class 1, 2, ... in a label file, such as ``[500, 600]``; 0 is the background. By default
            label files hold class numbers.
        stray_values: known wrong values in label files and the right value for each, such as ``{421: 420}``. Keys may
            be strings. A warning names every file with such a value.
        ignore_value: value of voxels that are not annotated, above the values of all classes. The loaded label holds
            ``-1`` there. By default all voxels are annotated.
        replace_nan: a number that replaces NaN in an image, such as 0 outside the body. By default an image with NaN is
            refused. An image with infinity is always refused.
        class_names: names of the classes without background, or names by value, for labels of named segments. By
            default such a label is refused.
        allow_gaps: whether the slices of a DICOM series may lie at uneven distances, see
            :mod:`semicl_monai.utils.formats.dicom_series`. ``"true"`` and ``"false"`` are allowed too.
        allow_missing_keys: whether a sample may lack one of ``keys``, such as the label of an unlabelled sample.

    Raises:
        InputError: When a key is neither image nor label, ``num_classes`` or ``in_channels`` is too small,
            ``label_values``, ``stray_values`` or ``ignore_value`` are ambiguous or invalid, or ``replace_nan`` is not a
            number.

    Example:
        >>> load = LoadCased(keys=("image", "label"), num_classes=3)
        >>> load({"image": "hippocampus_003.nii.gz", "label": "nowhere.nii.gz"})
        Traceback (most recent call last):
        semicl_monai.utils.errors.InputError: case hippocampus_003: image file hippocampus_003.nii.gz is not there.
    """

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        in_channels: int = 1,
        image_key: str = "image",
        label_key: str = "label",
        *,
        label_values: Sequence[int] | None = None,
        stray_values: Mapping[Any, Any] | None = None,
        ignore_value: int | None = None,
        replace_nan: float | None = None,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        allow_gaps: bool | str = False,
        allow_missing_keys: bool = False,
    ) -> None:
        reader: Any = VolumeReader(is_true(allow_gaps, "allow_gaps"))
        with _quiet_monai():
            super().__init__(
                keys, reader=reader, image_only=True, ensure_channel_first=True, allow_missing_keys=allow_missing_keys
            )
        # MONAI's own readers depend on the installed packages; a cache of prepared volumes must not
        self._loader.readers = [reader]
        unknown = [key for key in self.keys if key not in (image_key, label_key)]
        if unknown:
            raise InputError(f"keys must be '{image_key}' or '{label_key}', got {unknown[0]!r}.")
        if num_classes < 2:
            raise InputError(f"num_classes must be at least 2, got {num_classes}.")
        if in_channels < 1:
            raise InputError(f"in_channels must be at least 1, got {in_channels}.")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.image_key = image_key
        self.label_key = label_key
        self.label_values = None if label_values is None else _parse_label_values(label_values, num_classes)
        self.ignore_value = _parse_ignore_value(ignore_value, self.label_values or (), num_classes)
        self.stray_values = _parse_stray_values(
            stray_values or {}, self.label_values or (), num_classes, self.ignore_value
        )
        self.replace_nan = check_replace_nan(replace_nan)
        self.segment_names = _segment_names(class_names, self.ignore_value)

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        """Load and check one case.

        Args:
            data: a sample with the path of a file under each key. The image may be a list of files, one per channel. If
                the sample has ``"case"``, error messages use that name.
            reader: as in :class:`monai.transforms.LoadImaged`.

        Returns:
            The sample with the image ``(C, H, W, D)`` and the label ``(1, H, W, D)`` in place of their paths.

        Raises:
            InputError: When the case cannot be used:

                * A file is missing, damaged or of no known format.
                * A file holds numbers that are not real, or its affine has no inverse.
                * The image is not 3-D, is constant or has voxels that are not finite.
                * The number of channels differs from ``in_channels``.
                * The label differs from the image in shape or affine.
                * A segment of the label has no class of its name.
                * The label has values that ``num_classes`` or ``label_values`` do not allow.
                * The image is a list of files, and their number differs from ``in_channels``.
                * The image is a list of files, and a file is not 3-D.
                * The image is a list of files, and they differ in shape or affine.
        """
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._load(data, key, reader)
        loaded = set(self.key_iterator(data))
        if self.image_key in loaded:
            self._check_image(sample[self.image_key], _where(data, self.image_key))
            if "case" in data and isinstance(sample[self.image_key], MetaTensor):
                sample[self.image_key].meta["case"] = data["case"]
        if self.label_key in loaded:
            named = self._read_segments(sample[self.label_key], _where(data, self.label_key))
            self._check_label(sample[self.label_key], _where(data, self.label_key))
        nearest = getattr(sample.get(self.image_key), "meta", {}).pop(NEAREST, None)
        if {self.image_key, self.label_key} <= loaded:
            with naming(f"{_where(data, self.label_key)} of {_files(data, self.image_key)[0]}"):
                sample[self.label_key] = _in_grid(sample[self.label_key], sample[self.image_key], named)
                check_same_space(_space(sample[self.image_key]), _space(sample[self.label_key]))
            _share_affine(sample[self.image_key], sample[self.label_key])
            if nearest is not None and is_of_frames(_files(data, self.label_key)[0], named):
                sample[self.label_key] = sample[self.label_key][..., nearest]
        return sample

    def _load(self, data: Mapping[Hashable, Any], key: Hashable, reader: ImageReader | None) -> MetaTensor:
        files, wanted = _files(data, key), self.in_channels if key == self.image_key else 1
        if len(files) == 1:
            return self._load_file(files[0], _where(data, key), reader)
        if len(files) != wanted:
            raise InputError(f"{_where(data, key)}: must be {wanted} file(s), one per channel, got {len(files)}.")
        channels: list[MetaTensor] = []
        for file in files:
            where = _where(data, key, file)
            channels.append(self._load_file(file, where, reader))
            _check_one_channel(channels[-1], where)
            with naming(f"{where} beside {files[0]}"):
                check_same_space(_space(channels[0]), _space(channels[-1]))
        return MetaTensor(torch.cat([channel.as_tensor() for channel in channels]), meta=channels[0].meta)

    def _load_file(self, file: str | os.PathLike[str], where: str, reader: ImageReader | None) -> MetaTensor:
        with naming(where, format_name(file)):
            # the reader is given here: otherwise MONAI tries all its readers after one that refuses a file
            loaded = self._loader(Path(file), reader or self._loader.readers[-1])
        volume: MetaTensor = loaded if self._loader.image_only else loaded[0]  # MONAI Label asks for the metadata apart
        if isinstance(volume, MetaTensor):
            # without this, MONAI 1.6.1 cannot save a mask if a 4-D file's first two axes are not x and y
            volume.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = float("nan")
        return volume

    def _check_image(self, image: MetaTensor, where: str) -> None:
        if SEGMENTS in getattr(image, "meta", {}):
            raise InputError(f"{where} must be an image, got a segmentation with named segments.")
        if image.ndim != 4 or image.shape[0] != self.in_channels or 0 in image.shape:
            wanted = f"3-D with {self.in_channels} channel(s)"
            raise InputError(f"{where} must be {wanted}, got the channel-first shape {tuple(image.shape)}.")
        voxels = _voxels(image)
        if self.replace_nan is not None:
            voxels[...] = without_nan(voxels, self.replace_nan)
        with naming(where):
            check_intensities(voxels)

    def _read_segments(self, label: MetaTensor, where: str) -> bool:
        """Replace the values of named segments by class numbers in place; whether the label has such."""
        # not kept: MONAI cannot put dictionaries with other keys into one batch
        segments = label.meta.pop(SEGMENTS, None) if isinstance(label, MetaTensor) else None
        if segments is None:
            return False
        _check_one_channel(label, where)
        with naming(where):
            if self.segment_names is None:
                raise InputError("has named segments, and no class_names are given to read them by.")
            _voxels(label)[...] = class_numbers(_voxels(label), segments, self.segment_names)
        return True

    def _check_label(self, label: MetaTensor, where: str) -> None:
        """Check a label and replace its values by class numbers in place."""
        _check_one_channel(label, where)
        voxels, values = _voxels(label), label.as_tensor()
        rounded = whole_numbers(voxels)
        if rounded is not voxels:
            voxels[...] = rounded
        self._replace_strays(values, where)
        ignored = None if self.ignore_value is None else values == self.ignore_value
        if ignored is not None:
            values.masked_fill_(ignored, 0)
        self._check_values(values, where)
        if ignored is not None:
            values.masked_fill_(ignored, IGNORED)

    def _check_values(self, values: torch.Tensor, where: str) -> None:
        wanted = f"whole numbers from 0 to {self.num_classes - 1}"
        wrong = (values != values.round()) | (values < 0) | (values >= self.num_classes)  # NaN differs from itself
        if wrong.any() and self.label_values is not None:
            wanted = f"{_listing(sorted((0, *self.label_values)))} or only {wanted}"
            numbers = _class_numbers(values, self.label_values)
            wrong = numbers < 0
            if not wrong.any():
                values.copy_(numbers)
        if wrong.any():
            shown = _listing(torch.unique(values[wrong]).tolist())
            wanted += "" if self.ignore_value is None else f", and {self.ignore_value} to ignore a voxel"
            raise InputError(f"{where} must hold {wanted}, got {shown} in {int(wrong.sum())} voxel(s).")

    def _replace_strays(self, values: torch.Tensor, where: str) -> None:
        for stray, value in self.stray_values.items():
            found = values == stray
            if found.any():
                message = f"{where} holds {stray} in {int(found.sum())} voxel(s), read as {value}."
                warnings.warn(message, UserWarning, stacklevel=2)
                values.masked_fill_(found, value)


@contextmanager
def _quiet_monai() -> Iterator[None]:
    """Silence a reader that MONAI 1.6.1 makes where pydicom is installed, and that misses a GPU library."""
    logger = logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NvImgCodecPydicomReader")
            yield
    finally:
        logger.setLevel(level)


def _class_numbers(values: torch.Tensor, label_values: Sequence[int]) -> torch.Tensor:
    """The class number of each voxel; -1 means that no class has the value of the voxel."""
    numbers = torch.full_like(values, -1)
    for number, value in enumerate((0, *label_values)):
        numbers.masked_fill_(values == value, number)
    return numbers


def _segment_names(
    class_names: Sequence[str] | Mapping[int, str] | None, ignore_value: int | None
) -> dict[int, str] | None:
    """Names of segments by the number that their voxels get; a segment called "ignore" gets the value to ignore."""
    if class_names is None:
        return None
    names = dict(class_names if isinstance(class_names, Mapping) else enumerate(class_names, 1))
    return names if ignore_value is None else {**names, ignore_value: "ignore"}


def _parse_label_values(label_values: Sequence[int], num_classes: int) -> tuple[int, ...]:
    values = tuple(_whole_number(value, "label_values") for value in label_values)
    if len(values) != num_classes - 1:
        raise InputError(
            f"label_values must be {num_classes - 1} numbers, one per foreground class, got {len(values)}."
        )
    if len({0, *values}) != num_classes:
        raise InputError(f"label_values must differ from each other and from 0, got {list(values)}.")
    for number, value in enumerate(values, 1):
        # a file may hold only 0 and this value; the value could then mean either class
        if 0 < value < num_classes and value != number:
            raise InputError(
                f"label_values from 1 to {num_classes - 1} must equal their class, got {value} for class {number}."
            )
    return values


def _parse_ignore_value(ignore_value: Any, label_values: Sequence[int], num_classes: int) -> int | None:
    if ignore_value is None:
        return None
    value, highest = _whole_number(ignore_value, "ignore_value"), max(num_classes - 1, *label_values, 0)
    if value <= highest:
        raise InputError(f"ignore_value must be above the values of all classes, which go to {highest}, got {value}.")
    return value


def _parse_stray_values(
    stray_values: Mapping[Any, Any], label_values: Sequence[int], num_classes: int, ignore_value: int | None
) -> dict[int, int]:
    strays = {
        _whole_number(key, "stray_values"): _whole_number(value, "stray_values") for key, value in stray_values.items()
    }
    ignored = set() if ignore_value is None else {ignore_value}
    known = {*range(num_classes), *label_values} | ignored
    for stray, value in strays.items():
        if stray in known:
            raise InputError(f"stray_values must not be values of a class, got {stray}.")
        if value not in ({0, *label_values} | ignored if label_values else known):
            raise InputError(f"stray_values must stand for 0 or the value of a class, got {value} for {stray}.")
    return strays


def _whole_number(value: Any, option: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number != float(value):
        raise InputError(f"{option} must be whole numbers, got {value!r}.")
    return number


def _listing(values: Sequence[float], most: int = 5) -> str:
    return ", ".join(f"{value:g}" for value in values[:most]) + (", ..." if len(values) > most else "")


def _files(data: Mapping[Hashable, Any], key: Hashable) -> list[str | os.PathLike[str]]:
    return list(data[key]) if isinstance(data[key], (list, tuple)) else [data[key]]


def _where(data: Mapping[Hashable, Any], key: Hashable, file: str | os.PathLike[str] | None = None) -> str:
    first = next(iter(_files(data, key)), "")
    case = data.get("case") or without_suffix(Path(first).name)
    return f"case {case}: {key} file {file or first}"


def _check_one_channel(volume: MetaTensor, where: str) -> None:
    if volume.ndim != 4 or volume.shape[0] != 1:
        raise InputError(f"{where} must be 3-D with one channel, got the channel-first shape {tuple(volume.shape)}.")


def _voxels(volume: torch.Tensor) -> np.ndarray:
    """The voxels of a volume as an array that shares its memory."""
    return (volume.as_tensor() if isinstance(volume, MetaTensor) else volume).numpy()


def _space(volume: MetaTensor) -> Space:
    file = volume.meta.get("filename_or_obj", "")
    return Space(tuple(volume.shape[1:]), volume.affine.numpy(), volume.meta, file)


def _in_grid(label: MetaTensor, image: MetaTensor, named: bool) -> MetaTensor:
    """The label in the grid of the image, if it may lie in a part of it."""
    space, wanted = _space(label), _space(image)
    if not may_be_moved(space, wanted, named):
        return label
    moved = torch.as_tensor(into_grid(_voxels(label)[0], space, wanted))[None]
    return MetaTensor(moved, affine=image.affine.clone(), meta={**label.meta, MetaKeys.SPATIAL_SHAPE: wanted.shape})


def _share_affine(image: MetaTensor, label: MetaTensor) -> None:
    label.affine = image.affine.clone()
    label.meta[MetaKeys.ORIGINAL_AFFINE] = deepcopy(image.meta.get(MetaKeys.ORIGINAL_AFFINE))
