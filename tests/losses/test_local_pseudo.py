from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import SampledLoss
from semicl_monai.losses import LocalPseudoLoss, SupConLoss
from semicl_monai.samplers import FullSampler
from semicl_monai.utils import InputError

THRESHOLD, TEMPERATURE = 0.7, 0.5


def labels_of_pixels(teacher: torch.Tensor, target: torch.Tensor, threshold: float) -> dict[tuple[int, ...], int]:
    """By image, labelled ones first, and place: the label, or the teacher's where it is confident, or -1."""
    labels = {}
    for b, *place in product(*(range(size) for size in (len(target), *target.shape[2:]))):
        labels[(b, *place)] = int(target[(b, 0, *place)])
    for b, *place in product(*(range(size) for size in (len(teacher), *teacher.shape[2:]))):
        p = teacher[(b, slice(None), *place)].tolist()
        labels[(len(target) + b, *place)] = p.index(max(p)) if max(p) >= threshold else -1
    return labels


def supcon(embeddings: torch.Tensor, labels: dict[tuple[int, ...], int]) -> float:
    """Khosla et al., eq. 2, over the pixels that are not ignored; background is never an anchor."""
    pixels = []
    for (b, *place), label in labels.items():
        z = embeddings[(b, slice(None), *place)].tolist()
        if label != -1:
            pixels.append(([x / math.hypot(*z) for x in z], label))
    terms = []
    for i, (anchor, label) in enumerate(pixels):
        s = {
            k: sum(map(math.prod, zip(anchor, z, strict=True))) / TEMPERATURE
            for k, (z, _) in enumerate(pixels)
            if k != i
        }
        positives = [k for k in s if pixels[k][1] == label]
        if label > 0 and positives:
            total = sum(math.exp(value) for value in s.values())
            terms.append(-sum(math.log(math.exp(s[p]) / total) for p in positives) / len(positives))
    return sum(terms) / len(terms)


def maps(*size: int) -> tuple[torch.Tensor, ...]:
    """Logits of labelled images, the student's and the teacher's of unlabelled ones, embeddings of both, label maps."""
    generator = torch.Generator().manual_seed(0)
    size = size or (2, 3)
    logits, student, teacher, embeddings = (
        torch.randn(*shape, *size, generator=generator, dtype=torch.float64)
        for shape in ((2, 3), (3, 3), (3, 3), (5, 4))
    )
    target = torch.randint(3, (2, 1, *size), generator=generator).double()
    teacher = (2 * teacher).softmax(1)
    return *(m.requires_grad_() for m in (logits, student, teacher, embeddings)), target


