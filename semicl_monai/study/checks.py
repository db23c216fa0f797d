"""What is checked before a study does any work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from semicl_monai.data.sections import read_json
from semicl_monai.study.grid import STAGES, Cell
from semicl_monai.study.results import TABLES
from semicl_monai.utils import InputError, save_json


def refuse_unknown_options(cells: Iterable[Cell], configs: Path) -> None:
    """Refuse options that a stage does not have, before hours of training end in a stage that says so.

    Raises:
        InputError: When an option is not in the config of its stage.
    """
    known = {stage: json.loads((configs / f"{stage}.json").read_text()) for stage in STAGES}
    for cell in cells:
        for step in cell.last.chain():
            for option in step.options:
                if option.split("::")[0] not in known[step.stage]:
                    raise InputError(
                        f"method {cell.variant}: stage {step.stage} of the bundle has no option {option}; options of "
                        f"single stages stand in the settings."
                    )


def refuse_other_configs(output_dir: Path, configs: Path) -> None:
    """Note in ``study.json`` which configs a study is made with; refuse to go on with others.

    Raises:
        InputError: When the folder holds a study of another bundle, or of one whose configs have changed since, or
            tables that no study has written.
    """
    digest = {stage: hashlib.sha256((configs / f"{stage}.json").read_bytes()).hexdigest() for stage in STAGES}
    about = {"bundle": configs.parent.name, "sha256": digest}
    file = output_dir / "study.json"
    if not file.is_file():
        for table in (output_dir / name for name in TABLES):
            if table.exists():
                raise InputError(f"{table} was not written by a study in this folder: give another output_dir.")
        save_json(about, file)
    elif (before := read_json(file, "study")) != about:
        raise InputError(
            f"{output_dir} holds runs of bundle {before.get('bundle')} by other configs than those in "
            f"{configs} now: give another output_dir."
        )
