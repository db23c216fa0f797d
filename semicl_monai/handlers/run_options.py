"""What a run was started with, as a part of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, file_digest


class RunOptions:
    """Refuse to resume a run with other options, or on another split, than it was started with.

    Args:
        options: options by name that have to be the same; of ``pretrained`` the content of the file, which
            may have moved.
        split_file: file of the split; its content has to be the same. It may be missing.
    """

    def __init__(self, options: Mapping[str, Any], split_file: str | Path | None = None) -> None:
        self.options = {name: _as_text(name, value) for name, value in options.items()}
        self.split_file = split_file

    def state_dict(self) -> dict[str, str]:
        """Return the options and the split as text."""
        has_split = self.split_file is not None and Path(self.split_file).is_file()
        return {**self.options, "split": Path(str(self.split_file)).read_text() if has_split else ""}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Compare with the options of the run that is resumed.

        Raises:
            InputError: When an option or the split differs.
        """
        for name, value in self.state_dict().items():
            before = state_dict.get(name)
            if before != value and name == "split":
                raise InputError("the run was started on another split")
            if before != value:
                raise InputError(f"the run was started with {name} {before}, not {value}")


def _as_text(name: str, value: Any) -> str:
    digest = file_digest(value) if name == "pretrained" else None
    return f"{Path(value).name} (SHA-256 {digest[:8]})" if digest else str(value)
