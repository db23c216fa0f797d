from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import ConsistencyLoss


def mean_squared_distance(first: list[float], second: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / len(first)


def maps(labelled: int = 2, unlabelled: int = 3) -> tuple[torch.Tensor, ...]:
    """Logits of labelled images, the student's and the teacher's probabilities of unlabelled ones, label maps."""
    generator = torch.Generator().manual_seed(0)
    logits, student, teacher = (
        torch.randn(number, 2, 3, 3, generator=generator, dtype=torch.float64)
        for number in (labelled, unlabelled, unlabelled)
    )
    target = torch.rand(labelled, 1, 3, 3, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), *(m.softmax(dim=1).detach().requires_grad_() for m in (student, teacher)), target


def supervised(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((input - target) ** 4).sum()


def loss(weight: float) -> ConsistencyLoss:
    result = ConsistencyLoss(supervised)
    result.weight = weight
    return result


@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_it_is_the_equation(weight: float):
    *input, target = maps()
    logits, student, teacher = (m.flatten().tolist() for m in input)
    labels = target.expand(-1, 2, -1, -1).flatten().tolist()
    wanted = sum((a - b) ** 4 for a, b in zip(logits, labels, strict=True))
    wanted += weight * mean_squared_distance(student, teacher)
    assert loss(weight)(tuple(input), target).item() == pytest.approx(wanted)


def test_its_gradient_is_right():
    logits, student, teacher, target = maps()
    assert torch.autograd.gradcheck(lambda a, b: loss(3.0)((a, b, teacher), target), (logits, student))


def test_the_student_learns_and_the_teacher_does_not():
    logits, student, teacher, target = maps()
    loss(3.0)((logits, student, teacher), target).backward()
    assert logits.grad.count_nonzero() > 0
    assert student.grad.count_nonzero() > 0
    assert teacher.grad is None


def test_it_starts_as_the_supervised_loss_alone():
    logits, student, teacher, target = maps()
    ours = ConsistencyLoss(supervised)((logits, student, teacher), target)
    ours.backward()
    assert ours == supervised(logits, target)
    assert student.grad.count_nonzero() == 0


def test_of_logits_of_labelled_images_alone_it_is_the_supervised_loss():
    logits, *_, target = maps()
    assert loss(3.0)(logits, target) == supervised(logits, target)


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.losses.ConsistencyLoss", "supervised": {"_target_": "monai.losses.DiceCELoss"}}
    built = ConfigParser({"loss": config}).get_parsed_content("loss")
    assert built.weight == 0
