from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.engines import SampledLoss


class Recorder:
    """A sampler and a loss that hand on what they get."""

    def __call__(self, *arguments):
        self.arguments = arguments
        return arguments


def seen(input, target):
    """Return what the sampler gets."""
    sampler = Recorder()
    SampledLoss(sampler, lambda embeddings, targets: embeddings.sum())(input, target)
    return sampler.arguments


def test_the_loss_gets_what_the_sampler_gives():
    loss = SampledLoss(lambda maps, labels: (maps + 1, labels + 2), lambda embeddings, targets: (embeddings, targets))
    maps, labels = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    embeddings, targets = loss(maps, labels)
    assert torch.equal(embeddings, maps + 1)
    assert torch.equal(targets, labels + 2)


def test_maps_of_the_labels_size_meet_the_labels_as_they_are():
    labels = torch.randint(0, 3, (2, 1, 4, 4))
    assert seen(torch.zeros(2, 3, 4, 4), labels)[1] is labels


@pytest.mark.parametrize("factor", [2, 4])
def test_labels_are_taken_by_nearest_neighbour_at_the_size_of_smaller_maps(factor):
    labels = torch.randint(0, 3, (2, 1, 8, 12), generator=torch.Generator().manual_seed(0)).float()
    maps, small = seen(torch.zeros(2, 3, 8 // factor, 12 // factor), labels)
    assert maps.shape[1:] == (3, 8 // factor, 12 // factor)
    # The pixel at the centre of each square of `factor` pixels; of an even number, the later of the two in the middle.
    rows, columns = (torch.arange(factor // 2, size, factor) for size in (8, 12))
    assert torch.equal(small, labels[:, :, rows][:, :, :, columns])


def test_labels_of_volumes_shrink_alike_and_integers_stay_whole():
    labels = torch.randint(0, 5, (1, 1, 4, 4, 4), generator=torch.Generator().manual_seed(0))
    small = seen(torch.zeros(1, 3, 2, 2, 2), labels)[1]
    assert torch.equal(small.long(), labels[:, :, 1::2, 1::2, 1::2])


def test_with_a_stride_and_supcon_it_is_the_loss_of_every_second_pixel():
    """The paper's equation in plain loops, double precision: foreground anchors, all other pixels as keys."""
    config = {
        "loss": {
            "_target_": "semicl_monai.engines.SampledLoss",
            "sampler": {"_target_": "semicl_monai.samplers.StrideSampler", "stride": 2},
            "loss": {"_target_": "semicl_monai.losses.SupConLoss", "temperature": 0.5, "background_index": 0},
        }
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 1, 4, 4), generator=generator)
    pixels = [
        ((maps[b, :, h, w] / maps[b, :, h, w].norm()).tolist(), int(labels[b, 0, h, w]))
        for b in range(2) for h in (0, 2) for w in (0, 2)
    ]  # fmt: skip
    terms = []
    for i, (anchor, label) in enumerate(pixels):
        others = [
            (sum(a * b for a, b in zip(anchor, z, strict=True)) / 0.5, y) for j, (z, y) in enumerate(pixels) if j != i
        ]
        positives = [s for s, y in others if y == label]
        if label > 0 and positives:
            terms.append(math.log(sum(math.exp(s) for s, _ in others)) - sum(positives) / len(positives))
    assert len(terms) > 2
    assert loss(maps, labels).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


@pytest.mark.parametrize("arguments", [(), (None,)])
def test_without_labels_the_sampler_gets_none(arguments):
    sampler, maps = Recorder(), torch.zeros(2, 3, 4, 4)
    SampledLoss(sampler, lambda embeddings, targets: embeddings.sum())(maps, *arguments)
    assert sampler.arguments == (maps, None)


def test_with_regions_it_is_the_loss_of_every_image_without_a_label():
    """The paper's equation in plain loops: the same region of the other view against all regions of both views."""
    config = {
        "loss": {
            "_target_": "semicl_monai.engines.SampledLoss",
            "sampler": {"_target_": "semicl_monai.samplers.RegionSampler", "size": 1},
            "loss": {"_target_": "semicl_monai.losses.SupConLoss", "temperature": 0.5},
        }
    }
    loss = ConfigParser(config).get_parsed_content("loss")
    maps = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps.requires_grad_()
    groups, regions = loss.sampler(maps)
    terms = []
    for group, numbers in zip(groups, regions.tolist(), strict=True):
        unit = [(z / z.norm()).tolist() for z in group]
        for i, anchor in enumerate(unit):
            scores = {j: sum(a * b for a, b in zip(anchor, z, strict=True)) / 0.5 for j, z in enumerate(unit) if j != i}
            (positive,) = [score for j, score in scores.items() if numbers[j] == numbers[i]]
            terms.append(math.log(sum(math.exp(score) for score in scores.values())) - positive)
    assert len(terms) == 2 * 26
    value = loss(maps)
    assert value.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    value.backward()
    assert maps.grad.flatten(1).abs().sum(1).min() > 0
