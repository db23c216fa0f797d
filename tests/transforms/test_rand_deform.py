from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.transforms import RandDeformd


def deform(**options):
    given = {"spatial_size": (12, 10, 8), "rand_size": (4, 4, 4), "prob": 1.0, "grid_mode": ["bilinear", "nearest"]}
    return RandDeformd(["image", "label"], **{**given, **options})


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 12, 10, 8, generator=generator)
    return {"image": image, "label": (image > 0.5).float(), "case": "a"}


def test_a_sample_without_a_label_is_deformed_as_one_with_it(sample):
    transform = deform(allow_missing_keys=True)
    with_label = transform.set_random_state(1)(sample)
    without = transform.set_random_state(1)({"image": sample["image"], "case": "a"})
    assert torch.equal(with_label["image"], without["image"])
    assert without.keys() == {"image", "case"}
    assert not torch.equal(without["image"], sample["image"])


def test_a_key_that_may_not_be_missing_is_missed(sample):
    with pytest.raises(KeyError, match="label"):
        deform()({"image": sample["image"]})


def test_labels_stay_whole_and_go_with_their_image(sample):
    ones = {"image": sample["label"].clone(), "label": sample["label"]}
    moved = deform(grid_mode="nearest").set_random_state(0)(ones)
    assert torch.equal(moved["image"], moved["label"])
    assert set(deform().set_random_state(0)(sample)["label"].unique().tolist()) <= {0.0, 1.0}


def test_no_voxel_moves_further_than_the_range():
    # a ramp along each axis tells where a voxel's value is from
    ramps = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, edge) for edge in (40, 30, 20)), indexing="ij"))
    transform = deform(spatial_size=(40, 30, 20), def_range=0.1, grid_align_corners=True)
    moved = transform.set_random_state(0)({"image": ramps, "label": ramps[:1]})["image"]
    distance = (moved - ramps)[:, 5:-5, 5:-5, 5:-5].abs().max()
    assert 0.03 < distance <= 0.1 + 1e-6


def test_the_same_seed_deforms_alike_and_probability_zero_not_at_all(sample):
    first, again, other = (deform().set_random_state(seed)(sample)["image"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(deform(prob=0.0)(sample)["image"], sample["image"])


def test_what_is_deformed_does_not_tell_how(sample):
    """Samples are seeded one by one: the first displacement must not be the number that was below the probability."""
    transform, first = deform(prob=0.3, def_range=1.0), []
    for seed in range(200):
        transform.set_random_state(seed)(sample)
        if transform._do_transform:
            first.append(float(transform.trans.sfield.field.flatten()[0]))
    assert len(first) > 40
    assert min(first) < -0.7
    assert max(first) > 0.7


def test_it_builds_from_a_config(sample):
    config = {"_target_": "semicl_monai.transforms.RandDeformd", "keys": "image"}
    config |= {"spatial_size": [12, 10, 8], "rand_size": [4, 4, 4], "prob": 1.0}
    assert ConfigParser({"deform": config}).get_parsed_content("deform")(sample)["image"].shape == (1, 12, 10, 8)
