from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from semicl_monai.utils import foreground_of, pack_volume, unpack_volume
from semicl_monai.utils.kept_volume import planes_in_one_piece

SIZE = (1, 7, 6, 5)


def noise(seed=0, size=SIZE):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def classes(numbers, seed=0):
    """A label map that holds every number."""
    values = np.resize(np.array(numbers, dtype=np.float32), SIZE)
    return torch.from_numpy(np.random.default_rng(seed).permutation(values.ravel()).reshape(SIZE))


def kept(volume):
    """The dtype of a volume in a packed sample, and the volume that is made of it again."""
    packed = pack_volume({"image": volume})
    again = unpack_volume(packed)["image"]
    assert again.dtype == torch.float32
    return packed["image"].dtype, again


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        (range(8), torch.uint8),
        (range(0, 256, 5), torch.uint8),
        ((-1, 0, 1, 2), torch.int8),  # a value to ignore
        ((0, 1, 256), torch.int16),
        ((-1024, 0, 3071), torch.int16),  # a CT that was not resampled
        ((0, 1, 40_001), torch.float32),
        ((0,), torch.uint8),
    ],
)
def test_whole_numbers_stay_exact(numbers, dtype):
    volume = classes(numbers)
    assert set(volume.unique().tolist()) == set(map(float, numbers))
    found, again = kept(volume)
    assert found == dtype
    assert torch.equal(again, volume)


@pytest.mark.parametrize("scale", [1, 0.01, 500, 8000])
def test_other_values_are_rounded_to_half_precision(scale):
    dtype, again = kept(scale * noise())
    assert dtype == torch.float16
    # NumPy's rounding, not torch's
    assert np.array_equal(again.numpy(), (scale * noise()).numpy().astype(np.float16).astype(np.float32))
    # below 6e-5, the distance of neighbours does not shrink further
    assert ((again - scale * noise()).abs() <= 2**-11 * (scale * noise()).abs() + 2**-25).all()


@pytest.mark.parametrize(
    "volume",
    [
        70_000 * noise(),  # beyond the largest number in half precision
        10_000 + noise(),  # neighbours in half precision are 8 apart
        1e-7 * noise(),  # neighbours near zero are 6e-8 apart
        noise().masked_fill(noise() > 1, torch.nan),
        torch.full(SIZE, 0.3),
        torch.cat([noise(), 10_000 + noise()]),  # one channel is enough
    ],
)
def test_a_volume_that_half_precision_would_spoil_is_not_touched(volume):
    dtype, again = kept(volume)
    assert dtype == torch.float32
    assert torch.equal(again.nan_to_num(-9), volume.nan_to_num(-9))


def test_only_float32_volumes_are_packed_and_other_entries_stay_what_they_are():
    sample = {"image": noise(), "affine": torch.rand(4, 4), "mask": classes(range(3)).to(torch.int64), "case": "a"}
    before = dict(sample)
    packed = pack_volume(sample)
    assert sample == before
    assert all(packed[key] is sample[key] for key in ("affine", "mask", "case"))
    unpacked = unpack_volume(packed)
    assert set(unpacked) == set(sample)
    assert unpacked["mask"] is sample["mask"]
    assert pack_volume({"case": "a", "number": 2}) == {"case": "a", "number": 2}


def test_metadata_is_kept():
    affine = torch.diag(torch.tensor([2.0, 1, 1, 1]))
    packed = pack_volume({"image": MetaTensor(noise(), affine=affine)})
    assert packed["image"].dtype == torch.float16
    assert torch.equal(unpack_volume(packed)["image"].affine, affine)


def test_the_foreground_is_found_as_numpy_finds_it():
    label = classes((0, 0, 0, 2, 5)).masked_fill(torch.arange(5) == 1, 0)
    index = foreground_of(pack_volume({"image": noise(), "label": label}), "label")
    assert index["values"].tolist() == [2, 5]
    volume = label[0].numpy()
    assert index["counts"].tolist() == [[int((plane == value).sum()) for plane in volume] for value in (2, 5)]
    for axis, found in enumerate(index["occupied"]):
        assert found.tolist() == [bool((plane > 0).any()) for plane in np.moveaxis(volume, axis, 0)]
    assert not index["occupied"][2][1]


def test_without_an_index_it_is_made_and_without_a_label_there_is_none():
    label = classes((0, 3))
    made, stored = foreground_of({"label": label}, "label"), foreground_of(pack_volume({"label": label}), "label")
    assert made["values"].tolist() == stored["values"].tolist() == [3]
    assert torch.equal(made["counts"], stored["counts"])
    assert foreground_of({"image": noise()}, "label") is None


@pytest.mark.parametrize("scale", [1, 70_000])  # in half precision, and beyond it
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_in_one_piece_have_the_same_values(axis, scale):
    packed = pack_volume({"image": scale * noise(size=(2, 7, 6, 5)), "label": classes(range(3))})
    moved = planes_in_one_piece(packed, axis)
    assert all(torch.equal(moved[key], packed[key]) for key in ("image", "label"))
    assert all(channel.select(axis, 2).is_contiguous() for key in ("image", "label") for channel in moved[key])
    assert all(volume.is_contiguous() for key, volume in unpack_volume(moved).items())
    assert planes_in_one_piece(packed, None) is packed
