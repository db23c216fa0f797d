from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from semicl_monai.engines import SemiSupervisedPrepareBatch
from semicl_monai.losses import ConsistencyLoss, PseudoLabelLoss
from semicl_monai.networks import MeanTeacher, SelfTraining


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    shapes = {"image": (3, 1, 4, 4), "label": (3, 1, 4, 4)}
    shapes |= dict.fromkeys(("unlabelled_image", "unlabelled_weak_image"), (2, 1, 4, 4))
    return {key: torch.rand(shape, generator=generator) for key, shape in shapes.items()}


def test_unlabelled_images_are_the_second_argument_of_the_network(batch):
    images, labels, arguments, options = SemiSupervisedPrepareBatch()(batch)
    assert images is batch["image"]
    assert labels is batch["label"]
    assert arguments == (batch["unlabelled_image"],)
    assert options == {}


@pytest.mark.parametrize("order", [1, -1])
def test_several_views_are_further_arguments_in_the_order_of_their_keys(batch, order):
    keys = ["unlabelled_weak_image", "unlabelled_image"][::order]
    images, labels, arguments, options = SemiSupervisedPrepareBatch(keys=keys)(batch)
    assert images is batch["image"]
    assert labels is batch["label"]
    assert [view is batch[key] for view, key in zip(arguments, keys, strict=True)] == [True, True]
    assert options == {}


def test_label_maps_may_be_further_arguments_too(batch):
    _, labels, arguments, _ = SemiSupervisedPrepareBatch(["unlabelled_image", "label"])(batch)
    assert arguments[0] is batch["unlabelled_image"]
    assert arguments[1] is labels is batch["label"]


@pytest.mark.parametrize("keys", [["unlabelled_image"], ["unlabelled_weak_image", "unlabelled_image"]])
def test_a_batch_of_labelled_images_has_no_further_arguments(batch, keys):
    labelled = {key: batch[key] for key in ("image", "label")}
    assert SemiSupervisedPrepareBatch(keys)(labelled)[2:] == ((), {})


def test_the_batch_goes_to_the_device_and_the_type_asked_for(batch):
    images, labels, (unlabelled,), _ = SemiSupervisedPrepareBatch()(batch, "meta", True, dtype=torch.float64)
    assert {tensor.device.type for tensor in (images, labels, unlabelled)} == {"meta"}
    assert {tensor.dtype for tensor in (images, labels, unlabelled)} == {torch.float64}


def test_a_trainer_teaches_a_student_on_both(batch):
    """An oracle: the loss the trainer reports is the error on the labels and the distance to the teacher."""
    torch.manual_seed(0)
    network, loss = MeanTeacher(nn.Conv2d(1, 2, 1)), ConsistencyLoss(lambda pred, label: (pred - label).square().mean())
    with torch.no_grad():
        network.teacher.weight[0].add_(0.5)
    loss.weight = 3.0
    labelled = (network.student(batch["image"]) - batch["label"]).square().mean().item()
    both = [net(batch["unlabelled_image"]).softmax(1).flatten().tolist() for net in (network.student, network.teacher)]
    apart = sum((p - q) ** 2 for p, q in zip(*both, strict=True)) / len(both[0])
    assert apart > 1e-4
    config = {"prepare_batch": {"_target_": "semicl_monai.engines.SemiSupervisedPrepareBatch"}}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.student.parameters(), lr=0.1),
        loss_function=loss,
        prepare_batch=ConfigParser(config).get_parsed_content("prepare_batch"),
        decollate=False,
    )
    trainer.run()
    assert trainer.state.output["loss"].item() == pytest.approx(labelled + 3 * apart, rel=1e-5)


def test_a_trainer_teaches_a_student_the_labels_of_the_weak_view_on_the_strong_one(batch):
    """An oracle: the loss the trainer reports is the error on the labels, and cross-entropy and Dice of the others."""
    torch.manual_seed(0)
    network, loss = (
        SelfTraining(nn.Conv2d(1, 2, 1)),
        PseudoLabelLoss(lambda pred, label: (pred - label).square().mean()),
    )
    with torch.no_grad():
        network.teacher.weight[0].add_(3.0)
        network.teacher.bias[1].add_(0.5)
    loss.weight = 3.0
    labelled = (network.student(batch["image"]) - batch["label"]).square().mean().item()
    labels = network.teacher(batch["unlabelled_weak_image"]).argmax(1).flatten().tolist()
    given = network.student(batch["unlabelled_image"]).softmax(1).movedim(1, -1).reshape(-1, 2).tolist()
    assert 0 < sum(labels) < len(labels)
    pairs = list(zip(given, labels, strict=True))
    entropy = -sum(math.log(q[y]) for q, y in pairs) / len(pairs)
    dice = 2 * sum(q[1] * y for q, y in pairs) / sum(q[1] + y for q, y in pairs)
    config = {
        "prepare_batch": {
            "_target_": "semicl_monai.engines.SemiSupervisedPrepareBatch",
            "keys": ["unlabelled_weak_image", "unlabelled_image"],
        }
    }
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.student.parameters(), lr=0.1),
        loss_function=loss,
        prepare_batch=ConfigParser(config).get_parsed_content("prepare_batch"),
        decollate=False,
    )
    trainer.run()
    assert trainer.state.output["loss"].item() == pytest.approx(labelled + 3 * (entropy + 1 - dice), rel=1e-5)
