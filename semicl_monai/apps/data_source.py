"""The data of a new bundle: a folder with a JSON file, or images and labels that are paired by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semicl_monai.apps.export_bundle import as_text
from semicl_monai.data import LabelRules, SegmentationDatalist, read_description, read_label_rules
from semicl_monai.data.description import split_names
from semicl_monai.data.listing import listing
from semicl_monai.data.nnunet import is_nnunet
from semicl_monai.data.pairing import data_list, find_pairs, names_of_table, parse_class_names, report_pairs
from semicl_monai.data.sections import Record, read_sections, sections_of
from semicl_monai.utils import InputError, read_json, reason_of

DATALIST = "dataset.json"
BY_FILE, BY_OPTION, BY_TABLE = "'labels' of the JSON file", "class_names", "the table dseg.tsv"
DESCRIBES = ("training", "channel_names")  # one of them is in each dataset.json that can be used


@dataclass(frozen=True)
class DataSource:
    """The data of a new bundle.

    Attributes:
        dataset_dir: the folder of the data.
        datalist: the JSON file of the cases, absolute or relative to ``dataset_dir``.
        channels: names of the channels; empty if they are not known.
        names: names of the label values without background; empty if they are not known.
        content: content of the JSON file if it is to be written; ``None`` if it exists.
        rules: the value to ignore, and regions.
        named_by: where ``names`` come from, for messages.
    """

    dataset_dir: Path
    datalist: str
    channels: list[str]
    names: dict[int, str]
    content: dict[str, Any] | None = None
    rules: LabelRules = field(default_factory=LabelRules)
    named_by: str = BY_FILE

    @property
    def file(self) -> Path:
        """The JSON file."""
        return self.dataset_dir / self.datalist

    @property
    def where(self) -> dict[str, str]:
        """The entries of ``task.json`` that name the data; the path of the file has no ``..``."""
        has_parents = ".." in Path(self.datalist).parts
        return {
            "dataset_dir": str(self.dataset_dir),
            "datalist_file": str(self.file.resolve()) if has_parents else self.datalist,
        }

    def sections(self) -> dict[str, list[Record]]:
        """The lists of the JSON file, also if it is still to be written."""
        return read_sections(self.file) if self.content is None else sections_of(self.file, self.content)

    def lists(self, labelled_fraction: float | int | str, split_seed: int, **how: Any) -> SegmentationDatalist:
        """The cases and their split, see :class:`semicl_monai.data.SegmentationDatalist`."""
        if self.content is not None:
            how["dataset_format"] = lambda _: self.sections()
        return SegmentationDatalist(self.dataset_dir, self.datalist, labelled_fraction, split_seed, **how)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the JSON file if it is to be written, and take it away again after an error inside.

        Raises:
            InputError: When it cannot be written or exists already.
        """
        if self.content is None:
            yield
            return
        _write_new(self.file, as_text(self.content))
        try:
            yield
        except BaseException:
            self.file.unlink(missing_ok=True)
            raise
        print(
            f"The pairs are written to {self.file}. To correct them, edit the file, move the bundle away, and make it "
            f"again with --dataset_dir {self.dataset_dir} --datalist {self.file}."
        )


def find_data(
    target: Path,
    dataset_dir: str | None = None,
    datalist: str = DATALIST,
    images: str | None = None,
    labels: str | None = None,
    modality: str | None = None,
    class_names: str | Sequence[str] | None = None,
) -> DataSource:
    """Find the data of a new bundle, and print what was paired by name.

    Args:
        target: the folder of the bundle. A new JSON file is called like it, with ``_datalist.json``.
        dataset_dir: a folder with a JSON file.
        datalist: the JSON file.
        images: a folder or a pattern, in place of ``dataset_dir``. A ``dataset.json`` in it is used.
        labels: a folder or a pattern.
        modality: the modality of the images.
        class_names: names of the classes. A name ``ignore`` gives the value of voxels that are not annotated.

    Raises:
        InputError: When options do not go together, or the data cannot be found or paired.
    """
    _check_options(dataset_dir, datalist, images, labels)
    names = {} if class_names is None else parse_class_names(class_names)
    split_names(names, BY_OPTION)
    if images is not None and not _is_described(Path(str(images)).expanduser(), labels):
        return _paired(target, str(images), None if labels is None else str(labels), modality, names)
    return _described(Path(str(dataset_dir if images is None else images)), datalist, names)


