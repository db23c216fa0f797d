"""The table of methods."""

from __future__ import annotations

from semicl_monai.engines import METHODS

HEADER = ("`--method`", "what it does", "sees", "trains in pre-training", "from")


def methods() -> None:
    """Print the methods: name, what each does, what it sees, what it trains, and the paper."""
    print(table())


def table() -> str:
    """Return the methods as a Markdown table."""
    rows = [HEADER, *(_row(name) for name in METHODS.names)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)


def _row(name: str) -> tuple[str, ...]:
    method = METHODS[name]
    return f"`{name}`", METHODS.components[name].description, method.sees, method.trains, method.paper
