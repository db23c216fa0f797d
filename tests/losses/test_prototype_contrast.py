from __future__ import annotations

import math

import pytest
import torch

from semicl_monai.losses import PrototypeContrast
from semicl_monai.utils import InputError


def step(seed, shape=(7,)):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(*shape, 3, generator=generator, requires_grad=True)
    return embeddings, torch.randint(-1, 3, shape, generator=generator)


def unit(row):
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


@pytest.mark.parametrize("background", [None, 0])
@pytest.mark.parametrize("shape", [(7,), (2, 5)])
def test_it_is_the_equation_in_plain_loops(background, shape):
    loss, prototypes = PrototypeContrast(0.5, momentum=0.8, background_index=background), {}
    for seed in range(4):
        embeddings, targets = step(seed, shape)
        rows = [unit(row) for row in embeddings.reshape(-1, 3).tolist()]
        labels = targets.flatten().tolist()
        for label in sorted(set(labels) - {-1}):
            own = [row for row, other in zip(rows, labels, strict=True) if other == label]
            mean = [sum(column) / len(own) for column in zip(*own, strict=True)]
            before = prototypes.get(label, mean)
            prototypes[label] = [0.8 * old + 0.2 * new for old, new in zip(before, mean, strict=True)]
        losses = []
        for row, label in zip(rows, labels, strict=True):
            if label not in (-1, background):
                s = {c: sum(a * b for a, b in zip(row, unit(p), strict=True)) / 0.5 for c, p in prototypes.items()}
                losses.append(-math.log(math.exp(s[label]) / sum(map(math.exp, s.values()))))
        assert loss(embeddings, targets).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_the_gradient_is_that_of_embeddings_with_constant_prototypes():
    loss = PrototypeContrast()
    loss(*step(0))
    fixed = {number: prototype.clone() for number, prototype in loss.prototypes.items()}
    embeddings, targets = step(1)
    targets = targets.clamp(min=0)
    (gradient,) = torch.autograd.grad(loss(embeddings, targets), embeddings)
    assert not torch.equal(loss.prototypes[0], fixed[0])
    assert not any(prototype.requires_grad for prototype in loss.prototypes.values())
    table = torch.nn.functional.normalize(torch.stack([loss.prototypes[number] for number in range(3)]), dim=1)
    logits = torch.nn.functional.normalize(embeddings, dim=1) @ table.T / 0.1
    (wanted,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, targets), embeddings)
    torch.testing.assert_close(gradient, wanted)


def test_a_validation_moves_no_prototype():
    loss = PrototypeContrast()
    loss(*step(0))
    before = {number: prototype.clone() for number, prototype in loss.prototypes.items()}
    embeddings, targets = step(1)
    assert loss(embeddings.detach(), targets) > 0
    assert all(torch.equal(prototype, before[number]) for number, prototype in loss.prototypes.items())


@pytest.mark.parametrize("label", [-1, 0])
def test_without_an_anchor_the_loss_is_zero_with_a_zero_gradient(label):
    embeddings, targets = step(0)
    loss = PrototypeContrast(background_index=0)(embeddings, torch.full_like(targets, label))
    loss.backward()
    assert loss == 0
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


def test_a_class_that_was_never_seen_is_no_anchor():
    loss, (embeddings, targets) = PrototypeContrast(), step(0)
    assert loss(embeddings.detach(), targets) == 0


def test_a_resumed_training_has_the_same_prototypes():
    loss, other = PrototypeContrast(), PrototypeContrast()
    loss(*step(0))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(*step(1)), loss(*step(1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be positive, got 0"),
        ({"momentum": 1}, "momentum must be at least 0 and below 1, got 1"),
        ({"momentum": -0.1}, "momentum must be at least 0 and below 1, got -0.1"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PrototypeContrast(**options)
