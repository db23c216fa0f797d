"""The table of the options of all stages."""

from __future__ import annotations

from semicl_monai.utils import OPTIONS, markdown_table
from semicl_monai.utils.option_table import STAGES, Option

HEADER = ("option", "stages", "value", "meaning")


def options() -> None:
    """Print the options of the stages: name, stages, allowed values and meaning."""
    print(table())


def table() -> str:
    """Return the options as a Markdown table."""
    return markdown_table(HEADER, [_row(option) for option in OPTIONS])


def _row(option: Option) -> tuple[str, ...]:
    stages = "all" if option.stages == STAGES else ", ".join(option.stages)
    return f"`--{option.name}`", stages, option.kind.wanted.partition(" (")[0], option.meaning
