from __future__ import annotations

import pytest
import torch

from semicl_monai.losses import RememberedContrast, SupConLoss
from semicl_monai.utils import InputError


def step(seed, number=6, groups=()):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(*groups, number, 4, generator=generator, requires_grad=True)
    return embeddings, torch.randint(-1, 3, (*groups, number), generator=generator)


@pytest.mark.parametrize("groups", [(), (2,)])
def test_it_is_the_loss_of_the_last_steps_as_one_batch(groups):
    loss, plain = RememberedContrast(SupConLoss(), steps=2), SupConLoss()
    steps = [step(seed, number=5 + seed, groups=groups) for seed in range(4)]
    for last in range(4):
        seen = steps[max(0, last - 2) : last + 1][::-1]
        given = loss(*steps[last])
        wanted = plain(torch.cat([one for one, _ in seen], dim=-2), torch.cat([one for _, one in seen], dim=-1))
        torch.testing.assert_close(given, wanted)
        (gradient,) = torch.autograd.grad(given, steps[last][0])
        (of_joined,) = torch.autograd.grad(wanted, steps[last][0])
        torch.testing.assert_close(gradient, of_joined)


def test_only_the_current_embeddings_get_a_gradient():
    loss, (first, second) = RememberedContrast(SupConLoss(), steps=1), (step(0), step(1))
    loss(*first)
    loss(*second).backward()
    assert first[0].grad is None
    assert second[0].grad.abs().sum() > 0


def test_embeddings_of_a_validation_are_contrasted_and_not_remembered():
    loss, (embeddings, targets) = RememberedContrast(SupConLoss(), steps=2), step(0)
    loss(*step(1))
    before = loss(embeddings.detach(), targets)
    assert len(loss.memory) == 1
    torch.testing.assert_close(loss(embeddings.detach(), targets), before)


def test_steps_with_another_number_of_groups_are_left_out():
    loss = RememberedContrast(SupConLoss(), steps=2)
    loss(*step(0, groups=(3,)))
    torch.testing.assert_close(loss(*step(1, groups=(2,))), SupConLoss()(*step(1, groups=(2,))))


def test_a_resumed_training_remembers_the_same():
    loss, other = (RememberedContrast(SupConLoss(), steps=2) for _ in range(2))
    loss(*step(0))
    other(*step(5))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(*step(1)), loss(*step(1)))
    assert len(other.memory) == 2


def test_a_memory_of_no_step_is_refused():
    with pytest.raises(InputError, match=r"^steps of the memory of a contrast must be positive, got 0\.$"):
        RememberedContrast(SupConLoss(), steps=0)
