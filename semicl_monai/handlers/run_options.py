"""The options, split and data of a run, as a part of its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from semicl_monai.data import case_name
from semicl_monai.handlers.run_provenance import records_of
from semicl_monai.utils import (
    InputError,
    file_digest,
    image_digest,
    read_json,
    running_config,
    save_json,
    volume_file_digest,
)
from semicl_monai.utils.config_values import PlainValues, as_text, flatten
from semicl_monai.utils.distributed import rank_and_size
from semicl_monai.utils.option_table import OPTIONS
from semicl_monai.utils.running_config import running_parser

RUN_LISTS = ("imports", "initialize", "pretrain", "run", "evaluate", "finalize", "_meta_")
# Config entries, and arguments in the config, that may differ when a run is resumed:
MAY_DIFFER = frozenset(
    (
        *RUN_LISTS,
        "generated_from",
        "run_options",  # the values given to it are compared
        *("bundle_root", "output_dir", "log_dir", "ckpt_dir", "checkpoint_dir", "cache_dir"),
        *("dataset_dir", "datalist_file", "download"),  # the images and labels are compared
        *("split_file", "split_seed", "labelled_fraction", "add_new_labels"),  # the split is compared
        *("earlier_split", "provenance", "pretrained"),  # the content of the weights is compared
        *("device", "num_workers", "buffer_size", "is_not_rank0"),
        *("resume", "checkpoint_interval", "val_interval", "embedding"),
        *("tracking_uri", "experiment_name", "run_name", "save_execute_config"),
    )
)
# Handlers that only watch, or load weights. MONAI's tracking and MONAI Label put them into the lists.
ONLOOKERS = (
    "MLFlowHandler",
    "StatsHandler",
    "TensorBoardStatsHandler",
    "TensorBoardImageHandler",
    "EpochProgress",
    "LossReport",
    "MetricReport",
    "EmbeddingPlot",
    "PublishStatsAction",
    "CheckpointLoader",
)
OPTION_TYPES = (str, bool, int, float, list, type(None))
# in fine-tuning, these entries hold the resolved values of the option method
OF_FINE_TUNING = {"method": "method_of_run", "fine_tuning": "fine_tuning"}
DIGITS = 16  # of a digest
THREADS = 4  # unpacking and hashing release the GIL


class RunOptions:
    """Refuse to resume a run when its config, data set or split has changed.

    The config that builds this handler must be the same. Paths, device, workers and intervals may differ (see
    ``MAY_DIFFER``). Entries may be written differently if they resolve to the same number, text, switch or list. For an
    object that Python code put into the config, only the type is compared.

    Options, including those of the method, are compared by their resolved values. Some of them depend on the machine or
    on other options. For ``pretrained``, the content of the file is compared, because the file may have moved.

    Args:
        values: known values. They take precedence over those of the config.
        split_file: file of the split, ``split.json`` in ``log_dir`` by default. Its case names must be the same. The
            file may be missing.
        cases: for each part, a list of records ``{"image": path, "label": path}`` or a data set of them. The content of
            these files must be the same. The files are read when their content is first needed.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        split_file: str | Path | None = None,
        cases: Mapping[str, Any] | None = None,
    ) -> None:
        self.cases, parser = records_of(cases), running_parser()
        self.split_file = _split_of_run(parser) if split_file is None else split_file
        self.values = {**_resolved_options(parser, values or {}), **(values or {})}
        config = _compared(running_config())
        plain = PlainValues(config, self.values)
        self.options = dict(self._options(config, plain))
        entries = [(id, value) for id, value in flatten(config) if not _may_differ(id)]
        entries = [(id, value) for id, value in entries if id.split("::")[0] not in self.values]
        given = [(name, _named(name, value)) for name, value in self.values.items()]
        self.written = {id: as_text(value) for id, value in [*entries, *given]}
        self.meant = {id: as_text(plain.get(id, value)) for id, value in entries}
        self.meant = {id: text for id, text in self.meant.items() if text != self.written[id]}

    def write(self, path: str | Path) -> None:
        """Write the options of the run as JSON.

        These are all config entries that are numbers, text, switches or lists. Only the first of several processes
        writes the file.
        """
        if rank_and_size()[0] == 0:
            save_json(self.options, path)

    def state_dict(self) -> dict[str, dict[str, str]]:
        """Return config, split and digests of the data as text."""
        return {"written": self.written, "meant": self.meant, "split": self._split(), "data": self._data}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Compare with the run that is resumed.

        Raises:
            InputError: When the config, the split or the data differ. Also when an earlier version of semicl_monai,
                which did not save them, wrote the checkpoint.
        """
        if not {"written", "meant", "split", "data"} <= state_dict.keys():
            raise InputError("an earlier version of semicl_monai has written it; start anew, without --resume")
        self._check_same_config(state_dict["written"], state_dict["meant"])
        if state_dict["split"] != self._split() or state_dict["data"].keys() != self._data.keys():
            raise InputError("the run was started on another split")
        for name, digest in self._data.items():
            if state_dict["data"][name] != digest:
                raise InputError(f"the run was started with another {name}; the file has changed")

    def _check_same_config(self, written: Mapping[str, str], meant: Mapping[str, str]) -> None:
        for id in dict.fromkeys([*self.written, *written]):
            had, has = written.get(id), self.written.get(id)
            before, now = meant.get(id, had), self.meant.get(id, has)
            if _switch(had) == _switch(has) or (None not in (before, now) and _switch(before) == _switch(now)):
                continue
            before, now = (_said(id, *entry) for entry in ((before, written), (now, self.written)))
            raise InputError(f"the run was started with {id} {before}, not {now}")

    def _options(self, config: Mapping[str, Any], plain: PlainValues) -> Iterator[tuple[str, Any]]:
        for id in {**config, **self.values}:
            value = plain.get(id, ...)
            if isinstance(value, OPTION_TYPES):
                yield id, value

    def _split(self) -> dict[str, str]:
        if self.split_file is None or not Path(self.split_file).is_file():
            return {}
        content = read_json(self.split_file, "split")
        return {part: str(names) for part, names in content.items() if isinstance(names, list)}

    @cached_property
    def _data(self) -> dict[str, str]:
        """Digests of the images and labels, by kind and case."""
        files = {name: file for records in self.cases.values() for record in records for name, file in _files(record)}
        with ThreadPoolExecutor(THREADS) as pool:
            digests = pool.map(_digest, files, files.values())
            return {name: str(digest)[:DIGITS] for name, digest in zip(files, digests, strict=True)}


def _split_of_run(parser: ConfigParser | None) -> Path | None:
    log_dir = parser.get_parsed_content("log_dir", default=None) if parser is not None else None
    return Path(log_dir) / "split.json" if log_dir else None


def _resolved_options(parser: ConfigParser | None, known: Iterable[str]) -> dict[str, Any]:
    """Return the resolved options of a run, including those of its method."""
    if parser is None:
        return {}
    config = parser.get()
    names = [option.name for option in OPTIONS if option.name in config and option.name not in known]
    names = [name for name in names if name == "pretrained" or name not in MAY_DIFFER]
    # a switch may be text; its resolved value is then the entry "use_..."
    meant = {name: f"use_{name}" if f"use_{name}" in config else name for name in names}
    values = {name: parser.get_parsed_content(id) for name, id in meant.items()}
    values |= {name: parser.get_parsed_content(id) for name, id in OF_FINE_TUNING.items() if id in config}
    return {**values, **parser.get_parsed_content("method_def").options()} if "method_def" in config else values


def _files(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    case = record.get("case") or case_name(record["image"])
    yield from ((f"{key} of case {case}", record[key]) for key in ("image", "label") if record.get(key))


def _digest(name: str, file: Any) -> str | None:
    """Return the digest of an image or of a label file.

    The provenance needs the same digest of an image. A label file is not unpacked.
    """
    return volume_file_digest(file) if name.startswith("label of") else image_digest(file)


def _named(name: str, value: Any) -> Any:
    digest = file_digest(value) if name == "pretrained" and value else None
    return f"{Path(value).name} (SHA-256 {digest[:8]})" if digest else value


def _may_differ(id: str) -> bool:
    parts = id.split("::")
    # the lists of records come from the split, or belong to the client
    return parts[0] in MAY_DIFFER or parts[-1] in MAY_DIFFER or "::dataset::data" in id


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    return {id: _without_onlookers(value) for id, value in config.items() if id not in RUN_LISTS}


def _without_onlookers(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _without_onlookers(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_without_onlookers(value) for value in config if not _looks_on(value)]
    return config


def _looks_on(handler: Any) -> bool:
    return isinstance(handler, Mapping) and str(handler.get("_target_")).rpartition(".")[2] in ONLOOKERS


def _switch(text: str | None) -> str | None:
    """Return switches in lower case: ``True`` equals ``true``, and ``None`` equals ``none``."""
    return text.lower() if text and text.lower() in ("true", "false", "none") else text


def _said(id: str, text: str | None, entries: Iterable[str]) -> str:
    """Return an entry as text: its own text, ``{...}`` if it has entries below it, or ``left out``."""
    if text is None:
        return "{...}" if any(other.startswith(f"{id}::") for other in entries) else "left out"
    return text
