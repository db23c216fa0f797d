"""How many epochs a method is fine-tuned for."""

from __future__ import annotations

from semicl_monai.methods.registry import find_method


def epochs_of(method: str, epochs: int, with_teacher: int) -> int:
    """Return how many epochs a method is fine-tuned for.

    Args:
        method: that of fine-tuning.
        epochs: those of most methods.
        with_teacher: those of a method that waits for its teacher.

    Raises:
        InputError: When the method is unknown.
    """
    return with_teacher if getattr(find_method(method), "waits_for_teacher", False) else epochs
