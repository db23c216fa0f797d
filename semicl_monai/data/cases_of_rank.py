"""The cases that one of several processes evaluates."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from torch.utils.data import Sampler

from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import rank_and_size


# not monai.data.DistributedSampler: it refuses the empty data set of a training without validation
class CasesOfRank(Sampler[int]):
    """Every ``world_size``-th case, in the order of the data set.

    No case is evaluated twice, with one exception: there are fewer cases than processes. All processes must take part,
    so some of them then evaluate the same case.

    Args:
        dataset: the cases.
        repeated: whether a case may be evaluated twice, as in a validation.

    Raises:
        InputError: When there are fewer cases than processes and ``repeated`` is false.

    Example:
        >>> list(CasesOfRank("abc"))
        [0, 1, 2]
    """

    def __init__(self, dataset: Sized, repeated: bool = True) -> None:
        rank, size = rank_and_size()
        few = 0 < len(dataset) < size
        if few and not repeated:
            raise InputError(
                f"each of {size} processes needs a case of its own, got {len(dataset)}; lower --nproc_per_node."
            )
        self.cases = [rank % len(dataset)] if few else range(rank, len(dataset), size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)
