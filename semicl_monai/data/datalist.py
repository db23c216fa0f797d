"""A folder of volumes as lists of records: labelled, unlabelled, validation and test."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.distributed.utils import one_rank_first

from semicl_monai.data.description import check_class_values
from semicl_monai.data.download import download_decathlon
from semicl_monai.data.images import image_files
from semicl_monai.data.leaks import HELD_OUT, check_repeated_images, check_seen_cases
from semicl_monai.data.listing import listing
from semicl_monai.data.new_labels import add_new_cases, case_names, hidden_labels, tell_unused
from semicl_monai.data.patients import (
    check_shared_labels,
    check_shared_patients,
    name_patients,
    patients_of,
    without_held_out,
)
from semicl_monai.data.sections import Record, checked_sections, read_sections, wants_no_validation
from semicl_monai.data.split import PARTS, make_split, parse_labelled_fraction
from semicl_monai.utils import InputError, Provenance, is_true, one_of, read_json, save_json
from semicl_monai.utils.distributed import rank_and_size

LISTS = (
    "split",
    "unused_labels",
    "labelled",
    "unlabelled",
    "weakly_labelled",
    "training",
    "validation",
    "validation_images",
    "test",
)


class SegmentationDatalist:
    """Few labelled and many unlabelled volumes, described by a JSON file.

    The file is one of three:

    * the ``dataset.json`` of a Medical Segmentation Decathlon task,
    * the ``dataset.json`` of an nnU-Net raw folder,
    * any JSON file with the lists ``training``, ``unlabeled`` (or ``unlabelled``), ``validation`` and ``test``. Only
      ``training`` is required.

    An entry is ``{"image": path, "label": path}`` or the path of an image. If each channel has its own file, the image
    is a list of paths. Relative paths start at the folder of the JSON file.

    :func:`make_split` splits the labelled entries of ``training`` by ``ratio``. It keeps all cases of a patient in one
    part. ``validation`` or ``test`` entries with labels are used as they are. Only a missing part is cut from
    ``training``. An empty list ``validation`` means that no validation part is cut. Test images without labels, as in
    the Decathlon, are left out. ``unlabeled`` entries and training entries without a label become unlabelled training
    images. Images of a held-out patient are left out.

    An entry may also have a ``"weak_label"``: a label file in which only some voxels are annotated, such as boxes or
    scribbles. All others have ``ignore_value``. It is used if the entry becomes an unlabelled training image.

    A case has the name of its image file, without the ending of its format, or the entry's ``"case"``. Its patient is
    the entry's ``"patient"``, or else the text that ``group_pattern`` finds in the case name. Without both, each case
    counts as a patient. The image of a DICOM series is its folder.

    No label is opened here. Usually only the header of an image is read. The voxels are read only to compare an image
    with another one. The record of an unlabelled volume does not contain the path of its label.

    Args:
        dataset_dir: folder of the data set.
        datalist: the JSON file, absolute or relative to ``dataset_dir``.
        labelled_fraction: how many labels are used: a fraction of the training part (float, ``1.0`` is all) or a number
            of volumes (int, ``1`` is one volume). See :func:`make_split`.
        split_seed: seed of the split.
        split_file: a file written by :meth:`save`. Its split is used exactly. ``labelled_fraction`` and ``split_seed``
            have no effect then.
        download: whether to fetch a missing Decathlon task. The last folder of ``dataset_dir`` names the task.
            ``"true"`` and ``"false"`` are allowed too.
        save_to: file to write the split to, see :meth:`save`. With several processes, the first one writes it.
        provenance: the provenance of the weights that are loaded for training or evaluation. An image that they were
            trained with must not be a validation or test image now. An image that was used to choose them must not be a
            test image. An image whose label they have seen must not be an unlabelled image. The names of the images do
            not matter.
        lazy: whether to read the files only when one of the lists below is first used. A client that brings its own
            lists then needs no data set.
        ratio: relative sizes of training, validation and test.
        dataset_format: a function that lists the cases of a data set without such a file, see :func:`mmwhs_sections`.
            It takes the folder. ``datalist`` and ``download`` have no effect then.
        validation: with ``"best"``, validation volumes choose the network. With ``"none"``, all labelled volumes
            outside the test part are used for training. A ``validation`` list of the data set or of ``split_file``
            stays held out in both cases.
        group_pattern: a regular expression that finds the patient in a case name, see :func:`name_patients`.
        add_new_labels: whether to keep the held-out cases of a ``split_file`` and train with all labels added since,
            see :func:`add_new_cases`. ``"true"`` and ``"false"`` are allowed too.
        evaluated: the part that is evaluated, if nothing is trained: ``"test"``, ``"validation"``, or ``"held_out"``
            for both together. The last is refused if the validation part has chosen the weights. The other parts may be
            empty. They may also hold volumes that the weights have seen.
        compare_images: whether to compare images of the same size. An image in two parts is then refused.
        class_names: names of the classes without background. Their order must be that of the JSON file. By default the
            order is not checked.
        label_values: value of each class in a label file, 1, 2, ... by default.
        regions: class numbers of each of ``class_names``, if these are regions. They must be those of the JSON file.
        ignore_value: label value of voxels that are not annotated, if there is one. The images of labelled volumes are
            then among the images of :meth:`to_teach`.

    Attributes:
        labelled: ``{"image", "label", "case"}`` of each labelled training volume. ``"patient"`` is there too if the
            data set names patients.
        unlabelled: ``{"image", "case"}`` of each other training volume.
        weakly_labelled: ``{"image", "label", "case"}`` of those of them that have a weak label.
        training: ``{"image", "case"}`` of all training volumes, labelled ones first.
        validation: ``{"image", "label", "case"}`` of each validation volume.
        validation_images: ``{"image", "case"}`` of each validation volume.
        test: ``{"image", "label", "case"}`` of each test volume.
        split: case names under ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.
        unused_labels: names of the cases that have a label but are used as unlabelled.

    Raises:
        InputError: When a file is missing or cannot be used, a case name occurs twice, a part would be empty, or a
            held-out case was seen in training.
    """

    labelled: list[Record]
    unlabelled: list[Record]
    weakly_labelled: list[Record]
    training: list[Record]
    validation: list[Record]
    validation_images: list[Record]
    test: list[Record]
    split: dict[str, list[str]]
    unused_labels: list[str]

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str],
        datalist: str | os.PathLike[str] = "dataset.json",
        labelled_fraction: float | int | str = 1.0,
        split_seed: int = 0,
        *,
        split_file: str | os.PathLike[str] | None = None,
        download: bool | str = False,
        save_to: str | os.PathLike[str] | None = None,
        provenance: Provenance | None = None,
        lazy: bool = False,
        ratio: Sequence[int] = (3, 1, 1),
        dataset_format: Callable[[Path], dict[str, list[Record]]] | None = None,
        validation: str = "best",
        group_pattern: str | None = None,
        add_new_labels: bool | str = False,
        evaluated: str | None = None,
        compare_images: bool = True,
        class_names: Sequence[str] | None = None,
        label_values: Sequence[int] | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        ignore_value: int | None = None,
    ) -> None:
        self.labelled_fraction = labelled_fraction
        self.split_seed = split_seed
        self.dataset_dir, self.datalist, self.split_file = dataset_dir, datalist, split_file
        self.download, self.save_to = download, save_to
        self.provenance = provenance
        self.ratio, self.dataset_format = tuple(ratio), dataset_format
        self.cut_validation = one_of(validation, ("best", "none"), "validation") == "best"
        self.group_pattern, self.evaluated = group_pattern, evaluated
        self.compare_images = compare_images
        self.class_names, self.label_values = class_names, label_values
        self.regions, self.ignore_value = regions, ignore_value
        self.add_new_labels = is_true(add_new_labels, "add_new_labels")
        if self.add_new_labels and not split_file:
            raise InputError("add_new_labels true adds labels to an earlier split: give its file by --split_file.")
        if not lazy:
            self._read()

    def __getattr__(self, name: str) -> Any:
        # called for a missing attribute, such as a list that has not been read yet
        if name not in LISTS:
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")
        self._read()
        return vars(self)[name]

    def has_unlabelled(self) -> bool:
        """Whether there is an image for :meth:`to_teach`; a data set that cannot be read has none."""
        try:
            return bool(self.to_teach())
        except InputError:
            return False

    def to_teach(self, with_labels: bool = False) -> list[Record]:
        """Return the images that a teacher can label: those of unlabelled volumes.

        If the data set has a value for voxels that are not annotated, the images of labelled volumes follow, so that a
        network can learn of these voxels from its teacher. No label is opened for it.

        Args:
            with_labels: whether the records have the labels of labelled and weakly labelled volumes.
        """
        partly = [] if self.ignore_value is None else self.labelled
        if not with_labels:
            return self.unlabelled + [_image_record(record) for record in partly]
        weak = {record["case"]: record for record in self.weakly_labelled}
        return [weak.get(record["case"], record) for record in self.unlabelled] + partly

    def to_validate(self) -> list[Record]:
        """Return the validation records, which choose the network; none if ``validation`` is ``"none"``."""
        return self.validation if self.cut_validation else []

    def to_evaluate(self) -> list[Record]:
        """Return the records of the part that is evaluated.

        Raises:
            InputError: When there are none.
        """
        part = self.evaluated or "test"
        records = [record for name in _parts_of(part) for record in getattr(self, name)]
        if not records:
            raise InputError(f"there is nothing to evaluate: no labelled volume is in the {part} part of this split.")
        return records

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
        weak = [_weak_record(records[case]) for case in split["unlabelled"] if "weak_label" in records[case]]
        _check_files_exist(record for part in (*lists.values(), weak) for record in part)
        self._check_leaks(lists)
        lists["weakly_labelled"] = weak
        lists["training"] = [_image_record(record) for record in lists["labelled"]] + lists["unlabelled"]
        lists["validation_images"] = [_image_record(record) for record in lists["validation"]]
        unused = [case for case in split["unlabelled"] if "label" in records[case]]
        # at the end: a data set that is refused now must be refused at the next call too
        vars(self).update(lists, split=split, unused_labels=unused)
        if self.save_to and rank_and_size()[0] == 0:
            self.save(self.save_to)

    def _check_leaks(self, lists: dict[str, list[Record]]) -> None:
        """Refuse a held-out case that was seen; if nothing is trained, only the evaluated part is checked."""
        if self.evaluated is None and self.compare_images:
            check_repeated_images(lists)
        if self.evaluated is not None:
            used = [record for part in _parts_of(self.evaluated) for record in lists[part]]
            # evaluated together with the test part, the validation part is a test part too
            role = "test" if self.evaluated == "held_out" else self.evaluated
            lists = {part: used if part == role else [] for part in PARTS}
        if self.provenance is not None:
            check_seen_cases(lists, self.provenance)

    def _read_sections(self) -> tuple[Path, dict[str, list[Record]]]:
        if self.dataset_format:
            file = Path(os.path.abspath(Path(self.dataset_dir).expanduser()))
            sections = checked_sections(self.dataset_format(file), file)
        else:
            file = _find_datalist(self.dataset_dir, self.datalist, self.download)
            sections = read_sections(file)
            check_class_values(file, self.class_names or (), self.label_values, self.regions)
        self.group_pattern = self._pattern()
        sections = name_patients(sections, self.group_pattern)
        check_shared_labels(sections)
        return file, sections

    def _pattern(self) -> Any:
        """The given expression, or else that of the earlier split."""
        if self.group_pattern is not None or not self.split_file:
            return self.group_pattern
        return read_json(Path(self.split_file), "split_file").get("group_pattern")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the split as JSON: case names by part, ``labelled_fraction``, ``split_seed``, ``group_pattern``.

        ``unused_labels`` names the cases that have a label but are used as unlabelled.

        Folders are created as needed. The file appears only when it is complete.

        Args:
            path: the file to write, to be read back with ``split_file``.

        Raises:
            InputError: When the file cannot be written.
        """
        about = {"labelled_fraction": self.labelled_fraction, "split_seed": self.split_seed}
        about |= {} if self.group_pattern is None else {"group_pattern": self.group_pattern}
        save_json({**about, **self.split, "unused_labels": self.unused_labels}, Path(path))

    def _make_split(self, file: Path, sections: Mapping[str, list[Record]]) -> dict[str, list[str]]:
        patient = patients_of(_by_case(sections).values())
        own = {"labelled": _cases(sections["training"]), **{part: _cases(sections[part]) for part in PARTS[1:]}}
        check_shared_patients(own, patient, str(file))
        given = {part: own[part] for part in HELD_OUT if own[part]}
        split = self._cut(file, sections, given, patient)
        bare = _cases(record for record in sections["training"] if "label" not in record)
        split["unlabelled"] += without_held_out(bare + own["unlabelled"], split, patient)
        split |= given
        if not split["test"] and self.evaluated is None:
            message = f"{file}: no volume is held out for the test, as too few have a label."
            warnings.warn(message, UserWarning, stacklevel=2)
        return split

    def _cut(
        self, file: Path, sections: Mapping[str, list[Record]], given: Collection[str], patient: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """Cut what is not ``given`` from the labelled training cases."""
        self.labelled_fraction = parse_labelled_fraction(self.labelled_fraction)
        ratio = [0 if part in given else share for part, share in zip(("training", *HELD_OUT), self.ratio, strict=True)]
        how: dict[str, Any] = {
            "patients": patient,
            "cut_validation": self.cut_validation
            and (self.dataset_format is not None or not wants_no_validation(file)),
            "strict": self.evaluated is None,
        }
        labelled = _cases(record for record in sections["training"] if "label" in record)
        try:
            return make_split(labelled, self.labelled_fraction, self.split_seed, ratio, **how)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error

    def _read_split(self, file: Path, sections: Mapping[str, list[Record]]) -> dict[str, list[str]]:
        content, records = read_json(file, "split_file"), _by_case(sections)
        split = {part: case_names(content, part, file) for part in PARTS}
        self._check_parts_not_empty(split, file)
        _check_cases(split, records, file)
        check_shared_patients(split, patients_of(records.values()), f"split_file {file}")
        self.labelled_fraction = content.get("labelled_fraction", self.labelled_fraction)
        self.split_seed = content.get("split_seed", self.split_seed)
        if self.add_new_labels:
            return add_new_cases(split, sections, hidden_labels(content, file))
        if self.evaluated is None:
            tell_unused(split, sections, file)
        return split

    def _check_parts_not_empty(self, split: Mapping[str, list[str]], file: Path) -> None:
        # a split without validation may have no test part either, see make_split
        with_test = split["validation"] and self.cut_validation and self.evaluated is None
        needed = ("labelled", "test") if with_test else ("labelled",)
        for part in needed:
            if not split[part]:
                raise InputError(f"split_file {file}: '{part}' must name at least one case, got an empty list.")


def _find_datalist(dataset_dir: str | os.PathLike[str], datalist: str | os.PathLike[str], download: bool | str) -> Path:
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
            " or give --download true to fetch the Decathlon task that its last folder names, e.g."
            " data/Task04_Hippocampus."
        )
    return file


