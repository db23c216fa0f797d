"""Number of epochs of fine-tuning."""

from __future__ import annotations

from semicl_monai.methods.registry import find_method


def epochs_of(method: str, epochs: int, with_teacher: int) -> int:
    """Return the number of epochs of fine-tuning for a method.

    Args:
        method: the method of fine-tuning.
        epochs: number of epochs of most methods.
        with_teacher: number of epochs of a method that waits for its teacher.

    Raises:
        InputError: When the method is unknown.
    """
    return with_teacher if getattr(find_method(method), "waits_for_teacher", False) else epochs