def _check_options(dataset_dir: Any, datalist: str, images: Any, labels: Any) -> None:
    if (dataset_dir is None) == (images is None):
        got = "none" if images is None else "both"
        raise InputError(f"wanted one of --dataset_dir (a folder with dataset.json) and --images, got {got}.")
    if images is None and labels is not None:
        raise InputError("--labels goes with --images; with --dataset_dir the JSON file names the labels.")
    if images is not None and datalist != DATALIST:
        raise InputError("--datalist goes with --dataset_dir; with --images the files are paired by their names.")


def _is_described(folder: Path, labels: str | None) -> bool:
    """Whether a folder holds a ``dataset.json`` of cases, which is used then."""
    file = folder / DATALIST
    if not file.is_file():
        _tell_lists(folder)
        return False
    if not set(DESCRIBES) & set(read_json(file, "datalist")):
        print(f"{file} is not used, as it has neither 'training' nor 'channel_names'.")
        return False
    if labels is not None:
        raise InputError(
            f"{file} names the labels: give no --labels, or give a pattern for --images to pair files by their names."
        )
    print(f"{file} is used; files are not paired by their names.")
    return True


def _tell_lists(folder: Path) -> None:
    """Name the JSON files of a folder that may be data lists under another name."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    names = [file.name for file in files if file.is_file() and '"training"' in file.read_text(errors="ignore")]
    if names:
        print(
            f"Data lists in the folder are not used: {listing(names)}. To use one, give --dataset_dir {folder} "
            f"--datalist {names[0]}."
        )


def _tell_test_images(file: Path) -> None:
    """Say that images without a label in a folder of test images are not used."""
    images, content = file.parent / "imagesTs", read_json(file, "datalist")
    held_out = (file.parent / "labelsTs").is_dir() or "unlabelled" in content
    if held_out or not images.is_dir() or not any(images.iterdir()):
        return
    how = "move them to imagesTr" if is_nnunet(content) else f"list them under 'unlabelled' in {file.name}"
    print(f"The images in {images} are not used. To use them as unlabelled images, {how}.")


def _described(folder: Path, datalist: str, given: dict[int, str]) -> DataSource:
    source = folder.expanduser().resolve()
    file = source / datalist
    if not file.is_file():
        raise InputError(
            f"{file} does not exist: wanted a JSON file that describes the data set; to pair files by their names, "
            f"give --images {folder}."
        )
    _tell_test_images(file)
    channels, names = read_description(file)
    rules = read_label_rules(file)
    if not given:
        return DataSource(source, datalist, channels, names, rules=rules)
    classes, of_given = split_names(given, BY_OPTION)
    if rules.regions or (names and classes != names) or rules.ignore_value not in (None, of_given.ignore_value):
        known = [*rules.regions] or [f"{name}={value}" for value, name in names.items()]
        known += [] if rules.ignore_value is None else [f"ignore={rules.ignore_value}"]
        raise InputError(
            f"{file} names the classes {', '.join(known)}, but class_names is {given}: give no --class_names."
        )
    by = BY_FILE if names else BY_OPTION
    return DataSource(source, datalist, channels, names or classes, rules=of_given, named_by=by)


def _paired(target: Path, images: str, labels: str | None, modality: str | None, names: dict[int, str]) -> DataSource:
    file = Path(os.path.realpath(target.parent), f"{target.name}_datalist.json")
    if os.path.lexists(file):
        raise InputError(f"{file} exists already: move it away, or give another name, or give it by --datalist.")
    pairing, root = find_pairs(images, labels)
    found = [case.label for case in pairing.cases if case.label]
    by = BY_OPTION if names else BY_TABLE
    names, rules = split_names(names or names_of_table(found), by)
    content = data_list(pairing, file.parent, modality, names, rules.ignore_value)
    print("\n".join(report_pairs(pairing)))
    channels = list(content.get("modality", {}).values())
    if modality is None:
        print("Images become z-scores. Give --modality CT if they are in Hounsfield units.")
    return DataSource(root.resolve(), str(file), channels, names, content, rules, by)


def _write_new(file: Path, text: str) -> None:
    """Write a file that must not exist, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8") as stream:
            try:
                stream.write(text)
                stream.flush()
            except BaseException:
                file.unlink()
                raise
    except FileExistsError as error:
        raise InputError(f"{file} exists already: move it away, or give another name.") from error
    except OSError as error:
        raise InputError(f"the data list cannot be written to {file}: {reason_of(error)}.") from error
