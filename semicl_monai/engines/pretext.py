"""Scores of a pre-training objective, each with its chance level."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from semicl_monai.engines.sampled_loss import labels_at, sample_pixels
from semicl_monai.losses import PairContrastLoss, Places
from semicl_monai.networks import ProjectedMap
from semicl_monai.utils import IGNORED

Scores = tuple[Tensor, Tensor]


def nearest_is_hit(anchors: Tensor, keys: Tensor, hit: Tensor, allowed: Tensor) -> Scores:
    """Whether the key nearest to each anchor, by cosine similarity, is a hit.

    Args:
        anchors: shape ``(A, C)``.
        keys: shape ``(N, C)``.
        hit: mask ``(A, N)`` of the right keys.
        allowed: mask ``(A, N)`` of the keys to search.

    Returns:
        The score and the chance level of every anchor that has a right key among its allowed keys. The score is 1 or 0.
        The chance level is the share of right keys among the allowed keys, which is the expected score of a random key.
    """
    hit = hit & allowed
    able = hit.any(dim=1)
    similarity = F.normalize(anchors[able].float(), dim=1) @ F.normalize(keys.float(), dim=1).T
    nearest = similarity.masked_fill(~allowed[able], -torch.inf).argmax(dim=1, keepdim=True)
    chance = hit[able].sum(dim=1) / allowed[able].sum(dim=1)
    return hit[able].gather(1, nearest).squeeze(1).float(), chance


def rotation_accuracy(pred: Tensor, target: Tensor) -> Scores:
    """Whether each rotation was recognised, from logits ``(N, 4)`` and turns ``(N,)``."""
    return (pred.argmax(dim=1) == target).float(), torch.full(target.shape, 1 / pred.shape[1])


def view_retrieval(pred: Tensor, target: Tensor | None = None) -> Scores:
    """Whether the nearest of all other embeddings ``(2B, C)`` is the image's other view."""
    images = torch.arange(len(pred) // 2, device=pred.device).repeat(2)
    others = ~torch.eye(len(pred), dtype=torch.bool, device=pred.device)
    return nearest_is_hit(pred, pred, images[:, None] == images[None], others)


def jigsaw_retrieval(pred: tuple[Tensor, Tensor], target: Tensor) -> Scores:
    """Whether the image nearest to each shuffled copy is its original. Both have embeddings ``(B, C)`` in ``pred``."""
    images, jigsaws = pred
    same = target[:, None] == target[None]
    return nearest_is_hit(jigsaws, images, same, torch.ones_like(same))


def consistency(pred: Tensor | tuple[Tensor, ...], target: Tensor | None = None) -> Scores:
    """Mean squared distance between the probabilities of student and teacher, and its chance level.

    The chance level compares the student with the teacher's probabilities of another image. Lower is better. ``pred``
    is the output of :class:`semicl_monai.networks.MeanTeacher`. Without a teacher, there is no score.
    """
    return _next_to_chance(pred, lambda student, teacher: ((student - teacher) ** 2).flatten(1).mean(dim=1))


def agreement(pred: Tensor | tuple[Tensor, ...], target: Tensor | None = None) -> Scores:
    """Share of an image's pixels where student and teacher predict the same label, and its chance level.

    The chance level compares the student with the teacher's labels of another image. ``pred`` is the output of
    :class:`semicl_monai.networks.SelfTraining`. Without a teacher, there is no score.
    """
    # not argmax, which takes several times as long on a CPU
    return _next_to_chance(pred, _share_alike, lambda scores: scores.max(dim=1).indices)


def region_agreement(pred: Tensor | tuple[Tensor, ...], target: Tensor | None = None) -> Scores:
    """As :func:`agreement`, for regions: the share of pixels and regions with the same answer."""
    if isinstance(pred, Tensor):
        return agreement(pred)
    inside = _last_level(pred) > 0, pred[2] > 1 / 2  # logits of the student, probabilities of the teacher
    return _next_to_chance((pred[0], *inside), _share_alike)


def _last_level(pred: tuple[Tensor, ...]) -> Tensor:
    """Return the output of the student at full resolution."""
    return pred[1] if pred[1].ndim == pred[2].ndim else pred[1][:, 0]


def _share_alike(student: Tensor, teacher: Tensor) -> Tensor:
    return (student == teacher).flatten(1).float().mean(dim=1)


def _next_to_chance(
    pred: Tensor | tuple[Tensor, ...],
    score: Callable[[Tensor, Tensor], Tensor],
    of: Callable[[Tensor], Tensor] = lambda scores: scores,
) -> Scores:
    """Score the student against the teacher, and against the teacher on the previous image.

    ``of`` is first applied to the outputs of both.
    """
    if isinstance(pred, Tensor):
        return pred.new_zeros(0), pred.new_zeros(0)
    student, teacher = map(of, (_last_level(pred), pred[2]))
    return score(student, teacher), score(student, teacher.roll(1, 0))


class PlaceNeighbours:
    """Whether the nearest slice or patch of another volume is a positive of a pair loss.

    Args:
        loss: loss that decides which pairs are positive.
    """

    def __init__(self, loss: PairContrastLoss) -> None:
        self.loss = loss

    def __call__(self, pred: Tensor, target: Places) -> Scores:
        """Score embeddings ``(N, C)`` of slices or patches. Their places are ``target``."""
        positive, _ = self.loss.pairs(target)
        return nearest_is_hit(pred, pred, positive, target.volume[:, None] != target.volume)


class RegionRetrieval:
    """Whether a region's nearest neighbour, among both views of its image, is the same region of the other view.

    Args:
        sampler: function that takes regions from maps.
    """

    def __init__(self, sampler: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.sampler = sampler

    def __call__(self, pred: Tensor | ProjectedMap, target: Tensor | None = None) -> Scores:
        """Score dense embeddings ``(2B, C, H, W[, D])``."""
        embeddings, regions = sample_pixels(self.sampler, pred)
        images = torch.arange(len(regions), device=regions.device)[:, None].expand_as(regions).flatten()
        embeddings, regions = embeddings.flatten(0, 1), regions.flatten()
        others = ~torch.eye(len(regions), dtype=torch.bool, device=regions.device)
        same_image = images[:, None] == images[None]
        return nearest_is_hit(embeddings, embeddings, regions[:, None] == regions[None], same_image & others)


class PixelNeighbours:
    """Whether a foreground pixel's nearest neighbour, by embedding, has the same class.

    The neighbour is searched among the annotated pixels of other images.

    Args:
        sampler: function that takes pixels from maps ``(2B, C, H, W[, D])``. The choice of pixels must not depend on
            the labels. Example: :class:`semicl_monai.samplers.StrideSampler`.
        num_anchors: maximum number of foreground pixels per batch. They are taken at equal distances.
    """

    def __init__(self, sampler: Callable[..., tuple[Tensor, Tensor]], num_anchors: int = 1024) -> None:
        self.sampler, self.num_anchors = sampler, num_anchors

    def __call__(self, pred: Tensor | ProjectedMap, target: Tensor) -> Scores:
        """Score dense embeddings ``(2B, C, H, W[, D])``. Label maps ``(2B, 1, H, W[, D])`` are resized to them."""
        maps = pred.features if isinstance(pred, ProjectedMap) else pred
        target = labels_at(target, maps)
        numbers = torch.arange(len(maps) // 2, device=maps.device).repeat(2).view(-1, *[1] * (target.ndim - 1))
        embeddings, classes = (values.flatten(0, 1) for values in sample_pixels(self.sampler, pred, target))
        images = self.sampler(maps, numbers.expand_as(target))[1].flatten()
        anchors = (classes > 0).nonzero().squeeze(1)
        anchors = anchors[:: max(1, -(-len(anchors) // self.num_anchors))]
        hit = classes[anchors, None] == classes[None]
        allowed = (images[anchors, None] != images[None]) & (classes[None] != IGNORED)
        return nearest_is_hit(embeddings[anchors], embeddings, hit, allowed)
