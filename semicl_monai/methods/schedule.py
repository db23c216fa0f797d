"""Number of epochs of fine-tuning."""

from __future__ import annotations

from semicl_monai.methods.registry import find_method


def epochs_of(method: str, epochs: int, with_teacher: int) -> int:
    """Return the number of epochs of a method of fine-tuning.

    Args:
        method: name of the method.
        epochs: number for most methods.
        with_teacher: number for a method that waits for its teacher.

    Raises:
        InputError: When the method is unknown.
    """
    return with_teacher if getattr(find_method(method), "waits_for_teacher", False) else epochs
