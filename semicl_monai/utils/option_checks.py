"""Options of a stage, checked before it does any work."""

from __future__ import annotations

import copy
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, run
from torch import nn

from semicl_monai.utils.command_line import (
    check_overrides,
    further_files,
    runner_arguments,
    started_by_user,
    wants_help,
)
from semicl_monai.utils.did_you_mean import did_you_mean
from semicl_monai.utils.errors import InputError, note_unchecked
from semicl_monai.utils.label_maps import check_regions
from semicl_monai.utils.option_kinds import FOLDER, PATH, Kind
from semicl_monai.utils.option_table import Option, method_options, options_of
from semicl_monai.utils.running_config import running_call, running_config, running_parser

# In these options "~" would be taken for a folder of that name; other options are expanded where they are read.
NOT_EXPANDED = ("output_dir", "ckpt_dir", "log_dir", "weights", "pretrained", "split_file")
# Lists of steps that do no work of their own.
NOT_RUN = ("imports", "initialize", "finalize")
WIDTH = 26


def check_options(stage: str) -> None:
    """Check the options of the running config; with ``--help``, print them and end the program.

    A value that the config itself computes is checked where it is used.

    Args:
        stage: ``"pretrain"``, ``"train"``, ``"evaluate"`` or ``"inference"``.

    Raises:
        InputError: When an option is unknown, a value is not valid for its option, or a text holds ``#``.
        SystemExit: After ``--help``.
    """
    config = running_config()
    if wants_help():
        print(help_text(stage, config))
        raise SystemExit(0)
    _check_run_id(config)
    check_overrides(method_options(stage))
    note_unchecked(_unchecked(stage))
    for option in options_of(stage):
        if option.name in config and not _is_computed(config[option.name]):
            _check_text(option.name, config[option.name])
            check_value(option, config[option.name])
        if option.name in config:
            _check_typed_expression(option, config[option.name])
    _check_parts(config)


def _check_run_id(config: Mapping[str, Any]) -> None:
    call = running_call()
    if not call:
        return
    wanted = call.get("run_id") or "run"
    known = [name for name in ("pretrain", "run", "evaluate") if name in config]
    # for an id like "train" MONAI only builds its components or returns a number: it ends without error or training
    if known and wanted not in known and (wanted in NOT_RUN or not isinstance(config.get(wanted), list | tuple)):
        commands = " or ".join(f"python -m monai.bundle run{'' if name == 'run' else f' {name}'}" for name in known)
        raise InputError(f"the config has no steps '{wanted}' to run: wanted {commands}.")


def _unchecked(stage: str) -> list[str]:
    """The user's files and entries, without options of the stage; options of the network are checked elsewhere."""
    known = {*(option.name for option in options_of(stage)), *method_options(stage), *inspect.signature(run).parameters}
    arguments = runner_arguments()
    given = [name for name in arguments if name not in known and not name.startswith("network_def")]
    given += ["method"] if "." in str(arguments.get("method")) else []  # a class of the user's own
    return [*(f"--{name}" for name in given), *further_files()] if started_by_user() else []


def check_value(option: Option, value: Any) -> None:
    """Check the value of an option.

    Raises:
        InputError: When the value is not valid for the option.
    """
    if not option.kind.accepts(value):
        raise InputError(f"{option.name} must be {option.kind.wanted}, got {_shown(value, option.kind)}.")
    if option.name in NOT_EXPANDED and isinstance(value, str) and value.startswith("~"):
        raise InputError(f"{option.name} must not begin with '~': write the home folder out, got '{value}'.")


def check_number_signs(values: Mapping[str, Any]) -> None:
    """Refuse text with ``#`` or ``::``, because MONAI's configs read both as separators.

    For example, ``run#1`` would become ``run::1``.

    Args:
        values: texts and lists of texts, by name.

    Raises:
        InputError: When a text holds ``#`` or ``::``.
    """
    for name, value in values.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and re.search("#|::", text):
                raise InputError(
                    f"{name} must not hold '#' or '::', which separate names in MONAI's configs, got '{text}'."
                )