def _check_cases(split: Mapping[str, list[str]], records: Mapping[str, Record], file: Path) -> None:
    counts = Counter(case for names in split.values() for case in names)
    unknown = [case for case in counts if case not in records]
    if unknown:
        raise InputError(f"split_file {file} names cases that the datalist does not have: {listing(unknown)}.")
    repeated = [case for case, times in counts.items() if times > 1]
    if repeated:
        raise InputError(f"split_file {file} must name each case once, got more than once: {listing(repeated)}.")
    bare = [case for part in PARTS if part != "unlabelled" for case in split[part] if "label" not in records[case]]
    if bare:
        raise InputError(f"split_file {file} needs labels of cases that have none: {listing(bare)}.")


def _check_files_exist(records: Iterable[Record]) -> None:
    for record in records:
        files = [("image", file) for file in image_files(record["image"])]
        files += [("label", record["label"])] if "label" in record else []
        for key, file in files:
            if not Path(file).exists():  # a DICOM series may be a folder
                raise InputError(f"case {record['case']}: {key} file not found: {file}.")


def _parts_of(evaluated: str) -> Sequence[str]:
    return HELD_OUT if evaluated == "held_out" else (evaluated,)


def _by_case(sections: Mapping[str, list[Record]]) -> dict[str, Record]:
    return {record["case"]: record for records in sections.values() for record in records}


def _cases(records: Iterable[Record]) -> list[str]:
    return [record["case"] for record in records]


def _labelled_record(record: Record) -> Record:
    return {key: record[key] for key in ("image", "label", "case", "patient") if key in record}


def _weak_record(record: Record) -> Record:
    return {**_image_record(record), "label": record["weak_label"]}


def _image_record(record: Record) -> Record:
    return {key: record[key] for key in ("image", "case", "patient") if key in record}
