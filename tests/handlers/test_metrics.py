from __future__ import annotations

import csv
import json
import math
import os
import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from monai.networks.utils import one_hot
from torch import nn

from semicl_monai.handlers import CaseMetrics, case_metrics, mean_with_interval
from semicl_monai.utils import InputError, Provenance, state_digest

SPACING = (1.0, 2.0, 3.5)
SIZE = (6, 5, 4)
LEVELS = [0.5, 0.7, 0.9] * 4
DIAGONAL = math.sqrt(sum((n * s) ** 2 for n, s in zip(SIZE, SPACING, strict=True)))


def label_map(values, spacing=SPACING):
    return MetaTensor(
        torch.as_tensor(values, dtype=torch.float32)[None], affine=torch.diag(torch.tensor([*spacing, 1.0]))
    )


def blobs(seed):
    """A random label map of two classes, roughly in two halves."""
    rng = np.random.default_rng(seed)
    values = np.zeros(SIZE)
    values[1:3][rng.random((2, 5, 4)) < 0.7] = 1
    values[3:6][rng.random((3, 5, 4)) < 0.4] = 2
    return values


def edge(mask):
    """Voxels of a mask with one of their six neighbours outside of it; outside of the volume counts as outside."""

    def inside(voxel):
        return all(0 <= v < n for v, n in zip(voxel, mask.shape, strict=True)) and mask[voxel]

    steps = [tuple(sign * (axis == i) for i in range(3)) for axis in range(3) for sign in (-1, 1)]
    return [
        voxel
        for voxel in product(*map(range, mask.shape))
        if mask[voxel] and not all(inside(tuple(v + d for v, d in zip(voxel, step, strict=True))) for step in steps)
    ]


def nearest(sources, targets, spacing):
    """The distance in mm of every source to the target nearest to it."""
    return [min(math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) for b in targets) for a in sources]


def oracle(pred, truth, spacing):
    """Dice, HD95 and average symmetric surface distance by plain loops."""
    voxels = list(product(*map(range, truth.shape)))
    both = sum(bool(pred[v] and truth[v]) for v in voxels)
    dice = 2 * both / sum(int(pred[v]) + int(truth[v]) for v in voxels)
    there, back = nearest(edge(pred), edge(truth), spacing), nearest(edge(truth), edge(pred), spacing)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return dice, hd95, sum(there + back) / len(there + back)


@pytest.mark.parametrize("spacing", [SPACING, (1.0, 1.0, 1.0), (0.4, 3.0, 0.4)])
@pytest.mark.parametrize("seed", [0, 2])
def test_metrics_are_those_of_plain_loops_over_the_voxels(seed, spacing):
    pred, truth = blobs(seed), blobs(seed + 1)
    values = case_metrics(label_map(pred), label_map(truth, spacing), num_classes=3)
    for index, label in enumerate((1, 2)):
        wanted = oracle(pred == label, truth == label, spacing)
        got = [float(values[metric][index]) for metric in ("dice", "hd95", "asd")]
        assert got == pytest.approx(wanted, rel=1e-4)


def test_a_label_without_metadata_has_a_spacing_of_one():
    pred, truth = blobs(0), blobs(1)
    values = case_metrics(torch.as_tensor(pred)[None], torch.as_tensor(truth)[None], num_classes=3)
    assert float(values["hd95"][0]) == pytest.approx(oracle(pred == 1, truth == 1, (1, 1, 1))[1], rel=1e-4)


def test_a_perfect_prediction_has_dice_one_and_no_distance():
    values = case_metrics(label_map(blobs(0)), label_map(blobs(0)), num_classes=3)
    assert values["dice"].tolist() == [1, 1]
    assert values["hd95"].tolist() == values["asd"].tolist() == [0, 0]


def test_a_class_that_is_not_predicted_has_dice_zero_and_the_diagonal_of_the_volume():
    pred = blobs(0)
    pred[pred == 2] = 0
    values = case_metrics(label_map(pred), label_map(blobs(1)), num_classes=3)
    assert float(values["dice"][1]) == 0
    assert float(values["hd95"][1]) == float(values["asd"][1]) == pytest.approx(DIAGONAL)
    assert float(values["hd95"][0]) < DIAGONAL


@pytest.mark.parametrize("predicted", [True, False])
def test_a_class_that_is_not_in_the_truth_has_no_metrics(predicted):
    pred, truth = blobs(0), blobs(1)
    truth[truth == 2] = 0
    pred[pred == 2] = 2 if predicted else 0
    values = case_metrics(label_map(pred), label_map(truth), num_classes=3)
    for metric in ("dice", "hd95", "asd"):
        assert math.isnan(values[metric][1])
        assert math.isfinite(values[metric][0])


