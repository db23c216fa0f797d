from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.losses import PseudoLabelLoss
from semicl_monai.losses.pseudo_label import pseudo_labels
from semicl_monai.utils import InputError

EPSILON = 1e-5


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def cross_entropy_and_dice(student: torch.Tensor, teacher: torch.Tensor, threshold: float, soft: bool = False) -> float:
    """What is in the brackets of the equation, voxel by voxel."""
    voxels, weights, classes = [], [], range(student.shape[1])
    for b, *place in product(*(range(size) for size in (len(student), *student.shape[2:]))):
        p, q = (maps[(b, slice(None), *place)].tolist() for maps in (teacher, student))
        if max(p) / sum(p) >= threshold:
            weights.append(sum(p))
            labels = [share / sum(p) for share in p] if soft else [float(c == p.index(max(p))) for c in classes]
            voxels.append((weights[-1], softmax(q), labels))
    entropy = -sum(a * t[c] * math.log(q[c]) for a, q, t in voxels for c in classes) / max(sum(weights), 1)
    dice = []
    for c in classes[1:]:
        overlap = sum(a * q[c] * t[c] for a, q, t in voxels)
        size = sum(a * (q[c] + t[c]) for a, q, t in voxels)
        dice.append((2 * overlap + EPSILON) / (size + EPSILON))
    return entropy + 1 - sum(dice) / len(dice)


def maps(*size: int) -> tuple[torch.Tensor, ...]:
    """Logits of labelled images, the student's logits and the teacher's probabilities of others, label maps."""
    generator = torch.Generator().manual_seed(0)
    size = size or (3, 4)
    logits, student, teacher = (
        torch.randn(number, 3, *size, generator=generator, dtype=torch.float64) for number in (2, 3, 3)
    )
    target = torch.rand(2, 1, *size, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), student.requires_grad_(), (2 * teacher).softmax(1).requires_grad_(), target


def supervised(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((input - target) ** 4).sum()


def loss(threshold: float = 0.7, weight: float = 3.0, soft: bool = False) -> PseudoLabelLoss:
    result = PseudoLabelLoss(supervised, threshold, soft)
    result.weight = weight
    return result


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 4)])
@pytest.mark.parametrize("weight", [0.1, 3.0])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("soft", [False, True])
def test_it_is_the_equation(soft: bool, threshold: float, weight: float, size: tuple[int, ...]):
    logits, student, teacher, target = maps(*size)
    first = sum((a - b) ** 4 for a, b in zip(logits.flatten(), target.expand_as(logits).flatten(), strict=True))
    wanted = first.item() + weight * cross_entropy_and_dice(student, teacher, threshold, soft)
    assert loss(threshold, weight, soft)((logits, student, teacher), target).item() == pytest.approx(wanted)


@pytest.mark.parametrize("threshold", [0.0, 0.4])
@pytest.mark.parametrize("soft", [False, True])
def test_voxels_weigh_what_their_probabilities_sum_up_to(soft: bool, threshold: float):
    logits, student, teacher, target = maps()
    weight = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64).view(3, 1, 1, 1)
    weighted = (teacher * weight.clamp(min=1e-9)).detach()
    wanted = supervised(logits, target).item() + 3 * cross_entropy_and_dice(student, weighted, threshold, soft)
    assert loss(threshold, soft=soft)((logits, student, weighted), target).item() == pytest.approx(wanted)
    unweighted = loss(threshold, soft=soft)((logits, student, teacher), target).item()
    assert unweighted != pytest.approx(wanted)


def test_some_voxels_are_confident_and_some_are_not():
    """What the equation is compared for tells a threshold from none."""
    _, student, teacher, _ = maps()
    values = [cross_entropy_and_dice(student, teacher, threshold) for threshold in (0.0, 0.7, 0.9, 1.0)]
    assert len(set(values)) == 4
    assert values[-1] == 0


