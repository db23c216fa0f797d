"""Pictures of prediction against truth."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from monai.data import MetaTensor
from nibabel.orientations import io_orientation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slice:
    """Image, truth and prediction of one slice, each ``(width, height)``, with its axis and index in the file."""

    image: np.ndarray
    label: np.ndarray
    pred: np.ndarray
    axis: int
    index: int


class OverlayWriter:
    """Write a PNG of the first few cases: truth and prediction outlined on the slice with the most truth.

    Voxels that are not annotated (below 0) are shaded.

    The slices are kept and drawn at the end of the evaluation. By then, all other results have been written. A picture
    that cannot be drawn or written only causes a warning, because the metrics matter more.

    Each of several processes draws its own cases. In our configs, only the first process draws.

    Args:
        output_dir: folder to write to, with one ``<case>.png`` per case.
        num_cases: number of cases to draw.
        axis: spatial axis to slice along, counted in RAS orientation whatever the orientation of the file. In some
            volumes, a slice along this axis is only a line. The axis with the largest picture is then used.
    """

    def __init__(self, output_dir: str | Path, num_cases: int = 4, axis: int = 2) -> None:
        self.output_dir, self.num_cases, self.axis = Path(output_dir), num_cases, axis
        self.slices: dict[str, Slice] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator with decollated ``image``, ``label`` and ``pred`` ``(1, H, W, D)``, in one grid."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def __call__(self, engine: Engine) -> None:
        """Keep the slices of a batch."""
        if engine.state.iteration > self.num_cases:
            return
        for case, sample in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[call-overload]
            with _warning(case["case"]):
                self.slices[case["case"]] = fullest_slice(sample, self.axis)

    def write(self) -> None:
        """Draw the kept slices."""
        slices, self.slices = self.slices, {}
        for case, kept in slices.items():
            with _warning(case):
                self.output_dir.mkdir(parents=True, exist_ok=True)
                overlay(kept, case).savefig(self.output_dir / f"{case}.png", dpi=120)


@contextmanager
def _warning(case: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the evaluation continues after any error
        reason = " ".join(str(error).split())[:200]
        logger.warning("case %s: its picture cannot be drawn: %s: %s", case, type(error).__name__, reason)


def fullest_slice(sample: Mapping[str, Any], axis: int) -> Slice:
    """Return the slice with the most truth.

    Args:
        sample: ``image``, ``label`` and ``pred``, each ``(C, H, W, D)``, in one grid. The first channel is used.
        axis: see :class:`OverlayWriter`.

    Raises:
        ValueError: When no axis leaves a picture of at least 2 x 2 voxels.
    """
    if isinstance(sample["image"], MetaTensor):
        axis = int(io_orientation(sample["image"].affine.cpu())[:, 0].tolist().index(axis))
    axis = _axis_across_a_plane(tuple(sample["label"].shape[1:]), axis)
    volumes = [np.moveaxis(np.asarray(sample[key].cpu())[0], axis, 0) for key in ("image", "label", "pred")]
    index = int((volumes[1] > 0).sum((1, 2)).argmax())
    image, label, pred = (volume[index].copy() for volume in volumes)  # not a view: the volume is not kept
    return Slice(image, label, pred, axis, index)


def _axis_across_a_plane(shape: tuple[int, ...], axis: int) -> int:
    """Return the axis, or another one when its slices have less than 2 x 2 voxels and cannot be outlined."""
    planes = {other: np.delete(shape, other) for other in (axis, *range(3))}
    fit = [other for other, plane in planes.items() if plane.min() >= 2]
    if not fit:
        raise ValueError(f"a slice must have at least 2 x 2 voxels, got a volume of {shape}")
    return axis if axis in fit else max(fit, key=lambda other: planes[other].prod())


def overlay(kept: Slice, case: str) -> Figure:
    """Return a figure of one case: the bare slice, and the slice with the outlines of truth and prediction."""
    image, label, pred = kept.image.T, kept.label.T, kept.pred.T
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    plain, drawn = figure.subplots(1, 2)
    for axes in (plain, drawn):
        axes.imshow(image, cmap="gray", origin="lower")
        axes.set_axis_off()
    ignored = label < 0
    if ignored.any():
        shade = np.ma.masked_where(~ignored, ignored)
        drawn.imshow(shade, cmap="Blues", vmin=0, vmax=1, alpha=0.3, origin="lower")
    levels = np.arange(0.5, max(label.max(), pred.max(), 1))
    for outline, colour in ((label, "tab:green"), (pred, "tab:red")):
        if outline.max() > 0:
            drawn.contour(outline, levels=levels, colors=colour, linewidths=1.2)
    handles: list[Any] = [
        Line2D([], [], color=c, label=n) for n, c in (("truth", "tab:green"), ("prediction", "tab:red"))
    ]
    handles += [Patch(color="tab:blue", alpha=0.3, label="not annotated")] if ignored.any() else []
    drawn.legend(handles=handles)
    figure.suptitle(f"{case}, slice {kept.index} of axis {kept.axis}")
    return figure
