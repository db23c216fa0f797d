"""Per-case segmentation metrics in the image's own voxel grid."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.metrics import compute_dice
from monai.metrics.utils import get_mask_edges, get_surface_distance
from monai.utils import convert_to_tensor
from scipy.ndimage import binary_erosion
from scipy.stats import bootstrap

from semicl_monai.handlers.run_provenance import plain_state
from semicl_monai.utils import InputError, Provenance, check_regions, region_maps, save_json, write_whole
from semicl_monai.utils.distributed import all_gather_object, rank_and_size

METRICS = ("dice", "hd95", "asd")


class CaseMetrics:
    """Compute Dice, 95 % Hausdorff distance and average surface distance of every class of every case.

    Distances are in mm and use the spacing of the label. The surface distance is symmetric. A class may be in the truth
    but not in the prediction. It then gets Dice 0, and both distances are the diagonal of the volume. A class that is
    not in the truth gets ``nan`` and is left out of the means.

    Voxels whose label is below 0 are left out: truth and prediction are background there. A border between a class and
    such voxels is no surface, so that a perfect prediction has the distance 0. Next to them, distances may be too
    large, because a part of the surface is not known. If nothing of a surface is known, the distances are ``nan``.

    Two files are written. ``cases.csv`` has one line per case and class. ``summary.json`` has the mean over cases and
    its bootstrap 95 % interval over patients, for each class and for all classes together. Under ``torch.distributed``,
    the first process writes the cases of all processes. Their order is the order in which
    :class:`semicl_monai.data.CasesOfRank` dealt them out.

    Args:
        output_dir: folder to write to.
        class_names: names of the classes 1, 2, ...
        about: anything to keep with the summary, such as the split and the weights.
        provenance: provenance of the evaluated weights, or a word that describes it. The files say ``"unknown"`` by
            default. They also say so when the network's tensors differ from those of the provenance, as in a client of
            federated learning. The same holds when the network started from weights of unknown provenance.
        regions: class numbers of each of ``class_names``, if these are regions. By default they are classes.

    Raises:
        InputError: When two classes have the same name, a class is called ``mean``, or ``regions`` do not fit
            ``class_names``.

    References:
        Maier-Hein, Reinke et al., Metrics reloaded, Nature Methods 2024 (which metrics, and why per case).
        https://arxiv.org/abs/2206.01653
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        about: dict[str, Any] | None = None,
        provenance: Provenance | str | None = None,
        regions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.provenance, self.regions = provenance, regions
        self.output_dir, self.class_names, self.about = Path(output_dir), list(class_names), dict(about or {})
        if len({*self.class_names, "mean"}) <= len(self.class_names):
            raise InputError(f"class_names must differ and must not include 'mean', got {', '.join(self.class_names)}.")
        check_regions(regions)
        if regions is not None and len(regions) != len(self.class_names):
            raise InputError(f"regions must be {len(self.class_names)}, one for each class name, got {len(regions)}.")
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator with decollated ``pred`` and ``label`` ``(1, H, W, D)``, and ``case`` in its batch."""
        engine.add_event_handler(Events.STARTED, self.rows.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def __call__(self, engine: Engine) -> None:
        for case, sample in zip(engine.state.batch, engine.state.output, strict=True):  # type: ignore[call-overload]
            values = case_metrics(sample["pred"], sample["label"], len(self.class_names) + 1, self.regions)
            for index, name in enumerate(self.class_names):
                row = {metric: float(values[metric][index]) for metric in METRICS}
                about = {"case": case["case"], "patient": case.get("patient", case["case"])}
                self.rows.append({**about, "class": name, **row})

    def write(self, engine: Engine) -> None:
        """Write the table of cases and its summary, and put the mean values into the engine's metrics."""
        self.rows[:] = self._rows_of_all()
        summary = self.summary()
        if rank_and_size()[0] == 0:
            self._write(summary, self._provenance(engine))
        for name, metrics in summary["classes"].items():
            engine.state.metrics.update({f"{metric}_{name}": metrics[metric]["mean"] for metric in METRICS})

    def _rows_of_all(self) -> list[dict[str, Any]]:
        count = len(self.class_names)
        cases = [self.rows[start : start + count] for start in range(0, len(self.rows), count)]
        dealt = zip_longest(*all_gather_object(cases), fillvalue=[])
        return [row for turn in dealt for rows in turn for row in rows]

    def _provenance(self, engine: Engine) -> str:
        known = self.provenance
        if isinstance(known, Provenance):
            # the evaluated weights may differ from those of the file
            same = known.belongs_to(plain_state(engine.network))  # type: ignore[attr-defined]
            known = "recorded" if same and not known.from_unknown else None
        if known is None:
            engine.logger.warning(
                f"provenance unknown: the network may have been trained on the cases of {self.output_dir}."
            )
        return known or "unknown"

    def _write(self, summary: dict[str, Any], provenance: str) -> None:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, ("case", "class", *METRICS, "patient", "provenance"))
        writer.writeheader()
        writer.writerows({**row, "provenance": provenance} for row in self.rows)
        write_whole(self.output_dir / "cases.csv", text.getvalue(), "give a writable --output_dir")
        save_json({**self.about, "provenance": provenance, **summary}, self.output_dir / "summary.json")

    def summary(self) -> dict[str, Any]:
        """Return mean and 95 % interval of every metric, for each class and for the mean over the classes of a case."""
        cases = list(dict.fromkeys(row["case"] for row in self.rows))
        table = {m: np.full((len(cases), len(self.class_names)), np.nan) for m in METRICS}
        for row in self.rows:
            for metric in METRICS:
                table[metric][cases.index(row["case"]), self.class_names.index(row["class"])] = row[metric]
        columns = {name: {m: table[m][:, i] for m in METRICS} for i, name in enumerate(self.class_names)}
        columns["mean"] = {m: _row_mean(table[m]) for m in METRICS}
        of_cases = {row["case"]: row["patient"] for row in self.rows}
        patients = [of_cases[case] for case in cases]
        classes = {
            name: {m: mean_with_interval(v, patients) for m, v in metrics.items()} for name, metrics in columns.items()
        }
        return {"num_cases": len(cases), "num_patients": len(set(patients)), "classes": classes}


