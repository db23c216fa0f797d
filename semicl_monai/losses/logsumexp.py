"""The logsumexp over all pairs, in memory linear in the number of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isqrt
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from semicl_monai.utils import at_least_float32

# Number of similarities in memory at one time. On a CPU, a tile should fit into the cache. On other devices, there
# should be few kernel launches.
CPU_TILE_ELEMENTS = 2**21
TILE_ELEMENTS = 2**25


def logsumexp_over_keys(anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None = None) -> Tensor:
    r"""Logsumexp of every anchor's dot products with the keys whose id differs from its own.

    .. math::
        \ell_i = \log \sum_{k :\, \mathrm{id}_k \neq \mathrm{id}_i} \exp(a_i \cdot b_k)

    With labels as ids, an anchor leaves out its whole class. Without ``key_ids``, an anchor leaves out only the key at
    its own position. The matrix of similarities is computed tile by tile, once in the forward pass and again in the
    backward pass. It is never kept. Besides the gradients, only the logsumexp of every anchor and one tile of fixed
    size are in memory, as in attention kernels.

    Args:
        anchors: shape (A, C).
        keys: shape (N, C).
        anchor_ids: integers of shape (A,).
        key_ids: integers of shape (N,), by default the positions of the keys.

    Returns:
        Shape (A,). The type is float64 for float64 inputs and float32 otherwise, also under autocast. An anchor that
        leaves out every key has ``-inf`` and a zero gradient.

    References:
        Dao et al., FlashAttention, NeurIPS 2022, algorithm 1 (tiles, recomputed in the backward pass).
        https://arxiv.org/abs/2205.14135

    Example:
        >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> logsumexp_over_keys(keys[:1], keys, torch.tensor([0]), torch.tensor([0, 1, 2]))
        tensor([1.3133])
    """
    with torch.autocast(anchors.device.type, enabled=False):
        of_anchors: Tensor = _LogSumExpOverKeys.apply(  # type: ignore[no-untyped-call]  # torch's own
            at_least_float32(anchors), at_least_float32(keys), anchor_ids, key_ids
        )
        return of_anchors


class _LogSumExpOverKeys(Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None) -> Tensor:
        result = anchors.new_full((len(anchors),), -inf)
        for rows, _, tile in _tiles(anchors, keys, anchor_ids, key_ids):
            # a row without an allowed key has the maximum -inf, and -inf minus -inf would be NaN
            highest = tile.amax(dim=1).clamp_(min=torch.finfo(tile.dtype).min)
            part = tile.sub_(highest[:, None]).exp_().sum(dim=1).log_().add_(highest)
            result[rows] = torch.logaddexp(result[rows], part)
        ctx.save_for_backward(anchors, keys, anchor_ids, key_ids, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        anchors, keys, anchor_ids, key_ids, result = ctx.saved_tensors
        grad_anchors, grad_keys = torch.zeros_like(anchors), torch.zeros_like(keys)
        weighted = anchors * grad[:, None]
        result = result.masked_fill(result == -inf, 0)
        with torch.autocast(anchors.device.type, enabled=False):
            for rows, columns, tile in _tiles(anchors, keys, anchor_ids, key_ids):
                softmax = tile.sub_(result[rows, None]).exp_()
                grad_anchors[rows].addmm_(softmax, keys[columns])
                grad_keys[columns].addmm_(softmax.T, weighted[rows])
        return grad_anchors.mul_(grad[:, None]), grad_keys, None, None


def _tiles(
    anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield rows, columns and their similarities, ``-inf`` for equal ids. All tiles share one piece of memory."""
    height, width = _tile_shape(anchors, keys)
    memory = anchors.new_empty(height * width)
    for top in range(0, len(anchors), height):
        for left in range(0, len(keys), width):
            rows, columns = slice(top, top + height), slice(left, left + width)
            tile = _view(memory, len(anchors[rows]), len(keys[columns]))
            torch.mm(anchors[rows], keys[columns].T, out=tile)
            if key_ids is None:
                _leave_out_positions(tile, anchor_ids[rows] - left)
            else:
                tile.masked_fill_(anchor_ids[rows, None] == key_ids[columns], -inf)
            yield rows, columns, tile


def _leave_out_positions(tile: Tensor, columns: Tensor) -> None:
    """Leave out one column of each row, if the tile has it, which is far cheaper than a comparison of all ids."""
    rows = ((columns >= 0) & (columns < tile.shape[1])).nonzero().squeeze(1)
    tile[rows, columns[rows]] = -inf


def _tile_shape(anchors: Tensor, keys: Tensor) -> tuple[int, int]:
    elements = CPU_TILE_ELEMENTS if anchors.device.type == "cpu" else TILE_ELEMENTS
    height = max(1, min(len(anchors), isqrt(elements)))
    return height, max(1, min(len(keys), elements // height))


def _view(memory: Tensor, height: int, width: int) -> Tensor:
    return memory[: height * width].view(height, width)
