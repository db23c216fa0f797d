from __future__ import annotations

import copy
import io
import math
from itertools import combinations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from semicl_monai.losses import LOSSES, PIRLLoss

# three batches of image numbers: of none known, some known, one image twice
BATCHES = [[1, 2, 2**62], [3, 2, 4], [1, 5, 1]]


def unit(row: list[float]) -> list[float]:
    return [x / math.hypot(*row) for x in row]


def nce(a: list[float], b: list[float], negatives: list[list[float]], temperature: float) -> float:
    """Misra and van der Maaten, eq. 4 and 5."""

    def exp(u: list[float], v: list[float]) -> float:
        return math.exp(sum(x * y for x, y in zip(unit(u), unit(v), strict=True)) / temperature)

    def h(u: list[float], v: list[float]) -> float:
        return exp(u, v) / (exp(u, v) + sum(exp(n, v) for n in negatives))

    return -math.log(h(a, b)) - sum(math.log(1 - h(n, b)) for n in negatives)


def equation(
    f: list, g: list, images: list[int], memory: dict, negatives: list, temperature: float, weight: float
) -> float:
    """The same, eq. 7."""
    losses = [
        weight * nce(memory[image], g_i, negatives, temperature)
        + (1 - weight) * nce(memory[image], f_i, negatives, temperature)
        for image, f_i, g_i in zip(images, f, g, strict=True)
    ]
    return sum(losses) / len(losses)


