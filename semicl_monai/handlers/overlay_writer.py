"""Pictures of prediction against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from monai.data import MetaTensor
from nibabel.orientations import io_orientation


class OverlayWriter:
    """Write a PNG of the first few cases: truth and prediction outlined on the slice with the most truth.

    Of several processes each draws its own cases; our configs have the first one draw.

    Args:
        output_dir: folder to write to, one ``<case>.png`` a case.
        num_cases: how many cases.
        axis: spatial axis to slice along once the image lies in RAS, wherever its file has it.
    """

    def __init__(self, output_dir: str | Path, num_cases: int = 4, axis: int = 2) -> None:
        self.output_dir, self.num_cases, self.axis = Path(output_dir), num_cases, axis

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator with decollated ``image``, ``label`` and ``pred`` ``(1, H, W, D)``, in one grid."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.iteration > self.num_cases:
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for case, sample in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[call-overload]
            overlay(sample, case["case"], self.axis).savefig(self.output_dir / f"{case['case']}.png", dpi=120)


def overlay(sample: dict[str, Any], case: str, axis: int) -> Figure:
    """Return a figure of one case: the bare slice, and the slice with the outlines of truth and prediction."""
    if isinstance(sample["image"], MetaTensor):
        axis = int(io_orientation(sample["image"].affine.cpu())[:, 0].tolist().index(axis))
    volumes = [np.moveaxis(np.asarray(sample[key].cpu())[0], axis, 0) for key in ("image", "label", "pred")]
    index = int((volumes[1] > 0).sum((1, 2)).argmax())
    image, label, pred = (volume[index].T for volume in volumes)
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    plain, drawn = figure.subplots(1, 2)
    for axes in (plain, drawn):
        axes.imshow(image, cmap="gray", origin="lower")
        axes.set_axis_off()
    levels = np.arange(0.5, max(label.max(), pred.max(), 1))
    for outline, colour in ((label, "tab:green"), (pred, "tab:red")):
        if outline.max() > 0:
            drawn.contour(outline, levels=levels, colors=colour, linewidths=1.2)
    drawn.legend(
        handles=[Line2D([], [], color=c, label=n) for n, c in (("truth", "tab:green"), ("prediction", "tab:red"))]
    )
    figure.suptitle(f"{case}, slice {index} of axis {axis}")
    return figure