@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("soft", [False, True])
def test_its_gradient_is_right(soft: bool, threshold: float):
    logits, student, teacher, target = maps()
    assert torch.autograd.gradcheck(lambda a, b: loss(threshold, soft=soft)((a, b, teacher), target), (logits, student))


@pytest.mark.parametrize("soft", [False, True])
def test_the_student_learns_from_confident_voxels_alone_and_the_teacher_does_not_learn(soft: bool):
    logits, student, teacher, target = maps()
    loss(soft=soft)((logits, student, teacher), target).backward()
    confident = teacher.amax(dim=1) >= 0.7
    assert 0 < confident.sum() < confident.numel()
    assert torch.equal(student.grad.abs().sum(dim=1) > 0, confident)
    assert logits.grad.count_nonzero() > 0
    assert teacher.grad is None


def test_what_the_student_says_where_the_teacher_is_not_confident_changes_nothing():
    logits, student, teacher, target = maps()
    other = torch.where(teacher.amax(dim=1, keepdim=True) < 0.7, -5 * student, student)
    results = [loss()((logits, predicted, teacher), target).item() for predicted in (student, other)]
    assert results[0] == pytest.approx(results[1], rel=1e-12)


@pytest.mark.parametrize(("threshold", "counts"), [(0.75, True), (0.7500001, False)])
def test_a_voxel_just_at_the_threshold_counts(threshold: float, counts: bool):
    logits, _, _, target = maps()
    student = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    teacher = torch.tensor([0.25, 0.75], dtype=torch.float64).view(1, 2, 1, 1)
    second = loss(threshold, weight=1.0)((logits, student, teacher), target) - supervised(logits, target)
    # the student gives both classes one half: log 2, and a Dice of 2 * 0.5 / (0.5 + 1)
    assert second.item() == pytest.approx(math.log(2) + 1 - 2 / 3 if counts else 0, abs=1e-5)


@pytest.mark.parametrize("soft", [False, True])
def test_without_a_confident_voxel_it_is_the_supervised_loss_and_the_student_gets_a_zero_gradient(soft: bool):
    logits, student, teacher, target = maps()
    ours = loss(threshold=1.0, soft=soft)((logits, student, teacher), target)
    ours.backward()
    assert ours.item() == pytest.approx(supervised(logits, target).item(), abs=1e-12)
    assert student.grad.count_nonzero() == 0


def test_a_class_the_teacher_sees_nowhere_is_pushed_down_and_nothing_is_infinite():
    logits, student, _, target = maps()
    teacher = torch.tensor([0.8, 0.2, 0.0], dtype=torch.float64).view(1, 3, 1, 1).expand_as(student)
    ours = loss(weight=1.0)((logits, student, teacher), target)
    ours.backward()
    wanted = supervised(logits, target).item() + cross_entropy_and_dice(student, teacher, 0.7)
    assert ours.item() == pytest.approx(wanted)
    assert (student.grad[:, 1:] > 0).all()
    assert student.grad.isfinite().all()


def test_a_student_that_is_sure_of_what_its_teacher_says_costs_nothing():
    logits, _, teacher, target = maps()
    sure = 50.0 * torch.nn.functional.one_hot(teacher.argmax(dim=1), 3).movedim(-1, 1)
    second = loss(threshold=0.0)((logits, sure, teacher), target) - supervised(logits, target)
    assert second.item() == pytest.approx(0, abs=1e-6)


def test_a_sure_teacher_gives_the_same_whether_its_labels_are_soft_or_not():
    logits, student, teacher, target = maps()
    sure = torch.nn.functional.one_hot(teacher.argmax(dim=1), 3).movedim(-1, 1).double()
    results = [loss(soft=soft)((logits, student, sure), target).item() for soft in (False, True)]
    assert results[0] == pytest.approx(results[1], rel=1e-12)


def test_it_starts_as_the_supervised_loss_alone():
    logits, student, teacher, target = maps()
    ours = PseudoLabelLoss(supervised)((logits, student, teacher), target)
    ours.backward()
    assert ours == supervised(logits, target)
    assert student.grad.count_nonzero() == 0