def pair(seed: int = 0, number: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of images and of their transformed copies."""
    generator = torch.Generator().manual_seed(seed)
    f, g = (torch.randn(number, 4, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    return f.requires_grad_(), g.requires_grad_()


def trained(dtype: torch.dtype = torch.float64, **options) -> PIRLLoss:
    """A loss that knows images 1, 2, 3, 4 and 2**62."""
    loss = PIRLLoss(**options)
    for seed, images in enumerate(BATCHES[:2]):
        loss(pair(seed, dtype=dtype), torch.tensor(images))
    return loss


@pytest.mark.parametrize("momentum", [0.5, 0.8])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_it_is_the_equation_while_the_memory_moves(temperature: float, weight: float, momentum: float):
    loss, memory = PIRLLoss(temperature, weight, momentum=momentum), {}
    for seed, images in enumerate(BATCHES):
        f, g = (embeddings.tolist() for embeddings in pair(seed))
        for image, f_i in zip(images, f, strict=True):
            memory.setdefault(image, unit(f_i))
        negatives = [row for image, row in memory.items() if image not in images]
        wanted = equation(f, g, images, memory, negatives, temperature, weight)
        assert loss(pair(seed), torch.tensor(images)).item() == pytest.approx(wanted, abs=1e-12)
        for image, f_i in dict(zip(images, f, strict=True)).items():
            moved = zip(memory[image], unit(f_i), strict=True)
            memory[image] = unit([momentum * old + (1 - momentum) * new for old, new in moved])
        kept = loss.bank.recall(torch.tensor(list(memory)))
        torch.testing.assert_close(kept, torch.tensor(list(memory.values()), dtype=torch.float64))
        assert len(loss.bank) == len(memory)


def test_it_draws_as_many_negatives_as_it_is_told():
    loss, images = trained(num_negatives=2), [2, 4]
    memory = {image: loss.bank.recall(torch.tensor([image]))[0].tolist() for image in [1, 2, 3, 4, 2**62]}
    f, g = (embeddings.tolist() for embeddings in pair(5, 2))
    possible = [
        equation(f, g, images, memory, list(negatives), 0.07, 0.5)
        for negatives in combinations([memory[image] for image in (1, 3, 2**62)], 2)
    ]
    ours = {round(copy.deepcopy(loss)(pair(5, 2), torch.tensor(images)).item(), 6) for _ in range(40)}
    assert ours == {round(value, 6) for value in possible}


@pytest.mark.parametrize("images", [[1, 2, 4], [3, 3, 2]])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_its_gradient_is_right(weight: float, images: list[int]):
    loss = trained(weight=weight)

    def same_bank_again(f: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return copy.deepcopy(loss)((f, g), torch.tensor(images))

    assert torch.autograd.gradcheck(same_bank_again, pair(5))


@pytest.mark.parametrize(("weight", "reached"), [(0.0, [True, False]), (0.5, [True, True]), (1.0, [False, True])])
def test_the_gradient_reaches_the_image_and_its_copy(weight: float, reached: list[bool]):
    views = pair(5)
    trained(weight=weight)(views, torch.tensor([1, 2, 9])).backward()
    assert [bool(view.grad.count_nonzero()) for view in views] == reached


def test_the_order_of_images_changes_nothing():
    order, images, (f, g) = torch.tensor([2, 0, 1]), torch.tensor([9, 1, 3]), pair(5)
    results = [trained()((f[o], g[o]), images[o]) for o in (order, torch.arange(3))]
    torch.testing.assert_close(*results)


def test_the_length_of_an_embedding_does_not_matter():
    images, (f, g) = torch.tensor([9, 1, 3]), pair(5)
    one, other = trained(), trained()
    torch.testing.assert_close(one((7 * f, 3 * g), images), other((f, g), images))
    torch.testing.assert_close(one.bank.memory, other.bank.memory)


@pytest.mark.parametrize("images", [[1, 2, 3], [4, 4, 4]])
def test_with_an_empty_bank_it_is_zero_and_backward_works(images: list[int]):
    loss, views = PIRLLoss(), pair()
    result = loss(views, torch.tensor(images))
    result.backward()
    assert result == 0
    assert [view.grad.count_nonzero() for view in views] == [0, 0]
    assert len(loss.bank) == len(set(images))


def test_one_image_is_told_from_those_before_it():
    loss, views = trained(), pair(5, 1)
    result = loss(views, torch.tensor([1]))
    result.backward()
    assert result > 0
    assert all(view.grad.count_nonzero() > 0 for view in views)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_lowest_temperature_in_half_precision_is_finite(dtype: torch.dtype):
    views, images = pair(5, dtype=dtype), torch.tensor([1, 2, 4])
    result = trained(dtype, temperature=0.01)(views, images)
    result.backward()
    loss = trained(dtype, temperature=0.01)
    wanted = loss(tuple(view.double() for view in views), images)
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert all(view.grad.isfinite().all() for view in views)


def test_autocast_changes_nothing():
    results = []
    for enabled in (False, True):
        loss, views = trained(torch.float32), pair(5, dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            result = loss(views, torch.tensor([1, 2, 4]))
        results.append((result, loss.bank.memory, *torch.autograd.grad(result, views)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_inputs_may_carry_metadata():
    images, one, other = torch.tensor([1, 9, 4]), trained(), trained()
    result = one(tuple(map(MetaTensor, pair(5))), MetaTensor(images))
    assert type(result) is type(one.bank.memory) is torch.Tensor
    torch.testing.assert_close(result, other(pair(5), images))


def test_the_bank_is_saved_with_the_loss():
    loss, loaded, file = trained(), PIRLLoss(), io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for seed, images in enumerate(BATCHES, start=5):
        ours, wanted = (one(pair(seed), torch.tensor(images)) for one in (loaded, loss))
        torch.testing.assert_close(ours, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature must be positive, got 0\.0\."),
        ({"temperature": math.nan}, r"temperature must be positive, got nan\."),
        ({"weight": 1.5}, r"weight must be between 0 and 1, got 1\.5\."),
        ({"weight": -0.1}, r"weight must be between 0 and 1, got -0\.1\."),
        ({"num_negatives": 0}, r"num_negatives must be positive, got 0\."),
        ({"momentum": 1.0}, r"momentum must be from 0 to below 1, got 1\.0\."),
        ({"momentum": -0.5}, r"momentum must be from 0 to below 1, got -0\.5\."),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PIRLLoss(**options)


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.PIRLLoss", "momentum": 0.9}})
    assert parser.get_parsed_content("loss").bank.momentum == 0.9
    assert isinstance(LOSSES.build("pirl"), PIRLLoss)
