"""How many epochs a method warms up and ramps up."""

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


def warm_up_epochs(method: str, epochs: int, divisor: int = 2) -> int:
    """Return the default of ``--warm_up_epochs``: a part of all epochs for a method that waits for its teacher.

    Args:
        method: that of fine-tuning.
        epochs: of the run.
        divisor: one part in so many.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> warm_up_epochs("self_training", 40), warm_up_epochs("tcsm", 40)
        (20, 0)
    """
    return epochs // divisor if getattr(find_method(method), "waits_for_teacher", False) else 0


def ramp_up_epochs(method: str, epochs: int, warm_up_epochs: int = 0) -> int:
    """Return the default of ``--ramp_up_epochs``: all epochs after the warm-up, or a quarter of them after a wait.

    Args:
        method: that of fine-tuning.
        epochs: of the run.
        warm_up_epochs: those of the warm-up.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> ramp_up_epochs("self_training", 40, 20), ramp_up_epochs("tcsm", 40)
        (5, 40)
    """
    parts = 4 if getattr(find_method(method), "waits_for_teacher", False) else 1
    return max(1, (epochs - warm_up_epochs) // parts)