def test_the_supervised_loss_gets_the_levels_of_a_network_with_deep_supervision_as_they_are():
    _, student, teacher, target = maps()
    levels, seen = torch.zeros(2, 4, 3, 3, 4), []
    PseudoLabelLoss(lambda *arguments: seen.append(arguments) or 0)((levels, student, teacher), target)
    assert seen[0][0] is levels
    assert seen[0][1] is target


def test_the_student_learns_on_all_levels_each_with_half_the_weight_of_the_one_above():
    logits, student, teacher, target = maps()
    levels = torch.stack([student, 2 * student, student.flip(0)], dim=1)
    wanted = [cross_entropy_and_dice(level, teacher, 0.7) for level in levels.detach().unbind(1)]
    ours = loss()((logits, levels, teacher), target) - supervised(logits, target)
    assert ours.item() == pytest.approx(3.0 * (wanted[0] + wanted[1] / 2 + wanted[2] / 4), rel=1e-6)


def test_of_logits_of_labelled_images_alone_it_is_the_supervised_loss():
    logits, _, _, target = maps()
    assert loss()(logits, target) == supervised(logits, target)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan])
def test_a_threshold_out_of_range_is_refused(threshold: float):
    with pytest.raises(InputError, match=rf"pseudo_threshold must be between 0 and 1, got {threshold}\."):
        PseudoLabelLoss(supervised, threshold)


def test_it_builds_from_a_config():
    config = {
        "_target_": "semicl_monai.losses.PseudoLabelLoss",
        "supervised": {"_target_": "monai.losses.DiceCELoss"},
        "threshold": 0.8,
        "soft": True,
    }
    built = ConfigParser({"loss": config}).get_parsed_content("loss")
    assert (built.threshold, built.soft, built.weight) == (0.8, True, 0)


def binary_cross_entropy_and_dice(student, teacher, threshold, soft):
    """The loss of regions, voxel by voxel: a region has its own confident voxels."""
    entropy, dice = [], []
    for region in range(student.shape[1]):
        overlap = size = 0.0
        for logit, p in zip(student[:, region].flatten().tolist(), teacher[:, region].flatten().tolist(), strict=True):
            if max(p, 1 - p) >= threshold:
                q, t = 1 / (1 + math.exp(-logit)), p if soft else float(p > 0.5)
                entropy.append(-t * math.log(q) - (1 - t) * math.log(1 - q))
                overlap, size = overlap + q * t, size + q + t
        dice.append((2 * overlap + EPSILON) / (size + EPSILON))
    return sum(entropy) / max(len(entropy), 1) + 1 - sum(dice) / len(dice)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
def test_regions_are_learned_one_by_one(threshold, soft):
    logits, student, teacher, target = maps()
    teacher = (4 * teacher - 2).sigmoid().detach()
    learned = PseudoLabelLoss(supervised, threshold, soft, sigmoid=True)
    learned.weight = 3.0
    wanted = supervised(logits, target) + 3 * binary_cross_entropy_and_dice(student.detach(), teacher, threshold, soft)
    assert learned((logits, student, teacher), target).item() == pytest.approx(wanted.item())


def test_the_confidence_of_a_pseudo_label_does_not_depend_on_the_weight_of_its_voxel():
    _, _, teacher, _ = maps()
    whole = pseudo_labels(teacher, 0.7)
    assert {-1} < set(whole.unique().tolist())
    assert torch.equal(pseudo_labels(teacher * 0.5, 0.7), whole)
    assert (pseudo_labels(teacher * 0, 0.7) == -1).all()


def test_the_pseudo_label_of_regions_is_that_of_a_mask_where_all_regions_are_certain():
    probabilities = torch.tensor([[[0.9, 0.95, 0.9, 0.1, 0.6], [0.1, 0.95, 0.6, 0.1, 0.1]]])
    assert pseudo_labels(probabilities, 0.8, [1, 2]).tolist() == [[[1, 2, -1, 0, -1]]]
