"""The one kind of error a user can mend, and how it is shown."""

from __future__ import annotations

import sys
from types import TracebackType


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder or an option.

    The message is one line: what is wrong, where (file, case, option), what was wanted, what came.
    """


def find_input_error(error: BaseException | None) -> InputError | None:
    """Return the input error that ``error`` is or was caused by; MONAI wraps what a transform or a config raises."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def show_input_errors() -> None:
    """Make an uncaught :class:`InputError` end the program with its one line in place of a traceback.

    Every other error is shown as before. Called from ``initialize`` of our configs.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        found = find_input_error(error)
        if found is None:
            previous(kind, error, traceback)
        else:
            print(f"error: {found}", file=sys.stderr)

    sys.excepthook = hook
