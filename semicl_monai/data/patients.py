"""The patient of each case, so that no patient is on both sides of a split."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.data.sections import Record
from semicl_monai.utils import InputError

MOST_SCANS = 10  # average per patient; a stem with more scans is probably the name of a hospital or a year
FEWEST_PATIENTS = 3  # that can be split
STEM = r".*?\d"  # as short as can be, and ends in a digit
SIDES = {"training": ("labelled", "unlabelled"), "validation": ("validation",), "test": ("test",)}


def name_patients(sections: Mapping[str, list[Record]], group_pattern: Any = None) -> dict[str, list[Record]]:
    """Give every record a ``patient``: its own, or the text that ``group_pattern`` finds, or its case name.

    Args:
        sections: lists of records. A record that already has a ``patient`` keeps it.
        group_pattern: a regular expression, searched in each case name. The patient is the first group of the match. An
            expression without groups gives the whole match. ``None`` or ``"none"`` means no expression.

    Returns:
        The sections. If there is no expression and no record has a ``patient``, they are unchanged.

    Raises:
        InputError: When ``group_pattern`` is not a regular expression, or finds nothing in a case name.
    """
    pattern = compile_pattern(group_pattern)
    records = [record for section in sections.values() for record in section]
    if pattern is None:
        if not any("patient" in record for record in records):
            return dict(sections)
        found = patients_of(records)
    else:
        found = _found(pattern, [record["case"] for record in records if "patient" not in record])
    return {
        name: [{**record, "patient": record.get("patient") or found[record["case"]]} for record in section]
        for name, section in sections.items()
    }


def compile_pattern(group_pattern: Any) -> re.Pattern[str] | None:
    """Return the option ``group_pattern`` as an expression; ``None`` for no expression.

    Raises:
        InputError: When it is not a regular expression.
    """
    if group_pattern is None or str(group_pattern).lower() in ("", "none"):
        return None
    if not isinstance(group_pattern, str):
        raise InputError(
            f"group_pattern must be a regular expression, got {group_pattern!r}, which is no text: put it in two pairs "
            "of quotes."
        )
    try:
        return re.compile(group_pattern)
    except re.error as error:
        raise InputError(f"group_pattern must be a regular expression, got '{group_pattern}': {error}.") from error


def _found(pattern: re.Pattern[str], cases: Sequence[str]) -> dict[str, str]:
    matches = {case: pattern.search(case) for case in cases}
    found = {case: str(match[1 if pattern.groups else 0] or "") for case, match in matches.items() if match}
    without = [case for case in cases if not found.get(case)]
    if without:
        raise InputError(
            f"group_pattern '{pattern.pattern}' must find a patient in every case name, got none in {listing(without)}."
        )
    return found


def patients_of(records: Iterable[Record]) -> dict[str, str]:
    """Return the patient of each case; a case without a known patient is its own patient."""
    return {record["case"]: str(record.get("patient", record["case"])) for record in records}


def check_shared_patients(split: Mapping[str, Sequence[str]], patient: Mapping[str, str], where: str) -> None:
    """Refuse a split that has the same patient in two of training, validation and test.

    Args:
        split: case names by part.
        patient: patient of each case.
        where: source of the split, for the error message.

    Raises:
        InputError: When there is such a patient. The message names the patient and the cases.
    """
    sides = {side: [case for part in parts for case in split[part]] for side, parts in SIDES.items()}
    for one, other in combinations(sides, 2):
        shared = {patient[case] for case in sides[one]} & {patient[case] for case in sides[other]}
        for name in sorted(shared):
            first, second = (listing([case for case in sides[side] if patient[case] == name]) for side in (one, other))
            raise InputError(
                f"{where}: a patient must be on one side of the split, got {name} in {one} ({first}) and in {other}"
                f" ({second}); leave the cases out on one side, or correct 'patient' or group_pattern ('none': no"
                " pattern)."
            )


def check_shared_labels(sections: Mapping[str, Iterable[Record]]) -> None:
    """Refuse a label file that images of several patients share.

    Images of one patient may share a label.

    Raises:
        InputError: When patients share a label file. The message names both cases.
    """
    records = [record for section in sections.values() for record in section if "label" in record]
    patient = patients_of(records)
    first: dict[str, Record] = {}
    for record in records:
        other = first.setdefault(record["label"], record)
        if patient[other["case"]] != patient[record["case"]]:
            raise InputError(
                f"case {record['case']}: each patient must have its own label, but {record['label']} is also the label "
                f"of {other['case']}; if both cases are of one patient, give them the same 'patient'."
            )


def without_held_out(cases: Iterable[str], split: Mapping[str, Sequence[str]], patient: Mapping[str, str]) -> list[str]:
    """Return the cases without those of a held-out patient; a warning names the cases that are left out."""
    held_out = {patient[case] for part in ("validation", "test") for case in split[part]}
    cases = list(cases)
    left_out = [case for case in cases if patient[case] in held_out]
    if left_out:
        warnings.warn(
            f"Left out of training, as other scans of their patients are held out: {listing(left_out)}.",
            UserWarning,
            stacklevel=2,
        )
    return [case for case in cases if patient[case] not in held_out]


def propose_pattern(cases: Sequence[str]) -> str | None:
    r"""Return a regular expression that finds the patient in case names with a common stem.

    The stem ends in a digit, before ``_``, ``-`` or the end of the name. ``patient001_frame01`` and ``sub-01_ses-2``
    share their stem with other scans of the patient. ``hippocampus_001`` shares its stem with no other name. The first
    suitable stem is proposed. Every name must have such a stem, and some names must share it. There must be at least
    three different stems, with at most 10 names per stem on average.

    Args:
        cases: the case names.

    Returns:
        The expression, or ``None`` if the names have no such stem.

    Example:
        >>> propose_pattern([f"patient{patient:03d}_frame{frame}" for patient in range(3) for frame in (1, 2)])
        '^(.*?\\d)(?=[_-]|$)'
        >>> propose_pattern(["hippocampus_001", "hippocampus_002", "hippocampus_003"])
    """
    for count in (1, 2, 3):
        pattern = f"^({'[_-]'.join([STEM] * count)})(?=[_-]|$)"
        found = [re.search(pattern, case) for case in cases]
        stems = {match[1] for match in found if match}
        if None in found or len(stems) == len(cases):
            return None
        if len(stems) >= FEWEST_PATIENTS and len(cases) <= MOST_SCANS * len(stems):
            return pattern
    return None
