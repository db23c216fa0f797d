"""The table of methods."""

from __future__ import annotations

from semicl_monai.apps.markdown import markdown_table
from semicl_monai.engines import METHODS

HEADER = ("`--method`", "what it does", "sees", "trains in pre-training", "from")


def methods() -> None:
    """Print the methods: name, what each does, what it sees, what it trains, and the paper."""
    print(table())


def table() -> str:
    """Return the methods as a Markdown table."""
    return markdown_table([HEADER, *(_row(name) for name in METHODS.names)])


def _row(name: str) -> tuple[str, ...]:
    method = METHODS[name]
    return f"`{name}`", METHODS.components[name].description, method.sees, method.trains, method.paper
