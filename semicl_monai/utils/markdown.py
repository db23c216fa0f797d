"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], aligned: bool = False) -> str:
    r"""Return a Markdown table.

    Args:
        header: names of the columns.
        rows: the cells of each row. A ``|`` in a cell is escaped.
        aligned: whether to pad the cells of a column to one width. The table is then easier to read in a terminal.

    Example:
        >>> print(markdown_table(["name", "values"], [["a", "1|2"]]))
        | name | values |
        | --- | --- |
        | a | 1\|2 |
    """
    lines = [[cell.replace("|", r"\|") for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)] if aligned else [0] * len(header)
    lines.insert(1, ["-" * (width or 3) for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