def test_one_voxel_against_another_is_their_distance():
    pred, truth = np.zeros(SIZE), np.zeros(SIZE)
    pred[1, 1, 1], truth[3, 2, 2] = 1, 1
    values = case_metrics(label_map(pred), label_map(truth), num_classes=2)
    wanted = math.sqrt((2 * 1.0) ** 2 + (1 * 2.0) ** 2 + (1 * 3.5) ** 2)
    assert float(values["hd95"][0]) == float(values["asd"][0]) == pytest.approx(wanted)


def test_they_are_those_that_monai_computes_of_the_whole_volume():
    rng = np.random.default_rng(5)
    shape = (30, 26, 22)
    centres, grid = rng.uniform(0, shape, (5, 3)), np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)

    def balls(noise):
        away = np.linalg.norm(grid[..., None, :] - centres, axis=-1) + rng.normal(0, noise, (*shape, 5))
        return np.where(away.min(-1) < 7, 1 + away.argmin(-1), 0)

    pred, truth = label_map(balls(1.0)), label_map(balls(0.0))
    values = case_metrics(pred, truth, num_classes=6)
    whole = {"y_pred": one_hot(pred[None], 6), "y": one_hot(truth[None], 6), "include_background": False}
    wanted = {
        "dice": compute_dice(**whole),
        "hd95": compute_hausdorff_distance(**whole, percentile=95, spacing=SPACING),
        "asd": compute_average_surface_distance(**whole, symmetric=True, spacing=SPACING),
    }
    for metric, value in wanted.items():
        assert values[metric].tolist() == value[0].tolist()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_maps_may_be_of_any_type(dtype):
    pred, truth = (torch.as_tensor(blobs(seed))[None] for seed in (0, 1))
    values = case_metrics(pred.to(dtype), truth.to(dtype), num_classes=3)
    for metric, value in case_metrics(pred, truth, num_classes=3).items():
        assert torch.equal(values[metric], value)


def test_the_interval_is_a_bootstrap_over_cases_and_holds_the_mean():
    values = np.random.default_rng(0).normal(0.8, 0.1, 30)
    result = mean_with_interval(values)
    low, high = result["interval"]
    assert result["mean"] == pytest.approx(sum(values) / 30)
    assert low < result["mean"] < high
    rng = np.random.default_rng(1)
    means = sorted(sum(rng.choice(values, 30)) / 30 for _ in range(4000))
    assert (low, high) == pytest.approx((means[100], means[3900]), abs=0.005)
    assert mean_with_interval(values) == result


def test_missing_values_take_no_part_in_mean_and_interval():
    values = np.array([0.5, 0.7, 0.9])
    assert mean_with_interval(np.array([0.5, np.nan, 0.7, 0.9, np.nan])) == mean_with_interval(values)


@pytest.mark.parametrize(("values", "mean"), [([0.5], 0.5), ([np.nan, 0.5], 0.5), ([], np.nan), ([np.nan], np.nan)])
def test_of_fewer_than_two_values_there_is_no_interval(values, mean):
    result = mean_with_interval(np.array(values, dtype=float))
    assert result["mean"] == pytest.approx(mean, nan_ok=True)
    assert np.isnan(result["interval"]).all()


def test_of_one_case_a_patient_the_interval_is_that_of_earlier_versions():
    values = np.random.default_rng(4).random(11)
    wanted = {"mean": 0.6172296892872106, "interval": [0.43391341322026855, 0.7885535998342786]}
    assert mean_with_interval(values) == wanted
    assert mean_with_interval(values, [f"patient {number}" for number in range(11, 0, -1)]) == wanted


def test_the_interval_draws_patients_with_all_their_cases():
    draw = random.Random(0)
    scans = {f"p{n}": [draw.gauss(level, 0.01) for _ in range(1 + n % 3)] for n, level in enumerate(LEVELS)}
    values = [value for own in scans.values() for value in own]
    patients = [patient for patient, own in scans.items() for _ in own]
    means = []
    for _ in range(20000):
        drawn = [value for patient in draw.choices(list(scans), k=len(scans)) for value in scans[patient]]
        means.append(sum(drawn) / len(drawn))
    means.sort()
    shuffled = draw.sample(range(len(values)), len(values))
    for order in (range(len(values)), shuffled):
        result = mean_with_interval(np.array(values)[list(order)], [patients[place] for place in order])
        assert result["mean"] == pytest.approx(sum(values) / len(values))
        assert result["interval"] == pytest.approx((means[500], means[19500]), abs=0.01)
    of_cases = mean_with_interval(np.array(values))["interval"]
    assert of_cases[1] - of_cases[0] < 0.9 * (means[19500] - means[500])


