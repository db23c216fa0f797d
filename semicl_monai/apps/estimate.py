"""Estimate of the time that the training of a bundle takes on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data.utils import dense_patch_slices
from monai.inferers import SlidingWindowInferer
from monai.inferers.utils import _get_scan_interval
from monai.networks.utils import eval_mode
from monai.utils import ensure_tuple_rep

from semicl_monai.engines import run_without_metadata
from semicl_monai.methods import FineTuningMethod, find_method, stages_of
from semicl_monai.methods.registry import name_of
from semicl_monai.utils import duration, unpack_volume

STEPS = 2  # timed steps of a stage, after one step of a single volume
LONGEST = 4.0  # seconds; slower steps are not timed in full
SLICES = 16  # slices of the timed validation
DATASETS = ("dataset", "images_dataset", "unlabelled_dataset")  # the last two are used by methods of two data sets
SHORTER = ("epochs", "iterations_per_epoch", "batch_size", "samples_per_volume")


@dataclass(frozen=True)
class StageTime:
    """Measured times of a stage.

    Args:
        name: name of the stage.
        settings: the options that its time is proportional to.
        step: seconds of a training step.
        validation: seconds of all its validations.
        warm_up: number of first epochs with labels alone.
        warm_up_step: seconds of a training step in these epochs.
    """

    name: str
    settings: Mapping[str, int]
    step: float
    validation: float = 0.0
    warm_up: int = 0
    warm_up_step: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the stage."""
        later = self.settings["epochs"] - self.warm_up
        steps = self.warm_up * self.warm_up_step + later * self.step
        return self.settings["iterations_per_epoch"] * steps + self.validation


def estimate(bundle: str | Path, record: Mapping[str, Any], num_validation: int) -> list[str]:
    r"""Estimate the time of pre-training and fine-tuning by the default method of a bundle, in lines for a user.

    With :math:`E` epochs of :math:`I` steps in a stage, :math:`s` measured seconds of a step, :math:`V` validations of
    :math:`n` volumes of :math:`z` slices (in 3-D, windows), and :math:`v` measured seconds of one of them in the
    inferer of the validation, the estimate is the sum over the stages of

    .. math:: E I s + V n z v

    All numbers but :math:`s`, :math:`n` and :math:`v` are read from the configs. The step is that of the stage's own
    trainer: random transforms, network, loss and optimizer, on one labelled volume of the data set. It is the mean of
    two steps after a step of a single volume. If these would take more than four seconds, it is the time of the step of
    a single volume times the batch size. If the method waits for a teacher, the epochs with labels alone have a step of
    their own. The validation is timed on 16 slices of the same volume, or on one window.

    Reading the volumes, checkpoints, the validation of pre-training and the metrics are not in the estimate.

    Args:
        bundle: folder of the bundle.
        record: record of a labelled training volume.
        num_validation: number of validation volumes of fine-tuning.
    """
    times = stage_times(Path(bundle), record, num_validation)
    total = duration(sum(time.seconds for time in times))
    settings = [f"--{name} (now {_now(times, name)})" for name in SHORTER]
    return [
        f"about {total} on this machine ({_machine(Path(bundle))})",
        *(f"{time.name}: {duration(time.seconds)}, {_count(time)}" for time in times),
        f"shorter in proportion: less of {', '.join(settings[:-1])} or {settings[-1]}",
        *(["without pre-training: train.json alone, with --pretrained none"] if len(times) > 1 else []),
    ]


def stage_times(bundle: Path, record: Mapping[str, Any], num_validation: int) -> list[StageTime]:
    """Time the stages of pre-training by the default method, and fine-tuning.

    Args:
        bundle: folder of the bundle.
        record: record of a labelled training volume.
        num_validation: number of validation volumes of fine-tuning.
    """
    pretrain, train = _config(bundle, "pretrain"), _config(bundle, "train")
    with torch.random.fork_rng():
        volume = {**_prepared(train, record), "case": record["case"]}
        images = {key: value for key, value in volume.items() if key != "label"}
        times = []
        for stage in stages_of(find_method(pretrain["method"])):
            own = {**pretrain, "method": name_of(stage)}
            step = _seconds_a_step(own, volume if stage.labels else images)
            times.append(StageTime(f"pre-training {stage.objective}", _settings(own), step))
        times.append(_time_of_fine_tuning(_with_method(train, pretrain["method"]), volume, num_validation))
    return times


def _with_method(train: dict[str, Any], method: str) -> dict[str, Any]:
    """Return the config of a fine-tuning that takes its method from the weights of the pre-training."""
    return {**train, "method": method} if issubclass(find_method(method), FineTuningMethod) else train


def _time_of_fine_tuning(train: dict[str, Any], volume: Mapping[str, Any], num_validation: int) -> StageTime:
    warm_up = _parser(train).get_parsed_content("method_def").warm_up
    first = _seconds_a_step({**train, "warm_up_epochs": 1}, volume) if warm_up else 0.0
    step = _seconds_a_step({**train, "warm_up_epochs": 0} if warm_up else train, volume)
    validation = num_validation * _seconds_of_validation(train, volume)
    return StageTime("fine-tuning", _settings(train), step, validation, warm_up, first)


