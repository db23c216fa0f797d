"""Write the config files of a bundle from their common sources and its ``task.json``."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

from semicl_monai.apps.bundle_metadata import read_metadata, renewed_metadata
from semicl_monai.methods import objectives_of
from semicl_monai.utils import OPTIONS, InputError, did_you_mean, read_json, write_whole

SOURCES = Path(__file__).parents[1] / "configs"

# The sources of each config file. Later sources override earlier ones. VIEW is "slice" or "patch".
FILES = {
    "pretrain": ("common", "data", "augmentation", "VIEW_augmentation", "pretrain", "VIEW_objectives"),
    "train": ("common", "data", "augmentation", "VIEW_augmentation", "VIEW_weak_view", "VIEW_inferer", "train"),
    "evaluate": ("common", "data", "VIEW_inferer", "VIEW_windows", "inferer", "evaluate"),
    "inference": ("common", "VIEW_inferer", "VIEW_windows", "inferer", "inference"),
}
# Further sources of bundles in 3-D: the recipe of fine-tuning with unlabelled volumes.
FILES_3D = {"pretrain": ("patch_pretrain",), "train": ("patch_train",)}
# Config files with overrides for several processes, and the config file that each of them overrides.
MULTI_GPU = {f"multi_gpu_{name}": name for name in ("pretrain", "train", "evaluate")}
NAMES = (*FILES, *MULTI_GPU)
# Sources for labels that are not exclusive or not complete, by the entry of the task. They override the others.
OF_LABELS = {"regions": "regions", "ignore_value": "ignored"}
LABEL_PRETRAIN = "monailabel_pretrain"  # name of the pre-training in MONAI Label; a task may give it options
GENERATED_FROM = {"generated_from": "task.json, by python -m semicl_monai export_bundle"}
LINE_LENGTH = 120
# Entries of a task with another name before 0.1. The old names are accepted until 0.2.
OLD_NAMES = {"layout": "dataset_format", "least_size": "min_size", "sampler": "pixel_sampler"}
RUN_LAST = ("initialize", "pretrain", "run", "evaluate", "steps", "finalize")


def export_bundle(bundle: str) -> None:
    """Write the configs of a bundle, such as ``configs/pretrain.json``, from its ``task.json``.

    The channels, classes and shapes in ``configs/metadata.json`` are updated. Your own entries in that file are kept.

    Args:
        bundle: folder of the bundle.

    Raises:
        InputError: When the folder has no ``task.json``, or when ``task.json`` or ``metadata.json`` cannot be used.
    """
    for path in write_configs(bundle):
        print(f"wrote {path}")


def write_configs(bundle: str | Path) -> list[Path]:
    """Write the config files of a bundle and return their paths."""
    texts = {f"{name}.json": export_config(bundle, name) for name in NAMES}
    texts["logging.conf"] = _source("logging.conf")
    folder = Path(bundle) / "configs"
    texts |= _metadata(bundle, folder / "metadata.json")
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]


def _metadata(bundle: str | Path, file: Path) -> dict[str, str]:
    """Return the new text of ``metadata.json`` by file name, or an empty dict if the file stays as it is."""
    if not file.is_file():
        return {}
    before = read_metadata(file)
    content = renewed_metadata(before, _single(bundle, "inference"), file)
    # MONAI reads the file in the encoding of the locale, so it must be ASCII
    return {file.name: as_text(content)} if content != before or not file.read_bytes().isascii() else {}


def label_pretraining(bundle: str | Path) -> dict[str, Any]:
    """Return the config for pre-training in MONAI Label, which is the bundle's config with the data of MONAI Label.

    A bundle whose method has no pre-training, such as ``self_training``, gets the default method of pre-training.

    Args:
        bundle: folder of the bundle, with its config files.

    Raises:
        InputError: When a file of the bundle cannot be read.
    """
    config = read_json(Path(bundle) / "configs" / "pretrain.json", "config")
    del config["datalist"]  # in MONAI Label the studies are the data
    merge(config, _read("monailabel"))
    config["datalist"] |= {entry: f"@{entry}" for entry in OF_LABELS if entry in config}
    if not _pretrains(config.get("method")):
        config["method"] = _read("pretrain")["method"]
    if (Path(bundle) / "task.json").is_file():
        merge(config, _read_task(bundle).get("stages", {}).get(LABEL_PRETRAIN, {}))
    # MONAI Label only knows a config file called train.json with a list of steps called "run"
    config["run"] = config.pop("pretrain")
    return config


def _pretrains(method: Any) -> bool:
    """Whether a method has a pre-training. A method of a user's own module, which may not be found here, has one."""
    return not isinstance(method, str) or "." in method or _computed(method) or bool(objectives_of(method))


