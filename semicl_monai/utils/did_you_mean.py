"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


# not monai.utils.look_up_option: for it, any two names of three letters are similar, and its error has several lines
def did_you_mean(name: str, known: Iterable[str], before: str = "", after: str = "", cutoff: float = 0.6) -> str:
    """Return ``", did you mean ..."`` for an error, or an empty text when no known name is similar.

    Args:
        name: the unknown name.
        known: the known names.
        before: text before the suggested name.
        after: text after it.
        cutoff: how close it must be, 1 for the same.

    Example:
        >>> did_you_mean("epochss", ["device", "epochs"], before="--")
        ', did you mean --epochs'
    """
    guess = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f", did you mean {before}{guess[0]}{after}" if guess else ""
