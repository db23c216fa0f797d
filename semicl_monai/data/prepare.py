"""Load and check all volumes of a training before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from semicl_monai.data.foreground import check_foreground
from semicl_monai.data.label_names import check_label_names
from semicl_monai.data.volume_dataset import VolumeDataset


def prepare_datasets(
    training: VolumeDataset,
    others: Sequence[VolumeDataset] = (),
    class_names: Sequence[str] | None = None,
    ignore_value: int | None = None,
    regions: Sequence[Sequence[int]] | None = None,
) -> None:
    """Load and check every volume, so that bad input is found before training starts.

    Args:
        training: the training volumes.
        others: further data sets, such as unlabelled and validation volumes.
        class_names: names of the classes without background. The segment names of all labels are compared with them.
            By default there is no comparison.
        ignore_value: value of the segment ``ignore``, if there is one.
        regions: class numbers of each class, if the classes are regions. Segments cannot be regions.

    Raises:
        InputError: When a volume cannot be prepared, a segment has another name than its class, or no training label
            holds foreground.
    """
    datasets = [training, *others]
    if class_names is not None:
        records = [record for dataset in datasets for record in dataset.data if "label" in record]
        check_label_names(records, class_names, ignore_value, regions)
    for dataset in datasets:
        dataset.prepare()
    check_foreground([training])
