from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised
from torch.utils.data import DistributedSampler

from semicl_monai.data import PairedDataLoader
from semicl_monai.handlers import SeedEpoch


def batches(stage, *, seed, epochs, first=1):
    """Return the images of each epoch, and a number from torch's own generator, from epoch ``first`` on."""
    stage = stage(epochs=epochs)
    seen = {}

    def record(engine):
        images = [sample["image"].clone() for sample in engine.state.batch]
        seen.setdefault(engine.state.epoch, []).extend([*images, torch.rand(1)])

    stage.trainer.add_event_handler(Events.ITERATION_COMPLETED, record)
    if first > 1:
        stage.trainer.load_state_dict({"epoch": first - 1, "max_epochs": epochs, "epoch_length": 4})
    stage.run(SeedEpoch(stage.dataloader, seed=seed))
    return {epoch: torch.cat([t.flatten() for t in tensors]) for epoch, tensors in seen.items()}


def test_the_same_seed_draws_the_same_epochs_whatever_was_drawn_before(stage):
    first = batches(stage, seed=3, epochs=2)
    torch.rand(5)
    again = batches(stage, seed=3, epochs=2)
    assert all(torch.equal(first[epoch], again[epoch]) for epoch in (1, 2))


def test_epochs_differ_from_one_another_and_seeds_do(stage):
    first = batches(stage, seed=3, epochs=2)
    assert not torch.isclose(first[1], first[2]).all()
    assert not torch.isclose(first[1], batches(stage, seed=4, epochs=1)[1]).all()


def test_an_epoch_is_the_same_without_the_ones_before(stage):
    assert torch.equal(batches(stage, seed=3, epochs=3, first=3)[3], batches(stage, seed=3, epochs=3)[3])


def test_the_order_the_augmentation_and_torch_itself_are_seeded(stage):
    def state(stage):
        generator = stage.dataloader.sampler.generator
        transform = stage.dataloader.dataset.transform.transforms[0]
        return generator.initial_seed(), transform.R.randint(2**31), torch.initial_seed()

    states = []
    for seed in (3, 3, 4):
        one = stage()
        engine = Engine(lambda engine, batch: None)
        engine.state.epoch = 2
        SeedEpoch(one.dataloader, seed=seed)(engine)
        states.append(state(one))
    assert states[0] == states[1]
    assert not set(states[0]) & set(states[2])


def test_a_distributed_sampler_gets_the_epoch():
    dataset = Dataset([{"image": torch.zeros(1, 2, 2)}], Compose([RandGaussianNoised("image")]))
    sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
    engine = Engine(lambda engine, batch: None)
    engine.state.epoch = 5
    SeedEpoch(DataLoader(dataset, sampler=sampler))(engine)
    assert sampler.epoch == 5


def test_ranks_draw_different_augmentation(stage, monkeypatch):
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        one, engine = stage(), Engine(lambda engine, batch: None)
        SeedEpoch(one.dataloader)(engine)
        drawn.append(torch.initial_seed())
    assert drawn[0] != drawn[1]


def test_further_generators_draw_alike_on_all_ranks_and_anew_in_each_epoch(stage, monkeypatch):
    own, other = torch.Generator(), torch.Generator()
    handler, engine = SeedEpoch(stage().dataloader, generators=[own, other]), Engine(lambda engine, batch: None)

    def drawn(epoch, rank):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        engine.state.epoch = epoch
        handler(engine)
        return [int(torch.randint(2**31, (), generator=generator)) for generator in (own, other)]

    first = drawn(1, 0)
    assert drawn(1, 1) == first
    assert not set(drawn(2, 1)) & set(first)
    assert first[0] != first[1]


def paired_batches(stage, *, seed, epochs, first=1):
    """Return the labelled and the unlabelled images of each epoch from epoch ``first`` on; the volumes are equal."""
    loader = PairedDataLoader(stage().dataloader, stage().dataloader)
    engine = Engine(lambda engine, batch: [batch[key].clone() for key in ("image", "unlabelled_image")])
    if first > 1:
        engine.load_state_dict({"epoch": first - 1, "max_epochs": epochs, "epoch_length": 4})
    seen = {}
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: seen.setdefault(engine.state.epoch, []).append(engine.state.output)
    )
    SeedEpoch(loader, seed=seed).attach(engine)
    engine.run(loader, **({} if first > 1 else {"max_epochs": epochs}))
    return {epoch: [torch.cat(part) for part in zip(*pairs, strict=True)] for epoch, pairs in seen.items()}


def test_both_loaders_of_a_pair_are_seeded_and_a_resumed_epoch_is_the_same(stage):
    first = paired_batches(stage, seed=3, epochs=3)
    torch.rand(5)
    again, resumed = paired_batches(stage, seed=3, epochs=3), paired_batches(stage, seed=3, epochs=3, first=3)
    other = paired_batches(stage, seed=4, epochs=1)
    for part in (0, 1):
        assert all(torch.equal(first[epoch][part], again[epoch][part]) for epoch in (1, 2, 3))
        assert torch.equal(first[3][part], resumed[3][part])
        assert not torch.isclose(first[1][part], other[1][part]).all()


def test_the_two_loaders_of_a_pair_are_seeded_differently(stage):
    pair = PairedDataLoader(stage().dataloader, stage().dataloader)
    engine = Engine(lambda engine, batch: None)
    SeedEpoch(pair, seed=3)(engine)
    orders = [loader.sampler.generator.initial_seed() for loader in pair.loaders]
    draws = [loader.dataset.transform.transforms[0].R.randint(2**31) for loader in pair.loaders]
    assert orders[0] != orders[1]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("seed", [0, "5"])
def test_it_builds_from_a_config(stage, seed):
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.SeedEpoch",
            "dataloader": stage().dataloader,
            "seed": seed,
        }
    }
    assert ConfigParser(config).get_parsed_content("handler").seed == int(seed)
