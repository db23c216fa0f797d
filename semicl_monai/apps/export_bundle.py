"""Write the config files of a bundle from their one source."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError

SOURCES = Path(__file__).parents[1] / "configs"

# What each shipped file is put together from, later sources over earlier ones.
FILES = {
    "pretrain": ("common", "data", "augmentation", "pretrain"),
    "train": ("common", "data", "augmentation", "train"),
    "evaluate": ("common", "data", "inferer", "evaluate"),
    "inference": ("common", "inferer", "inference"),
}
# The two stages of pre-training are one source: what the first one of two trains for, and what the last one does.
STAGES: dict[str, dict[str, Any]] = {
    "first": {
        "objective": "$(@objectives or [@last_objective])[0]",
        "weights": "$@ckpt_dir + '/model_pretrained_first.pt'",
        "made_by": None,
    },
    "train": {
        "objective": "@last_objective",
        "weights": "$@ckpt_dir + '/model_pretrained.pt'",
        "made_by": "@method",
    },
}
LINE_LENGTH = 120
RUN_LAST = ("initialize", "pretrain", "run", "evaluate", "finalize")


def export_bundle(bundle: str) -> None:
    """Write ``configs/{pretrain,train,evaluate,inference}.json`` of the bundle whose ``task.json`` says what it is.

    Args:
        bundle: folder of the bundle.

    Raises:
        InputError: When the folder has no ``task.json``.
    """
    for name, text in {name: export_config(bundle, name) for name in FILES}.items():
        path = Path(bundle) / "configs" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"wrote {path}")


def export_config(bundle: str | Path, name: str) -> str:
    """Return the text of one config file of a bundle.

    Args:
        bundle: folder of the bundle.
        name: ``"pretrain"``, ``"train"``, ``"evaluate"`` or ``"inference"``.
    """
    task = Path(bundle) / "task.json"
    if not task.is_file():
        raise InputError(f"{bundle} is not the source of a bundle: wanted a file task.json in it.")
    config: dict[str, Any] = {}
    for source in FILES[name]:
        _merge(config, json.loads((SOURCES / f"{source}.json").read_text()))
    if name == "pretrain":
        config["parts"] = json.loads((SOURCES / "objectives.json").read_text())
        config.update({stage: _stage(stage) for stage in STAGES})
    config.update(json.loads(task.read_text()))
    run = {key: config.pop(key) for key in RUN_LAST if key in config}
    return _text({**config, **run})


def _stage(name: str) -> dict[str, Any]:
    text = (SOURCES / "stage.json").read_text()
    return {**json.loads(re.sub(r"([@%])stage\b", rf"\1{name}", text)), **STAGES[name]}


def _merge(config: dict[str, Any], other: dict[str, Any]) -> None:
    """Put ``other`` over ``config``: dicts entry by entry, ``"+name"`` appends to the list ``name``."""
    for key, value in other.items():
        if key.startswith("+"):
            config[key[1:]] = [*config[key[1:]], *value]
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value


def _text(config: dict[str, Any]) -> str:
    """JSON indented by 4, with every innermost list or dict that fits a line on one line."""

    def on_one_line(found: re.Match[str]) -> str:
        line = found["before"] + re.sub(r"\n\s*", " ", found["start"] + found["items"] + found["end"])
        return line if len(line) < LINE_LENGTH else found[0]

    innermost = r"(?P<before>[^\n]*)(?P<start>[\[{])\n\s+(?P<items>[^\[\]{}]*?)\n\s+(?P<end>[\]}])"
    return re.sub(innermost, on_one_line, json.dumps(config, indent=4)) + "\n"
