"""Which volumes train, which of them show their labels, and which are kept for validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
) -> dict[str, list[str]]:
    """Split cases by volume, and choose which training volumes are labelled.

    The order of ``cases`` does not matter. For one ``split_seed`` the labelled subsets are nested: the volumes of 5 %
    are among those of 10 %, and validation and test stay the same.

    Args:
        cases: case names, each once.
        labelled_fraction: a float in (0, 1] is a fraction of the training part, rounded half up; an int is a number of
            volumes. So ``1`` is **one volume** and ``1.0`` **all of them**. A string from a command line is read the
            same way (``"0.05"``, ``"6"``).
        split_seed: seed of the permutation, from 0 to 2**32 - 1.
        ratio: sizes of training, validation and test to each other. A part with 0 is not cut and comes back empty;
            validation and test are rounded half up, training takes the rest.

    Returns:
        Case names under ``"labelled"``, ``"unlabelled"``, ``"validation"`` and ``"test"``.

    Raises:
        InputError: When a part would be empty, ``labelled_fraction`` gives no volume or more than there are, a case is
            named twice, or an option has no meaning.

    Example:
        >>> split = make_split(["a", "b", "c", "d", "e"], labelled_fraction=1)
        >>> {part: len(names) for part, names in split.items()}
        {'labelled': 1, 'unlabelled': 2, 'validation': 1, 'test': 1}
    """
    repeated = sorted(case for case, times in Counter(cases).items() if times > 1)
    if repeated:
        raise InputError(f"case names must differ, got more than once: {', '.join(repeated)}.")
    num_training, num_validation, _ = _part_sizes(len(cases), ratio)
    num_labelled = _labelled_count(labelled_fraction, num_training)
    # RandomState and not default_rng: NumPy keeps its numbers the same for ever, and so are the splits
    order = [str(case) for case in np.random.RandomState(checked_seed(split_seed)).permutation(sorted(cases))]
    ends = (0, num_labelled, num_training, num_training + num_validation, len(order))
    return {part: order[start:end] for part, start, end in zip(PARTS, ends[:-1], ends[1:], strict=True)}


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


def _labelled_count(labelled_fraction: float | int | str, num_training: int) -> int:
    value = parse_labelled_fraction(labelled_fraction)
    # decimal: 0.145 of 100 is 14.5 and rounds up, in binary it is a little less
    count = value if isinstance(value, int) else int((Decimal(str(value)) * num_training).quantize(0, ROUND_HALF_UP))
    if count == 0:
        smallest = Context(prec=3, rounding=ROUND_CEILING).divide(Decimal("0.5"), Decimal(num_training))
        raise InputError(
            f"labelled_fraction {value} of {num_training} training volumes is no volume;"
            f" the smallest usable fraction is {smallest}."
        )
    if count > num_training:
        raise InputError(f"labelled_fraction asks for {count} volumes, but there are {num_training} training volumes.")
    return count


def _part_sizes(num_cases: int, ratio: Sequence[int]) -> list[int]:
    if len(ratio) != 3 or min(ratio) < 0 or ratio[0] == 0:
        raise InputError(f"ratio must be three numbers from 0 with the first above 0, got {tuple(ratio)}.")
    held_out = [int((Decimal(num_cases * part) / sum(ratio)).quantize(0, ROUND_HALF_UP)) for part in ratio[1:]]
    sizes = [num_cases - sum(held_out), *held_out]
    for name, part, size in zip(("training", "validation", "test"), ratio, sizes, strict=True):
        if part > 0 and size <= 0:
            wanted = ":".join(str(part) for part in ratio)
            raise InputError(f"the {name} part is empty: too few labelled cases to cut {wanted}, got {num_cases}.")
    return sizes


def checked_seed(split_seed: int) -> int:
    """Return ``split_seed``.

    Raises:
        InputError: When it is not a whole number from 0 to 2**32 - 1.
    """
    if isinstance(split_seed, bool) or not isinstance(split_seed, Integral) or not 0 <= split_seed < 2**32:
        raise InputError(f"split_seed must be a whole number from 0 to 2**32 - 1, got {split_seed!r}.")
    return int(split_seed)