def test_of_one_patient_there_is_no_interval():
    result = mean_with_interval(np.array([0.5, 0.7, np.nan]), ["a", "a", "b"])
    assert result["mean"] == pytest.approx(0.6)
    assert np.isnan(result["interval"]).all()


@pytest.fixture
def evaluate(tmp_path):
    """A function that evaluates predictions against truths with the handler, through MONAI's own evaluator."""

    def run(cases, **options):
        records = [{"image": label_map(pred), "label": label_map(truth), "case": case} for case, pred, truth in cases]
        handler = CaseMetrics(tmp_path / "eval", ["front", "back"], **options)
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(records), batch_size=1),
            network=nn.Identity(),
            val_handlers=[handler],
        )
        evaluator.run()
        with open(tmp_path / "eval" / "cases.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return evaluator, handler, rows, json.loads((tmp_path / "eval" / "summary.json").read_text())

    return run


def test_the_table_has_a_line_a_case_and_class_with_its_values(evaluate):
    _, _, rows, _ = evaluate([("a", blobs(0), blobs(1)), ("b", blobs(2), blobs(3))])
    assert [(row["case"], row["class"]) for row in rows] == [
        ("a", "front"),
        ("a", "back"),
        ("b", "front"),
        ("b", "back"),
    ]
    for row, (seed, label) in zip(rows, product((0, 2), (1, 2)), strict=True):
        wanted = oracle(blobs(seed) == label, blobs(seed + 1) == label, SPACING)
        assert [float(row[metric]) for metric in ("dice", "hd95", "asd")] == pytest.approx(wanted, rel=1e-4)


def test_the_summary_is_by_class_and_over_the_mean_of_the_classes_of_a_case(evaluate):
    evaluator, _, rows, summary = evaluate([("a", blobs(0), blobs(1)), ("b", blobs(2), blobs(3))], about={"seed": 3})
    dice = {(row["case"], row["class"]): float(row["dice"]) for row in rows}
    means = {name: (dice["a", name] + dice["b", name]) / 2 for name in ("front", "back")}
    assert (summary["seed"], summary["num_cases"]) == (3, 2)
    assert list(summary["classes"]) == ["front", "back", "mean"]
    for name, mean in {**means, "mean": (means["front"] + means["back"]) / 2}.items():
        found = summary["classes"][name]["dice"]
        assert found["mean"] == pytest.approx(mean)
        assert found["interval"][0] <= mean <= found["interval"][1]
        assert evaluator.state.metrics[f"dice_{name}"] == pytest.approx(mean)


def test_a_class_that_a_case_does_not_have_is_left_out_of_its_means(evaluate):
    truth = blobs(1)
    truth[truth == 2] = 0
    _, _, rows, summary = evaluate([("a", blobs(0), truth), ("b", blobs(2), blobs(3))])
    dice = [float(row["dice"]) for row in rows]
    assert math.isnan(dice[1])
    assert summary["classes"]["back"]["dice"]["mean"] == pytest.approx(dice[3])
    assert summary["classes"]["mean"]["dice"]["mean"] == pytest.approx((dice[0] + (dice[2] + dice[3]) / 2) / 2)


def test_the_table_names_the_patients_and_the_summary_goes_by_them(tmp_path):
    cases = [("a1", "a"), ("a2", "a"), ("b1", None)]
    records = [
        {"image": label_map(blobs(seed)), "label": label_map(blobs(seed + 1)), "case": case}
        | ({"patient": patient} if patient else {})
        for seed, (case, patient) in enumerate(cases)
    ]
    handler, engine = CaseMetrics(tmp_path, ["front", "back"]), Engine(lambda *_: None)
    for record in records:
        engine.state.batch, engine.state.output = [record], [{**record, "pred": record["image"]}]
        handler(engine)
    handler.write(engine)
    with open(tmp_path / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["patient"]) for row in rows[::2]] == [("a1", "a"), ("a2", "a"), ("b1", "b1")]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["num_cases"], summary["num_patients"]) == (3, 2)
    front = np.array([float(row["dice"]) for row in rows[::2]])
    wanted = mean_with_interval(front, ["a", "a", "b1"])
    assert summary["classes"]["front"]["dice"]["interval"] == pytest.approx(wanted["interval"])
    assert wanted["interval"] != mean_with_interval(front)["interval"]


def test_a_second_run_begins_a_new_table(evaluate):
    evaluator, handler, rows, _ = evaluate([("a", blobs(0), blobs(1))])
    evaluator.run()
    assert len(handler.rows) == len(rows) == 2


