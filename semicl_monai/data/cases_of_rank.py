"""The cases one process of several evaluates."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from torch.utils.data import Sampler

from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import rank_and_size


# not monai.data.DistributedSampler: it refuses the empty data set of a training without validation
class CasesOfRank(Sampler[int]):
    """Every ``world_size``-th case, in their order; no case is evaluated twice.

    Args:
        dataset: the cases.
        option: the part of the data they are, for the error.

    Raises:
        InputError: When there are fewer cases than processes, of which one would have nothing to do.

    Example:
        >>> list(CasesOfRank("abc"))
        [0, 1, 2]
    """

    def __init__(self, dataset: Sized, option: str = "validation") -> None:
        rank, size = rank_and_size()
        self.cases = range(rank, len(dataset), size)
        if 0 < len(dataset) < size:
            raise InputError(
                f"{option}: each of {size} processes needs a case of its own, got {len(dataset)}; lower "
                f"--nproc_per_node."
            )

    def __iter__(self) -> Iterator[int]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)
