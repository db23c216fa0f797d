from __future__ import annotations

import pytest
import torch
from torch import nn

from semicl_monai.networks import MeanTeacher, Snapshots


def convolution(seed):
    torch.manual_seed(seed)
    return nn.Conv2d(1, 3, 3, padding=1)


def test_copies_stay_as_they_were():
    network = nn.Sequential(convolution(0), nn.BatchNorm2d(3))
    snapshots = Snapshots(network, number=2)
    network(torch.rand(2, 1, 4, 4))
    snapshots.keep(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network(torch.rand(2, 1, 4, 4))
    nn.init.ones_(network[0].weight)
    (kept,) = snapshots
    assert all(torch.equal(value, before[key]) for key, value in kept.state_dict().items())
    assert not any(parameter.requires_grad for parameter in snapshots.parameters())
    snapshots.train()
    assert not any(module.training for module in kept.modules())


@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_teacher_and_its_snapshots_teach_their_mean(sigmoid):
    model, images = MeanTeacher(convolution(0), sigmoid=sigmoid, snapshots=2), torch.rand(2, 1, 4, 4)
    networks = [model.teacher]
    for seed in range(3):
        given = [network(images).sigmoid() if sigmoid else network(images).softmax(1) for network in networks]
        torch.testing.assert_close(model.teach(images), torch.stack(given).mean(0))
        if seed < 2:
            networks.append(convolution(seed + 1))
            model.snapshots.keep(networks[-1])


def test_a_resumed_training_has_the_same_snapshots():
    model, other = (MeanTeacher(convolution(seed), snapshots=2) for seed in (0, 1))
    model.snapshots.keep(convolution(2))
    other.load_state_dict(model.state_dict())
    images = torch.rand(1, 1, 4, 4)
    assert torch.equal(model.teach(images), other.teach(images))
    assert len(list(other.snapshots)) == 1