def case_metrics(
    pred: torch.Tensor, label: torch.Tensor, num_classes: int, regions: Sequence[Sequence[int]] | None = None
) -> dict[str, torch.Tensor]:
    """Return Dice, HD95 (mm) and average surface distance (mm) of one case, each of shape ``(num_classes - 1,)``.

    Args:
        pred: label map ``(1, H, W, D)``.
        label: truth of the same shape; its spacing is used when it is a ``MetaTensor``. Voxels below 0 are left out.
        num_classes: classes, background included.
        regions: class numbers of each of ``num_classes - 1`` regions, by default one class each.
    """
    spacing = label.pixdim.tolist() if isinstance(label, MetaTensor) else [1.0] * (label.ndim - 1)
    diagonal = float(np.linalg.norm(np.multiply(spacing, label.shape[1:])))
    pred, truth = (convert_to_tensor(m, track_meta=False)[0] for m in (pred, label))
    ignored = truth < 0
    left_out = ignored if ignored.any() else None
    pred = pred if left_out is None else pred.masked_fill(ignored, 0)
    pairs = zip(_masks(pred, num_classes, regions), _masks(truth, num_classes, regions), strict=True)
    rows = [_class_metrics(*pair, spacing, diagonal, left_out) for pair in pairs]
    return dict(zip(METRICS, torch.tensor(rows).unbind(1), strict=True))


def _masks(labels: torch.Tensor, num_classes: int, regions: Sequence[Sequence[int]] | None) -> Iterator[torch.Tensor]:
    """The mask of each foreground class or region of a label map ``(H, W, D)``, one after the other to save memory."""
    for region in regions or [[index] for index in range(1, num_classes)]:
        yield labels == region[0] if len(region) == 1 else region_maps(labels[None], [region], dim=0)[0].bool()


def _class_metrics(
    pred: torch.Tensor,
    truth: torch.Tensor,
    spacing: Sequence[float],
    diagonal: float,
    ignored: torch.Tensor | None = None,
) -> tuple[float, float, float]:
    """Dice, HD95 and average surface distance of the masks ``(H, W, D)`` of one class."""
    if not truth.any():
        return np.nan, np.nan, np.nan
    if not pred.any():
        return 0.0, diagonal, diagonal
    # most of a large volume is empty; ignored neighbours of the masks are needed
    box = _box(pred | truth, margin=0 if ignored is None else 1)
    pred, truth = pred[box], truth[box]
    dice = compute_dice(pred[None, None], truth[None, None])
    edges = get_mask_edges(pred, truth) if ignored is None else _known_edges(pred, truth, ignored[box])
    if not all(edge.any() for edge in edges):
        return dice.item(), np.nan, np.nan
    there, back = (torch.as_tensor(get_surface_distance(a, b, spacing=spacing)) for a, b in (edges, edges[::-1]))
    hd95 = torch.maximum(there.quantile(0.95), back.quantile(0.95))
    return dice.item(), hd95.item(), torch.cat([there, back]).mean().item()


def _known_edges(pred: torch.Tensor, truth: torch.Tensor, ignored: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Edge voxels as in :func:`monai.metrics.utils.get_mask_edges`, without borders to ignored voxels."""
    pred_edges, truth_edges = (
        mask.numpy() & ~binary_erosion((mask | ignored).numpy()) for mask in (pred.cpu(), truth.cpu())
    )
    return pred_edges, truth_edges


# not monai.transforms.utils.generate_spatial_bounding_box, which takes two to six times as long
def _box(mask: torch.Tensor, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box that holds a mask, and a margin where there is room."""
    axes = range(mask.ndim)
    planes = [mask.any([other for other in axes if other != axis]).nonzero() for axis in axes]
    return tuple(slice(max(int(found[0]) - margin, 0), int(found[-1]) + 1 + margin) for found in planes)


def mean_with_interval(values: np.ndarray, patients: Sequence[str] | None = None) -> dict[str, float | list[float]]:
    """Return the mean of the finite ``values`` and its bootstrap 95 % interval (percentiles, 9 999 resamples).

    Args:
        values: one value per case.
        patients: the patient of each case. The bootstrap draws patients, each with all cases. By default, every case is
            a patient of its own.
    """
    there = np.isfinite(values)
    mean = float(values[there].mean()) if there.any() else float("nan")
    of_cases = np.arange(len(values)) if patients is None else np.array(patients)
    sums, counts = sums_and_counts(values[there], of_cases[there])
    if len(sums) < 2:
        return {"mean": mean, "interval": [float("nan"), float("nan")]}
    interval = bootstrap(
        (sums, counts), _mean_over_cases, paired=True, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return {"mean": mean, "interval": [float(interval.low), float(interval.high)]}


def sums_and_counts(values: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the number of values of each patient, in the order in which the patients first appear."""
    _, first, number = np.unique(patients, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))[number]
    return np.bincount(order, weights=values), np.bincount(order)


def _mean_over_cases(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    return sums.sum(axis) / counts.sum(axis)


def _row_mean(table: np.ndarray) -> np.ndarray:
    """Mean over the classes of each case, or nan for a case without any class."""
    finite = np.isfinite(table)
    total, count = np.where(finite, table, 0).sum(1), finite.sum(1)
    return np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0)
