"""Several handlers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine


class HandlerGroup:
    """Attach several handlers in their order, as if they were one handler.

    Args:
        handlers: objects with a method ``attach(engine)``.
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self.handlers = list(handlers)

    def attach(self, engine: Engine) -> None:
        """Attach all handlers."""
        for handler in self.handlers:
            handler.attach(engine)
