"""One synthetic scan of a heart: image, label and affine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from semicl_monai.data.mmwhs import MMWHS_CLASSES, MMWHS_VALUES
from semicl_monai.synthetic.heart_anatomy import CENTRE, TISSUES, VOLUME, HeartAnatomy, draw_anatomy
from semicl_monai.synthetic.heart_image import HeartContrast, draw_contrast

# directions of the three axes in which voxels are stored; the third axis goes from slice to slice
ORIENTATIONS = {
    "ct": ("LPS", "RAS", "LAS", "RPS"),  # axial
    "mr": ("LIA", "PIR", "RSP", "ASL", "LSA", "PSL"),  # coronal and sagittal
}
STRAY_VALUE = 421
DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
LABEL_VALUES = np.array(
    [dict(zip(MMWHS_CLASSES, MMWHS_VALUES, strict=True)).get(name, 0) for name in TISSUES], np.int16
)
BLUR = 0.5  # point spread of the scanner, voxels
VOXELS_AT_ONCE = 2**19


def draw_case(
    rng: np.random.Generator, modality: str, spatial_size: Sequence[int], orientation: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw image (H, W, D) and label (H, W, D), both int16, and their affine (4, 4) to RAS+ in mm.

    It works on a few slices at a time, and holds at most one float32 volume besides image and label.

    Args:
        rng: random generator of the case.
        modality: ``"ct"`` or ``"mr"``.
        spatial_size: voxels along the axes of the array.
        orientation: directions of these axes, such as ``"LPS"``. Slices are stacked along the third axis.
    """
    affine = _draw_affine(rng, spatial_size, orientation)
    anatomy, contrast = draw_anatomy(rng), draw_contrast(rng, modality)
    to_body = _draw_pose(rng, affine, spatial_size)
    ideal, label = _paint(anatomy, contrast, to_body, spatial_size)
    gaussian_filter(ideal, BLUR, output=ideal)
    return _measure(rng, contrast, ideal), label, affine


def add_stray_values(label: np.ndarray) -> None:
    """Write the wrong value 421 into a few voxels at the edge of the left atrium (420)."""
    atrium = MMWHS_VALUES[MMWHS_CLASSES.index("Left atrium")]
    x, y, z = np.argwhere(label == atrium)[-1]
    patch = label[max(x - 1, 0) : x + 1, max(y - 1, 0) : y + 2, max(z - 1, 0) : z + 2]
    patch[patch == atrium] = STRAY_VALUE


def _draw_affine(rng: np.random.Generator, spatial_size: Sequence[int], orientation: str) -> np.ndarray:
    in_plane = rng.uniform(200, 240) / max(spatial_size[:2])
    least = rng.uniform(1.5, 1.7)
    between = in_plane * np.clip(rng.uniform(150, 200) / spatial_size[2] / in_plane, least, 3)
    axes = np.array([DIRECTIONS[letter] for letter in orientation], dtype=float).T
    oblique = Rotation.from_euler("xyz", rng.uniform(2, 8, 3) * rng.choice([-1, 1], 3), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = oblique @ axes * (in_plane, in_plane, between)
    affine[:3, 3] = rng.uniform(-250, 50, 3)
    return affine


def _draw_pose(rng: np.random.Generator, affine: np.ndarray, spatial_size: Sequence[int]) -> np.ndarray:
    """Return the matrix (3, 4) from voxels to body coordinates."""
    extent = np.linalg.norm(affine[:3, :3], axis=0) * spatial_size
    extent[2] = min(extent[2], 1.3 * max(extent[:2]))  # the heart fills only a part of a very deep field of view
    scale = (rng.uniform(0.11, 0.14) * extent.prod() / VOLUME) ** (1 / 3)
    turn = Rotation.from_euler("xyz", rng.uniform(-8, 8, 3), degrees=True).as_matrix()
    matrix = turn @ np.diag((-1, -1, 1)) @ affine[:3, :3] / scale
    middle = (np.array(spatial_size) - 1) / 2
    shift = np.array(CENTRE) + rng.uniform(-6, 6, 3) - matrix @ middle
    return np.hstack([matrix, shift[:, None]])


def _paint(
    anatomy: HeartAnatomy, contrast: HeartContrast, to_body: np.ndarray, spatial_size: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    ideal = np.empty(spatial_size, np.float32, order="F")
    label = np.empty(spatial_size, np.int16, order="F")
    for slices in _slabs(spatial_size):
        points = _points(to_body, spatial_size, slices)
        tissue = anatomy.tissue_at(points)
        shape = (slices.stop - slices.start, spatial_size[1], spatial_size[0])
        label[..., slices] = LABEL_VALUES[tissue].reshape(shape).T
        ideal[..., slices] = contrast.ideal(tissue, points).reshape(shape).T
    return ideal, label


def _measure(rng: np.random.Generator, contrast: HeartContrast, ideal: np.ndarray) -> np.ndarray:
    image = np.empty(ideal.shape, np.int16, order="F")
    for slices in _slabs(ideal.shape):
        image[..., slices] = contrast.measure(rng, ideal[..., slices].T).T
    return image


def _slabs(spatial_size: Sequence[int]) -> Iterator[slice]:
    step = max(1, VOXELS_AT_ONCE // (spatial_size[0] * spatial_size[1]))
    for start in range(0, spatial_size[2], step):
        yield slice(start, min(start + step, spatial_size[2]))


def _points(to_body: np.ndarray, spatial_size: Sequence[int], slices: slice) -> np.ndarray:
    """Return the points (3, N) of some slices. The first axis of the array varies fastest."""
    matrix = to_body.astype(np.float32)[..., None, None, None]  # (3, 4, 1, 1, 1)
    x, y = (np.arange(size, dtype=np.float32) for size in spatial_size[:2])
    z = np.arange(slices.start, slices.stop, dtype=np.float32)
    points = matrix[:, 0] * x + matrix[:, 1] * y[:, None] + (matrix[:, 2] * z[:, None, None] + matrix[:, 3])
    return points.reshape(3, -1)
