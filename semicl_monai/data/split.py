"""The split of cases into labelled and unlabelled training, validation and test."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from numbers import Integral, Real

import numpy as np

from semicl_monai.utils import InputError

PARTS = ("labelled", "unlabelled", "validation", "test")


def make_split(
    cases: Sequence[str],
    labelled_fraction: float | int | str = 1.0,
    split_seed: int = 0,
    ratio: Sequence[int] = (3, 1, 1),
    *,
    patients: Mapping[str, str] | None = None,
    cut_validation: bool = True,
    strict: bool = True,
) -> dict[str, list[str]]:
    """Split cases by patient, and choose which training volumes are labelled.

    The order of ``cases`` does not matter. For one ``split_seed`` the labelled subsets are nested: the volumes of 5 %
    are among those of 10 %. Validation and test stay the same. All cases of a patient are in one part. Either all of
    them are labelled or none. The sizes below count patients. If each patient has one case, they count volumes.

    Args:
        cases: case names, each once.
        labelled_fraction: a float in (0, 1] is a fraction of the training part, rounded half up. An int is a number of
            patients. So ``1`` is **one patient** and ``1.0`` is **all patients**. A string from a command line is read
            the same way (``"0.05"``, ``"6"``).
        split_seed: seed of the permutation, from 0 to 2**32 - 1.
        ratio: relative sizes of training, validation and test. A part with 0 is not cut and stays empty. Validation and
            test are rounded half up. Training takes the rest.
        patients: patient of each case. A case without an entry is its own patient.
        cut_validation: whether to cut a validation part. If not, the cases of that part are the last ones of the
            training part. The test part stays the same, with two exceptions: it may be empty, and it never takes the
            last patient.
        strict: whether to refuse a split that training cannot use. If not, a part may be empty, and
            ``labelled_fraction`` may be larger than the training part.

    Returns:
        Case names under ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.

    Raises:
        InputError: When a part would be empty, ``labelled_fraction`` gives no volume or more volumes than there are, a
            case is named twice, or an option has an invalid value.

    Example:
        >>> split = make_split(["a", "b", "c", "d", "e"], labelled_fraction=1)
        >>> {part: len(names) for part, names in split.items()}
        {'labelled': 1, 'unlabelled': 2, 'validation': 1, 'test': 1}
    """
    repeated = sorted(case for case, times in Counter(cases).items() if times > 1)
    if repeated:
        raise InputError(f"case names must differ, got more than once: {', '.join(repeated)}.")
    of_patient = _by_first_case(cases, patients or {})
    unit = "volumes" if len(of_patient) == len(cases) else "patients"
    sizes = _part_sizes(len(of_patient), ratio, cut_validation, strict, unit)
    num_labelled = _labelled_count(labelled_fraction, sizes[0], strict, unit)
    # RandomState and not default_rng: NumPy never changes its numbers, so that splits stay the same
    order = np.random.RandomState(checked_seed(split_seed)).permutation(sorted(of_patient))
    ends = (0, num_labelled, sizes[0], sizes[0] + sizes[1], len(order))
    return {
        part: [case for first in order[start:end] for case in of_patient[str(first)]]
        for part, start, end in zip(PARTS, ends[:-1], ends[1:], strict=True)
    }


def _by_first_case(cases: Sequence[str], patients: Mapping[str, str]) -> dict[str, list[str]]:
    """The cases of each patient, under the name of the patient's first case."""
    of_patient: dict[str, list[str]] = defaultdict(list)
    for case in sorted(cases):
        of_patient[patients.get(case, case)].append(str(case))
    return {own[0]: own for own in of_patient.values()}


def parse_labelled_fraction(value: float | int | str) -> float | int:
    """Read ``labelled_fraction``: a float in (0, 1] or an int of at least 1, also as a string.

    Raises:
        InputError: When it is anything else.
    """
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 1:
        return int(number)
    if isinstance(number, Real) and not isinstance(number, Integral) and 0 < float(number) <= 1:
        return float(number)
    raise InputError(
        f"labelled_fraction must be a fraction above 0.0 and up to 1.0, or a number of volumes from 1, got {value!r}."
    )


def _number(text: str) -> float | int | None:
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        return None


def _labelled_count(labelled_fraction: float | int | str, num_training: int, strict: bool, unit: str) -> int:
    value = parse_labelled_fraction(labelled_fraction)
    # decimal: 0.145 of 100 is 14.5 and rounds up; as a binary number it is slightly smaller
    count = value if isinstance(value, int) else int((Decimal(str(value)) * num_training).quantize(0, ROUND_HALF_UP))
    if not strict:
        return min(count, num_training)
    if count == 0:
        smallest = Context(prec=3, rounding=ROUND_CEILING).divide(Decimal("0.5"), Decimal(num_training))
        raise InputError(
            f"labelled_fraction {value} of {num_training} training {unit} gives no {unit.removesuffix('s')};"
            f" the smallest usable fraction is {smallest}."
        )
    if count > num_training:
        raise InputError(f"labelled_fraction asks for {count} {unit}, but there are {num_training} training {unit}.")
    return count


def _part_sizes(num_patients: int, ratio: Sequence[int], cut_validation: bool, strict: bool, unit: str) -> list[int]:
    if len(ratio) != 3 or min(ratio) < 0 or ratio[0] == 0:
        raise InputError(f"ratio must be three numbers from 0 with the first above 0, got {tuple(ratio)}.")
    validation, test = (
        int((Decimal(num_patients * part) / sum(ratio)).quantize(0, ROUND_HALF_UP)) for part in ratio[1:]
    )
    if not (cut_validation and strict):
        test = min(test, max(num_patients - 1, 0))
    validation = min(validation, num_patients - test) if cut_validation else 0
    sizes = [num_patients - validation - test, validation, test]
    if strict:
        _check_not_empty(sizes, ratio if cut_validation else (1, 0, 0), ratio, unit)
    return sizes


def _check_not_empty(sizes: Sequence[int], wanted: Sequence[int], ratio: Sequence[int], unit: str) -> None:
    for name, part, size in zip(("training", "validation", "test"), wanted, sizes, strict=True):
        if part > 0 and size <= 0:
            parts, number = ":".join(str(part) for part in ratio), sum(sizes)
            cases = "cases" if unit == "volumes" else unit
            got = f"{number}; --validation none trains with so few" if number else "0"
            raise InputError(f"the {name} part is empty: too few labelled {cases} to cut {parts}, got {got}.")


def checked_seed(split_seed: int) -> int:
    """Return ``split_seed``.

    Raises:
        InputError: When it is not a whole number from 0 to 2**32 - 1.
    """
    if isinstance(split_seed, bool) or not isinstance(split_seed, Integral) or not 0 <= split_seed < 2**32:
        raise InputError(f"split_seed must be a whole number from 0 to 2**32 - 1, got {split_seed!r}.")
    return int(split_seed)
