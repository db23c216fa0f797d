"""The studies of a MONAI Label server as a data list."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from semicl_monai.data.sections import Record
from semicl_monai.data.studies import labelled_studies, list_studies
from semicl_monai.data.volume_dataset import VolumeDataset


class StudyList:
    """The studies of a server in place of a :class:`semicl_monai.data.SegmentationDatalist`, for pre-training.

    Args:
        records: ``{"image": path, "label": path}`` of each labelled study, as MONAI Label gives them.
        class_names: names of the classes without background.
        ignore_value: as for :func:`semicl_monai.data.check_label_names`.
        regions: as for :func:`semicl_monai.data.check_label_names`.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        class_names: Sequence[str],
        ignore_value: int | None = None,
        regions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.records, self.class_names = records, class_names
        self.ignore_value, self.regions = ignore_value, regions

    @cached_property
    def training(self) -> list[dict[str, str]]:
        """All studies, see :func:`list_studies`."""
        return list_studies(self.records)

    def to_validate(self) -> list[dict[str, Any]]:
        """No study is held out."""
        return []

    @cached_property
    def labelled(self) -> list[dict[str, Any]]:
        """The labelled studies, see :func:`labelled_studies`."""
        return labelled_studies(self.records, self.class_names, self.ignore_value, self.regions)


class StudyDataset(VolumeDataset):
    """A :class:`VolumeDataset` of other cases than those from the server.

    Args:
        data: the labelled studies from the server. They are not used.
        cases: the records that are used instead.
        transform: as for :class:`VolumeDataset`.
        cache_dir: as for :class:`VolumeDataset`.
    """

    def __init__(
        self,
        data: Sequence[Record],
        cases: Sequence[Record],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(cases, transform, cache_dir)
