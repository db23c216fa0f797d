"""Images to segment, without those that cannot be prepared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from monai.data import IterableDataset
from torch.utils.data import get_worker_info
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from semicl_monai.data.images import case_of
from semicl_monai.utils import InputError, find_input_error

logger = logging.getLogger(__name__)


class UsableImages(IterableDataset):
    """A :class:`monai.data.IterableDataset` that leaves out images that cannot be prepared.

    Each image that is left out is logged at once. :meth:`check_none_left_out` names all of them at the end. A progress
    bar is shown.

    Args:
        data: records, ``{"image": path, "case": name}``.
        transform: transform that prepares a record.

    Attributes:
        left_out: the reason of each image that was left out.
    """

    def __init__(self, data: Sequence[Mapping[str, Any]], transform: Callable[..., Any] | None = None) -> None:
        super().__init__(data, transform)
        self.left_out: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        """Prepare one image after another.

        Raises:
            InputError: When this runs in a worker process, because :attr:`left_out` would be lost there.
        """
        if get_worker_info() is not None:
            raise InputError("dataloader::num_workers must be 0 for inference.")
        self.left_out.clear()
        for record in tqdm(self.data, desc="Segmenting"):
            prepared = self._prepare(record)
            while prepared:
                yield prepared.pop()  # not kept here while it is segmented

    def _prepare(self, record: Mapping[str, Any]) -> list[Any]:
        """The prepared image, or nothing."""
        try:
            return [self.transform(record) if self.transform else record]
        except Exception as error:  # MONAI wraps what a transform raises
            self._leave_out(case_of(record), error)
        return []

    def _leave_out(self, case: str, error: Exception) -> None:
        found = find_input_error(error)
        reason = str(found or f"case {case}: {_root_of(error)}")
        with logging_redirect_tqdm():  # beside the progress bar
            logger.warning("left out: %s", reason, exc_info=None if found else error)
        self.left_out.append(reason.removesuffix("."))

    def check_none_left_out(self) -> None:
        """Refuse a run in which images were left out.

        Raises:
            InputError: When an image was left out. The message gives all reasons.
        """
        if self.left_out:
            count = f"{len(self.left_out)} of {len(list(self.data))} images were left out"
            raise InputError(f"{count}: {'; '.join(self.left_out)}.")


def _root_of(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
