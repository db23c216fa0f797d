from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import SampledLoss
from semicl_monai.losses import LocalPseudoLoss, LocalSelfTrainingLoss, PseudoLabelLoss, SupConLoss
from semicl_monai.samplers import FullSampler
from semicl_monai.utils import InputError

CONTRAST = SampledLoss(FullSampler(), SupConLoss(temperature=0.5, background_index=0))


def maps() -> tuple[torch.Tensor, ...]:
    """Logits of labelled images, the student's and the teacher's of unlabelled ones, embeddings of both, label maps."""
    generator = torch.Generator().manual_seed(0)
    logits, student, teacher, embeddings = (
        torch.randn(*shape, 2, 3, generator=generator, dtype=torch.float64)
        for shape in ((2, 3), (3, 3), (3, 3), (5, 4))
    )
    target = torch.randint(3, (2, 1, 2, 3), generator=generator).double()
    return *(m.requires_grad_() for m in (logits, student, (2 * teacher.detach()).softmax(1), embeddings)), target


def supervised(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((input - target) ** 4).sum()


def weighted(loss, weight=3.0):
    loss.weight = weight
    return loss


@pytest.mark.parametrize("soft", [True, False])
def test_it_is_the_loss_of_both_parts_each_with_its_threshold(soft: bool):
    *input, target = maps()
    labels = weighted(PseudoLabelLoss(supervised, 0.5, soft))(tuple(input[:3]), target)
    contrast = weighted(LocalPseudoLoss(lambda *_: 0.0, CONTRAST, 0.7))(tuple(input), target)
    ours = weighted(LocalSelfTrainingLoss(supervised, CONTRAST, 0.2, 0.7, threshold=0.5, soft=soft))
    assert ours(tuple(input), target).item() == pytest.approx((labels + 0.2 * contrast).item())
    assert contrast > 0


def test_of_a_network_with_deep_supervision_all_levels_learn():
    logits, student, teacher, embeddings, target = maps()
    levels = torch.stack([student.detach(), 2 * student.detach()], dim=1).requires_grad_()
    weighted(LocalSelfTrainingLoss(supervised, CONTRAST))((logits, levels, teacher, embeddings), target).backward()
    assert (levels.grad.abs().sum((0, 2, 3, 4)) > 0).all()
    assert embeddings.grad.abs().sum() > 0
    assert teacher.grad is None


def test_it_starts_as_the_supervised_loss_and_is_that_of_logits_alone():
    *input, target = maps()
    ours = LocalSelfTrainingLoss(supervised, CONTRAST)
    assert ours(tuple(input), target) == ours(input[0], target) == supervised(input[0], target)


def test_a_threshold_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"contrast_threshold must be between 0 and 1, got 1\.5\."):
        LocalSelfTrainingLoss(supervised, CONTRAST, contrast_threshold=1.5)


def test_it_builds_from_a_config():
    config = {
        "_target_": "semicl_monai.losses.LocalSelfTrainingLoss",
        "supervised": {"_target_": "monai.losses.DiceCELoss"},
        "contrast": {"_target_": "torch.nn.MSELoss"},
        "contrast_weight": 0.3,
    }
    assert ConfigParser({"loss": config}).get_parsed_content("loss").contrast_weight == 0.3
