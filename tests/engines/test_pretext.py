"""Nearest neighbours are found by plain loops, and a perfect and a random embedding score what they must."""

from __future__ import annotations

import math
from itertools import chain

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import (
    PixelNeighbours,
    PlaceNeighbours,
    RegionRetrieval,
    agreement,
    consistency,
    jigsaw_retrieval,
    region_agreement,
    rotation_accuracy,
    view_retrieval,
)
from semicl_monai.losses import PartitionContrastLoss, Places, PositionContrastLoss
from semicl_monai.samplers import RegionSampler, StrideSampler

LOSSES = [PartitionContrastLoss(num_partitions=4), PositionContrastLoss(threshold=0.15)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def by_hand(anchors, keys, hit, allowed):
    """Whether the nearest allowed key of each anchor hits, and the share of hits: of anchors that have a hit."""
    anchors, keys = anchors.tolist(), keys.tolist()
    scores, chances = [], []
    for i, anchor in enumerate(anchors):
        candidates = [j for j in range(len(keys)) if allowed(i, j)]
        hits = [j for j in candidates if hit(i, j)]
        if hits:
            nearest = max(candidates, key=lambda j: cosine(anchor, keys[j]))
            scores.append(float(nearest in hits))
            chances.append(len(hits) / len(candidates))
    return scores, chances


def as_lists(found):
    scores, chances = found
    return scores.tolist(), pytest.approx(chances.tolist())


def slices(number, seed=0):
    """Random slices of six volumes of 10 to 15 slices."""
    generator = torch.Generator().manual_seed(seed)
    volume = torch.randint(6, (number,), generator=generator)
    size = 10 + volume
    return torch.stack([2**60 + volume, (torch.rand(number, generator=generator) * size).long(), size], dim=1)


def are_positive(loss, one, other):
    """What both papers call a positive pair of slices of two volumes."""
    (_, a, a_size), (_, b, b_size) = one, other
    if isinstance(loss, PartitionContrastLoss):
        return 4 * a // a_size == 4 * b // b_size
    return abs(a / a_size - b / b_size) < 0.15


def test_a_rotation_is_told_when_its_logit_is_the_largest():
    logits = random(20, 4)
    turns = torch.arange(20) % 4
    scores, chance = rotation_accuracy(logits, turns)
    rows = logits.tolist()
    assert scores.tolist() == [float(row.index(max(row)) == i % 4) for i, row in enumerate(rows)]
    assert chance.tolist() == [0.25] * 20


def test_the_other_view_is_sought_among_all_other_embeddings():
    pred = random(8, 3)
    wanted = by_hand(pred, pred, lambda i, j: i % 4 == j % 4, lambda i, j: i != j)
    assert 0 < sum(wanted[0]) < 8
    assert as_lists(view_retrieval(pred)) == wanted
    assert wanted[1] == pytest.approx([1 / 7] * 8)


def test_the_image_of_a_jigsaw_is_sought_among_all_images_the_same_one_twice_included():
    images, jigsaws, numbers = random(7, 3), random(7, 3, seed=1), [5, 8, 5, 2**62, 9, 1, 0]
    wanted = by_hand(jigsaws, images, lambda i, j: numbers[i] == numbers[j], lambda i, j: True)
    assert 0 < sum(wanted[0]) < 7
    assert as_lists(jigsaw_retrieval((images, jigsaws), torch.tensor(numbers))) == wanted
    assert wanted[1][:3] == pytest.approx([2 / 7, 1 / 7, 2 / 7])


@pytest.mark.parametrize("loss", LOSSES, ids=["partition", "position"])
def test_a_positive_slice_is_sought_in_other_volumes(loss):
    target, pred = slices(24).repeat(2, 1), random(48, 3)
    rows = target.tolist()
    wanted = by_hand(
        pred, pred, lambda i, j: are_positive(loss, rows[i], rows[j]), lambda i, j: rows[i][0] != rows[j][0]
    )
    assert 0 < sum(wanted[0]) < len(wanted[0])
    assert as_lists(PlaceNeighbours(loss)(pred, Places.from_rows(target))) == wanted


@pytest.mark.parametrize(
    "loss",
    [PartitionContrastLoss(num_partitions=(2, 1, 3)), PositionContrastLoss(threshold=0.3)],
    ids=["partition", "position"],
)
def test_a_positive_patch_is_sought_in_other_volumes(loss):
    along, pred = [slices(48, seed) for seed in range(3)], random(48, 3)
    along = [axis[along[0][:, 0].argsort()] for axis in along]
    target = torch.stack([along[0][:, 0], *(axis[:, 1] for axis in along), *(axis[:, 2] for axis in along)], dim=1)
    rows = target.tolist()

    def hit(i, j):
        one, other = (
            [(place, number) for place, number in zip(row[1:4], row[4:], strict=True)] for row in (rows[i], rows[j])
        )
        if isinstance(loss, PartitionContrastLoss):
            return all(s * a // m == s * b // n for s, (a, m), (b, n) in zip((2, 1, 3), one, other, strict=True))
        return math.dist([a / m for a, m in one], [b / n for b, n in other]) < 0.3

    wanted = by_hand(pred, pred, hit, lambda i, j: rows[i][0] != rows[j][0])
    assert 0 < sum(wanted[0]) < len(wanted[0])
    assert as_lists(PlaceNeighbours(loss)(pred, Places.from_rows(target))) == wanted


def test_a_region_is_sought_in_both_views_of_its_image_alone():
    sampler, maps = RegionSampler(size=1), random(6, 4, 16, 16)
    embeddings, numbers = sampler(maps)
    assert embeddings.shape == (3, 26, 4)
    wanted = [
        by_hand(group, group, lambda i, j, own=own: own[i] == own[j], lambda i, j: i != j)
        for group, own in zip(embeddings, numbers.tolist(), strict=True)
    ]
    scores, chances = ([*chain(*column)] for column in zip(*wanted, strict=True))
    assert 0 < sum(scores) < len(scores) == 78
    assert as_lists(RegionRetrieval(sampler)(maps)) == (scores, chances)


def test_a_pixel_of_the_same_class_is_sought_in_other_images_background_included():
    maps, labels = random(6, 3, 6, 4), torch.randint(3, (6, 1, 6, 4), generator=torch.Generator().manual_seed(1))
    pixels = [(b, h, w) for b in range(6) for h in (0, 2, 4) for w in (0, 2)]
    vectors = torch.stack([maps[b, :, h, w] for b, h, w in pixels])
    classes = [int(labels[b, 0, h, w]) for b, h, w in pixels]
    anchors = [i for i, label in enumerate(classes) if label > 0]
    wanted = by_hand(
        vectors[anchors],
        vectors,
        lambda i, j: classes[anchors[i]] == classes[j],
        lambda i, j: pixels[anchors[i]][0] % 3 != pixels[j][0] % 3,
    )
    assert 0 < sum(wanted[0]) < len(wanted[0]) == len(anchors) < len(pixels)
    assert as_lists(PixelNeighbours(StrideSampler(stride=2))(maps, labels)) == wanted


def test_pixels_of_a_smaller_map_have_the_labels_nearest_to_them():
    maps, labels = random(6, 3, 3, 2), torch.randint(3, (6, 1, 6, 4), generator=torch.Generator().manual_seed(1))
    score = PixelNeighbours(StrideSampler(stride=1))
    for found, wanted in zip(score(maps, labels), score(maps, labels[:, :, 1::2, 1::2]), strict=True):
        assert torch.equal(found, wanted)


def test_consistency_is_the_distance_to_the_teacher_and_by_chance_that_to_another_image():
    student, teacher = random(3, 2, 4, 4).softmax(1), random(3, 2, 4, 4, seed=1).softmax(1)

    def distance(i, j):
        pairs = zip(student[i].flatten().tolist(), teacher[j].flatten().tolist(), strict=True)
        return sum((p - q) ** 2 for p, q in pairs) / 32

    scores, chance = consistency((random(5, 2, 4, 4), student, teacher), torch.zeros(5, 1, 4, 4))
    assert scores.tolist() == pytest.approx([distance(i, i) for i in range(3)])
    assert chance.tolist() == pytest.approx([distance(0, 2), distance(1, 0), distance(2, 1)])
    assert consistency((student, student, student))[0].tolist() == [0, 0, 0]


def test_agreement_is_the_share_of_equal_labels_and_by_chance_that_with_another_image():
    student, teacher = random(3, 3, 4, 4), random(3, 3, 4, 4, seed=1).softmax(1)

    def share(i, j):
        pairs = zip(*(maps.flatten(1).T.tolist() for maps in (student[i], teacher[j])), strict=True)
        return sum(p.index(max(p)) == q.index(max(q)) for p, q in pairs) / 16

    pred = (random(5, 3, 4, 4), student, teacher)
    for outputs in (pred, (*pred, random(8, 6, 4, 4))):
        scores, chance = agreement(outputs, torch.zeros(5, 1, 4, 4))
        assert scores.tolist() == pytest.approx([share(i, i) for i in range(3)])
        assert chance.tolist() == pytest.approx([share(0, 2), share(1, 0), share(2, 1)])
    assert 0 < scores.min() < scores.max() < 1
    assert agreement((student, student, student))[0].tolist() == [1, 1, 1]


def test_volumes_agree_voxel_by_voxel():
    student = random(2, 2, 3, 4, 5)
    teacher = student.clone()
    teacher[1, :, 0] = -teacher[1, :, 0]  # with two classes the other one is now the largest, in a third of the voxels
    scores, _ = agreement((student, student, teacher))
    assert scores.tolist() == pytest.approx([1, 2 / 3])


@pytest.mark.parametrize("score", [consistency, agreement])
def test_without_a_teacher_there_is_no_score(score):
    scores, chance = score(random(5, 2, 4, 4), torch.zeros(5, 1, 4, 4))
    assert scores.shape == chance.shape == (0,)


def views(seed, perfect):
    pred = random(200, 4, seed=seed)
    return view_retrieval(torch.cat([pred[:100], 3 * pred[:100]]) if perfect else pred)


def jigsaws(seed, perfect):
    images, shuffled = random(2, 100, 4, seed=seed)
    return jigsaw_retrieval((images, 3 * images if perfect else shuffled), torch.arange(100))


def neighbours(loss):
    def score(seed, perfect):
        target = slices(200, seed)
        angle = torch.floor(4 * target[:, 1] / target[:, 2]) if loss is LOSSES[0] else target[:, 1] / target[:, 2]
        pred = torch.stack([angle.cos(), angle.sin()], dim=1) if perfect else random(200, 4, seed=seed)
        return PlaceNeighbours(loss)(pred, Places.from_rows(target))

    return score


def regions(seed, perfect):
    maps = random(20, 4, 16, 16, seed=seed)
    return RegionRetrieval(RegionSampler(size=1))(torch.cat([maps[:10], 3 * maps[:10]]) if perfect else maps)


def pixels(seed, perfect):
    labels = torch.randint(3, (4, 1, 16, 16), generator=torch.Generator().manual_seed(seed))
    maps = torch.nn.functional.one_hot(labels[:, 0], 3).movedim(-1, 1) if perfect else random(4, 3, 16, 16, seed=seed)
    return PixelNeighbours(StrideSampler(stride=1))(maps, labels)


def rotations(seed, perfect):
    turns = torch.arange(200) % 4
    return rotation_accuracy(torch.eye(4)[turns] if perfect else random(200, 4, seed=seed), turns)


SCORES = {
    "rotation": rotations,
    "views": views,
    "jigsaw": jigsaws,
    "partition": neighbours(LOSSES[0]),
    "position": neighbours(LOSSES[1]),
    "regions": regions,
    "pixels": pixels,
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_perfect_embedding_scores_one(score):
    scores, chance = score(seed=0, perfect=True)
    assert len(scores) == len(chance) > 50
    assert scores.min() == 1


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_random_embeddings_score_about_chance(score):
    results = [score(seed=seed, perfect=False) for seed in range(5)]
    scores, chance = (torch.cat(column) for column in zip(*results, strict=True))
    error = math.sqrt(chance.mean() * (1 - chance.mean()) / len(scores))
    assert scores.mean().item() == pytest.approx(chance.mean().item(), abs=4 * error)


@pytest.mark.parametrize("loss", LOSSES, ids=["partition", "position"])
def test_a_slice_without_a_positive_in_another_volume_drops_out(loss):
    target = torch.tensor([[1, 0, 20], [2, 1, 20], [2, 19, 20], [2, 18, 20]])
    pred = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, 1.0]])
    scores, chance = PlaceNeighbours(loss)(pred, Places.from_rows(target))
    assert scores.tolist() == [1, 1]
    assert chance.tolist() == pytest.approx([1 / 3, 1])


