"""Across ranks it is in test_across_ranks.py."""

from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import DiceCELoss, DiceFocalLoss

from semicl_monai.losses import AnnotatedLoss, MixupLoss, StackedDeepSupervisionLoss
from semicl_monai.utils import InputError

REGIONS = [[1, 2], [2]]
EPSILON = 1e-5


def dice_ce():
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)


def dice_bce():
    """Dice and binary cross-entropy: in MONAI 1.6.1 the focal loss of exponent 0 is the latter."""
    return DiceFocalLoss(sigmoid=True, include_background=True, batch=True, gamma=0.0)


def batch(channels=3, size=(4, 5), ignored=0.4):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 1, *size), generator=generator).double()
    label[torch.rand(label.shape, generator=generator) < ignored] = -1
    return logits.requires_grad_(), label


def voxels(logits, label):
    """The logits and the class number of each annotated voxel, as plain numbers."""
    rows = logits.detach().movedim(1, -1).flatten(0, -2).tolist()
    pairs = zip(rows, label.flatten().int().tolist(), strict=True)
    return [(row, number) for row, number in pairs if number >= 0]


def dice_of(pairs):
    overlap, size = sum(p * t for p, t in pairs), sum(p + t for p, t in pairs)
    return (2 * overlap + EPSILON) / (size + EPSILON)


def dice_and_cross_entropy(logits, label):
    entropy, foreground = 0.0, {1: [], 2: []}
    for row, number in voxels(logits, label):
        total = sum(map(math.exp, row))
        entropy -= math.log(math.exp(row[number]) / total)
        for c, pairs in foreground.items():
            pairs.append((math.exp(row[c]) / total, float(number == c)))
    return entropy / len(voxels(logits, label)) + 1 - sum(map(dice_of, foreground.values())) / 2


def dice_and_binary_cross_entropy(logits, label):
    entropy, of_regions = [], {r: [] for r in range(len(REGIONS))}
    for row, number in voxels(logits, label):
        for r, pairs in of_regions.items():
            p, t = 1 / (1 + math.exp(-row[r])), float(number in REGIONS[r])
            entropy.append(-math.log(p if t else 1 - p))
            pairs.append((p, t))
    return sum(entropy) / len(entropy) + 1 - sum(map(dice_of, of_regions.values())) / len(REGIONS)


@pytest.mark.parametrize("ignored", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("size", [(4, 5), (3, 4, 2)])
def test_it_is_the_loss_of_the_annotated_voxels_alone(size, ignored):
    logits, label = batch(size=size, ignored=ignored)
    assert AnnotatedLoss(dice_ce())(logits, label).item() == pytest.approx(dice_and_cross_entropy(logits, label))


@pytest.mark.parametrize("ignored", [0.0, 0.4])
def test_of_regions_it_is_dice_and_binary_cross_entropy_of_each(ignored):
    logits, label = batch(channels=2, ignored=ignored)
    found = AnnotatedLoss(dice_bce(), REGIONS)(logits, label)  # the focal loss of MONAI is in float32
    assert found.item() == pytest.approx(dice_and_binary_cross_entropy(logits, label), rel=1e-6)


@pytest.mark.parametrize(("loss", "channels"), [(AnnotatedLoss(dice_ce()), 3), (AnnotatedLoss(dice_bce(), REGIONS), 2)])
def test_ignored_voxels_have_no_gradient_and_their_logits_change_nothing(loss, channels):
    logits, label = batch(channels)
    loss(logits, label).backward()
    ignored = (label < 0).expand_as(logits)
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).all()
    changed = torch.where(ignored, 1e3, logits.detach())
    assert torch.equal(loss(changed, label), loss(logits, label))


def test_without_ignored_voxels_it_is_the_loss_itself_to_the_last_bit():
    logits, label = batch(ignored=0.0)
    assert torch.equal(AnnotatedLoss(dice_ce())(logits, label), dice_ce()(logits, label))


def test_without_an_annotated_voxel_it_is_zero_and_backward_works():
    logits, label = batch(ignored=2.0)
    loss = AnnotatedLoss(dice_ce())(logits, label)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_with_mixed_images_each_label_map_ignores_its_own_voxels():
    logits, label = batch()
    other, share = label.flip(0), torch.tensor(0.3)
    mixed = MixupLoss(AnnotatedLoss(dice_ce()))(logits, (label, other, share))
    wanted = 0.3 * dice_and_cross_entropy(logits, label) + 0.7 * dice_and_cross_entropy(logits, other)
    assert mixed.item() == pytest.approx(wanted)


def test_the_levels_of_deep_supervision_ignore_the_same_places():
    logits, label = batch(size=(4, 6), ignored=0.3)
    levels = torch.stack([logits, logits.flip(2)], dim=1)
    found = StackedDeepSupervisionLoss(AnnotatedLoss(dice_ce()))(levels, label)
    wanted = dice_and_cross_entropy(logits, label) + 0.5 * dice_and_cross_entropy(logits.flip(2), label)
    assert found.item() == pytest.approx(wanted, rel=1e-5)  # levels are in float32


@pytest.mark.parametrize("regions", [[1, 2], [[0, 1]], [[]], [["1"]], ["12"], [[True]]])
def test_regions_that_are_no_class_numbers_are_refused(regions):
    with pytest.raises(
        InputError, match=r"regions must be lists of class numbers from 1, as in \[\[1, 2\], \[2\]\], got"
    ):
        AnnotatedLoss(dice_bce(), regions)


def test_it_builds_from_a_config():
    config = {"_target_": "semicl_monai.losses.AnnotatedLoss", "loss": {"_target_": "DiceLoss"}, "regions": REGIONS}
    assert ConfigParser({"loss": config}).get_parsed_content("loss").regions == REGIONS