KNOWN = Provenance("pcl", state=state_digest({}))  # of the network of the fixture, which has no tensors


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        (KNOWN, "recorded"),
        ("recorded", "recorded"),
        (None, "unknown"),
        (replace(KNOWN, from_unknown=True), "unknown"),
        (replace(KNOWN, state="that of the file, which is not the network's"), "unknown"),
    ],
)
def test_the_tables_say_whether_it_is_known_what_the_network_was_trained_on(evaluate, caplog, provenance, said):
    _, handler, rows, summary = evaluate([("a", blobs(0), blobs(1))], provenance=provenance)
    assert list(rows[0])[-1] == "provenance"
    assert {row["provenance"] for row in rows} == {summary["provenance"]} == {said}
    warned = (
        f"provenance unknown: the network may have been trained on the cases of {handler.output_dir}." in caplog.text
    )
    assert warned is (said == "unknown")


def test_it_builds_from_a_config(tmp_path):
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.CaseMetrics",
            "output_dir": str(tmp_path),
            "class_names": ["a"],
            "about": {"weights": "model.pt"},
        }
    }
    assert ConfigParser(config).get_parsed_content("handler").about == {"weights": "model.pt"}


@pytest.mark.parametrize("names", [["a", "a"], ["a", "mean"]])
def test_classes_whose_rows_could_not_be_told_apart_are_refused(tmp_path, names):
    with pytest.raises(InputError, match=f"class_names must differ and must not include 'mean', got a, {names[1]}"):
        CaseMetrics(tmp_path, names)


def test_a_full_disk_leaves_the_tables_of_the_run_before(tmp_path, monkeypatch):
    for name in ("cases.csv", "summary.json"):
        (tmp_path / name).write_text("old")

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    metrics = CaseMetrics(tmp_path, ["Tumör"])
    wanted = r"^cannot write .*/cases\.csv: No space left on device; give a writable --output_dir\.$"
    with pytest.raises(InputError, match=wanted):
        metrics._write(metrics.summary(), "recorded")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"cases.csv": "old", "summary.json": "old"}


def ball(shape=(20, 20, 12), radius=5):
    place = torch.stack(torch.meshgrid(*(torch.arange(n) - n / 2 for n in shape), indexing="ij"))
    return ((place**2).sum(0) < radius**2).float()[None]


def test_ignored_voxels_are_left_out_of_truth_and_prediction():
    truth = ball()
    label = truth.clone()
    label[..., [0, 1, 2, 4, 5, 7, 8, 9, 11]] = -1  # three slices are annotated
    pred = truth.clone()
    pred[:, :9] = 0  # half of it is missed
    known = (label >= 0).flatten().tolist()
    inside = [(p, t) for p, t, k in zip(pred.flatten().tolist(), truth.flatten().tolist(), known, strict=True) if k]
    wanted = 2 * sum(p * t for p, t in inside) / sum(p + t for p, t in inside)
    assert case_metrics(pred, label, 2)["dice"].item() == pytest.approx(wanted)
    other = torch.where(label < 0, 1 - pred, pred)
    for name, value in case_metrics(other, label, 2).items():
        assert torch.equal(value, case_metrics(pred, label, 2)[name])


def test_a_border_to_ignored_voxels_is_no_surface():
    truth = ball()
    label = truth.clone()
    label[..., :6] = -1  # the border cuts the ball in half
    found = case_metrics(truth, label, 2)
    assert [found[name].item() for name in ("dice", "hd95", "asd")] == [1, 0, 0]
    grown = ball(radius=6)  # one voxel too large, on all known sides
    surface = case_metrics(grown, label, 2)["asd"].item()
    assert 0.5 < surface < 1.5
    assert case_metrics(grown, truth, 2)["asd"].item() == pytest.approx(surface, abs=0.15)


def test_of_a_class_whose_surface_is_not_known_only_dice_is_known():
    label = torch.full((1, 6, 6, 6), -1.0)
    label[:, 2:4, 2:4, 2:4] = 1
    found = case_metrics(torch.ones(1, 6, 6, 6), label, 2)
    assert found["dice"].item() == 1
    assert found["hd95"].isnan().all()
    assert found["asd"].isnan().all()


def test_metrics_of_regions_are_those_of_their_union():
    generator = torch.Generator().manual_seed(0)
    pred, label = (torch.randint(0, 4, (1, 6, 6, 6), generator=generator).float() for _ in range(2))
    regions = [[1, 2, 3], [3], [2, 3]]
    found = case_metrics(pred, label, 4, regions)
    for number, region in enumerate(regions):
        union = [
            torch.tensor([[float(v in region) for v in maps.flatten()]]).reshape(maps.shape) for maps in (pred, label)
        ]
        for name, value in case_metrics(*union, 2).items():
            assert found[name][number] == value[0]


def test_regions_fit_the_names(tmp_path):
    with pytest.raises(InputError, match="regions must be 2, one for each class name, got 1"):
        CaseMetrics(tmp_path, ["whole", "core"], regions=[[1, 2]])