def _config(bundle: Path, stage: str) -> dict[str, Any]:
    config: dict[str, Any] = ConfigParser.load_config_file(str(bundle / "configs" / f"{stage}.json"))
    return {**config, "bundle_root": str(bundle), "pretrained": "none", "cache_dir": None}


def _settings(config: dict[str, Any]) -> dict[str, int]:
    parser = _parser(config)
    return {name: parser.get_parsed_content(name) for name in SHORTER}


def _prepared(config: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a volume after the deterministic transforms."""
    parser = _parser(config)
    parser["train::dataset::data"] = [dict(record)]
    return unpack_volume(parser.get_parsed_content("train::dataset").prepared()[0])


def _seconds_a_step(config: dict[str, Any], volume: Mapping[str, Any]) -> float:
    batch_size = _settings(config)["batch_size"]
    single = _time_steps(config, volume, batch_size=1, steps=1)
    factor = _volumes(config, batch_size) / _volumes(config, 1)
    if single * factor * STEPS > LONGEST:
        return single * factor
    return _time_steps(config, volume, batch_size, STEPS)


def _volumes(config: dict[str, Any], batch_size: int) -> int:
    """Return the number of volumes of a step, unlabelled ones included."""
    parser = _parser({**config, "batch_size": batch_size})
    if config.get("warm_up_epochs") != 0:
        return batch_size
    labelled: int = parser.get_parsed_content("labelled_batch_size")
    return labelled + batch_size


def _time_steps(config: dict[str, Any], volume: Mapping[str, Any], batch_size: int, steps: int) -> float:
    parser = _parser_of_steps(config, volume)
    parser.update({"epochs": 1, "iterations_per_epoch": steps, "batch_size": batch_size})
    trainer = parser.get_parsed_content("train::trainer")
    start = perf_counter()
    run_without_metadata(trainer)
    _wait_for(trainer.state.device)
    return (perf_counter() - start) / steps


def _seconds_of_validation(config: dict[str, Any], volume: Mapping[str, Any]) -> float:
    """Return the seconds of a volume in all validations, from the time of some slices or of one window."""
    parser = _parser_of_steps(config, volume)
    network, inferer = (parser.get_parsed_content(name) for name in ("final_network", "validate::inferer"))
    device, image = parser.get_parsed_content("device"), volume["image"]
    window, axis = parser.get_parsed_content("roi_size"), 1 + parser.get_parsed_content("slice_axis")
    if len(window) == 3:
        part, share = image[(slice(None), *map(slice, window))], _windows(inferer.inferer, image.shape[1:])
    else:
        part = image.narrow(axis, 0, min(SLICES, image.shape[axis]))
        share = image.shape[axis] / part.shape[axis]
    part = part[None].to(device)
    start = perf_counter()
    with eval_mode(network):
        inferer(part, network)
    _wait_for(device)
    seconds: float = (perf_counter() - start) * share
    times: int = parser.get_parsed_content("epochs") // parser.get_parsed_content("val_interval")
    return seconds * times


def _windows(inferer: SlidingWindowInferer, size: Sequence[int]) -> int:
    """Return the number of windows that cover an image."""
    window = ensure_tuple_rep(inferer.roi_size, len(size))
    padded = [max(pair) for pair in zip(size, window, strict=True)]
    scan = _get_scan_interval(padded, window, len(padded), ensure_tuple_rep(inferer.overlap, len(padded)))
    return len(dense_patch_slices(padded, window, scan))


def _parser(config: dict[str, Any]) -> ConfigParser:
    """Return a parser with a copy of a config, which the parser changes."""
    return ConfigParser(deepcopy(config))


def _parser_of_steps(config: dict[str, Any], volume: Mapping[str, Any]) -> ConfigParser:
    """Return a config whose data is one prepared volume, and whose trainer has no handler."""
    parser = _parser(config)
    parser["deterministic_transforms"] = []
    parser["train::handlers"] = []
    for name in (name for name in DATASETS if f"train::{name}" in parser):
        parser[f"train::{name}::data"] = [dict(volume)]
    return parser


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine(bundle: Path) -> str:
    device, threads = _parser(_config(bundle, "train")).get_parsed_content("device"), torch.get_num_threads()
    if device.type != "cpu":
        return str(device)
    return f"cpu, {threads} threads" if threads > 1 else "cpu, 1 thread"


def _count(time: StageTime) -> str:
    steps = f"{time.settings['epochs']} epochs of {time.settings['iterations_per_epoch']} steps of {time.step:.2g} s"
    steps += f" ({time.warm_up_step:.2g} s in the first {time.warm_up} epochs)" if time.warm_up else ""
    return f"{steps}, validation {duration(time.validation)}" if time.validation else steps


def _now(times: list[StageTime], name: str) -> str:
    values = dict.fromkeys(time.settings[name] for time in times)
    return " and ".join(map(str, values))
