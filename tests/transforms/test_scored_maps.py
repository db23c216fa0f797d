from __future__ import annotations

import pytest
import torch
from monai.metrics import DiceMetric

from semicl_monai.transforms import ScoredMapsd


def sample(channels):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(-1, 3, (1, 6, 5, 4), generator=generator).float()
    return {"pred": torch.randn(channels, 6, 5, 4, generator=generator), "label": label}


def dice_by_voxel(inside, truth, label):
    """The Dice score of lists of answers, over the annotated voxels."""
    pairs = [(p, t) for p, t, number in zip(inside, truth, label, strict=True) if number >= 0]
    return 2 * sum(p and t for p, t in pairs) / sum(p + t for p, t in pairs)


def scores(maps, include_background):
    metric = DiceMetric(include_background=include_background, reduction="none")
    return metric(maps["pred"][None], maps["label"][None])[0].tolist()


def test_dice_of_classes_leaves_ignored_voxels_out():
    data = sample(3)
    best, label = data["pred"].argmax(0).flatten().tolist(), data["label"].flatten().tolist()
    wanted = [dice_by_voxel([b == c for b in best], [n == c for n in label], label) for c in (1, 2)]
    assert scores(ScoredMapsd(num_classes=3)(data), include_background=False) == pytest.approx(wanted)


def test_dice_of_regions_is_that_of_each_sigmoid_above_a_half():
    data, regions = sample(2), [[1, 2], [2]]
    label = data["label"].flatten().tolist()
    inside = data["pred"].sigmoid().flatten(1).tolist()
    wanted = [
        dice_by_voxel([p > 0.5 for p in probabilities], [n in region for n in label], label)
        for probabilities, region in zip(inside, regions, strict=True)
    ]
    assert scores(ScoredMapsd(num_classes=3, regions=regions)(data), include_background=True) == pytest.approx(wanted)


@pytest.mark.parametrize(("channels", "regions"), [(3, None), (2, [[1, 2], [2]])])
def test_an_answer_at_an_ignored_voxel_changes_nothing(channels, regions):
    data, scored = sample(channels), ScoredMapsd(num_classes=3, regions=regions)
    turned = {**data, "pred": torch.where(data["label"] < 0, -data["pred"], data["pred"])}
    assert all(torch.equal(scored(data)[key], scored(turned)[key]) for key in ("pred", "label"))
