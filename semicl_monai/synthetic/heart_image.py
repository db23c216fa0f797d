"""Intensities of the synthetic heart in CT and in MR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from semicl_monai.synthetic.heart_anatomy import TISSUES, directions

LEFT = ("Left ventricle", "Left atrium", "Ascending aorta", "left vessel")
RIGHT = ("Right ventricle", "Right atrium", "Pulmonary artery", "right vessel")

# mean and spread of the intensity within each tissue; CT in Hounsfield units, MR in arbitrary units
CT = {
    "air": (-960, 5),
    "lung": (-800, 60),
    "soft tissue": (40, 15),
    "fat": (-90, 15),
    "liver": (105, 12),
    "bone": (480, 180),
    "marrow": (260, 110),
}
MR = {
    "air": (0.02, 0.0),
    "lung": (0.09, 0.03),
    "soft tissue": (0.42, 0.05),
    "fat": (0.95, 0.1),
    "liver": (0.52, 0.05),
    "bone": (0.15, 0.05),
    "marrow": (0.75, 0.1),
}


@dataclass(frozen=True)
class HeartContrast:
    """How each tissue looks in one scan.

    Args:
        modality: ``"ct"`` or ``"mr"``.
        means: intensity of each tissue, by its place in ``TISSUES``.
        spreads: variation of the intensity within each tissue.
        waves: (K, 3) directions and (K,) phases of this variation, per mm.
        bias: (6,) coefficients of the bias field, all 0 for CT.
        noise: standard deviation of the noise, in units of the image before ``scale``.
        scale: factor for all intensities.
    """

    modality: str
    means: np.ndarray
    spreads: np.ndarray
    waves: tuple[np.ndarray, np.ndarray]
    bias: np.ndarray
    noise: float
    scale: float

    def ideal(self, tissue: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return float32 intensities (N,) of the tissue (N,) at points (3, N), without blur and noise."""
        vectors, phases = self.waves
        texture = np.sin(vectors @ points + phases[:, None]).sum(axis=0) * np.float32(np.sqrt(2 / len(phases)))
        value = self.means[tissue] + self.spreads[tissue] * texture
        return value * self._bias_at(points) if self.bias.any() else value

    def _bias_at(self, points: np.ndarray) -> np.ndarray:
        near = points / np.float32(100)
        return np.exp(self.bias[:3] @ near + self.bias[3:] @ (near * near))

    def measure(self, rng: np.random.Generator, ideal: np.ndarray) -> np.ndarray:
        """Add noise to slices (K, H, W), and return the slices as int16 for storage."""
        if self.modality == "ct":
            noise = gaussian_filter(rng.standard_normal(ideal.shape, dtype=np.float32), (0, 0.6, 0.6)) * 2.0
            return np.clip(np.rint(ideal + self.noise * noise), -1024, 3071).astype(np.int16)
        # one complex number per voxel, so that the noise of a slice does not depend on the slices drawn with it
        real, imaginary = np.moveaxis(self.noise * rng.standard_normal((*ideal.shape, 2), dtype=np.float32), -1, 0)
        return np.clip(np.rint(self.scale * np.hypot(ideal + real, imaginary)), 0, 32767).astype(np.int16)


def draw_contrast(rng: np.random.Generator, modality: str) -> HeartContrast:
    """Draw the contrast of one scan. A CT and an MR from the same ``rng`` have unrelated contrasts."""
    table = _draw_ct(rng) if modality == "ct" else _draw_mr(rng)
    means, spreads = np.array([table[name] for name in TISSUES], dtype=np.float32).T
    vectors = 2 * np.pi / rng.uniform(14, 70, (6, 1)) * directions(rng, 6)
    waves = (vectors.astype(np.float32), rng.uniform(0, 2 * np.pi, 6).astype(np.float32))
    ct = modality == "ct"
    bias = np.zeros(6) if ct else rng.uniform(-0.25, 0.25, 6)
    noise = rng.uniform(22, 38) if ct else rng.uniform(0.04, 0.08)
    scale = 1.0 if ct else float(np.exp(rng.uniform(np.log(80), np.log(1600))))
    return HeartContrast(modality, means, spreads, waves, bias.astype(np.float32), noise, scale)


def _draw_ct(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    left = rng.uniform(320, 440)
    right = left - rng.uniform(-20, 90)
    blood = {name: (np.clip(left + rng.uniform(-30, 30), 250, 500), 28) for name in LEFT}
    blood |= {name: (np.clip(right + rng.uniform(-35, 35), 250, 500), 32) for name in RIGHT}
    return CT | blood | {"Myocardium": (rng.uniform(85, 130), 14)}


def _draw_mr(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    bright = rng.uniform(0.9, 1.05)
    blood = {name: (bright + rng.uniform(-0.07, 0.07), 0.08) for name in LEFT + RIGHT}
    return MR | blood | {"Myocardium": (rng.uniform(0.4, 0.55), 0.05)}
