from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, RandGaussianNoised

from semicl_monai.data import SeededRandomSampler, VolumeDataset
from semicl_monai.data import seeded_sampler as module


def draws(num_samples=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(SeededRandomSampler(range(3), num_samples=num_samples, generator=generator))


def test_every_record_is_drawn_about_equally_often_each_time_with_a_seed_of_its_own():
    indices, seeds = zip(*draws(num_samples=6), strict=True)
    assert sorted(indices) == [0, 0, 1, 1, 2, 2]
    assert len(set(seeds)) == 6


def test_the_generator_decides():
    assert draws(seed=3) == draws(seed=3)
    assert draws(seed=3) != draws(seed=4)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_processes_share_the_draws_of_one(monkeypatch, size):
    whole, shares = draws(num_samples=9), []
    for rank in range(size):
        monkeypatch.setattr(module, "rank_and_size", lambda rank=rank: (rank, size))
        shares.append(draws(num_samples=9))
    turns = [draw for turn in zip(*shares, strict=True) for draw in turn]
    assert turns == whole[: 9 // size * size]


def test_its_length_is_the_share_of_a_process(monkeypatch):
    assert len(SeededRandomSampler(range(3), num_samples=8)) == 8
    monkeypatch.setattr(module, "rank_and_size", lambda: (1, 2))
    assert len(SeededRandomSampler(range(3), num_samples=8)) == 4


def test_what_happens_to_a_record_depends_on_its_seed_alone():
    records = [{"image": torch.zeros(1, 4, 4), "case": name} for name in "ab"]
    dataset = VolumeDataset(records, Compose([RandGaussianNoised("image", prob=1.0)]))
    first = dataset[0, 7]["image"].clone()
    dataset[1, 5], dataset[1]
    assert torch.equal(dataset[0, 7]["image"], first)
    assert not torch.isclose(dataset[0, 8]["image"], first).any()


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.data.SeededRandomSampler", "data_source": [0, 1], "num_samples": 4}
    assert len(list(ConfigParser({"sampler": config}).get_parsed_content("sampler"))) == 4
