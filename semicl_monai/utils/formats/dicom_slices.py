"""The slices of a DICOM series, and the grid they span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semicl_monai.utils.errors import InputError

PARALLEL = 1e-3  # for the rounding of direction cosines
SAME_PLACE = 1e-3  # mm between two slices that lie at the same place
EVEN = 0.01  # share of the distance by which distances may differ, as in highdicom
ROUNDED = 0.01  # mm, for positions that a scanner has rounded
SHIFT = 0.1  # mm by which a slice may lie beside the line through the others
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TELLS = ("EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime")


@dataclass(frozen=True)
class Slice:
    """A slice: a file, or a frame of one.

    Attributes:
        file: its file.
        index: its number in the file, from 0.
        position: mm of its first voxel, in left-posterior-superior coordinates.
        row: direction in which the columns are counted.
        column: direction in which the rows are counted.
        spacing: mm from row to row, and from column to column.
        shape: number of rows and columns.
        slope: what stored values are multiplied by.
        intercept: what is then added.
        thickness: mm of the slice; 0 if it is not known.
        tells: what may tell it from a slice at the same place.
    """

    file: Path
    index: int
    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    slope: float
    intercept: float
    thickness: float
    tells: tuple[tuple[str, str], ...]

    @property
    def normal(self) -> np.ndarray:
        """Direction across the slice."""
        return np.cross(self.row, self.column)

    @property
    def name(self) -> str:
        """Name of its file, with the frame where there are several."""
        return self.file.name if self.index == 0 else f"{self.file.name} (frame {self.index + 1})"


@dataclass(frozen=True)
class Stack:
    """Slices in the order of their positions, and the even grid that they span.

    Attributes:
        slices: the slices.
        places: place of each slice in the grid, whole numbers unless there are gaps.
        affine: matrix from voxels (column, row, slice) to mm, in RAS+ convention.
        gaps: what is uneven, in words; empty if the slices lie at even distances.
    """

    slices: tuple[Slice, ...]
    places: np.ndarray
    affine: np.ndarray
    gaps: str

    @property
    def depth(self) -> int:
        """Number of slices of the grid."""
        return round(float(self.places[-1])) + 1


def slices_of(file: Path, header: Any) -> Iterator[Slice]:
    """Yield the slices of a file: one, or the frames of an enhanced multi-frame image."""
    if "ModalityLUTSequence" in header:
        raise InputError(f"must give a slope and an intercept, got a modality LUT in {file.name}.")
    shape = (int(header.Rows), int(header.Columns))
    if "PerFrameFunctionalGroupsSequence" not in header:
        yield _slice(file, 0, shape, [header])
        return
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        yield _slice(file, index, shape, [*_macros(frame), *_macros(shared[0]), header])


def _macros(group: Any) -> list[Any]:
    """The items of a functional group."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _slice(file: Path, index: int, shape: tuple[int, int], sources: Sequence[Any]) -> Slice:
    def get(name: str, default: Any = None) -> Any:
        found = next((source[name].value for source in sources if name in source), None)
        return default if found is None or found == "" else found

    position, orientation, spacing = (
        get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    if position is None or orientation is None or spacing is None:
        raise InputError(f"must give position, orientation and pixel spacing of each slice, got none in {file.name}.")
    axes = np.array(orientation, float)
    return Slice(
        file,
        index,
        np.array(position, float),
        axes[:3],
        axes[3:],
        (float(spacing[0]), float(spacing[1])),
        shape,
        float(get("RescaleSlope", 1)),
        float(get("RescaleIntercept", 0)),
        abs(float(get("SpacingBetweenSlices") or get("SliceThickness") or 0)),
        tuple((name, str(get(name))) for name in TELLS if get(name) is not None),
    )


def stack(slices: Sequence[Slice], distance: float | None = None) -> Stack:
    """Sort slices by their position along the normal, and find their grid.

    Args:
        slices: the slices.
        distance: mm between slices, if it is known. By default, it is the lower median of the distances.

    Raises:
        InputError: When the slices differ in direction, size or spacing, two lie at the same place, or one lies beside
            the line through the others.
    """
    _check_alike(slices)
    normal = slices[0].normal
    slices = sorted(slices, key=lambda each: float(each.position @ normal))
    heights = np.array([each.position @ normal for each in slices])
    _check_differ(slices, heights)
    step, places, gaps = _grid(slices, heights, distance)
    affine = np.eye(4)
    affine[:3, 0] = slices[0].row * slices[0].spacing[1]
    affine[:3, 1] = slices[0].column * slices[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = slices[0].position
    _check_straight(slices, places, affine)
    return Stack(tuple(slices), places, LPS_TO_RAS @ affine, gaps)


def _check_alike(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for each in slices[1:]:
        if max(abs(each.row - first.row).max(), abs(each.column - first.column).max()) > PARALLEL:
            raise InputError(f"must have parallel slices, got another orientation in {each.name} than in {first.name}.")
        if each.shape != first.shape or not np.allclose(each.spacing, first.spacing, rtol=PARALLEL):
            raise InputError(
                f"must have slices of one size, got {each.shape} at {each.spacing} mm in {each.name} and {first.shape} "
                f"at {first.spacing} mm in {first.name}."
            )


def _check_differ(slices: Sequence[Slice], heights: np.ndarray) -> None:
    same = np.flatnonzero(np.diff(heights) < SAME_PLACE)
    if len(same):
        one, other = slices[same[0]], slices[same[0] + 1]
        known = dict(other.tells)
        differing = [f"{name} {a} and {known[name]}" for name, a in one.tells if known.get(name, a) != a]
        raise InputError(
            f"must have one slice at each place, got {len(same)} place(s) with two, the first at {heights[same[0]]:g} "
            f"mm in {one.name} and {other.name}{f' ({differing[0]})' if differing else ''}: split the series, such as "
            "by echo or time point."
        )


def _grid(slices: Sequence[Slice], heights: np.ndarray, distance: float | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Step from slice to slice of the grid, place of each slice in it, and what is uneven."""
    if len(slices) == 1:
        if slices[0].thickness <= 0:
            raise InputError("must have several slices, or one that gives its thickness.")
        return slices[0].normal * slices[0].thickness, np.zeros(1), ""
    distances = np.diff(heights)
    # the lower median is a distance that there is
    wanted = distance or float(np.sort(distances)[(len(distances) - 1) // 2])
    uneven = np.flatnonzero(abs(distances - wanted) > max(EVEN * wanted, ROUNDED))
    count = max(round((heights[-1] - heights[0]) / wanted), 1) if len(uneven) else len(distances)
    step = (slices[-1].position - slices[0].position) / count
    if not len(uneven):
        return step, np.arange(len(slices), dtype=float), ""
    at = uneven[0]
    gaps = (
        f"{len(uneven)} uneven distance(s), the first of {distances[at]:g} mm between {slices[at].name} at "
        f"{heights[at]:g} mm and {slices[at + 1].name} at {heights[at + 1]:g} mm, wanted {wanted:g} mm"
    )
    return step, (heights - heights[0]) / (heights[-1] - heights[0]) * count, gaps


def _check_straight(slices: Sequence[Slice], places: np.ndarray, affine: np.ndarray) -> None:
    for each, place in zip(slices, places, strict=True):
        beside = each.position - (affine @ [0, 0, place, 1])[:3]
        beside -= (beside @ each.normal) * each.normal
        if np.linalg.norm(beside) > SHIFT:
            raise InputError(
                f"must have slices in one straight stack, got {each.name} shifted by {np.linalg.norm(beside):.3g} mm."
            )
