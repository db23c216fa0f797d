"""The logsumexp over all pairs, in memory linear in the number of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
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
# Rows of a tile, at least. Every tile adds to the gradients of all keys, which is slow for many tiles of few rows.
MIN_TILE_ROWS = 128
# Similarities up to this size need no shift: exp(40) times any number of keys and its inverse are finite in float32.
SAFE_EXPONENT = 40.0


def logsumexp_over_keys(anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None = None) -> Tensor:
    r"""Logsumexp of every anchor's dot products with the keys whose id differs from its own.

    .. math::
        \ell_i = \log \sum_{k :\, \mathrm{id}_k \neq \mathrm{id}_i} \exp(a_i \cdot b_k)

    With labels as ids, an anchor leaves out its whole class. Without ``key_ids``, an anchor leaves out only the key at
    its own position. The matrix of similarities is computed some rows at a time, once in the forward pass and again in
    the backward pass. It is never kept. If only a weighted sum is needed, :func:`sum_of_logsumexp_over_keys` is faster.

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
    of_anchors: Tensor = _LogSumExp.apply(  # type: ignore[no-untyped-call]  # torch's own
        at_least_float32(anchors), at_least_float32(keys), anchor_ids, key_ids
    )
    return of_anchors


def sum_of_logsumexp_over_keys(
    anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None, weights: Tensor
) -> Tensor:
    r"""Weighted sum :math:`\sum_i w_i \ell_i` of :func:`logsumexp_over_keys`.

    The gradients are computed in the forward pass, as soon as a row of similarities is complete. This saves one of the
    four matrix products. The gradients, one tile and the input are all that is in memory.

    Args:
        anchors: shape (A, C).
        keys: shape (N, C).
        anchor_ids: integers of shape (A,).
        key_ids: integers of shape (N,), or ``None`` for the positions of the keys.
        weights: :math:`w_i`, shape (A,). They get no gradient.

    Returns:
        A scalar, of the type of :func:`logsumexp_over_keys`.

    Example:
        >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> sum_of_logsumexp_over_keys(keys[:1], keys, torch.tensor([0]), None, weights=torch.ones(1))
        tensor(1.3133)
    """
    if not torch.is_grad_enabled() or not (anchors.requires_grad or keys.requires_grad):
        return (weights * logsumexp_over_keys(anchors, keys, anchor_ids, key_ids)).sum()
    total: Tensor = _SumOfLogSumExp.apply(  # type: ignore[no-untyped-call]  # torch's own
        at_least_float32(anchors), at_least_float32(keys), anchor_ids, key_ids, weights
    )
    return total


class _LogSumExp(Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None) -> Tensor:
        ctx.save_for_backward(anchors, keys, anchor_ids, key_ids)
        values = anchors.new_empty(len(anchors))
        for rows, _, _, of_rows in _exponentials(anchors, keys, anchor_ids, key_ids):
            values[rows] = of_rows
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        anchors, keys, anchor_ids, key_ids = ctx.saved_tensors
        _, grad_anchors, grad_keys = _sum_and_gradients(anchors, keys, anchor_ids, key_ids, grad)
        return grad_anchors, grad_keys, None, None


class _SumOfLogSumExp(Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None, weights: Tensor
    ) -> Tensor:
        total, *gradients = _sum_and_gradients(anchors, keys, anchor_ids, key_ids, weights)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_anchors, grad_keys = ctx.saved_tensors
        return grad_anchors * grad, grad_keys * grad, None, None, None


def _sum_and_gradients(
    anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weighted sum of the values, and its gradients for anchors and keys."""
    total, grad_anchors, grad_keys = anchors.new_zeros(()), torch.empty_like(anchors), torch.zeros_like(keys)
    for rows, tile, sums, values in _exponentials(anchors, keys, anchor_ids, key_ids):
        total += (weights[rows] * values).sum()
        # The softmax is the tile times this factor. A factor on the anchors is cheaper than one on the tile.
        factor = (weights[rows] / sums).masked_fill(sums == 0, 0)[:, None]
        torch.mm(tile, keys, out=grad_anchors[rows]).mul_(factor)
        grad_keys.addmm_(tile.T, anchors[rows] * factor)
    return total, grad_anchors, grad_keys


def _exponentials(
    anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor | None
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Yield some anchors: rows, exponentials of their similarities, sums of these, and values. Equal ids have 0.

    Exponentials and sums of a row have one common factor. All tiles share one piece of memory.
    """
    height = _tile_height(anchors, keys)
    memory = anchors.new_empty(height, len(keys))
    shifted = bool(_longest(anchors) * _longest(keys) > SAFE_EXPONENT)
    for top in range(0, len(anchors), height):
        rows = slice(top, top + height)
        tile = memory[: len(anchors[rows])]
        torch.mm(anchors[rows], keys.T, out=tile)
        _leave_out(tile, anchor_ids[rows], key_ids)
        shift = _shift_to_zero(tile) if shifted else 0.0
        sums = tile.exp_().sum(dim=1)
        yield rows, tile, sums, sums.log() + shift


def _leave_out(tile: Tensor, anchor_ids: Tensor, key_ids: Tensor | None) -> None:
    if key_ids is None:  # one column of each row, which is far cheaper than a comparison of all ids
        tile[torch.arange(len(tile), device=tile.device), anchor_ids] = -inf
    else:
        tile.masked_fill_(anchor_ids[:, None] == key_ids, -inf)


def _shift_to_zero(tile: Tensor) -> Tensor:
    """Subtract the maximum of every row in place, and return the maxima."""
    # a row without an allowed key has the maximum -inf, and -inf minus -inf would be NaN
    highest = tile.amax(dim=1).clamp_(min=torch.finfo(tile.dtype).min)
    tile.sub_(highest[:, None])
    return highest


def _tile_height(anchors: Tensor, keys: Tensor) -> int:
    elements = CPU_TILE_ELEMENTS if anchors.device.type == "cpu" else TILE_ELEMENTS
    return max(1, min(len(anchors), max(MIN_TILE_ROWS, elements // max(1, len(keys)))))


def _longest(vectors: Tensor) -> Tensor:
    """Length of the longest vector, 0 if there is none."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return lengths.max() if len(lengths) else lengths.sum()