def export_config(bundle: str | Path, name: str) -> str:
    """Return the text of one config file of a bundle.

    Args:
        bundle: folder of the bundle.
        name: name of the file without its suffix, one of ``NAMES``.
    """
    config = _multi_gpu(bundle, MULTI_GPU[name]) if name in MULTI_GPU else _single(bundle, name)
    run = {key: config.pop(key) for key in RUN_LAST if key in config}
    return as_text({**GENERATED_FROM, **config, **run})


def _single(bundle: str | Path, name: str) -> dict[str, Any]:
    task = _read_task(bundle)
    of_stages = task.pop("stages", {})
    size = task.get("roi_size")
    view = "patch" if isinstance(size, list) and len(size) == 3 else "slice"
    config: dict[str, Any] = {}
    sources = (*FILES[name], *(FILES_3D.get(name, ()) if view == "patch" else ()), *_sources_of_labels(task, name))
    for source in sources:
        merge(config, _read(source.replace("VIEW", view)))
    config.update(task)
    merge(config, of_stages.get(name, {}))
    return _without_unused(config)


def _sources_of_labels(task: dict[str, Any], name: str) -> list[str]:
    kind = next((kind for entry, kind in OF_LABELS.items() if task.get(entry) is not None), None)
    return [source for source in (str(kind), f"{kind}_{name}") if (SOURCES / f"{source}.json").is_file()]


