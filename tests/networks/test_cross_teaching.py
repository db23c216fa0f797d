from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from semicl_monai.networks import CrossTeaching, SelfTraining
from semicl_monai.transforms import RandCopyPaste


@pytest.fixture
def images():
    """Labelled images, and the weak and the strong view of unlabelled ones."""
    return torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)).split([2, 3, 3])


def unet():
    torch.manual_seed(0)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=[4] * 6, norm="instance")


def test_both_students_have_their_own_start_and_their_own_teacher():
    network = unet()
    before = [parameter.clone() for parameter in network.parameters()]
    model = CrossTeaching(network)
    assert isinstance(model, SelfTraining)
    assert model.student is network
    assert all(map(torch.equal, before, network.parameters()))
    kernels = [
        (one, two)
        for one, two in zip(network.parameters(), model.other.student.parameters(), strict=True)
        if one.ndim > 1
    ]
    assert not any(torch.equal(one, two) for one, two in kernels)
    for teacher, student in ((model.teacher, model.student), (model.other.teacher, model.other.student)):
        assert all(map(torch.equal, teacher.parameters(), student.parameters()))
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
    model.train()
    assert (model.student.training, model.other.student.training) == (True, True)
    assert (model.teacher.training, model.other.teacher.training) == (False, False)


def test_each_student_sees_every_second_image_and_then_the_others(images):
    model, (x, weak, strong) = CrossTeaching(unet()), images
    together = torch.cat([x, strong])
    for step in range(3):
        given = torch.cat(model(x, weak, strong)[:2])
        for number, image in enumerate(together):
            student = model.student if (number + step) % 2 == 0 else model.other.student
            torch.testing.assert_close(given[number], student(image[None])[0])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_labelled_images_alone_are_seen_in_turns_too(images, count):
    model, x = CrossTeaching(unet()), torch.cat(images)[:count]
    for step in range(3):
        given = model(x)
        assert len(given) == count
        for number, image in enumerate(x):
            student = model.student if (number + step) % 2 == 0 else model.other.student
            torch.testing.assert_close(given[number], student(image[None])[0])


def test_the_labels_are_the_mean_of_both_teachers(images):
    model, (x, weak, strong) = CrossTeaching(unet()), images
    with torch.no_grad():
        first, second = (net(weak).exp() for net in (model.teacher, model.other.teacher))
    wanted = (first / first.sum(1, keepdim=True) + second / second.sum(1, keepdim=True)) / 2
    torch.testing.assert_close(model(x, weak, strong)[2], wanted)
    regions = CrossTeaching(unet(), regions=[[1, 2], [2], [1]])
    with torch.no_grad():
        wanted = (regions.teacher(weak).sigmoid() + regions.other.teacher(weak).sigmoid()) / 2
    torch.testing.assert_close(regions(x, weak, strong)[2], wanted)


def test_both_students_get_a_gradient_and_no_teacher_does(images):
    model, (x, weak, strong) = CrossTeaching(unet(), paste=RandCopyPaste(prob=1.0)), images
    labelled, studied, taught = model(x, weak, strong, torch.ones(2, 1, 32, 32))
    (labelled.square().sum() + studied.square().sum()).backward()
    assert not taught.requires_grad
    for student in (model.student, model.other.student):
        assert all(parameter.grad is not None for parameter in student.parameters())
    for teacher in (model.teacher, model.other.teacher):
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_resumed_training_goes_on_with_the_same_turn(images):
    model, again = CrossTeaching(unet()), CrossTeaching(unet())
    model(images[0])
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(images[0]), model(images[0]))


def test_deep_supervision_keeps_its_levels(images):
    class Levels(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 1)

        def forward(self, x):
            return torch.stack([self.conv(x)] * 2, dim=1)

    model, (x, _, strong) = CrossTeaching(Levels()), images
    labelled, studied = model.learn(x, strong)
    assert (labelled.shape, studied.shape) == ((2, 2, 3, 32, 32), (3, 2, 3, 32, 32))
