"""Run the stages of a pre-training one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from semicl_monai.handlers import ModelSaver, RunProvenance
from semicl_monai.methods.method import Method
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.methods.registry import build_method, find_method, name_of, objectives_of, stages_of
from semicl_monai.methods.simclr import SimCLR
from semicl_monai.networks import from_scratch, made_by
from semicl_monai.utils import InputError, is_not_rank0
from semicl_monai.utils.running_config import running_parser

FIRST = "model_pretrained_first.pt"


def run_pretraining(method: str, pretrained: str | Path | None = None) -> None:
    """Run the stages of a method, each with the steps of the current config and the weights of the stage before.

    Every stage runs the entry ``"steps"`` of the config. The entry ``"prepare"`` prepares the training data of the last
    stage before the first stage starts. Bad input is therefore found before hours of training.

    The result is the same as running the config for each stage with its ``--method`` and ``--pretrained``. The weights
    of the first stage are saved as ``model_pretrained_first.pt``. For a method without stages, such as ``random``, the
    untrained network is saved.

    Args:
        method: the method.
        pretrained: file of weights to start from. Stages that these weights have completed are skipped.

    Raises:
        InputError: When the method is unknown, when it cannot continue from the objective of the weights, or when a
            step raises it.
    """
    parser = running_parser()
    if parser is None:
        raise InputError("run_pretraining must be a step of a config that is being run, got no config.")
    stages = stages_to_run(method, pretrained)
    if not stages:
        _save_untrained(parser, method, pretrained)
    elif len(stages) == 1:
        parser.get_parsed_content("steps")
    else:
        parser.get_parsed_content("prepare")
        # the path of the first process, which writes the file
        first = str(idist.broadcast(str(Path(parser.get_parsed_content("ckpt_dir")) / FIRST)))
        _run_again(parser, method=name_of(stages[0]), pretrained=pretrained, weights_file=first)
        idist.barrier()  # the first process writes what all of them read
        _run_again(parser, pretrained=first)


def _run_again(parser: ConfigParser, **options: Any) -> None:
    """Run the steps of a config with other options from the beginning, with new networks and random numbers."""
    set_determinism(parser.get_parsed_content("seed"))
    ConfigParser({**parser.get(), **options}).get_parsed_content("steps")


def _save_untrained(parser: ConfigParser, method: str, pretrained: str | Path | None) -> None:
    if is_not_rank0():
        return
    network = parser.get_parsed_content("network")
    provenance = RunProvenance(network, pretrained=pretrained, method=method)
    ModelSaver(parser.get_parsed_content("weights_file"), network, provenance=provenance).write()


def build_pretraining(method: str, **options: Any) -> Method:
    """Build the method of a stage of pre-training, see :func:`build_method`.

    For a method without pre-training, :class:`SimCLR` is built but never run. Programs that search the config for its
    parts therefore find them.

    Args:
        method: name of the method.
        options: as for :func:`build_method`.

    Raises:
        InputError: When the method is unknown.
    """
    return build_method(method if stages_of(find_method(method)) else name_of(SimCLR), **options)


def stages_to_run(method: str, pretrained: str | Path | None = None) -> list[type[PretrainingMethod]]:
    """Return the stages of a method that the given weights have not completed.

    Args:
        method: the method.
        pretrained: file of weights to start from, or ``"none"``.

    Raises:
        InputError: When the method is unknown, or cannot continue from the objective of the weights.
    """
    stages = stages_of(find_method(method))
    known = None if from_scratch(pretrained) else made_by(str(pretrained))
    done = objectives_of(known) if known else []
    if objectives_of(method)[: len(done)] != done:
        raise InputError(f"method {method} cannot continue from {pretrained}, which method {known} has pre-trained.")
    return stages[len(done) :]
