"""Checks that held-out cases were not seen in training, under any name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.data.sections import Record
from semicl_monai.utils import InputError, Provenance, image_digest, voxel_count

HELD_OUT = ("validation", "test")
THREADS = 4  # unpacking and hashing run outside Python's global lock


def check_seen_cases(parts: Mapping[str, Sequence[Record]], provenance: Provenance) -> None:
    """Refuse a split that holds out a case that the loaded weights have seen.

    The rules for images are:

    * An image that the weights were trained with must not be a validation or test image now.
    * An image that was used to choose the weights must not be a test image.
    * An image whose label the weights have seen must not be an unlabelled image.
    * If patients were named, the first two rules hold for all images of a patient.

    Images are compared by their voxels. A renamed file, a link or a copy is the same image. Two different images with
    the same name are not the same image.

    Args:
        parts: the records of ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.
        provenance: the provenance of the weights.

    Raises:
        InputError: When there is such a case. The message gives its present and its earlier name.
    """
    trained = provenance.seen("labelled", "unlabelled")
    earlier = {"validation": trained, "test": [*trained, *provenance.validation]}
    leaked = [pair for part in HELD_OUT for pair in _seen_before(parts[part], earlier[part])]
    if leaked:
        raise InputError(
            f"the weights have seen cases that are held out now: {listing(leaked)}; give the split_seed, split_file "
            f"or validation they were trained with."
        )
    labelled = {case["image"]: case["case"] for case in provenance.labelled}
    known = [_both(r["case"], labelled[d]) for r, d in _with_digests(parts["unlabelled"], labelled) if d in labelled]
    if known:
        raise InputError(
            f"the weights have seen labels of cases that are unlabelled now: {listing(known)}; give the "
            f"labelled_fraction they were trained with, or a larger one."
        )


def check_repeated_images(parts: Mapping[str, Sequence[Record]]) -> None:
    """Refuse a split that has the same image in two of training, validation and test, under different names.

    Only images of the same size are read.

    Args:
        parts: the records of ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.

    Raises:
        InputError: When there is such an image. The message gives both names.
    """
    of_size: dict[int | None, list[tuple[bool | str, Record]]] = defaultdict(list)
    for part in ("labelled", "unlabelled", *HELD_OUT):
        for record in parts[part]:
            of_size[voxel_count(record["image"])].append((part if part in HELD_OUT else "training", record))
    of_size.pop(None, None)  # no NIfTI: it is refused when it is loaded
    for found in of_size.values():
        if len({part for part, _ in found}) > 1:
            _check_differ(found)


def _check_differ(found: Sequence[tuple[Any, Record]]) -> None:
    first: dict[str, tuple[Any, Record]] = {}
    for (part, record), digest in zip(found, _digests(record for _, record in found), strict=True):
        other_part, other = first.setdefault(digest, (part, record))
        if other_part != part:
            raise InputError(
                f"the same image is in the {other_part} part as {other['case']} ({_file(other)}) and in the {part} "
                f"part as {record['case']} ({_file(record)}): leave one of them out of the data set."
            )


def _seen_before(records: Sequence[Record], seen: Sequence[Mapping[str, str]]) -> list[str]:
    images = {case["image"]: case["case"] for case in seen}
    patients = {case["patient"]: case for case in seen}
    leaked = []
    for record, digest in _with_digests(records, images):
        same = patients.get(record.get("patient") or record["case"])
        if digest in images:
            leaked.append(_both(record["case"], images[digest]))
        # where no patient was given, an equal case name does not mean the same patient
        elif same and not record["case"] == same["case"] == same["patient"]:
            leaked.append(f"{record['case']} (of the patient {same['patient']}, as {same['case']})")
    return leaked


def _with_digests(records: Sequence[Record], seen: Mapping[str, Any]) -> list[tuple[Record, str]]:
    return list(zip(records, _digests(records), strict=True)) if seen else []


def _digests(records: Iterable[Record]) -> list[str]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda record: image_digest(record["image"]), records))


def _both(now: str, then: str) -> str:
    return now if now == then else f"{now} (as {then})"


def _file(record: Record) -> str:
    return record["image"] if isinstance(record["image"], str) else record["image"][0]
