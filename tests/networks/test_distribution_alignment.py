from __future__ import annotations

import pytest
import torch

from semicl_monai.networks import DistributionAlignment


def case(seed, spatial=(5, 6), classes=4):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(2, classes, *spatial, generator=generator)
    labels = torch.randint(0, classes, (3, 1, *spatial), generator=generator)
    return probabilities / probabilities.sum(1, keepdim=True), labels


def shares(counts):
    return [count / sum(counts) for count in counts]


@pytest.mark.parametrize("spatial", [(5, 6), (3, 4, 5)])
def test_aligned_probabilities_are_those_of_plain_loops(spatial):
    align, of_labels, of_teacher = DistributionAlignment(4, decay=0.9), [0.0] * 4, [0.0] * 4
    for step in range(3):
        probabilities, labels = case(step, spatial)
        aligned = align(probabilities, labels)
        for number in range(1, 4):
            of_labels[number] = 0.9 * of_labels[number] + 0.1 * sum(int(v == number) for v in labels.flatten())
            given = sum(float(p) for image in probabilities for p in image[number].flatten())
            of_teacher[number] = 0.9 * of_teacher[number] + 0.1 * given
        wanted, given = shares(of_labels[1:]), shares(of_teacher[1:])
        factors = [1.0, *(w / g for w, g in zip(wanted, given, strict=True))]
        for image in range(2):
            pixels = probabilities[image].flatten(1).T
            for pixel, result in zip(pixels, aligned[image].flatten(1).T, strict=True):
                changed = [float(p) * factor for p, factor in zip(pixel, factors, strict=True)]
                assert result.tolist() == pytest.approx(shares(changed), abs=1e-5)


def test_probabilities_that_fit_the_labels_stay():
    labels = torch.tensor([1, 1, 2, 0]).reshape(1, 1, 2, 2)
    probabilities = torch.nn.functional.one_hot(labels[:, 0], 3).movedim(-1, 1).float()
    assert torch.allclose(DistributionAlignment(3)(probabilities, labels), probabilities)


def test_a_rare_class_gets_more_and_the_background_is_not_counted():
    labels = torch.tensor([1, 2, 0, 0, 0, 0]).reshape(1, 1, 2, 3)
    probabilities = torch.tensor([0.5, 0.4, 0.1]).reshape(1, 3, 1, 1).expand(1, 3, 2, 3)
    aligned = DistributionAlignment(3)(probabilities, labels)
    assert aligned[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("missing", [(1, 2, 3), (2,)])
def test_nothing_changes_before_each_class_has_occurred_in_labels(missing):
    align, (probabilities, labels) = DistributionAlignment(4), case(0)
    for number in missing:
        labels = labels.masked_fill(labels == number, 0)
    assert torch.equal(align(probabilities, labels), probabilities)
    assert not torch.equal(align(*case(0)), probabilities)


def test_voxels_that_are_not_annotated_do_not_count():
    probabilities, labels = case(0)
    some, all_known = DistributionAlignment(4), DistributionAlignment(4)
    hidden = labels.clone()
    hidden[labels == 2] = -1
    some(probabilities, hidden)
    all_known(probabilities, labels)
    assert some.of_labels[1] == 0
    assert torch.equal(some.of_labels[[0, 2]], all_known.of_labels[[0, 2]])


def test_a_class_that_the_teacher_never_predicts_leaves_finite_numbers():
    probabilities = torch.tensor([0.5, 0.5, 0.0]).reshape(1, 3, 1, 1)
    aligned = DistributionAlignment(3)(probabilities, torch.tensor([[[[1, 2]]]]))
    assert torch.isfinite(aligned).all()
    assert aligned.sum() == pytest.approx(1)


def test_the_moving_averages_are_saved():
    align, other = DistributionAlignment(4), DistributionAlignment(4)
    align(*case(0))
    other.load_state_dict(align.state_dict())
    aligned = align(*case(1))
    assert torch.equal(other(*case(1)), aligned)
    assert not torch.equal(DistributionAlignment(4)(*case(1)), aligned)
