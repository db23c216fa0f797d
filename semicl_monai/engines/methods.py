"""Pre-training methods, as the stages they run one after the other."""

from __future__ import annotations

from semicl_monai.utils import Registry

METHODS = Registry("method", "Pre-training methods: the objectives they train for, in order.")
METHODS.add("global", "Contrast of whole slices, all training images (SimCLR).", ("global",))
METHODS.add("local", "Supervised contrast of pixels, labelled images.", ("local",))
METHODS.add("global_local", "First global, then local: the paper's method.", ("global", "local"))


def objectives(method: str) -> list[str]:
    """Return the objectives that ``method`` trains for, in order.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> objectives("global_local")
        ['global', 'local']
    """
    return list(METHODS[method])