def test_a_pixel_of_a_class_that_no_other_image_has_drops_out():
    labels = torch.tensor([[1, 2], [1, 0], [1, 2], [1, 0]]).view(4, 1, 2, 1)
    scores, chance = PixelNeighbours(StrideSampler(stride=1))(random(4, 3, 2, 1), labels)
    assert len(scores) == 4
    assert chance.tolist() == [0.5] * 4


def test_one_volume_or_one_image_has_no_anchor():
    target = torch.tensor([[1, 3, 20], [1, 3, 20]])
    one_image = PixelNeighbours(StrideSampler(stride=1))(random(2, 3, 4, 4), torch.ones(2, 1, 4, 4))
    only_background = PixelNeighbours(StrideSampler(stride=1))(random(4, 3, 4, 4), torch.zeros(4, 1, 4, 4))
    for scores, chance in (
        *(PlaceNeighbours(loss)(random(2, 3), Places.from_rows(target)) for loss in LOSSES),
        one_image,
        only_background,
    ):
        assert scores.shape == chance.shape == (0,)


def test_embeddings_of_half_precision_are_compared_in_single():
    pred = random(40, 8).half()
    assert view_retrieval(pred)[0].tolist() == view_retrieval(pred.float())[0].tolist()


@pytest.mark.parametrize(
    ("name", "option", "part"),
    [
        ("PlaceNeighbours", "loss", "losses.PositionContrastLoss"),
        ("RegionRetrieval", "sampler", "samplers.RegionSampler"),
        ("PixelNeighbours", "sampler", "samplers.StrideSampler"),
    ],
)
def test_they_build_from_a_config(name, option, part):
    config = {"_target_": f"semicl_monai.engines.{name}", option: {"_target_": f"semicl_monai.{part}"}}
    assert callable(ConfigParser({"scores": config}).get_parsed_content("scores"))


