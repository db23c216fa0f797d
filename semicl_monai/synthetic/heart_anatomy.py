"""The geometry of the synthetic heart: the tissue at each point.

Lengths are in millimetres, for an adult of usual size. The axes are the body's: x to the left, y to the back, z to the
head. The base of the left ventricle lies near the origin. A shape maps points (3, N) to their approximate distance (N,)
from its surface, negative inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from semicl_monai.data.mmwhs import MMWHS_CLASSES

Shape = Callable[[np.ndarray], np.ndarray]

AROUND = ("air", "lung", "soft tissue", "fat", "liver", "bone", "marrow", "left vessel", "right vessel")
TISSUES = (*AROUND, *MMWHS_CLASSES)
CODES = {name: np.uint8(code) for code, name in enumerate(TISSUES)}

CENTRE = (-8.0, -8.0, 10.0)  # centre of the seven structures together
VOLUME = 640_000.0  # approximate volume of the seven structures together, mm³

_APEX = np.array((0.658, -0.506, -0.557))  # from the base to the apex: left, front, down
_SEPTUM = np.array((-0.656, -0.75, -0.094))  # from the left ventricle to the right one
_FRAME = np.stack([_APEX, _SEPTUM, np.cross(_SEPTUM, _APEX)])  # rows; the third points up
_WALL, _PERICARDIUM = 3.0, 7.0  # mm of muscle and of fat around the heart


@dataclass(frozen=True)
class HeartAnatomy:
    """One person: shapes by tissue, where later shapes cover earlier ones, and the bending of the heart.

    Args:
        chest: what lies around the heart.
        vessels: blood vessels that continue a structure of the heart, but belong to none.
        heart: the seven structures.
        waves: (K, 3) directions and (K, 3) amplitudes in mm, with (K,) phases, of the bending of the heart.
        lung_waves: (2, 3) directions of the waves whose crossings are the vessels of the lung.
    """

    chest: tuple[tuple[str, Shape], ...]
    vessels: tuple[tuple[str, Shape], ...]
    heart: tuple[tuple[str, Shape], ...]
    waves: tuple[np.ndarray, np.ndarray, np.ndarray]
    lung_waves: np.ndarray

    def tissue_at(self, points: np.ndarray) -> np.ndarray:
        """Return the tissue (N,) at points (3, N): indices into :data:`TISSUES` as uint8."""
        tissue = np.full(points.shape[1], CODES["lung"])
        tissue[np.square(np.sin(self.lung_waves @ points)).sum(axis=0) < 0.12] = CODES["right vessel"]
        _paint(tissue, self.chest, points)
        bent = self._bend(points)
        depths = [shape(bent) for _, shape in self.heart]
        nearest = np.minimum.reduce(depths)
        tissue[nearest < _PERICARDIUM] = CODES["fat"]
        tissue[nearest < _WALL] = CODES["soft tissue"]
        _paint(tissue, self.vessels, bent)
        for (name, _), depth in zip(self.heart, depths, strict=True):
            tissue[depth < 0] = CODES[name]
        return tissue

    def _bend(self, points: np.ndarray) -> np.ndarray:
        vectors, amplitudes, phases = self.waves
        return points + amplitudes.T @ np.sin(vectors @ points + phases[:, None])


def _paint(tissue: np.ndarray, shapes: tuple[tuple[str, Shape], ...], points: np.ndarray) -> None:
    for name, shape in shapes:
        tissue[shape(points) < 0] = CODES[name]


def draw_anatomy(rng: np.random.Generator) -> HeartAnatomy:
    """Draw the anatomy of one person."""
    heart = _draw_heart(rng)
    vessels = _draw_vessels(rng)
    vectors = 2 * np.pi / rng.uniform(55, 130, (5, 1)) * directions(rng, 5)
    amplitudes, phases = rng.uniform(-1.6, 1.6, (5, 3)), rng.uniform(0, 2 * np.pi, 5)
    lung_waves = np.pi / rng.uniform(24, 34, (2, 1)) * directions(rng, 2)
    waves = (vectors.astype(np.float32), amplitudes.astype(np.float32), phases.astype(np.float32))
    return HeartAnatomy(_draw_chest(rng), vessels, heart, waves, lung_waves.astype(np.float32))


def _draw_heart(rng: np.random.Generator) -> tuple[tuple[str, Shape], ...]:
    turn = Rotation.from_euler("xyz", rng.uniform(-10, 10, 3), degrees=True).as_matrix()
    frame = _FRAME @ turn.T
    ball = partial(_draw_ellipsoid, rng, frame)
    size = rng.uniform(0.92, 1.08)
    cavity = size * np.array((46, 23, 23)) * rng.uniform(0.93, 1.07, 3)
    middle = (0.65 * cavity[0], 0, 0)
    outside = cavity + rng.uniform(8.5, 12)
    right = (0.5 * cavity[0], 7 + cavity[1], 4)
    chambers = (
        ("Right atrium", ball((-20, 42, -6), (28, 26, 32), rng.uniform(0.9, 1.1))),
        ("Left atrium", ball((-17, -5, 4), (27, 28, 32), rng.uniform(0.92, 1.1))),
        ("Right ventricle", partial(_above_base, ball(right, (48, 30, 36), size), frame[0])),
    )
    arteries = (
        ("Pulmonary artery", _draw_pulmonary_artery(rng, turn)),
        ("Ascending aorta", _draw_aorta(rng, turn)),
    )
    left = (
        ("Myocardium", partial(_above_base, partial(_ellipsoid, *_placed(frame, middle, outside)), frame[0])),
        ("Left ventricle", partial(_above_base, partial(_ellipsoid, *_placed(frame, middle, cavity)), frame[0])),
    )
    return chambers + arteries + left


def _draw_ellipsoid(
    rng: np.random.Generator,
    frame: np.ndarray,
    centre: tuple[float, ...],
    radii: tuple[float, ...],
    size: float,
) -> Shape:
    middle = np.array(centre) + rng.uniform(-1.5, 1.5, 3)
    return partial(_ellipsoid, *_placed(frame, middle, size * np.array(radii) * rng.uniform(0.95, 1.05, 3)))


def _draw_aorta(rng: np.random.Generator, turn: np.ndarray) -> Shape:
    line = np.array([(-1.5, -10, 1), (-5, -14, 14), (-11, -19, 36), (-14, -17, 56), (-11, -9, 72)], dtype=float)
    line[1:] += rng.uniform(-2, 2, (4, 3))
    return partial(_tube, line @ turn.T, rng.uniform(13.5, 16.5))


def _draw_pulmonary_artery(rng: np.random.Generator, turn: np.ndarray) -> Shape:
    trunk = np.array([(3, -43, 16), (8, -41, 34), (14, -27, 50), (14, -7, 58)], dtype=float)
    trunk[1:] += rng.uniform(-2, 2, (3, 3))
    right = np.array([trunk[-1], (-3, 9, 58), (-30, 13, 55)])
    left = np.array([trunk[-1], (26, 9, 61), (42, 20, 60)])
    radius = rng.uniform(12, 14)
    tubes = [partial(_tube, line @ turn.T, r) for line, r in ((trunk, radius), (right, 10.5), (left, 10.5))]
    return partial(_union, tubes)


def _draw_vessels(rng: np.random.Generator) -> tuple[tuple[str, Shape], ...]:
    """Draw veins and the rest of the aorta, as bright as the structures they continue."""
    arch = [(-11, -9, 72), (-2, 14, 88), (16, 42, 84), (24, 60, 66), (24, 64, 20), (18, 66, -60), (14, 68, -250)]
    upper, lower = [(-44, -8, 22), (-36, -2, 60), (-32, -8, 250)], [(-42, -10, -10), (-36, 4, -45), (-26, 16, -250)]
    lines = [("left vessel", arch, 11.5), ("right vessel", upper, 10.0), ("right vessel", lower, 12.0)]
    for side in (-1, 1):
        for height in (0, 26):
            vein = [(-8 + 10 * side, 20, 8 + height // 2), (-8 + 85 * side, 44, 4 + 2 * height)]
            lines.append(("left vessel", vein, 6.5))
    return tuple((name, partial(_tube, np.array(line), r * rng.uniform(0.9, 1.1))) for name, line, r in lines)


def _draw_chest(rng: np.random.Generator) -> tuple[tuple[str, Shape], ...]:
    wide, deep = rng.uniform(94, 108), rng.uniform(80, 88)
    spine = np.array([(-2, 82, -300), (-2, 82, 300)], dtype=float)
    breast = np.array([(-4, 8 - deep, -300), (-4, 8 - deep, 300)], dtype=float)
    liver, spleen = rng.uniform(60, 72), rng.uniform(58, 68)
    ribs = partial(_ribs, wide, deep, rng.uniform(0, 26))
    return (
        ("soft tissue", partial(_column, (0, 8), (12, 62))),  # mediastinum
        ("soft tissue", partial(_tube, np.array([(-2, 45, -300), (-2, 45, 300)], dtype=float), 34.0)),
        ("soft tissue", partial(_ellipsoid, (50, 8, -130), np.diag((1 / 75, 1 / 90, 1 / spleen)))),
        ("liver", partial(_ellipsoid, (-38, 5, -128), np.diag((1 / 105, 1 / 100, 1 / liver)))),
        ("fat", partial(_outside, partial(_column, (0, 8), (wide, deep)))),
        ("soft tissue", partial(_outside, partial(_column, (0, 8), (wide + 4, deep + 4)))),
        ("bone", ribs),
        ("fat", partial(_outside, partial(_column, (0, 8), (wide + 18, deep + 18)))),
        ("air", partial(_outside, partial(_column, (0, 8), (wide + 32, deep + 30)))),
        ("bone", partial(_tube, breast, 9.0)),
        ("marrow", partial(_tube, breast, 6.0)),
        ("bone", partial(_tube, spine, 20.0)),
        ("marrow", partial(_discs, partial(_tube, spine, 16.5), rng.uniform(0, 32))),
    )


def directions(rng: np.random.Generator, number: int) -> np.ndarray:
    """Draw unit vectors (number, 3)."""
    vectors = rng.standard_normal((number, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _placed(
    frame: np.ndarray, centre: np.ndarray | tuple[float, ...], radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(centre) @ frame, frame / radii[:, None]


def _ellipsoid(centre: np.ndarray | tuple[float, ...], to_unit_ball: np.ndarray, points: np.ndarray) -> np.ndarray:
    matrix = np.asarray(to_unit_ball, dtype=np.float32)
    unit = matrix @ points - (matrix @ np.asarray(centre, dtype=np.float32))[:, None]
    radius = abs(np.linalg.det(to_unit_ball)) ** (-1 / 3)
    return (np.sqrt(np.einsum("kn,kn->n", unit, unit)) - 1) * np.float32(radius)


def _tube(line: np.ndarray, radius: float, points: np.ndarray) -> np.ndarray:
    return np.minimum.reduce([_to_segment(a, b, points) for a, b in pairwise(line)]) - radius


def _to_segment(start: np.ndarray, end: np.ndarray, points: np.ndarray) -> np.ndarray:
    step = (end - start).astype(np.float32)
    offset = points - start.astype(np.float32)[:, None]
    along = np.clip(step @ offset / (step @ step), 0, 1)
    offset -= step[:, None] * along
    return np.sqrt(np.einsum("kn,kn->n", offset, offset))


def _union(shapes: Sequence[Shape], points: np.ndarray) -> np.ndarray:
    return np.minimum.reduce([shape(points) for shape in shapes])


def _above_base(shape: Shape, to_apex: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.maximum(shape(points), -(to_apex.astype(np.float32) @ points))


def _outside(shape: Shape, points: np.ndarray) -> np.ndarray:
    return -shape(points)


def _column(centre: tuple[float, float], radii: tuple[float, float], points: np.ndarray) -> np.ndarray:
    x, y = ((points[axis] - centre[axis]) / np.float32(radii[axis]) for axis in (0, 1))
    return (np.sqrt(x * x + y * y) - 1) * np.float32(min(radii))


def _ribs(wide: float, deep: float, start: float, points: np.ndarray) -> np.ndarray:
    depth = np.abs(_column((0, 8), (wide + 9, deep + 9), points)) - 5
    height = points[2] - 0.5 * points[1] + start
    return np.where(np.sin(height * np.float32(2 * np.pi / 26)) > 0.25, depth, 1)


def _discs(shape: Shape, start: float, points: np.ndarray) -> np.ndarray:
    return np.where(np.sin((points[2] + start) * np.float32(2 * np.pi / 32)) < 0.8, shape(points), 1)
