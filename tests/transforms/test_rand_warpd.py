from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Affine, CenterSpatialCropd, Flipd

from semicl_monai.transforms import RandWarpd
from semicl_monai.utils import InputError

SIZES = [(24, 18), (12, 16, 10)]


def sample(*size: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(2, *size, generator=generator),
        "label": torch.randint(0, 3, (1, *size), generator=generator).float(),
    }


def warp(seed: int = 0, **options: Any) -> RandWarpd:
    return RandWarpd(["image", "label"], mode=["bilinear", "nearest"], **options).set_random_state(seed)


def drawn_amounts(monkeypatch: pytest.MonkeyPatch, transform: RandWarpd) -> list[np.ndarray]:
    """A list that fills with the amounts that the transform draws."""
    seen: list[np.ndarray] = []
    draw = transform.warp._draw
    monkeypatch.setattr(transform.warp, "_draw", lambda *given: seen.append(draw(*given)) or seen[-1])
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_an_affine_map_is_that_of_monai(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch):
    data = sample(*size)
    transform = warp(prob=1.0, deform_prob=0.0)
    amounts = drawn_amounts(monkeypatch, transform)
    warped = transform(data)
    rotate, shear, translate, scale = ([float(value) for value in amount[0]] for amount in amounts)
    names = {"rotate_params": rotate, "shear_params": shear, "scale_params": [1 + value for value in scale]}
    names["translate_params"] = [share * edge for share, edge in zip(translate, size, strict=True)]
    for key, mode in (("image", "bilinear"), ("label", "nearest")):
        by_monai = Affine(**names, mode=mode, padding_mode="zeros", image_only=True)(data[key]).as_tensor()
        differs = (warped[key] - by_monai).abs() > 1e-3
        assert differs.float().mean() < 0.002  # a position between two voxels may be rounded to either
    assert not torch.equal(warped["image"], data["image"])


@pytest.mark.parametrize("size", SIZES)
def test_nothing_drawn_is_the_middle(size: tuple[int, ...]):
    data, middle = sample(*size), [edge - 4 for edge in size]
    warped = warp(prob=0.0, deform_prob=0.0, spatial_size=middle)(data)
    wanted = CenterSpatialCropd(["image", "label"], middle)(data)
    torch.testing.assert_close(warped["image"], wanted["image"].as_tensor(), atol=1e-5, rtol=0)
    assert torch.equal(warped["label"], wanted["label"].as_tensor())


@pytest.mark.parametrize("size", SIZES)
def test_a_random_center_gives_every_crop_and_no_other(size: tuple[int, ...]):
    data, part = sample(*size), (size[0] - 1, *size[1:-1], size[-1] - 2)
    crops = [data["label"][:, i : i + part[0], ..., j : j + part[-1]] for i in range(2) for j in range(3)]
    drawn = warp(prob=0.0, deform_prob=0.0, spatial_size=part, random_center=True)
    labels = [drawn(data)["label"] for _ in range(60)]
    seen = [[torch.equal(label, crop) for crop in crops].index(True) for label in labels]
    assert set(seen) == set(range(6))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flip_is_that_of_monai(axis: int):
    data = sample(24, 18)
    flipped = warp(prob=0.0, deform_prob=0.0, flip_prob=1.0, flip_axis=axis)(data)
    wanted = Flipd(["image", "label"], axis)(data)
    torch.testing.assert_close(flipped["image"], wanted["image"].as_tensor(), atol=1e-5, rtol=0)
    assert torch.equal(flipped["label"], wanted["label"].as_tensor())


def test_half_of_the_samples_are_flipped():
    data = {"image": torch.rand(1, 8, 8), "label": torch.ones(1, 8, 8)}
    samples = warp(prob=0.0, deform_prob=0.0, flip_prob=0.5).call_many([data] * 400)
    flipped = sum((sample["image"] - data["image"]).abs().max() > 1e-3 for sample in samples)
    assert abs(int(flipped) - 200) < 40  # four standard deviations


def test_image_and_label_stay_aligned_and_a_margin_comes_inside():
    label = torch.zeros(1, 40, 40)
    label[:, 8:30, 12:26] = 1
    for seed in range(5):
        warped = warp(seed, spatial_size=(32, 32), prob=1.0, deform_prob=1.0)({"image": label.clone(), "label": label})
        assert ((warped["image"] > 0.5) != (warped["label"] > 0)).float().mean() < 0.02  # rounded at the edge
    ones = warp(spatial_size=(32, 32), rotate=0.05, scale=0.0, shear=0.0, translate=0.05, prob=1.0, deform_prob=0.0)
    assert ones({"image": torch.ones(1, 40, 40), "label": label})["image"].min() == pytest.approx(1)


def test_the_same_seed_gives_the_same_warps_and_another_seed_others():
    data = sample(16, 16)
    first, again, other = warp(3), warp(3), warp(4)
    for _ in range(3):
        one = first(data)
        assert torch.equal(one["image"], again(data)["image"])
        assert not torch.equal(one["image"], other(data)["image"])


def test_a_label_may_be_missing_and_other_entries_are_kept():
    warped = warp(allow_missing_keys=True)({"image": torch.rand(1, 8, 8), "case": "a"})
    assert set(warped) == {"image", "case"}
    with pytest.raises(KeyError, match="label"):
        warp()({"image": torch.rand(1, 8, 8)})


def test_the_sample_is_not_changed():
    data = sample(16, 16)
    before = data["image"].clone()
    warp(prob=1.0)(data)
    assert torch.equal(data["image"], before)


def test_it_can_be_built_from_a_config():
    config = {"_target_": "semicl_monai.transforms.RandWarpd", "keys": "image", "rotate": 0.2}
    built = ConfigParser({"warp": config}).get_parsed_content("warp")
    assert built.warp.rotate == 0.2


def test_a_negative_amount_is_refused():
    with pytest.raises(InputError, match=r"shear must not be negative, got -0\.1"):
        RandWarpd("image", shear=-0.1)
