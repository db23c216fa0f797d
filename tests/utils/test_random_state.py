from __future__ import annotations

import numpy as np
import torch
from monai.transforms import Compose, Lambdad, RandGaussianNoised, RandScaleIntensityd

from semicl_monai.data.samples_compose import SamplesCompose
from semicl_monai.transforms import RandSlicesd, TwoViewd
from semicl_monai.utils import share_random_state


def parts(transform):
    """Return a transform and all transforms inside of it."""
    inner = [part for value in vars(transform).values() for part in (value if isinstance(value, tuple) else [value])]
    return [transform, *(deep for part in inner if hasattr(part, "set_random_state") for deep in parts(part))]


def random_transforms():
    noise = RandGaussianNoised("image", prob=1.0)
    views = TwoViewd(RandScaleIntensityd("image", factors=0.5), RandGaussianNoised("image", prob=1.0))
    return [RandSlicesd("image", axis=0, num_samples=2), Lambdad("image", abs), Compose([noise]), views]


def test_all_transforms_draw_from_one_source_also_inside_of_others():
    transforms, state = random_transforms(), np.random.RandomState(0)
    share_random_state(transforms, state)
    sources = [part.R for transform in transforms for part in parts(transform) if hasattr(part, "R")]
    assert len(sources) > 6
    assert all(source is state for source in sources)


def test_samples_repeat_by_seed_and_differ_by_seed_and_by_transform():
    transform, volume = SamplesCompose(random_transforms()), {"image": torch.rand(1, 6, 8, 8)}
    first, again, other = (transform.set_random_state(seed)(volume) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        assert torch.equal(one["view1_image"], two["view1_image"])
        assert not torch.equal(one["view1_image"], three["view1_image"])
        assert not torch.equal(one["view1_image"], one["view2_image"])
