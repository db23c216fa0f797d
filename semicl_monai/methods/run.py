"""Run the stages of a pre-training one after the other."""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

FIRST = "model_pretrained_first.pt"


def run_pretraining(method: str, pretrained: str | Path | None = None) -> None:
    """Run the stages of a method. Each stage runs the entry ``"steps"`` of the running config.

    A second stage starts from the weights of the first one, which stay in ``model_pretrained_first.pt``. The result is
    that of two runs of the config with ``--method`` and ``--pretrained``. The entry ``"prepare"`` reads the data of the
    second stage before the first stage starts, so that bad input is found early. A method without a stage, such as
    ``random``, writes the untrained network.

    Args:
        method: name of the method.
        pretrained: file of initial weights. Stages that these weights have been through are left out.

    Raises:
        InputError: When the method is unknown, when it cannot start from these weights, or when a step raises one.
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
    """Run the steps of a config with other options, with new networks and new random numbers."""
    set_determinism(parser.get_parsed_content("seed"))
    ConfigParser({**parser.get(), **options}).get_parsed_content("steps")


def _save_untrained(parser: ConfigParser, method: str, pretrained: str | Path | None) -> None:
    if is_not_rank0():
        return
    network = parser.get_parsed_content("network")
    provenance = RunProvenance(network, pretrained=pretrained, method=method)
    file = parser.get_parsed_content("weights_file")
    ModelSaver(file, network, provenance=provenance).write()
    logger.info("Method %s has no pre-training: the untrained network is saved to %s.", method, file)


def build_pretraining(method: str, **options: Any) -> Method:
    """Build the method of a stage of pre-training, see :func:`build_method`.

    For a method without pre-training, :class:`SimCLR` is built and never run. Other programs look for the parts of the
    config. All parts must therefore exist.

    Args:
        method: name of the method.
        options: as for :func:`build_method`.

    Raises:
        InputError: When the method is unknown.
    """
    return build_method(method if stages_of(find_method(method)) else name_of(SimCLR), **options)


def stages_to_run(method: str, pretrained: str | Path | None = None) -> list[type[PretrainingMethod]]:
    """Return the stages of a method that are still to be run.

    Args:
        method: name of the method.
        pretrained: file of initial weights, or ``"none"``. Their stages are left out.

    Raises:
        InputError: When the method is unknown, or when it cannot start from these weights.
    """
    stages = stages_of(find_method(method))
    known = None if from_scratch(pretrained) else made_by(str(pretrained))
    done = objectives_of(known) if known else []
    if objectives_of(method)[: len(done)] != done:
        raise InputError(f"method {method} cannot continue from {pretrained}, which method {known} has pre-trained.")
    return stages[len(done) :]
