from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import list_data_collate
from monai.losses import DiceCELoss
from monai.transforms import Compose, EnsureTyped, RandFlipd, RandGaussianNoised, ScaleIntensityd

from semicl_monai.data import VolumeDataset
from semicl_monai.data.samples_compose import SamplesCompose
from semicl_monai.transforms import LoadCased, RandPatchesd, RandSlicesd
from semicl_monai.utils import kept_volume

KEYS = ("image", "label")
SIZE = (30, 26, 34)
DRAWS = {
    "patches": lambda: RandPatchesd(KEYS, roi_size=(8, 10, 6), num_samples=4),
    "slices": lambda: RandSlicesd(KEYS, axis=1, num_samples=4),
}


@pytest.fixture
def records(tmp_path):
    """Volumes of noise that is brighter in the two classes."""

    def record(number):
        label = np.zeros(SIZE, np.uint8)
        label[8:16, 9:20, 10:22], label[18:20, 20:24, 4:9] = 1, 2
        noise = np.random.default_rng(number).normal(100 + 40 * label, 30).astype(np.float32)
        files = {key: str(tmp_path / f"{key}_{number}.nii.gz") for key in KEYS}
        nib.save(nib.Nifti1Image(noise, np.eye(4)), files["image"])
        nib.save(nib.Nifti1Image(label, np.eye(4)), files["label"])
        return files | {"case": str(number)}

    return [record(number) for number in range(3)]


def deterministic(**options):
    return [
        LoadCased(KEYS, num_classes=3),
        ScaleIntensityd("image"),
        EnsureTyped(KEYS, track_meta=False, **options),
    ]


def num_bytes(value):
    if isinstance(value, dict):
        return sum(map(num_bytes, value.values()))
    return sum(map(num_bytes, value)) if isinstance(value, list) else getattr(value, "nbytes", 0)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("draw", [lambda: [], lambda: [DRAWS["patches"]()], lambda: [DRAWS["slices"]()]])
def test_a_kept_volume_takes_less_than_two_fifths_of_its_bytes(records, tmp_path, cached, draw):
    in_float32 = Compose(deterministic())(records[0])
    assert num_bytes(in_float32) == 2 * 4 * np.prod(SIZE)
    dataset = VolumeDataset(records, deterministic() + draw(), cache_dir=tmp_path / "cache" if cached else None)
    assert num_bytes(dataset.prepared()[0]) <= 0.4 * num_bytes(in_float32)
    if cached:
        assert max(file.stat().st_size for file in (tmp_path / "cache").iterdir()) <= 0.42 * num_bytes(in_float32)


def test_a_volume_to_validate_on_has_its_exact_label_and_its_image_in_half_precision(records):
    (sample, *_), exact = VolumeDataset(records, deterministic()), Compose(deterministic())(records[0])
    assert set(sample) == set(exact)
    assert sample["image"].dtype == sample["label"].dtype == torch.float32
    assert torch.equal(sample["label"], exact["label"])
    assert 0 < (sample["image"] - exact["image"]).abs().max() <= 2**-12


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("cached", [False, True])
def test_a_batch_is_that_of_float32_volumes_to_half_precision(records, tmp_path, draw, cached):
    dataset = VolumeDataset(records, [*deterministic(), draw()], cache_dir=tmp_path / "cache" if cached else None)
    batch = list_data_collate([dataset[number, 7] for number in range(3)])
    exact = []
    for record in records:
        transform = SamplesCompose([*deterministic(), draw()])
        transform.set_random_state(7)
        exact.append(transform(record))
    exact = list_data_collate(exact)
    assert set(batch) == set(exact)
    assert batch["image"].dtype == batch["label"].dtype == torch.float32
    assert torch.equal(batch["label"], exact["label"])
    assert torch.equal(batch["place"], exact["place"])
    assert ((batch["image"] - exact["image"]).abs() <= 2**-11 * exact["image"].abs() + 1e-7).all()


def test_training_on_them_is_training_on_float32_volumes_to_rounding(records):
    def losses(exact):
        transform = SamplesCompose([*deterministic(), DRAWS["patches"](), RandGaussianNoised("image", prob=0.5)])
        dataset = [] if exact else VolumeDataset(records, transform)
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Conv3d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(8, 3, 1))
        optimizer, loss = torch.optim.AdamW(network.parameters(), lr=0.01), DiceCELoss(to_onehot_y=True, softmax=True)
        found = []
        for step in range(10):
            if exact:
                transform.set_random_state(step)
                batch = list_data_collate([transform(records[step % 3])])
            else:
                batch = list_data_collate([dataset[step % 3, step]])
            value = loss(network(batch["image"]), batch["label"])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            found.append(value.item())
        return found

    assert losses(exact=False) == pytest.approx(losses(exact=True), rel=2**-11)
    assert losses(exact=True)[-1] < losses(exact=True)[0]


def test_a_draw_from_a_kept_volume_does_not_search_it(records, monkeypatch):
    dataset = VolumeDataset(records, [*deterministic(), DRAWS["patches"]()])
    dataset.prepare()
    monkeypatch.setattr(kept_volume, "index_foreground", lambda label: pytest.fail("searched"))
    assert len(dataset[0]) == 4


def test_other_transforms_get_volumes_as_before(records):
    seen = []
    dataset = VolumeDataset(records, [*deterministic(), RandFlipd(KEYS, prob=0.0), spy(seen), DRAWS["patches"]()])
    (patch, *_) = dataset[0]
    assert seen == [("case", str), ("image", torch.float32), ("label", torch.float32)]
    assert patch["image"].dtype == torch.float32


def spy(seen):
    def look(sample):
        seen.extend((key, getattr(value, "dtype", type(value))) for key, value in sorted(sample.items()))
        return sample

    return look


def test_a_type_that_was_asked_for_is_given(records):
    given = deterministic(dtype=(torch.float64, torch.uint8))
    for sample in (VolumeDataset(records, given)[0], VolumeDataset(records, [*given, DRAWS["slices"]()])[0][0]):
        assert (sample["image"].dtype, sample["label"].dtype) == (torch.float64, torch.uint8)


def test_a_flip_before_a_draw_is_seen_by_the_draw(records):
    """The index is that of the volume before the flip."""
    flip, draw = RandFlipd(KEYS, prob=1.0, spatial_axis=0), RandSlicesd(KEYS, axis=0, num_samples=20, foreground=1)
    dataset = VolumeDataset(records, [*deterministic(), flip, draw])
    assert all((drawn["label"] > 0).any() for drawn in dataset[0])


def test_the_transforms_that_were_given_are_not_changed(records):
    transform = Compose([*deterministic(), DRAWS["slices"]()])
    before = transform.transforms
    VolumeDataset(records, transform).prepare()
    assert transform.transforms is before


@pytest.mark.parametrize("cached", [False, True])
def test_a_slice_lies_in_one_piece(records, tmp_path, cached):
    cache = tmp_path / "cache" if cached else None
    for sample in VolumeDataset(records, [*deterministic(), DRAWS["slices"]()], cache_dir=cache).prepared():
        assert all(sample[key].select(2, 5).is_contiguous() for key in KEYS)
