"""Turn class scores in the network's grid into a label map in the image's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Invertd, InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_tensor, ensure_tuple_rep

from semicl_monai.utils import InputError

MOST_CLASSES = 255
INSIDE = 0.5  # smallest probability inside of a region, exclusively


class InvertArgmaxd(MapTransform):
    """Invert the preprocessing of class scores and keep the best class of every voxel, with little memory.

    The label map is the same as from ``Activationsd(softmax=True)``, ``Invertd(nearest_interp=False)`` and
    ``AsDiscreted(argmax=True)`` in this order. For regions, each voxel inside a region, where its inverted sigmoid is
    above 0.5, gets the region's class number; a later region overwrites an earlier one. Classes or regions are inverted
    one by one. Besides the memory of one inversion,
    only two maps of the image's size are needed, instead of one map per class.

    Args:
        keys: class scores ``(C, h, w, d)`` on the preprocessed image.
        transform: the preprocessing that was applied to ``orig_keys``, or an equal object made from the same config.
        orig_keys: the preprocessed image, which must still be in the sample and not be inverted. Give one key for all
            ``keys``, or one for each.
        softmax: whether the scores are logits. Their softmax, or for regions their sigmoid, is then taken before the
            inversion.
        regions_class_order: the class number from each region, if the scores are of regions.
        allow_missing_keys: whether a sample may lack one of ``keys``.

    Returns:
        The sample with the label map ``(1, H, W, D)`` in place of the scores. It is uint8 and has the metadata of the
        image.

    Example:
        >>> from monai.transforms import Compose, Flipd
        >>> flip = Compose([Flipd("image", spatial_axis=0)])
        >>> sample = flip({"image": MetaTensor([[[1.0, 2.0]]])}) | {"pred": torch.tensor([[[0.1, 0.6]], [[0.9, 0.4]]])}
        >>> InvertArgmaxd("pred", transform=flip)(sample)["pred"].tolist()
        [[[1, 0]]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: InvertibleTransform,
        orig_keys: KeysCollection = "image",
        softmax: bool = True,
        allow_missing_keys: bool = False,
        regions_class_order: Sequence[int] | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform, self.softmax, self.order = transform, softmax, regions_class_order
        self.orig_keys = ensure_tuple_rep(orig_keys, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Invert one sample.

        Raises:
            InputError: When there are more than 255 classes, another number of regions than in
                ``regions_class_order``, or the scores hold NaN or infinity.
        """
        sample = dict(data)
        for key, orig_key in self.key_iterator(sample, self.orig_keys):
            scores = convert_to_tensor(data[key], track_meta=False)
            if len(scores) > MOST_CLASSES:
                raise InputError(f"'{key}' must have at most {MOST_CLASSES} classes, got {len(scores)}.")
            _check_finite(scores, f"case {data['case']}: '{key}'" if "case" in data else f"'{key}'")
            if self.order is not None:
                sample[key] = self._decoded(scores.float().sigmoid() if self.softmax else scores, data, orig_key)
                continue
            scores = scores.float().softmax(0) if self.softmax else scores.clone()  # the first map is changed below
            sample[key] = self._labels(scores, data, orig_key)
        return sample

    def _labels(self, scores: torch.Tensor, data: Mapping[Hashable, Any], orig_key: Hashable) -> MetaTensor:
        best = self._invert(scores[:1], data, orig_key)
        labels = torch.zeros_like(best.as_tensor(), dtype=torch.uint8)
        for index in range(1, len(scores)):
            _keep_best(best.as_tensor(), labels, self._invert(scores[index : index + 1], data, orig_key), index)
        return MetaTensor(labels, meta=best.meta, applied_operations=best.applied_operations)

    def _decoded(self, scores: torch.Tensor, data: Mapping[Hashable, Any], orig_key: Hashable) -> MetaTensor:
        numbers: Sequence[int] = self.order or ()
        if len(scores) != len(numbers):
            raise InputError(f"regions_class_order must have a class number for each of {len(scores)} regions.")
        labels: torch.Tensor | None = None
        for number, score in zip(numbers, scores, strict=True):
            inverted = self._invert(score[None], data, orig_key)
            labels = torch.zeros_like(inverted.as_tensor(), dtype=torch.uint8) if labels is None else labels
            labels.masked_fill_(inverted.as_tensor() > INSIDE, number)
        return MetaTensor(labels, meta=inverted.meta, applied_operations=inverted.applied_operations)

    def _invert(self, score: torch.Tensor, data: Mapping[Hashable, Any], orig_key: Hashable) -> MetaTensor:
        invert = Invertd("score", self.transform, orig_key, nearest_interp=False)
        inverted: MetaTensor = invert({"score": MetaTensor(score), orig_key: _of_any_object(data[orig_key])})["score"]
        return inverted


def _of_any_object(image: MetaTensor) -> MetaTensor:
    """Return ``image`` with operations that any equal transform inverts, not only the object that applied them.

    Threads that share a config, as in MONAI Label's active learning, may each make a preprocessing of their own.
    """
    operations = [{**operation, TraceKeys.ID: TraceKeys.NONE} for operation in image.applied_operations]
    return MetaTensor(image.as_tensor(), meta=image.meta, applied_operations=operations)


def _check_finite(scores: torch.Tensor, where: str) -> None:
    if not all(bound.isfinite() for bound in torch.aminmax(scores)):  # aminmax keeps NaN and needs no further map
        number = sum(int((~of_class.isfinite()).sum()) for of_class in scores)
        raise InputError(f"{where} must hold finite class scores, got NaN or infinity in {number} of {scores.numel()}.")


def _keep_best(best: torch.Tensor, labels: torch.Tensor, score: MetaTensor, index: int) -> None:
    """Update ``best`` and ``labels`` where ``score`` is higher; of equal classes the first one stays, as in argmax."""
    labels.masked_fill_(score.as_tensor() > best, index)
    torch.maximum(best, score.as_tensor(), out=best)