def check_network(**sizes: Sequence[int] | None) -> None:
    """Check ``network_def`` of the running config: build it and try it on two images.

    Args:
        sizes: size of its images, by the name of the option that sets it; ``None`` where there are none.

    Raises:
        InputError: When it cannot be built, does not take images of ``in_channels`` and this size, or does not return
            ``num_classes`` classes. The message gives the reason in one line.
    """
    config = running_config()
    if "network_def" not in config:
        return
    definition = config["network_def"]
    if definition is None:
        raise InputError("network_def must be a network, got none.")
    name = definition.get("_target_", "it") if isinstance(definition, Mapping) else "it"
    # with a random state of its own, so that the run's random numbers stay the same
    with torch.random.fork_rng(devices=[]):  # networks are made on the CPU
        try:
            network = ConfigParser(config).get_parsed_content("network_def")
        except Exception as error:  # a network may raise anything on its arguments
            raise InputError(f"network_def: {name} cannot be built: {_innermost(error)}") from error
        for option, size in sizes.items():
            if size is not None:
                _check_forward(network, name, option, size)


def _check_forward(network: nn.Module, name: str, option: str, size: Sequence[int]) -> None:
    parser = ConfigParser(running_config())
    channels, outputs, what = parser.get_parsed_content("in_channels"), *_outputs(parser)
    try:
        answer = _answer(network, (2, channels, *size))
        answer = answer if isinstance(answer, torch.Tensor) else _answer(network.eval(), (2, channels, *size))
    except Exception as error:
        raise InputError(
            f"network_def: {name} does not take images of {option} {list(size)} and in_channels {channels}: "
            f"{_innermost(error)}"
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.ndim < len(size) + 2 or [*answer.shape[-len(size) :]] != [*size]:
        got = list(answer.shape) if isinstance(answer, torch.Tensor) else f"a {type(answer).__name__}"
        raise InputError(f"network_def: {name} returns {got}: wanted one map of {option} {list(size)} for each class.")
    # deep supervision adds a dimension for its heads
    if answer.shape[-len(size) - 1] != outputs:
        raise InputError(
            f"network_def: {name} returns {answer.shape[-len(size) - 1]} classes: wanted {outputs}, {what}."
        )


def _outputs(parser: ConfigParser) -> tuple[int, str]:
    """Return the number of outputs that the network must have, and what they are."""
    regions = parser.get_parsed_content("regions") if "regions" in parser else None
    if regions is None:
        return parser.get_parsed_content("num_classes"), "background and class_names"
    names, order = (parser.get_parsed_content(key) for key in ("class_names", "regions_class_order"))
    check_regions(regions, order)
    if len(regions) != len(names):
        raise InputError(f"regions must be {len(names)}, one for each of class_names, got {len(regions)}.")
    return len(names), "one for each of class_names, which are regions"


def _answer(network: Any, shape: tuple[int, ...]) -> Any:
    """Output of a network for images of a shape; only the shape is computed where possible."""
    try:
        return copy.deepcopy(network).to("meta")(torch.empty(shape, device="meta"))
    except Exception:  # not every network runs on meta tensors: try real ones
        return network(torch.zeros(shape))


def _check_parts(config: Mapping[str, Any]) -> None:
    """Check overrides such as ``train::trainer::max_epochs`` against the arguments of the component.

    Raises:
        InputError: When the component does not exist, it does not have the argument, or the argument has no effect.
    """
    for typed in runner_arguments():
        *path, name = typed.replace("#", "::").split("::")
        part = _part_at(config, path)
        if path and isinstance(part, Mapping) and isinstance(part.get("_target_"), str) and path[0] != "network_def":
            _check_arguments("::".join(path), part, list(part) if name == "_target_" else [name])
    parameters = _part_at(config, ["optimizer", "params"])
    # parameter groups, each with its learning rate
    if "optimizer::lr" in runner_arguments() and "parameter_groups" in str(parameters):
        raise InputError(
            "optimizer::lr has no effect, because each part of the network has its own rate: give learning_rate, "
            "pretrained_learning_rate or classifier_learning_rate."
        )


def _part_at(config: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(config, list) and name.isdigit() and int(name) < len(config):
            config = config[int(name)]
        else:
            config = config.get(name) if isinstance(config, Mapping) else None
    return config


def _check_arguments(path: str, part: Mapping[str, Any], names: Sequence[str]) -> None:
    wanted = str(part["_target_"])
    if wanted[:1] in ("$", "@", "%"):
        return
    component = ConfigComponent(config={"_target_": wanted}, id=path, locator=ComponentLocator())
    try:
        target = locate(str(component.resolve_module_name()))
    except Exception as error:  # a module may raise anything during its import
        raise InputError(f"{path}: {wanted} cannot be imported: {_innermost(error)}.") from error
    if target is None:
        raise InputError(f"{path}: there is no component {wanted}: wanted a name of MONAI, or a dotted path.")
    try:
        parameters = inspect.signature(target).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):  # builtins may have none
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in names:
        if name not in parameters and not name.startswith("_"):
            hint = did_you_mean(name, parameters)
            raise InputError(f"{path}: {wanted} has no argument '{name}'{hint}? Known: {', '.join(parameters)}.")


def help_text(stage: str, config: Mapping[str, Any]) -> str:
    """Return the options of a stage with their defaults, for ``--help``.

    Args:
        stage: the stage.
        config: its config, which holds the defaults.
    """
    known = [option for option in options_of(stage) if option.of_method or option.name in config]
    lines = [f"--{option.name:{WIDTH}}{option.meaning}\n{'':{WIDTH + 2}}{_default(option, config)}" for option in known]
    network = "network_def::NAME"
    return "\n".join([f"Options of {stage}:", *lines, f"--{network:{WIDTH}}An argument of the network."])


def _default(option: Option, config: Mapping[str, Any]) -> str:
    if option.name not in config:
        return f"{option.kind.wanted[0].upper()}{option.kind.wanted[1:]}. Default: that of the method."
    value = config[option.name]
    default = "" if _is_computed(value) else f" Default: {json.dumps(value, default=str)}."
    return f"{option.kind.wanted[0].upper()}{option.kind.wanted[1:]}.{default}"


def _is_computed(value: Any) -> bool:
    """Whether a value is an expression, a reference or a component."""
    return isinstance(value, Mapping) or (isinstance(value, str) and value[:1] in ("$", "@", "%"))


def _check_typed_expression(option: Option, value: Any) -> None:
    """Refuse text that MONAI takes for an expression and cannot compute, such as a folder called @home.

    A computed value must be valid for the option.
    """
    name, parser = option.name, running_parser()
    parts = [part for part in (value if isinstance(value, list | tuple) else [value]) if isinstance(part, str)]
    typed = next((part for part in parts if _is_computed(part)), None)
    if parser is None or name not in runner_arguments() or typed is None:
        return
    try:
        computed = parser.get_parsed_content(name)
    except Exception as error:  # an expression may raise anything
        raise InputError(
            f"{name} '{typed}' begins with '{typed[0]}' and cannot be computed: {_innermost(error)}; write ./{typed} "
            f"for a file or folder of that name."
        ) from error
    check_value(option, computed)


def _check_text(name: str, value: Any) -> None:
    typed = runner_arguments().get(name)
    check_number_signs({name: typed if isinstance(typed, str) else value})


def _shown(value: Any, kind: Kind) -> str:
    if kind in (PATH, FOLDER) and not isinstance(value, str):
        return f"the {type(value).__name__} {value}"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
