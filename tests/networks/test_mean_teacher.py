from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet
from torch import nn

from semicl_monai.networks import MeanTeacher
from semicl_monai.transforms import RandSymmetry


class FlipEverySecond:
    """A transform that flips every image, or every second one, whichever it draws."""

    def __init__(self):
        self.drawn = []

    def randomize(self, images):
        self.drawn.append(len(images))
        self.step = len(self.drawn)

    def __call__(self, maps):
        maps = maps.clone()
        maps[:: self.step] = maps[:: self.step].flip(2)
        return maps


@pytest.fixture
def images():
    """Labelled and unlabelled images."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 1, 16, 16, generator=generator), torch.rand(3, 1, 16, 16, generator=generator)


def convolution(kernel_size=3):
    torch.manual_seed(0)
    return nn.Conv2d(1, 3, kernel_size, padding=kernel_size // 2)


def unet_with_batch_norm():
    torch.manual_seed(0)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=[4] * 6, norm="batch")


def probabilities(logits):
    return logits.exp() / logits.exp().sum(1, keepdim=True)


def test_the_teacher_starts_as_a_copy_of_the_student_buffers_included():
    student = unet_with_batch_norm()
    student(torch.rand(2, 1, 32, 32))  # moves the running statistics from where every network has them
    teacher, own = MeanTeacher(student).teacher, student.state_dict()
    assert list(teacher.state_dict()) == list(own)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, own[key])
        assert value.data_ptr() != own[key].data_ptr()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_without_unlabelled_images_it_is_the_student(images):
    model = MeanTeacher(convolution(), noise_std=0.1, transform=FlipEverySecond())
    assert torch.equal(model(images[0]), model.student(images[0]))
    assert model.transform.drawn == []


def test_without_noise_and_transform_both_see_the_same(images):
    model = MeanTeacher(convolution())
    labelled, studied, taught = model(*images)
    torch.testing.assert_close(labelled, model.student(images[0]))
    torch.testing.assert_close(studied, probabilities(model.student(images[1])))
    torch.testing.assert_close(taught, studied)


def test_only_the_teacher_sees_noise_of_the_given_deviation():
    student = nn.Conv2d(1, 2, 1, bias=False)
    nn.init.constant_(student.weight[0], 1)
    nn.init.constant_(student.weight[1], 0)
    torch.manual_seed(0)
    dark = torch.zeros(3, 1, 64, 64)
    _, studied, taught = MeanTeacher(student, noise_std=0.2)(dark, dark)
    assert (studied == 0.5).all()
    noise = (taught[:, 0] / taught[:, 1]).log()
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.2, abs=0.01)


def test_the_students_probabilities_are_transformed_and_the_teacher_sees_transformed_images(images):
    model = MeanTeacher(convolution(), transform=FlipEverySecond())
    nn.init.constant_(model.teacher.bias, 0.5)  # so that the two cannot be taken for each other
    nn.init.normal_(model.teacher.weight, generator=torch.Generator().manual_seed(1))
    x, unlabelled = images
    for step in (1, 2):
        labelled, studied, taught = model(x, unlabelled)
        torch.testing.assert_close(labelled, model.student(x))
        for number, image in enumerate(unlabelled):
            flips = (1,) if number % step == 0 else ()
            own, others = model.student(image[None]), model.teacher(image.flip(flips)[None])
            torch.testing.assert_close(studied[number], probabilities(own)[0].flip(flips))
            torch.testing.assert_close(taught[number], probabilities(others)[0])
    assert model.transform.drawn == [3, 3]


def test_a_pixelwise_student_is_consistent_with_its_teacher_under_a_symmetry(images):
    model = MeanTeacher(convolution(kernel_size=1), transform=RandSymmetry((1.0, 1.0)))
    _, studied, taught = model(*images)
    torch.testing.assert_close(studied, taught)


@pytest.mark.parametrize("options", [{"noise_std": 0.1}, {"transform": RandSymmetry()}])
def test_consistency_alone_gives_a_gradient_to_the_student_and_none_to_the_teacher(images, options):
    model = MeanTeacher(convolution(), **options)
    _, studied, taught = model(*images)
    assert not taught.requires_grad
    (studied - taught).pow(2).mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.student.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())


def test_the_teacher_always_evaluates(images):
    model = MeanTeacher(nn.Sequential(nn.Dropout(0.5), unet_with_batch_norm()))
    x, unlabelled = (nn.functional.interpolate(batch, 32) for batch in images)
    for mode in (True, False, True):
        model.train(mode)
        assert all(module.training == mode for module in model.student.modules())
        assert not any(module.training for module in model.teacher.modules())
    assert model.train() is model
    before = {key: value.clone() for key, value in model.teacher.state_dict().items()}
    taught = [model(x, unlabelled)[2] for _ in range(2)]
    assert torch.equal(*taught)
    assert all(torch.equal(value, before[key]) for key, value in model.teacher.state_dict().items())


def test_batch_statistics_are_those_of_labelled_and_unlabelled_images_together(images):
    x, unlabelled = (nn.functional.interpolate(batch, 32) for batch in images)
    model, alone = MeanTeacher(unet_with_batch_norm()), unet_with_batch_norm()
    labelled, studied, _ = model(x, unlabelled)
    wanted = alone(torch.cat([x, unlabelled]))
    torch.testing.assert_close(labelled, wanted[:2])
    torch.testing.assert_close(studied, probabilities(wanted[2:]))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_of_labelled_images_there_are_all_levels_of_deep_supervision_and_of_unlabelled_ones_the_last(
    deeply_supervised, spatial_dims
):
    student = deeply_supervised(spatial_dims)
    x, unlabelled = torch.rand(5, 1, *[16] * spatial_dims, generator=torch.Generator().manual_seed(0)).split([2, 3])
    model = MeanTeacher(student)
    labelled, studied, taught = model(x, unlabelled)
    torch.testing.assert_close(labelled, student(x))
    assert labelled.shape == (2, 3, 3, *[16] * spatial_dims)
    main = student.eval()(unlabelled)
    torch.testing.assert_close(studied, probabilities(main))
    torch.testing.assert_close(taught, probabilities(main))
    assert model.eval()(x, unlabelled)[0].shape == (2, 3, *[16] * spatial_dims)


def test_the_same_seed_gives_the_same_noise_and_another_seed_other_noise(images):
    def taught(seed):
        model = MeanTeacher(convolution(), noise_std=0.1)
        torch.manual_seed(seed)
        return model(*images)[2]

    assert torch.equal(taught(1), taught(1))
    assert not torch.equal(taught(1), taught(2))


def test_it_builds_from_a_config(images):
    config = {
        "network": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 3, "kernel_size": 3, "padding": 1},
        "model": {
            "_target_": "semicl_monai.networks.MeanTeacher",
            "student": "@network",
            "noise_std": 0.1,
            "transform": {"_target_": "semicl_monai.transforms.RandSymmetry"},
        },
    }
    parser = ConfigParser(config)
    model = parser.get_parsed_content("model")
    assert model.student is parser.get_parsed_content("network")
    assert [output.shape for output in model(*images)] == [(2, 3, 16, 16), (3, 3, 16, 16), (3, 3, 16, 16)]