def _without_unused(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out each null entry that is not an option and is only passed on as an argument. A task can still set it."""
    options = {option.name for option in OPTIONS}
    unused = {f"@{key}" for key, value in config.items() if value is None and key not in options}
    text = json.dumps(config)
    unused = {name for name in unused if not re.search(rf'{name}\b(?!")|[^"]{name}"', text)}

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(item) for key, item in value.items() if not (isinstance(item, str) and item in unused)}
        return [kept(item) for item in value] if isinstance(value, list) else value

    return {key: value for key, value in kept(config).items() if f"@{key}" not in unused}


def _read_task(bundle: str | Path) -> dict[str, Any]:
    task = Path(bundle) / "task.json"
    if not task.is_file():
        raise InputError(f"{bundle} is not the source of a bundle: it must have a file task.json.")
    content: dict[str, Any] = _renamed(read_json(task, "task"), task)
    _check_types(content, task)
    _check_typos(content, task)
    return content


def _renamed(content: Any, file: Path) -> Any:
    """Return a task, or a stage of it, with current names in place of old ones: as keys and as references."""
    if not isinstance(content, dict):
        return content
    for old in content.keys() & OLD_NAMES.keys():
        warnings.warn(
            f"task {file}: {old} is now called {OLD_NAMES[old]}; the old name will be removed in 0.2.",
            FutureWarning,
            stacklevel=2,
        )
    stages = content.get("stages")
    renamed = {OLD_NAMES.get(name, name): value for name, value in content.items()}
    if isinstance(stages, dict):
        renamed["stages"] = {name: _renamed(own, file) for name, own in stages.items()}
    references = rf"(?<=[@%])({'|'.join(OLD_NAMES)})\b"
    return json.loads(re.sub(references, lambda match: OLD_NAMES[match[1]], json.dumps(renamed)))


def _check_typos(content: dict[str, Any], file: Path) -> None:
    """Refuse a misspelt entry: one that nothing uses, with a name close to that of a known entry."""
    known = {name for source in SOURCES.glob("*.json") for name in _read(source.stem)} | {"stages"}
    text = json.dumps(content)
    tables = {"": content, **{f"stages: {stage}: ": own for stage, own in content.get("stages", {}).items()}}
    for where, name in ((where, name.removeprefix("+")) for where, table in tables.items() for name in table):
        hint = did_you_mean(name, known, cutoff=0.8)
        if name not in known and hint and not re.search(rf"[@%]{re.escape(name)}\b", text):
            raise InputError(f"task {file}: {where}unknown entry {name}{hint}?")


def _check_types(content: dict[str, Any], file: Path) -> None:
    """Refuse entries of a wrong type. Values that a config computes (``"$..."``) are checked later, by their stage."""
    names, size, stages = content.get("class_names", []), content.get("roi_size", "$"), content.get("stages", {})
    count = content.get("in_channels", 1)
    if not _computed(names) and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f"task {file}: class_names must be a list of names, got {names!r}.")
    if not _computed(size) and not (isinstance(size, list) and len(size) in (2, 3)):
        raise InputError(f"task {file}: roi_size must be a list of two or three numbers, got {size!r}.")
    if not _computed(count) and not (isinstance(count, int) and not isinstance(count, bool) and count > 0):
        raise InputError(f"task {file}: in_channels must be a whole number from 1, got {count!r}.")
    if not isinstance(stages, dict):
        raise InputError(f"task {file}: stages must be an object, got {stages!r}.")
    for name, own in stages.items():
        if name not in (*FILES, LABEL_PRETRAIN) or not isinstance(own, dict):
            known = ", ".join((*FILES, LABEL_PRETRAIN))
            raise InputError(f"task {file}: stages must be objects by name ({known}), got {name}: {str(own)[:80]}.")


def _computed(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def _multi_gpu(bundle: str | Path, name: str) -> dict[str, Any]:
    """Return the overrides for several processes.

    The lists ``initialize`` and ``finalize`` hold the steps of a single process and the added steps for several.
    """
    config, single = _read("multi_gpu"), _single(bundle, name)
    show_errors, *others = single["initialize"]
    config["initialize"] = [show_errors, *config["initialize"], *others]
    config["finalize"] = single.get("finalize", []) + config["finalize"]
    config.update(_read(f"multi_gpu_{name}"))
    return config


def _read(source: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(_source(f"{source}.json"))
    return config


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def merge(config: dict[str, Any], other: dict[str, Any]) -> None:
    """Merge ``other`` into ``config``.

    Dicts are merged entry by entry. An entry ``"+name"`` is appended to the list ``name``. Any other entry replaces the
    entry in ``config``.
    """
    for key, value in other.items():
        if key.startswith("+"):
            before = config.get(key[1:])
            if not isinstance(before, list) or not isinstance(value, list):
                raise InputError(f"{key} must be a list to append to a list {key[1:]}, got {str(value)[:80]}.")
            config[key[1:]] = [*before, *value]
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = value


def as_text(config: dict[str, Any]) -> str:
    """Return JSON indented by 4. A list or dict below the top level is on one line if it fits."""
    entries = (f"{json.dumps(key)}: {_value_text(value, 4, len(key) + 4)}" for key, value in config.items())
    return "{\n    " + ",\n    ".join(entries) + "\n}\n"


def _value_text(value: Any, indent: int, used: int) -> str:
    """Return the text of a value. ``used`` is the number of characters before the value on its line."""
    line = json.dumps(value)
    if not isinstance(value, dict | list) or not value or indent + used + len(line) < LINE_LENGTH:
        return line
    keys = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    items = value.values() if isinstance(value, dict) else value
    texts = (key + _value_text(item, indent + 4, len(key)) for key, item in zip(keys, items, strict=True))
    start, end = "{}" if isinstance(value, dict) else "[]"
    space = " " * indent
    return f"{start}\n{space}    " + f",\n{space}    ".join(texts) + f"\n{space}{end}"
