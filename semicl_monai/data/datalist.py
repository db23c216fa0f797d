"""A folder of volumes as lists of records: labelled, unlabelled, validation and test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.distributed.utils import one_rank_first

from semicl_monai.data.download import download_decathlon
from semicl_monai.data.images import image_files
from semicl_monai.data.leaks import HELD_OUT, refuse_repeated_images, refuse_seen_cases
from semicl_monai.data.sections import Record, listing, read_sections
from semicl_monai.data.split import PARTS, make_split, parse_labelled_fraction
from semicl_monai.utils import InputError, Provenance, is_true, read_json, save_json

LISTS = ("split", "labelled", "unlabelled", "training", "validation", "validation_images", "test")


class SegmentationDatalist:
    """Few labelled and many unlabelled volumes, described by a JSON file.

    The file is a Medical Segmentation Decathlon ``dataset.json``, that of an nnU-Net raw folder, or any JSON file with
    the lists ``training``, ``unlabeled`` (or ``unlabelled``), ``validation`` and ``test``, all but ``training``
    optional. An entry is ``{"image": path, "label": path}`` or the path of an image; an image in several files, one a
    channel, is a list of paths; relative paths start at the folder of the file.

    The labelled entries of ``training`` are split by ``ratio``, by volume, with :func:`make_split`. ``validation`` or
    ``test`` entries with labels are used as they are, and only what is missing is cut from ``training``. Test images
    without labels, as the Decathlon has them, are left out. ``unlabeled`` entries and training entries without a label
    become unlabelled training images. A case is named like its image file, without ``.nii`` or ``.nii.gz``.

    No label is opened here, of an image its header alone unless it has to be told from another one, and the record of
    an unlabelled volume does not tell where its label is.

    Args:
        dataset_dir: folder of the data set.
        datalist: the JSON file, absolute or relative to ``dataset_dir``.
        labelled_fraction: fraction of the training part (float, ``1.0`` is all) or number of volumes (int, ``1`` is
            one) whose labels are used, see :func:`make_split`.
        split_seed: seed of the split.
        split_file: a file written by :meth:`save`; its split is used exactly, whatever ``labelled_fraction`` and
            ``split_seed`` say.
        download: fetch the Decathlon task named by the last folder of ``dataset_dir`` when the file is not there yet;
            also ``"true"`` and ``"false"``.
        save_to: file to write the split to, see :meth:`save`.
        provenance: of the weights that are started from or evaluated; no image they were trained with may be a
            validation or test image now, no image they were chosen with a test image, and no image of which they know
            the label an unlabelled one, whatever their names are.
        held_out: the parts that the stage uses as held out, of ``"validation"`` and ``"test"``. No image of another
            part may be in them.
        lazy: read the files when one of the lists below is first asked for, and not before: a client that brings its
            own lists needs no data set.
        ratio: sizes of training, validation and test to each other.
        layout: what lists the cases of a data set that has no such file, see :func:`mmwhs_sections`; it is given the
            folder, and ``datalist`` and ``download`` are of no use then.

    Attributes:
        labelled: ``{"image", "label", "case"}`` of each labelled training volume.
        unlabelled: ``{"image", "case"}`` of each other training volume.
        training: ``{"image", "case"}`` of all training volumes, labelled ones first.
        validation: ``{"image", "label", "case"}`` of each validation volume.
        validation_images: ``{"image", "case"}`` of each validation volume.
        test: ``{"image", "label", "case"}`` of each test volume.
        split: case names under ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.

    Raises:
        InputError: When a file is missing or cannot be used, a case name occurs twice, a part would be empty, or what
            is held out is seen elsewhere.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike,
        datalist: str | os.PathLike = "dataset.json",
        labelled_fraction: float | int | str = 1.0,
        split_seed: int = 0,
        *,
        split_file: str | os.PathLike | None = None,
        download: bool | str = False,
        save_to: str | os.PathLike | None = None,
        provenance: Provenance | None = None,
        held_out: Sequence[str] = HELD_OUT,
        lazy: bool = False,
        ratio: Sequence[int] = (3, 1, 1),
        layout: Callable[[Path], dict[str, list[Record]]] | None = None,
    ) -> None:
        self.labelled_fraction = labelled_fraction
        self.split_seed = split_seed
        self.dataset_dir, self.datalist, self.split_file = dataset_dir, datalist, split_file
        self.download, self.save_to = download, save_to
        self.provenance, self.held_out = provenance, tuple(held_out)
        self.ratio, self.layout = tuple(ratio), layout
        if not lazy:
            self._read()

    def __getattr__(self, name: str) -> Any:
        # called for what is not there: the lists before they are read
        if name not in LISTS:
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")
        self._read()
        return vars(self)[name]

    def has_unlabelled(self) -> bool:
        """Whether there is an unlabelled training volume; a data set that cannot be read has none."""
        try:
            return bool(self.unlabelled)
        except InputError:
            return False

    def _read(self) -> None:
        file, sections = self._read_sections()
        given = self.split_file
        split = self._read_split(Path(given), sections) if given else self._make_split(file, sections)

        records = _by_case(sections)
        lists = {
            part: [_labelled_record(records[case]) for case in split[part]]
            for part in ("labelled", "validation", "test")
        }
        lists["unlabelled"] = [_image_record(records[case]) for case in split["unlabelled"]]
        _refuse_missing_files(record for part in lists.values() for record in part)
        refuse_repeated_images(lists, self.held_out)
        if self.provenance is not None:
            refuse_seen_cases(lists, self.provenance, self.held_out)
        lists["training"] = [_image_record(record) for record in lists["labelled"]] + lists["unlabelled"]
        lists["validation_images"] = [_image_record(record) for record in lists["validation"]]
        vars(self).update(lists, split=split)  # last: what is refused now has to be refused the next time too
        if self.save_to:
            self.save(self.save_to)

    def _read_sections(self) -> tuple[Path, dict[str, list[Record]]]:
        if self.layout:
            folder = Path(os.path.abspath(Path(self.dataset_dir).expanduser()))
            return folder, self.layout(folder)
        file = _find_datalist(self.dataset_dir, self.datalist, self.download)
        return file, read_sections(file)

    def save(self, path: str | os.PathLike) -> None:
        """Write the split as JSON: case names by part, ``labelled_fraction`` and ``split_seed``.

        Folders are created as needed; the file appears only once it is complete.

        Args:
            path: the file to write, to be read back with ``split_file``.

        Raises:
            InputError: When the file cannot be written.
        """
        content = {"labelled_fraction": self.labelled_fraction, "split_seed": self.split_seed, **self.split}
        save_json(content, Path(path))

    def _make_split(self, file: Path, sections: Mapping[str, list[Record]]) -> dict[str, list[str]]:
        self.labelled_fraction = parse_labelled_fraction(self.labelled_fraction)
        given = {part: _cases(sections[part]) for part in HELD_OUT if sections[part]}
        ratio = [0 if part in given else share for part, share in zip(("training", *HELD_OUT), self.ratio, strict=True)]
        labelled = _cases(record for record in sections["training"] if "label" in record)
        try:
            split = make_split(labelled, self.labelled_fraction, self.split_seed, ratio)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        split["unlabelled"] += _cases(record for record in sections["training"] if "label" not in record)
        split["unlabelled"] += _cases(sections["unlabelled"])
        return split | given

    def _read_split(self, file: Path, sections: Mapping[str, list[Record]]) -> dict[str, list[str]]:
        content = read_json(file, "split_file")
        split = {part: _part_of(content, part, file) for part in PARTS}
        _refuse_wrong_cases(split, _by_case(sections), file)
        self.labelled_fraction = content.get("labelled_fraction", self.labelled_fraction)
        self.split_seed = content.get("split_seed", self.split_seed)
        return split


