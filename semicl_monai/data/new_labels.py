"""An earlier split of a data set that has grown: held-out cases stay held out, and new cases train."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.data.patients import patients_of, without_held_out
from semicl_monai.data.sections import Record
from semicl_monai.data.split import PARTS
from semicl_monai.utils import InputError


def add_new_cases(
    split: Mapping[str, list[str]], sections: Mapping[str, list[Record]], hidden: Collection[str] | None
) -> dict[str, list[str]]:
    """Return the split with all new cases of the data set in training, labelled if they have a label.

    Two kinds of cases are left out and named in a warning: new cases of a held-out patient, and new cases in the data
    set's own lists ``validation`` and ``test``. With these cases, scores would not be comparable.

    Args:
        split: the earlier split, by part.
        sections: the data set as it is now.
        hidden: the cases whose labels the earlier split left unused on purpose. ``None`` means that these cases are not
            known. Then all unlabelled cases of the earlier split stay unlabelled.
    """
    records = {record["case"]: record for section in sections.values() for record in section}
    known = {case for cases in split.values() for case in cases}
    _tell_left_out([r["case"] for part in ("validation", "test") for r in sections[part] if r["case"] not in known])
    training = [r["case"] for part in ("training", "unlabelled") for r in sections[part]]
    new = without_held_out([c for c in training if c not in known], split, patients_of(records.values()))
    with_label = [case for case in split["unlabelled"] if "label" in records[case] and case in training]
    if hidden is None:
        _tell_unknown(with_label)
        hidden = with_label
    labelled = [case for case in with_label if case not in hidden] + [c for c in new if "label" in records[c]]
    kept = [case for case in split["unlabelled"] if case not in labelled]
    unlabelled = kept + [case for case in new if "label" not in records[case]]
    return {**split, "labelled": split["labelled"] + labelled, "unlabelled": unlabelled}


def tell_unused(split: Mapping[str, list[str]], sections: Mapping[str, list[Record]], file: Path) -> None:
    """Warn of labelled cases that an earlier split does not name; they are not used."""
    known = {case for cases in split.values() for case in cases}
    new = [r["case"] for r in sections["training"] if "label" in r and r["case"] not in known]
    if new:
        _warn(f"split_file {file} lacks labelled cases; --add_new_labels true trains with them: {listing(new)}.")


def hidden_labels(content: Mapping[str, Any], file: Path) -> list[str] | None:
    """Return the cases whose labels a saved split does not use, or ``None`` if the file does not name them.

    Args:
        content: the content of the file. Files of earlier versions do not name these cases. If such a file used all
            labels, the list is empty.
        file: the file, for an error message.

    Raises:
        InputError: When ``unused_labels`` is not a list of names.
    """
    if "unused_labels" in content:
        return case_names(content, "unused_labels", file)
    fraction = content.get("labelled_fraction")
    return [] if isinstance(fraction, float) and fraction == 1 else None


def case_names(content: Mapping[str, Any], part: str, file: Path) -> list[str]:
    """Return a list of a saved split.

    Raises:
        InputError: When the list is missing or is not a list of names.
    """
    if part not in content:
        raise InputError(f"split_file {file} must have the lists {', '.join(PARTS)}; '{part}' is missing.")
    names = content[part]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"split_file {file}: '{part}' must be a list of case names, got {str(names)[:80]}.")
    return names


def _tell_left_out(cases: list[str]) -> None:
    if cases:
        _warn(f"Left out, as the data set holds out these cases and the split_file lacks them: {listing(cases)}.")


def _tell_unknown(cases: list[str]) -> None:
    if cases:
        _warn(
            "The split_file does not say which labels were left unused on purpose. These cases stay unlabelled: "
            f"{listing(cases)}. To use their labels, move the names to the list 'labelled' of the split_file."
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
