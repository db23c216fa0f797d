from __future__ import annotations

import io
import math

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import MemoryBank


def unit(row: list[float]) -> list[float]:
    return [x / math.hypot(*row) for x in row]


def filled(number: int = 6, dtype: torch.dtype = torch.float64, **options) -> MemoryBank:
    """A bank of images 10, 11, 12, ..."""
    bank = MemoryBank(**options)
    embeddings = torch.randn(number, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    bank.add_unseen(torch.arange(10, 10 + number), embeddings)
    return bank


def saved_and_loaded(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_an_image_moves_from_its_memory_towards_its_embedding(momentum: float):
    bank = filled(momentum=momentum)
    old, new = bank.recall(torch.tensor([14, 10])).tolist(), [[1.0, 2.0, 3.0], [-4.0, 0.0, 1.0]]
    others = bank.recall(torch.tensor([11, 12, 13, 15]))
    bank.update(torch.tensor([14, 10]), torch.tensor(new, dtype=torch.float64))
    wanted = [
        unit([momentum * a + (1 - momentum) * b for a, b in zip(m, unit(f), strict=True)])
        for m, f in zip(old, new, strict=True)
    ]
    torch.testing.assert_close(bank.recall(torch.tensor([14, 10])), torch.tensor(wanted, dtype=torch.float64))
    torch.testing.assert_close(bank.recall(torch.tensor([11, 12, 13, 15])), others, rtol=0, atol=0)


def test_an_unseen_image_is_entered_at_unit_length_and_a_known_one_stays():
    bank = filled(2)
    known = bank.recall(torch.tensor([11]))
    bank.add_unseen(torch.tensor([11, 2**62 + 1, 3]), torch.tensor([[9.0, 9, 9], [3, 4, 0], [0, 0, 5]]).double())
    assert len(bank) == 4
    torch.testing.assert_close(bank.recall(torch.tensor([11])), known, rtol=0, atol=0)
    wanted = torch.tensor([[0, 0, 1], [0.6, 0.8, 0]], dtype=torch.float64)
    torch.testing.assert_close(bank.recall(torch.tensor([3, 2**62 + 1])), wanted)


def test_of_a_repeated_image_the_first_is_entered_and_the_last_moves_it():
    bank, images = MemoryBank(), torch.tensor([7, 5, 7, 7])
    embeddings = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, 1]])
    bank.add_unseen(images, embeddings)
    assert len(bank) == 2
    assert bank.recall(torch.tensor([7, 7])).tolist() == [[1, 0], [1, 0]]
    bank.update(images, embeddings)
    torch.testing.assert_close(bank.recall(torch.tensor([7, 5])), torch.tensor([[math.sqrt(0.5)] * 2, [0, 1]]))


def test_it_keeps_no_graph():
    embeddings = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    bank = MemoryBank()
    for _ in range(2):
        bank.update(torch.tensor([1, 2]), 2 * embeddings)
    assert not bank.recall(torch.tensor([1])).requires_grad


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (3, 3), (4, 4), (1000, 4)])
def test_negatives_are_as_many_as_asked_for_and_none_is_of_the_batch(number: int, expected: int):
    bank = filled(generator=torch.Generator().manual_seed(0))
    others = {tuple(row) for row in bank.recall(torch.tensor([10, 12, 14, 15])).tolist()}
    drawn = set()
    for _ in range(40):
        negatives = [tuple(row) for row in bank.negatives(torch.tensor([11, 13, 11]), number).tolist()]
        assert len(negatives) == len(set(negatives)) == expected
        drawn.update(negatives)
    assert drawn == others


def test_the_same_seed_draws_the_same_negatives():
    draws = [
        torch.cat([bank.negatives(torch.tensor([10]), 2) for _ in range(5)])
        for bank in (filled(20, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    ]
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert not torch.equal(draws[0], draws[2])


def test_a_bank_of_only_the_batch_has_no_negatives():
    assert filled(2).negatives(torch.tensor([10, 11]), 5).shape == (0, 3)


def test_it_survives_saving_and_loading():
    bank, loaded = filled(), MemoryBank()
    bank.add_unseen(torch.tensor([2**63 - 1]), torch.ones(1, 3, dtype=torch.float64))
    loaded.load_state_dict(saved_and_loaded(bank.state_dict()))
    images = torch.tensor([2**63 - 1, *range(10, 16)])
    torch.testing.assert_close(loaded.recall(images), bank.recall(images), rtol=0, atol=0)
    for one in (bank, loaded):
        one.update(torch.tensor([99, 12]), torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64))
    torch.testing.assert_close(loaded.memory, bank.memory, rtol=0, atol=0)


def test_loading_takes_the_place_of_what_was_there_and_shares_nothing():
    bank, loaded = filled(3), MemoryBank()
    loaded.add_unseen(torch.tensor([1, 10]), torch.ones(2, 3))
    loaded.load_state_dict(bank.state_dict())
    before = loaded.recall(torch.tensor([10, 11, 12]))
    bank.update(torch.tensor([10]), torch.ones(1, 3, dtype=torch.float64))
    assert len(loaded) == 3
    torch.testing.assert_close(loaded.recall(torch.tensor([10, 11, 12])), before, rtol=0, atol=0)


def test_an_empty_bank_survives_saving_and_loading():
    loaded = filled()
    loaded.load_state_dict(saved_and_loaded(MemoryBank().state_dict()))
    assert len(loaded) == 0
    loaded.update(torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(loaded.recall(torch.tensor([1])), torch.tensor([[0.6, 0.8]]))


def test_it_builds_from_a_config():
    parser = ConfigParser({"bank": {"_target_": "semicl_monai.losses.MemoryBank", "momentum": 0.9}})
    assert parser.get_parsed_content("bank").momentum == 0.9
