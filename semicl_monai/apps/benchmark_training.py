"""Where a training step spends its time."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean
from time import perf_counter

from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines.utils import IterationEvents

from semicl_monai.apps.demo import BUNDLE
from semicl_monai.data import make_synthetic_hippocampus

# Each part of a step ends with an event; the part is named by what happened since the event before.
PARTS = {
    Events.GET_BATCH_STARTED: "handlers",
    Events.GET_BATCH_COMPLETED: "wait for data",
    IterationEvents.FORWARD_COMPLETED: "forward",
    IterationEvents.LOSS_COMPLETED: "loss",
    IterationEvents.BACKWARD_COMPLETED: "backward",
    IterationEvents.MODEL_COMPLETED: "optimiser",
}
NETWORK = ("forward", "loss", "backward", "optimiser")


class StepTimer:
    """Measure the parts of every step of a trainer."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.last = perf_counter()

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        for event, part in PARTS.items():
            engine.add_event_handler(event, self, part)

    def __call__(self, engine: Engine, part: str) -> None:
        now = perf_counter()
        self.seconds[part].append(now - self.last)
        self.last = now


def benchmark_training(dataset_dir: str | None = None, bundle: str | None = None, epochs: int = 3) -> None:
    """Print the parts of a pre-training and a fine-tuning step, and the share inside the network.

    The configs of the bundle are run as they are; the first epoch warms up and is left out. The loss counts as a part
    of the network's forward pass. The parts are means over steps.

    Args:
        dataset_dir: data set to train on, small synthetic volumes by default.
        bundle: folder of the bundle, by default ``bundles/hippocampus_mri_segmentation`` beside the package.
        epochs: epochs to run of each stage.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = dataset_dir or str(make_synthetic_hippocampus(Path(folder) / "synthetic_hippocampus"))
        shared = {"dataset_dir": data, "output_dir": folder, "epochs": epochs, "labelled_fraction": 4}
        for method in ("global", "local"):
            options = {**shared, "method": method}
            _report(f"pre-training, {method}", _timed("pretrain", Path(bundle or BUNDLE), options))
        options = {**shared, "pretrained": "none", "validation": "none"}
        _report("fine-tuning", _timed("run", Path(bundle or BUNDLE), options))


def _timed(run_id: str, bundle: Path, options: dict) -> StepTimer:
    config = bundle / "configs" / f"{'train' if run_id == 'run' else run_id}.json"
    workflow = ConfigWorkflow(str(config), run_id=run_id, logging_file=False, workflow_type="train", **options)
    workflow.initialize()
    timer = StepTimer()
    timer.attach(workflow.parser.get_parsed_content("train::trainer"))
    workflow.run()
    workflow.finalize()
    return timer


def _report(title: str, timer: StepTimer) -> None:
    skip = len(timer.seconds["forward"]) // 3
    parts = {part: 1000 * mean(seconds[skip:]) for part, seconds in timer.seconds.items()}
    total = sum(parts.values())
    print(f"\n{title}: {total:.0f} ms a step")
    for part, milliseconds in parts.items():
        print(f"  {part:14}{milliseconds:9.1f} ms {milliseconds / total:8.1%}")
    print(f"  {'network':14}{'':12} {sum(parts[p] for p in NETWORK) / total:8.1%}")