@pytest.mark.parametrize(
    "name", ["rotation_accuracy", "view_retrieval", "jigsaw_retrieval", "consistency", "agreement"]
)
def test_functions_come_from_a_config_as_they_are(name):
    config = {"scores": {"_target_": f"semicl_monai.engines.{name}", "_mode_": "callable"}}
    assert ConfigParser(config).get_parsed_content("scores").__name__ == name


def test_ignored_pixels_are_neither_anchors_nor_neighbours():
    maps, labels = random(4, 3, 2, 2), torch.tensor([[0, 1, 2, -1]]).repeat(4, 1).reshape(4, 1, 2, 2)
    without = PixelNeighbours(StrideSampler(stride=1))(maps, labels)
    near = maps.clone()
    near[2:, :, 1, 1] = maps[:2, :, 0, 1]  # ignored pixels of the other images equal the anchors of class 1
    assert [values.tolist() for values in PixelNeighbours(StrideSampler(stride=1))(near, labels)] == [
        values.tolist() for values in without
    ]
    assert len(without[0]) == 8


def test_agreement_of_regions_is_the_share_of_equal_answers():
    student, teacher = random(2, 2, 3, 3), random(2, 2, 3, 3, seed=1).sigmoid()
    scores, chance = region_agreement((student, student, teacher))

    def share(i, j):
        pairs = zip(student[i].flatten().tolist(), teacher[j].flatten().tolist(), strict=True)
        return sum((logit > 0) == (p > 0.5) for logit, p in pairs) / 18

    assert scores.tolist() == pytest.approx([share(0, 0), share(1, 1)])
    assert chance.tolist() == pytest.approx([share(0, 1), share(1, 0)])
    assert len(region_agreement(student)[0]) == 0
