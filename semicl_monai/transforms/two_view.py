"""Two random views of one sample."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Compose, Randomizable, Transform

from semicl_monai.utils import InputError, share_random_state, transform_samples

VIEWS = ("view1", "view2")


class TwoViewd(Randomizable, Transform):
    """Make two independent random views of a sample.

    Spatial transforms are applied to image and label, so that both stay aligned. Intensity transforms are applied only
    to the image. A view with a label value that the sample does not have is refused, because its label map was not
    resampled by nearest neighbour.

    Args:
        spatial: a dictionary transform on ``image_key`` and ``label_key``, or a list of them. Give each one
            ``allow_missing_keys=True`` if samples may lack a label.
        intensity: a dictionary transform on ``image_key``, or a list of them.
        image_key: key of the image.
        label_key: key of the label map, which may be missing in a sample.

    Returns:
        The sample with ``view1_image`` and ``view2_image`` in place of ``image_key``. If the sample has a label, it
        also gets ``view1_label`` and ``view2_label`` in place of ``label_key``.

    Raises:
        InputError: When a spatial transform gives a label value that the sample does not have.

    References:
        Hu et al., MICCAI 2021, section 2.1 (two augmented copies of every image). https://arxiv.org/abs/2109.07407

    Example:
        >>> from monai.transforms import RandFlipd
        >>> views = TwoViewd(spatial=RandFlipd("image", prob=0.5), intensity=[]).set_random_state(0)
        >>> sorted(views({"image": torch.zeros(1, 4, 4)}))
        ['view1_image', 'view2_image']
    """

    def __init__(
        self,
        spatial: Callable[..., Any] | list[Callable[..., Any]],
        intensity: Callable[..., Any] | list[Callable[..., Any]],
        image_key: str = "image",
        label_key: str = "label",
    ) -> None:
        self.spatial, self.intensity = Compose(spatial), Compose(intensity)
        self.image_key, self.label_key = image_key, label_key

    def set_random_state(self, seed: int | None = None, state: Any = None) -> TwoViewd:
        """Let the spatial and the intensity transforms draw from one source."""
        super().set_random_state(seed=seed, state=state)
        share_random_state((self.spatial, self.intensity), self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the two views of ``data``."""
        return self.call_many([data])[0]

    def call_many(self, samples: Sequence[Mapping[Hashable, Any]]) -> list[dict[Hashable, Any]]:
        """Make the two views of each sample."""
        known = [_values(sample[self.label_key]) if self.label_key in sample else set() for sample in samples]
        pairs = [{key: sample[key] for _, key in self._kinds() if key in sample} for sample in samples]
        views = self._augment([dict(pair) for _ in VIEWS for pair in pairs], [*known, *known])
        made = [self._others(sample) for sample in samples]
        for number, view in enumerate(views):
            name, sample = VIEWS[number // len(samples)], made[number % len(samples)]
            sample.update({f"{name}_{kind}": view[key] for kind, key in self._kinds() if key in view})
        return made

    def _augment(self, pairs: list[Any], known: list[set[float]]) -> list[Any]:
        views = transform_samples([self.spatial], pairs)
        for view, values in zip(views, known, strict=True):
            if self.label_key in view:
                self._check_label(_values(view[self.label_key]) - values - {0.0})
        images = transform_samples([self.intensity], [{self.image_key: view[self.image_key]} for view in views])
        return [{**view, **image} for view, image in zip(views, images, strict=True)]

    def _others(self, sample: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {key: value for key, value in sample.items() if key not in (self.image_key, self.label_key)}

    def _check_label(self, new: set[float]) -> None:
        if new:
            raise InputError(
                f"a spatial transform of TwoViewd made label value {min(new)} that the sample does not have: "
                f"give it mode 'nearest' for '{self.label_key}'."
            )

    def _kinds(self) -> tuple[tuple[str, str], ...]:
        return (("image", self.image_key), ("label", self.label_key))


def _values(label: Any) -> set[float]:
    """Distinct values of a label map. Counting whole numbers takes a tenth of the time of sorting them."""
    label = torch.as_tensor(label).as_subclass(torch.Tensor).flatten()
    whole = label.long()
    if not torch.equal(whole.to(label.dtype), label) or (whole < 0).any():
        return set(label.unique().tolist())
    return {float(value) for value in whole.bincount().nonzero().flatten().tolist()}
