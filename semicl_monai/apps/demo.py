"""Demonstration of the whole workflow on a small synthetic data set."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from semicl_monai.apps.find_bundle import find_bundle
from semicl_monai.study import read_summary
from semicl_monai.synthetic import make_synthetic_hippocampus, make_synthetic_whole_heart
from semicl_monai.utils import InputError, duration, read_json

# With these sizes the whole demonstration takes a few minutes on two CPU cores.
NETWORK = {"network_def::features": [8, 16, 32, 64, 64, 8]}
PATCHES = {"network_def::filters": [8, 16, 32, 64]}
HEART = {"cache_dir": "$@output_dir + '/cache'"}
HEART_SLICES = {**HEART, **NETWORK, "spacing": [4.0, 4.0, 4.0], "roi_size": [64, 64]}
HEART_PATCHES = {
    **HEART,
    "network_def::filters": [8, 16, 32, 64, 64, 64],
    "spacing": [5.0, 5.0, 5.0],
    "roi_size": [48, 32, 32],  # bfloat16 needs a deepest map with three voxels along the first axis: Bfloat16Inferer
}
TRAINING = {"labelled_fraction": 2, "iterations_per_epoch": 20, "batch_size": 2}
SCRATCH = "from scratch"
# Time of a stage relative to the others, for the estimate of what is left: as many training steps, or hardly more than
# the start of a program.
SHARES = {"pretrain": 1.0, "train": 1.0, "evaluate": 0.2, "inference": 0.2}


class Demonstration(NamedTuple):
    """Settings of the demonstration of a bundle: synthetic data, folder of images for inference, and common options."""

    make_data: Callable[[Path], Path]
    images: str
    options: dict[str, Any]


CT, MR = (partial(make_synthetic_whole_heart, modality=modality) for modality in ("ct", "mr"))
DEMONSTRATIONS = {
    "hippocampus_mri_segmentation": Demonstration(make_synthetic_hippocampus, "imagesTs", NETWORK),
    "hippocampus_mri_3d_segmentation": Demonstration(make_synthetic_hippocampus, "imagesTs", PATCHES),
    "whole_heart_ct_segmentation": Demonstration(CT, "ct_test", HEART_SLICES),
    "whole_heart_mri_segmentation": Demonstration(MR, "mr_test", HEART_SLICES),
    "whole_heart_ct_3d_segmentation": Demonstration(CT, "ct_test", HEART_PATCHES),
    "whole_heart_mri_3d_segmentation": Demonstration(MR, "mr_test", HEART_PATCHES),
}


def demo(output_dir: str = "semicl_demo", bundle: str | None = None) -> None:
    """Pre-train, fine-tune, evaluate and segment on synthetic volumes, and compare with training from scratch.

    The trainings are too short to tell which of the two is better.

    Every step is a ``python -m monai.bundle run`` command. The command is printed before it runs.

    Args:
        output_dir: folder for the synthetic data, weights, masks, tables and pictures.
        bundle: folder of a bundle of this repository. The default is ``bundles/hippocampus_mri_segmentation``.

    Raises:
        InputError: When the bundle is not found, or there is no synthetic data for it.
        SystemExit: When a step fails. The exit code is that of the step.
    """
    configs = find_bundle(bundle, "pretrain", "train", "evaluate", "inference") / "configs"
    name = configs.parent.name
    if name not in DEMONSTRATIONS:
        raise InputError(f"bundle must be one of {', '.join(DEMONSTRATIONS)}, got '{name}'.")
    make_data, images, options = DEMONSTRATIONS[name]
    output = Path(output_dir).expanduser().resolve()
    data = make_data(output / "synthetic_data")
    print(f"Synthetic data (not real images): {data}")
    method = read_json(configs / "pretrain.json", "bundle")["method"]
    runs = {method: output / method, SCRATCH: output / "scratch"}
    pretrained = runs[method]
    pretraining = {**options, **TRAINING, "dataset_dir": data, "output_dir": pretrained, "epochs": 6}
    steps = [("pretrain", configs / "pretrain.json", pretraining)]
    for name, folder in runs.items():
        where = {"dataset_dir": data, "output_dir": folder}
        start = {"pretrained": "none"} if name == SCRATCH else {}
        training = {**options, **TRAINING, **where, **start, "epochs": 12, "validation": "none"}
        steps += [("run", configs / "train.json", training)]
        steps += [("evaluate", configs / "evaluate.json", {**options, **where})]
    segmentation = {**options, "dataset_dir": data / images, "output_dir": pretrained}
    _run([*steps, ("run", configs / "inference.json", segmentation)])
    print(comparison(runs))
    _say_where(runs, pretrained)


def comparison(runs: dict[str, Path]) -> str:
    """Return a table of Dice and HD95 by class, with one line for each run."""
    summaries = {name: read_summary(run / "eval/evaluate") for name, run in runs.items()}
    first = next(iter(summaries.values()))
    classes = list(first["classes"])
    lines = [f"\nTest result on {first['num_cases']} SYNTHETIC volumes, same split (mean; HD95 in mm):"]
    columns = [f"{metric} {name}" for metric in ("Dice", "HD95") for name in classes]
    width = max(17, *(len(column) + 2 for column in columns))
    lines.append(f"{'':14}" + "".join(f"{column:>{width}}" for column in columns))
    for name, summary in summaries.items():
        values = [summary["classes"][c][metric]["mean"] for metric in ("dice", "hd95") for c in classes]
        lines.append(f"{name:14}" + "".join(f"{value:{width}.3f}" for value in values))
    return "\n".join(lines)


def _run(steps: Sequence[tuple[str, Path, dict[str, Any]]]) -> None:
    """Run all steps; after each one, print an estimate of the time that is left."""
    shares, start = [SHARES[config.stem] for _, config, _ in steps], perf_counter()
    for number, (run_id, config, options) in enumerate(steps, start=1):
        _step(run_id, config, options)
        left = (perf_counter() - start) * sum(shares[number:]) / sum(shares[:number])
        print(f"[{number}/{len(steps)}] done" + (f"; about {duration(left)} left" if left else ""), flush=True)


def _step(run_id: str, config_file: Path, options: dict[str, Any]) -> None:
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(config_file), *arguments]
    print(f"\n$ {shlex.join(['python', *command[1:]])}", flush=True)
    result = subprocess.run(command, check=False)
    if result.returncode:
        raise SystemExit(result.returncode)


def _say_where(runs: dict[str, Path], pretrained: Path) -> None:
    for name, folder in reversed(runs.items()):
        print(f"\n{name}:")
        print(f"  weights      {folder / 'models/model.pt'}")
        print(f"  cases (CSV)  {folder / 'eval/evaluate/cases.csv'}")
        print(f"  pictures     {folder / 'eval/evaluate/overlays'}")
    print(f"  masks        {pretrained / 'eval/predictions'}")
    embedding = pretrained / "eval/pretrain/embedding_local.png"
    if embedding.exists():
        print(f"  embedding    {embedding}")
    print(f"  TensorBoard  tensorboard --logdir {pretrained.parent}")