def supervised(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((input - target) ** 4).sum()


def loss(threshold: float = THRESHOLD, weight: float = 3.0) -> LocalPseudoLoss:
    contrast = SampledLoss(FullSampler(), SupConLoss(temperature=TEMPERATURE, background_index=0))
    result = LocalPseudoLoss(supervised, contrast, threshold)
    result.weight = weight
    return result


@pytest.mark.parametrize("size", [(2, 3), (2, 1, 3)])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("weight", [0.1, 3.0])
def test_it_is_the_supervised_loss_and_the_contrast_of_all_pixels_whose_label_is_known(
    weight: float, threshold: float, size: tuple[int, ...]
):
    *input, target = maps(*size)
    logits, _, teacher, embeddings = input
    wanted = supervised(logits, target).item()
    wanted += weight * supcon(embeddings, labels_of_pixels(teacher, target, threshold))
    assert loss(threshold, weight)(tuple(input), target).item() == pytest.approx(wanted)


def test_the_contrast_gets_labels_of_labelled_images_first_and_then_those_of_confident_pixels():
    *input, target = maps()
    seen = []
    ours = LocalPseudoLoss(supervised, lambda *arguments: seen.append(arguments) or 0.0, THRESHOLD)
    ours(tuple(input), target)
    ((embeddings, labels),) = seen
    assert embeddings is input[3]
    assert labels.shape == (5, 1, 2, 3)
    assert labels.dtype == torch.int64
    wanted = labels_of_pixels(input[2], target, THRESHOLD)
    assert set(wanted.values()) == {-1, 0, 1, 2}
    for (b, *place), label in wanted.items():
        assert labels[(b, 0, *place)] == label


@pytest.mark.parametrize(("threshold", "label"), [(0.75, 1), (0.7500001, -1)])
def test_a_pixel_just_at_the_threshold_counts(threshold: float, label: int):
    logits, _, _, embeddings, target = maps()
    teacher, seen = torch.tensor([0.25, 0.75, 0.0], dtype=torch.float64).view(1, 3, 1, 1).expand(3, 3, 2, 3), []
    ours = LocalPseudoLoss(supervised, lambda *arguments: seen.append(arguments[1]) or 0.0, threshold)
    ours((logits, teacher, teacher, embeddings), target)
    assert (seen[0][2:] == label).all()


def test_its_gradient_is_right():
    logits, student, teacher, embeddings, target = maps()
    assert torch.autograd.gradcheck(lambda a, b: loss()((a, student, teacher, b), target), (logits, embeddings))


def test_embeddings_learn_where_labels_are_known_and_neither_teacher_nor_predictions_of_unlabelled_images_do():
    logits, student, teacher, embeddings, target = maps()
    loss()((logits, student, teacher, embeddings), target).backward()
    known = [label != -1 for label in labels_of_pixels(teacher, target, THRESHOLD).values()]
    assert (embeddings.grad.abs().sum(dim=1).flatten() > 0).tolist() == known
    assert logits.grad.count_nonzero() > 0
    assert student.grad is None
    assert teacher.grad is None


def test_without_a_confident_pixel_labelled_images_are_contrasted_alone():
    logits, student, teacher, embeddings, target = maps()
    contrast = SupConLoss(temperature=TEMPERATURE, background_index=0)
    pixels = embeddings[:2].movedim(1, -1).reshape(-1, 4)
    wanted = supervised(logits, target) + 3 * contrast(pixels, target.flatten())
    torch.testing.assert_close(loss(threshold=1.0)((logits, student, teacher, embeddings), target), wanted)


def test_it_starts_as_the_supervised_loss_alone():
    *input, target = maps()
    ours = LocalPseudoLoss(supervised, loss().contrast)(tuple(input), target)
    ours.backward()
    assert ours == supervised(input[0], target)
    assert input[3].grad.count_nonzero() == 0


def test_of_logits_of_labelled_images_alone_it_is_the_supervised_loss():
    logits, *_, target = maps()
    assert loss()(logits, target) == supervised(logits, target)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan])
def test_a_threshold_out_of_range_is_refused(threshold: float):
    with pytest.raises(InputError, match=rf"pseudo_threshold must be between 0 and 1, got {threshold}\."):
        LocalPseudoLoss(supervised, supervised, threshold)


def test_it_builds_from_a_config():
    config = {
        "_target_": "semicl_monai.losses.LocalPseudoLoss",
        "supervised": {"_target_": "monai.losses.DiceCELoss"},
        "contrast": {
            "_target_": "semicl_monai.engines.SampledLoss",
            "sampler": {"_target_": "semicl_monai.samplers.StrideSampler", "stride": 2},
            "loss": {"_target_": "semicl_monai.losses.SupConLoss"},
        },
        "threshold": 0.8,
    }
    built = ConfigParser({"loss": config}).get_parsed_content("loss")
    assert isinstance(built.contrast, SampledLoss)
    assert (built.threshold, built.weight) == (0.8, 0)


def test_ignored_pixels_of_labelled_images_are_left_out_of_both_terms():
    generator = torch.Generator().manual_seed(0)
    logits, student, embeddings = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(3))
    target = torch.randint(-1, 3, (2, 1, 4, 4), generator=generator).float()
    all_embeddings = torch.cat([embeddings, embeddings.flip(0)]).requires_grad_()
    contrast = SampledLoss(FullSampler(), SupConLoss(TEMPERATURE, background_index=0))
    loss = LocalPseudoLoss(lambda input, target: input.sum() * 0, contrast, THRESHOLD)
    loss.weight = 1.0
    loss((logits, student, student.softmax(1), all_embeddings), target).backward()
    ignored = (target < 0).expand(2, 3, 4, 4)
    assert (all_embeddings.grad[:2][ignored] == 0).all()
    assert (all_embeddings.grad[:2][~ignored] != 0).any()
