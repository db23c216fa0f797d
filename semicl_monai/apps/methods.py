"""The table of methods."""

from __future__ import annotations

from semicl_monai.methods import METHODS, Method, PretrainingMethod, stages_of
from semicl_monai.utils import markdown_table

HEADER = ("`--method`", "what it does", "sees", "trains in pre-training", "from")


def methods() -> None:
    """Print the methods: name, what each does, what it sees, what it trains, and the paper."""
    print(table())


def table() -> str:
    """Return the methods as a Markdown table."""
    return markdown_table(HEADER, [_row(name) for name in METHODS.names], aligned=True)


def _row(name: str) -> tuple[str, ...]:
    method = METHODS[name]
    return f"`{name}`", METHODS.components[name].description, _sees(method), _trains(method), method.paper


def _sees(method: type[Method]) -> str:
    """Return the data that a method sees before or beyond supervised fine-tuning."""
    parts: list[type[Method]] = [*stages_of(method)] or [method]
    images, labels = any(part.images for part in parts), any(part.labels for part in parts)
    if not labels:
        return "all training images" if images else "nothing"
    return "all training images; labels" if images else "labelled images and labels"


def _trains(method: type[Method]) -> str:
    """Return the parts of the network that the pre-training of a method changes."""
    if not stages_of(method):
        return "nothing; all in fine-tuning" if method.labels else "nothing"
    return "; then ".join(_trained_in(stage) for stage in stages_of(method))


def _trained_in(stage: type[PretrainingMethod]) -> str:
    if stage.decoder_blocks == 0:
        return "encoder"
    decoder = "decoder" if stage.decoder_blocks is None else f"decoder blocks 1-{stage.decoder_blocks}"
    return decoder if stage.frozen_encoder else f"encoder and {decoder}"
