"""The cases one process of several evaluates."""

from __future__ import annotations

from monai.data import DistributedSampler
from torch.utils.data import Dataset

from semicl_monai.utils import InputError


class CasesOfRank(DistributedSampler):
    """Every ``world_size``-th case, in their order; no case is evaluated twice.

    Args:
        dataset: the cases.
        option: the part of the data they are, for the error.

    Raises:
        InputError: When there are fewer cases than processes, of which one would have nothing to do.
    """

    def __init__(self, dataset: Dataset, option: str = "validation") -> None:
        super().__init__(dataset, even_divisible=False, shuffle=False)
        count = len(dataset)  # type: ignore[arg-type]
        if 0 < count < self.num_replicas:
            raise InputError(
                f"{option}: each of {self.num_replicas} processes needs a case of its own, got {count}; lower "
                f"--nproc_per_node."
            )
