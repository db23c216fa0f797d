"""Supervised contrastive loss in linear memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.losses.logsumexp import logsumexp_over_keys, sum_of_logsumexp_over_keys
from semicl_monai.losses.unit_length import unit_length
from semicl_monai.utils import InputError, at_least_float32
from semicl_monai.utils.distributed import all_gather_with_gradient, largest_over_ranks


class SupConLoss(_Loss):
    r"""Supervised contrastive loss: pull embeddings with equal targets together, push all others apart.

    Let :math:`P(i)` be the positives of anchor :math:`i`, and :math:`A(i)` all embeddings of its group except
    :math:`i`:

    .. math::
        \ell_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)}
            \log \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \in A(i)} \exp(z_i \cdot z_a / \tau)}

    The embeddings are normalised to unit length first. An anchor without a positive is left out of the reduction.
    Without any positive, the loss is zero with a zero gradient. Value and gradient are exact. Memory is linear in the
    number of embeddings. Let :math:`S_c` be the sum of the embeddings of class :math:`c`. The similarities of an anchor
    to its positives sum to :math:`z_i \cdot (S_{y_i} - z_i)`. The denominators come from :func:`logsumexp_over_keys`.

    Args:
        temperature: :math:`\tau`, divides every cosine similarity.
        denominator: ``"all"``, or ``"negatives"`` to leave the positives out of :math:`A(i)`, as printed by Hu et al.
            With ``"negatives"``, the loss has no lower bound, and an anchor without a negative is left out.
        background_index: embeddings with this target are negatives of others but never anchors.
        ignore_index: embeddings with this target are left out completely.
        reduction: reduction over the anchors that are not left out. ``"mean"`` is the mean over the anchors of a group,
            then over the groups that have an anchor. ``"sum"`` is the sum. ``"none"`` gives one value per embedding.
            It is 0 for every embedding that is not one of these anchors.
        across_ranks: whether to contrast with the embeddings of all ranks of ``torch.distributed``, joined along N.
            The gradients of the parameters then equal those of one process, once DistributedDataParallel has averaged
            them.

    Raises:
        InputError: When ``temperature`` is not positive, or ``denominator`` or ``reduction`` is not one of the above.

    References:
        Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, eq. 2. https://arxiv.org/abs/2004.11362
        Hu et al., Semi-supervised Contrastive Learning for Label-efficient Medical Image Segmentation, MICCAI 2021,
        the local contrastive loss. https://arxiv.org/abs/2109.07407

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> SupConLoss(temperature=0.5)(embeddings, target=torch.tensor([0, 1, 0, 1]))
        tensor(0.2395)
    """

    def __init__(
        self,
        temperature: float = 0.1,
        denominator: str = "all",
        background_index: int | None = None,
        ignore_index: int = -1,
        reduction: str = "mean",
        *,
        across_ranks: bool = False,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        if denominator not in ("all", "negatives"):
            raise InputError(f"denominator must be 'all' or 'negatives', got {denominator!r}.")
        if reduction not in ("mean", "sum", "none"):
            raise InputError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
        super().__init__(reduction=reduction)
        self.temperature = temperature
        self.denominator = denominator
        self.background_index = background_index
        self.ignore_index = ignore_index
        self.across_ranks = across_ranks

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Contrast the embeddings of every group.

        Args:
            input: embeddings of shape (G, N, C), or (N, C) for one group. They need not be of unit length.
            target: classes of shape (G, N) or (N,). They are integers, possibly in a floating type as in MONAI's label
                maps.

        Returns:
            A scalar, or the shape of ``target`` for ``reduction="none"``. With ``across_ranks``, this is the shape of
            the joined targets of all ranks. The type is float64 for float64 embeddings and float32 otherwise, also
            under autocast.

        Raises:
            ValueError: When ``input`` does not have two or three dimensions or is not floating. Also when the shape of
                ``target`` is not that of ``input`` without its last dimension.
        """
        _check(input, target)
        # a MetaTensor would carry its metadata through every operation below
        input, target = input.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor).long()
        if self.across_ranks:
            input, target = self._gather(input, target)
        grouped = target if target.ndim == 2 else target[None]
        loss = self._loss(input.reshape(*grouped.shape, input.shape[-1]), grouped)
        return loss.reshape(target.shape if self.reduction == "none" else ())

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the reduced loss, or the loss of every embedding in a row."""
        present = target != self.ignore_index
        embeddings = unit_length(at_least_float32(_rows(input.flatten(0, 1), _where(present))))
        classes, size = _classes_of_groups(target, present)
        anchors = present.masked_scatter(present, self._can_be_anchor(target, present, size[classes]))
        positive = _mean_over_positives(embeddings, classes, size, _where(anchors[present])) / self.temperature
        groups = self._groups(embeddings, classes, present, anchors)
        if self.reduction == "none":
            losses = _joined(embeddings, [logsumexp_over_keys(*group) for group in groups]) - positive
            return losses.new_zeros(anchors.numel()).index_put((_where(anchors),), losses)
        weights = self._weights(anchors).to(embeddings.dtype)
        of_groups = weights.split([len(scaled) for scaled, *_ in groups])
        sums = [sum_of_logsumexp_over_keys(*group, weights=own) for group, own in zip(groups, of_groups, strict=True)]
        return _joined(embeddings, [part[None] for part in sums]).sum() - (weights * positive).sum()

    def _can_be_anchor(self, target: Tensor, present: Tensor, class_size: Tensor) -> Tensor:
        can_be = class_size > 1
        if self.background_index is not None:
            can_be &= target[present] != self.background_index
        if self.denominator == "negatives":
            can_be &= class_size < present.sum(dim=1, keepdim=True).expand_as(present)[present]
        return can_be

    def _groups(
        self, embeddings: Tensor, classes: Tensor, present: Tensor, anchors: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Return scaled anchors, keys and both ids of every group with an anchor. The numbers of anchors differ."""
        sizes = present.sum(dim=1).tolist()
        groups = zip(embeddings.split(sizes), classes.split(sizes), anchors[present].split(sizes), strict=True)
        used = anchors.any(dim=1).tolist()
        return [self._group(*group) for group, has_anchor in zip(groups, used, strict=True) if has_anchor]

    def _group(self, keys: Tensor, classes: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        chosen = _where(anchors)
        scaled = keys[chosen] / self.temperature
        if self.denominator == "negatives":
            return scaled, keys, classes[chosen], classes
        return scaled, keys, chosen, None

    def _weights(self, anchors: Tensor) -> Tensor:
        """Return the weight of every anchor in the reduced loss."""
        if self.reduction == "sum":
            return torch.ones_like(_where(anchors))
        per_group = anchors.sum(dim=1)
        return 1 / (per_group * (per_group > 0).sum())[:, None].expand_as(anchors)[anchors]

    def _gather(self, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and targets of all ranks, joined along N, padded with ignored ones."""
        missing = largest_over_ranks(target.shape[-1], input.device) - target.shape[-1]
        input = F.pad(input, (0, 0, 0, missing))
        target = F.pad(target, (0, missing), value=self.ignore_index)
        return all_gather_with_gradient(input, dim=-2), all_gather_with_gradient(target, dim=-1)


def _check(input: Tensor, target: Tensor) -> None:
    if input.ndim not in (2, 3) or not input.is_floating_point():
        raise ValueError(
            f"input must be floating and of shape (G, N, C) or (N, C), got {input.dtype} and {tuple(input.shape)}."
        )
    if target.shape != input.shape[:-1]:
        raise ValueError(f"target must be of shape {tuple(input.shape[:-1])}, got {tuple(target.shape)}.")


def _joined(embeddings: Tensor, parts: list[Tensor]) -> Tensor:
    """Concatenate parts of shape (A,). Without any, the result is empty."""
    return torch.cat([embeddings.new_zeros(0), *parts])


def _where(mask: Tensor) -> Tensor:
    """Positions of the mask's true elements when flattened."""
    return mask.flatten().nonzero().squeeze(1)


def _rows(embeddings: Tensor, chosen: Tensor) -> Tensor:
    """The chosen rows in ascending order. All of them need no copy."""
    return embeddings if len(chosen) == len(embeddings) else embeddings[chosen]


def _classes_of_groups(target: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Number the classes of all groups consecutively. Return the number of each present target, and the sizes."""
    labels, label = target[present].unique(return_inverse=True)
    group = present.nonzero()[:, 0]
    _, classes, size = (group * len(labels) + label).unique(return_inverse=True, return_counts=True)
    return classes, size


def _mean_over_positives(embeddings: Tensor, classes: Tensor, size: Tensor, anchors: Tensor) -> Tensor:
    r"""Every anchor's mean dot product with its positives, :math:`z_i \cdot (S_{y_i} - z_i) / |P(i)|`."""
    sums = embeddings.new_zeros(len(size), embeddings.shape[1]).index_add(0, classes, embeddings)
    anchor, own = embeddings[anchors], classes[anchors]
    return (anchor * (sums[own] - anchor)).sum(dim=1) / (size[own] - 1)
