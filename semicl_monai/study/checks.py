"""Checks before a study starts any work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semicl_monai.study.grid import STAGES, Cell, Variant
from semicl_monai.study.results import TABLES, read_cells
from semicl_monai.utils import InputError, method_options, read_json, save_json


def check_unknown_options(cells: Iterable[Cell], configs: Path) -> None:
    """Refuse options that a stage does not have, before hours of training are lost.

    Raises:
        InputError: When an option is not in the config of its stage.
    """
    known = {stage: {*read_json(configs / f"{stage}.json", "config"), *method_options(stage)} for stage in STAGES}
    for cell in cells:
        for step in cell.last.chain():
            for option in step.options:
                if option.split("::")[0] not in known[step.stage]:
                    raise InputError(
                        f"method {cell.variant}: stage {step.stage} of the bundle has no option {option}; give options "
                        f"of a single stage in the settings."
                    )


def check_same_study(
    output_dir: Path, configs: Path, options: Mapping[str, Mapping[str, Any]], variants: Iterable[Variant]
) -> None:
    """Record the setup of a study in ``study.json``, and refuse to continue it with another setup.

    The setup is the configs, the options of all runs of a stage, and the settings of the methods. Options may change
    until the first cell is done. The settings of a method may change until its first cell is done.

    Raises:
        InputError: When the folder holds a study of another bundle or of other configs, a cell that was run with other
            options or other settings of its method, or tables that no study has written.
    """
    file = output_dir / "study.json"
    if not file.is_file():
        _check_no_tables(output_dir)
    before = _read_study(file) if file.is_file() else {}
    methods = {variant.name: asdict(variant) for variant in variants}
    about = {
        "bundle": configs.parent.name,
        "sha256": {stage: hashlib.sha256((configs / f"{stage}.json").read_bytes()).hexdigest() for stage in STAGES},
        "options": options,
        "methods": {**before.get("methods", {}), **methods},
    }
    about = json.loads(json.dumps(about, default=str))
    if before:
        _check_same_configs(before, about, output_dir)
    cells = read_cells(output_dir) if (output_dir / "cells.csv").is_file() else []
    done = sorted({cell["method"] for cell in cells if cell["state"] == "done"})
    if done:
        _check_same_options(before, about, output_dir)
        _check_same_settings(before, about, done, output_dir)
    save_json(about, file)


def _read_study(file: Path) -> dict[str, Any]:
    """Return the recorded setup of a study. Entries that older versions did not write may be missing."""
    content = read_json(file, "study")
    of_stages = content.get("options", {})
    tables = [content.get(name, {}) for name in ("sha256", "methods")] + [of_stages]
    tables += of_stages.values() if isinstance(of_stages, dict) else []
    if "bundle" not in content or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"study {file} was not written by a study: give another output_dir, or restore that file.")
    return content


def _check_no_tables(output_dir: Path) -> None:
    for table in (output_dir / name for name in TABLES):
        if table.exists():
            raise InputError(f"{table} was not written by a study in this folder: give another output_dir.")


def _check_same_configs(before: Mapping[str, Any], about: Mapping[str, Any], output_dir: Path) -> None:
    if any(before.get(name) != about[name] for name in ("bundle", "sha256")):
        raise InputError(
            f"{output_dir} holds runs of bundle {before.get('bundle')} with other configs than the current ones of "
            f"{about['bundle']}: give another output_dir."
        )


def _check_same_options(before: Mapping[str, Any], about: Mapping[str, Any], output_dir: Path) -> None:
    for stage in STAGES:
        had, has = before.get("options", {}).get(stage, {}), about["options"][stage]
        for name in sorted({*had, *has}):
            if had.get(name) != has.get(name):
                raise InputError(
                    f"{output_dir} holds runs whose {stage} has {name} {had.get(name)}, not {has.get(name)}: give "
                    f"another output_dir, or give the option to a method with another name."
                )


def _check_same_settings(
    before: Mapping[str, Any], about: Mapping[str, Any], done: Iterable[str], output_dir: Path
) -> None:
    for name in done:
        if before.get("methods", {}).get(name) != about["methods"].get(name):
            raise InputError(
                f"{output_dir} holds runs of method {name} with other settings: give another output_dir, or give the "
                f"method another name."
            )