def _find_datalist(dataset_dir: str | os.PathLike, datalist: str | os.PathLike, download: bool | str) -> Path:
    wants_download = is_true(download, "download")
    folder = Path(dataset_dir or "").expanduser()
    file = Path(os.path.abspath(folder / datalist))
    if wants_download:
        with one_rank_first(local=True):
            if not file.is_file():
                download_decathlon(folder)
    if not file.is_file():
        raise InputError(
            f"dataset_dir '{dataset_dir}' does not hold {datalist}: point --dataset_dir at a folder with dataset.json,"
            " or give --download true to fetch the Decathlon task its last folder names, e.g. data/Task04_Hippocampus."
        )
    return file


def _part_of(content: Mapping[str, Any], part: str, file: Path) -> list[str]:
    if part not in content:
        raise InputError(f"split_file {file} must have the lists {', '.join(PARTS)}; '{part}' is missing.")
    names = content[part]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"split_file {file}: '{part}' must be a list of case names, got {str(names)[:80]}.")
    if not names and part != "unlabelled":
        raise InputError(f"split_file {file}: '{part}' must name at least one case, got an empty list.")
    return names


def _refuse_wrong_cases(split: Mapping[str, list[str]], records: Mapping[str, Record], file: Path) -> None:
    counts = Counter(case for names in split.values() for case in names)
    unknown = [case for case in counts if case not in records]
    if unknown:
        raise InputError(f"split_file {file} names cases that the datalist does not have: {listing(unknown)}.")
    repeated = [case for case, times in counts.items() if times > 1]
    if repeated:
        raise InputError(f"split_file {file} must name each case once, got more than once: {listing(repeated)}.")
    bare = [case for part in PARTS if part != "unlabelled" for case in split[part] if "label" not in records[case]]
    if bare:
        raise InputError(f"split_file {file} wants labels of cases that have none: {listing(bare)}.")


def _refuse_missing_files(records: Iterable[Record]) -> None:
    for record in records:
        files = [("image", file) for file in image_files(record["image"])]
        files += [("label", record["label"])] if "label" in record else []
        for key, file in files:
            if not Path(file).is_file():
                raise InputError(f"case {record['case']}: {key} file not found: {file}.")


def _by_case(sections: Mapping[str, list[Record]]) -> dict[str, Record]:
    return {record["case"]: record for records in sections.values() for record in records}


def _cases(records: Iterable[Record]) -> list[str]:
    return [record["case"] for record in records]


def _labelled_record(record: Record) -> Record:
    return {key: record[key] for key in ("image", "label", "case")}


def _image_record(record: Record) -> Record:
    return {key: record[key] for key in ("image", "case")}
