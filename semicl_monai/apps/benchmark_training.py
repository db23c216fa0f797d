"""Time of each part of a training step, compared with the bare network."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn

from semicl_monai.apps.find_bundle import find_bundle
from semicl_monai.methods import METHODS, find_method, stages_of
from semicl_monai.methods.registry import name_of
from semicl_monai.networks import ContrastiveNetwork, MeanTeacher
from semicl_monai.synthetic import make_synthetic_hippocampus

# Each part of a step ends with an event. Its name tells what happened since the previous event.
PARTS = {
    Events.GET_BATCH_STARTED: "handlers",
    Events.GET_BATCH_COMPLETED: "wait for data",
    IterationEvents.FORWARD_COMPLETED: "forward",
    IterationEvents.LOSS_COMPLETED: "loss",
    IterationEvents.BACKWARD_COMPLETED: "backward",
    IterationEvents.MODEL_COMPLETED: "optimiser",
}


class StepTimer:
    """Measure the parts of every step of a trainer, and keep the last batch."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.batch: Any = None
        self.last = perf_counter()

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        for event, part in PARTS.items():
            engine.add_event_handler(event, self, part)
        engine.add_event_handler(Events.ITERATION_STARTED, self.keep_batch)

    def __call__(self, engine: Engine, part: str) -> None:
        now = _now(engine.state.device)  # type: ignore[attr-defined]
        self.seconds[part].append(now - self.last)
        self.last = now

    def keep_batch(self, engine: Engine) -> None:
        """Keep the batch of this step."""
        self.batch = engine.state.batch


def benchmark_training(
    dataset_dir: str | None = None,
    bundle: str | None = None,
    epochs: int = 3,
    methods: str | tuple[str, ...] = tuple(METHODS.names),
    **overrides: Any,
) -> None:
    """Print the time of each part of a training step, and the step rate as a share of the bare network's.

    The configs of the bundle are run unchanged. The first third of the steps is a warm-up and is left out. Times are
    means over the remaining steps.

    The bare network passes the last batch forward and backward as many times as the method does. The pass ends at the
    same module as the method's own. The loss is the mean of the output. There is no head, no data loading and no
    optimiser.

    Args:
        dataset_dir: data set to train on, small synthetic volumes by default.
        bundle: folder of the bundle, by default ``bundles/hippocampus_mri_segmentation`` beside the package.
        epochs: epochs of each stage.
        methods: methods to time.
        overrides: other options of the configs, such as ``iterations_per_epoch``.
    """
    names = (methods,) if isinstance(methods, str) else methods
    where = find_bundle(bundle, "pretrain", "train")
    with tempfile.TemporaryDirectory() as folder:
        data = dataset_dir or str(make_synthetic_hippocampus(Path(folder) / "synthetic_hippocampus"))
        options = {"dataset_dir": data, "epochs": epochs, "labelled_fraction": 4}
        options |= {"validation": "none", "val_interval": epochs + 1}
        for name in names:
            _report_method(name, where, Path(folder), {**options, **overrides})


def _report_method(name: str, bundle: Path, folder: Path, options: dict[str, Any]) -> None:
    """Run and report each stage of pre-training, or fine-tuning for a method without any."""
    pretrained, stages = "none", stages_of(find_method(name))
    if not stages:
        own = {"output_dir": str(folder / name), "method": name, "pretrained": pretrained}
        _report(f"{name}, train", "train", bundle, {**options, **own})
    for stage in stages:
        output = folder / name / stage.objective
        own = {"output_dir": str(output), "method": name_of(stage), "pretrained": pretrained}
        _report(f"{name}, {stage.objective}", "pretrain", bundle, {**options, **own})
        pretrained = str(output / "models" / "model_pretrained.pt")


def _report(title: str, stage: str, bundle: Path, options: dict[str, Any]) -> None:
    run_id = "run" if stage == "train" else stage
    config = bundle / "configs" / f"{stage}.json"
    workflow = ConfigWorkflow(str(config), run_id=run_id, logging_file=False, workflow_type="train", **options)
    workflow.initialize()
    trainer, timer = workflow.parser.get_parsed_content("train::trainer"), StepTimer()
    timer.attach(trainer)
    workflow.run()
    _print(title, timer, _bare_seconds(trainer, timer.batch))
    workflow.finalize()


def _print(title: str, timer: StepTimer, bare: float) -> None:
    skip = len(timer.seconds["forward"]) // 3
    parts = {part: mean(seconds[skip:]) for part, seconds in timer.seconds.items()}
    total = sum(parts.values())
    print(f"\n{title}: {1000 * total:.0f} ms a step, bare network {1000 * bare:.0f} ms: {bare / total:.0%} of its rate")
    for part, seconds in parts.items():
        print(f"  {part:14}{1000 * seconds:9.1f} ms {seconds / total:8.1%}", flush=True)


def _bare_seconds(trainer: SupervisedTrainer, batch: Any, repeats: int = 20) -> float:
    device = trainer.state.device
    inputs, _, *others = trainer.prepare_batch(batch, device, trainer.non_blocking)
    images = (inputs, *(others[0] if others else ()))
    model: nn.Module = trainer.network
    seconds = []
    for _ in range(repeats + 3):
        model.zero_grad(set_to_none=True)
        start = _now(device)
        with torch.autocast(device.type, enabled=trainer.amp):
            loss = trainer.inferer(inputs, lambda _: _pass(model, images))  # in the precision of the step
        loss.backward()
        seconds.append(_now(device) - start)
    return mean(seconds[3:])


def _pass(model: nn.Module, images: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Pass images through the network as a training step does; return the mean of its output."""
    if isinstance(model, ContrastiveNetwork):
        return torch.stack([features.mean() for features in model.maps(*images)]).sum()
    output: torch.Tensor
    if isinstance(model, MeanTeacher):
        with torch.no_grad():
            model.teacher(images[1])
        output = model.student(torch.cat([images[0], images[-1]]))
    else:
        output = model(images[0])
    return output.mean()


def _now(device: torch.device) -> float:
    """Return the time once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()
