from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet
from torch import nn

from semicl_monai.networks import DistributionAlignment, MeanTeacher, SelfTraining
from semicl_monai.transforms import RandCutMix, RandWarp


@pytest.fixture
def images():
    """Labelled images, and the weak and the strong view of unlabelled ones."""
    return torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)).split([2, 3, 3])


def unet(norm="instance", dropout=0.0):
    torch.manual_seed(0)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=[4] * 6, norm=norm, dropout=dropout)


def taught_otherwise(model):
    """The model with another teacher, so that the two cannot be taken for each other."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.teacher.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def probabilities(logits):
    return logits.exp() / logits.exp().sum(1, keepdim=True)


def test_it_is_a_teacher_with_a_student_that_starts_as_its_copy():
    model = SelfTraining(unet())
    assert isinstance(model, MeanTeacher)
    for one, other in zip(model.teacher.parameters(), model.student.parameters(), strict=True):
        assert torch.equal(one, other)
        assert (one.requires_grad, other.requires_grad) == (False, True)


def test_the_student_sees_the_strong_view_and_the_teacher_the_weak_one(images):
    model = taught_otherwise(SelfTraining(unet()))
    x, weak, strong = images
    labelled, studied, taught = model(x, weak, strong)
    torch.testing.assert_close(labelled, model.student(x))
    torch.testing.assert_close(studied, model.student(strong))
    torch.testing.assert_close(taught, probabilities(model.teacher(weak)))
    assert not torch.allclose(taught, probabilities(model.student(weak)), atol=1e-3)


def test_the_probabilities_of_the_teacher_are_aligned_with_the_labels_of_labelled_images(images):
    x, weak, strong = images
    labels = torch.randint(0, 3, (2, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    model = taught_otherwise(SelfTraining(unet(), align=DistributionAlignment(3)))
    _, _, taught = model(x, weak, strong, labels)
    plain = probabilities(model.teacher(weak))
    torch.testing.assert_close(taught, DistributionAlignment(3)(plain, labels))
    assert not torch.allclose(taught, plain, atol=1e-3)
    torch.testing.assert_close(model(x, weak, strong)[2], plain)


def test_several_strong_views_have_the_same_labels(images):
    mix = RandCutMix(prob=1.0, generator=torch.Generator().manual_seed(0))
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), transform=mix)), images
    labelled, studied, taught = model(x, weak, torch.cat([strong, 1 - strong], dim=1))
    torch.testing.assert_close(labelled, model.student(x))
    torch.testing.assert_close(studied, model.student(mix(torch.cat([strong, 1 - strong]))))
    wanted = probabilities(model.teacher(weak))
    torch.testing.assert_close(taught, mix(torch.cat([wanted, wanted])))


def test_what_the_student_sees_and_the_teachers_probabilities_are_transformed_alike(images):
    class FlipEverySecond:
        """A transform that flips every image, or every second one, whichever it draws."""

        drawn = 0

        def randomize(self, images):
            self.drawn += 1

        def __call__(self, maps):
            maps = maps.clone()
            maps[:: self.drawn] = maps[:: self.drawn].flip(2)
            return maps

    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), transform=FlipEverySecond())), images
    for step in (1, 2):
        labelled, studied, taught = model(x, weak, strong)
        torch.testing.assert_close(labelled, model.student(x))
        for number in range(3):
            flips = (1,) if number % step == 0 else ()
            torch.testing.assert_close(studied[number], model.student(strong[number].flip(flips)[None])[0])
            torch.testing.assert_close(taught[number], probabilities(model.teacher(weak[number][None]))[0].flip(flips))
    assert model.transform.drawn == 2
    assert torch.equal(model(x), model.student(x))
    assert model.transform.drawn == 2


def test_images_of_which_boxes_are_mixed_have_the_teachers_probabilities_of_those_boxes(images):
    mix = RandCutMix(prob=1.0, share=(0.5, 0.5), generator=torch.Generator().manual_seed(0))
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), transform=mix)), images
    _, studied, taught = model(x, weak, strong)
    wanted, mixed = probabilities(model.teacher(weak)), strong.clone()
    rows, columns = mix.box
    for number in range(3):
        other = (number - 1) % 3
        mixed[number, :, rows, columns] = strong[other, :, rows, columns]
        outside = torch.ones(32, 32, dtype=torch.bool)
        outside[rows, columns] = False
        torch.testing.assert_close(taught[number, :, rows, columns], wanted[other, :, rows, columns])
        torch.testing.assert_close(taught[number][:, outside], wanted[number][:, outside])
    torch.testing.assert_close(studied, model.student(mixed))


def test_what_comes_from_beyond_the_border_is_background(images):
    shift = RandWarp(prob=1.0, rotate=0, scale=0, shear=0, translate=0.5, deform=0)
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), transform=[shift])), images
    torch.manual_seed(0)
    _, _, taught = model(x, weak, strong)
    outside = shift(torch.ones(3, 1, 32, 32))[:, 0] == 0
    assert outside.any()
    assert torch.equal(taught.movedim(1, -1)[outside].unique(dim=0), torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(taught.sum(1), torch.ones(3, 32, 32))


def test_several_transforms_follow_each_other(images):
    mix = RandCutMix(prob=1.0, generator=torch.Generator().manual_seed(0))
    warp = RandWarp(generator=torch.Generator().manual_seed(0))
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), transform=[warp, mix])), images
    _, studied, taught = model(x, weak, strong)
    torch.testing.assert_close(studied, model.student(mix(warp(strong))))
    torch.testing.assert_close(taught[:, 1:], mix(warp(probabilities(model.teacher(weak))))[:, 1:])


class Swap:
    """It takes the left half of each image from another one, and notes how many others there were."""

    def randomize(self, images, count):
        self.count = count

    def __call__(self, maps, others):
        mixed = maps.clone()
        if self.count:
            mixed[..., :16] = others[[number % len(others) for number in range(len(maps))]][..., :16]
        return mixed


def test_parts_of_labelled_images_come_with_their_labels(images):
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet(), paste=Swap())), images
    labels = torch.randint(0, 3, (2, 1, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    labelled, studied, taught = model(x, weak, strong, labels)
    torch.testing.assert_close(labelled, model.student(x))
    mixed = torch.cat([x[[0, 1, 0]][..., :16], strong[..., 16:]], dim=-1)
    torch.testing.assert_close(studied, model.student(mixed))
    torch.testing.assert_close(taught[..., 16:], probabilities(model.teacher(weak))[..., 16:])
    for number, row, column in product(range(3), range(32), range(16)):
        wanted = [float(labels[number % 2, 0, row, column] == c) for c in range(3)]
        assert taught[number, :, row, column].tolist() == wanted


def test_parts_of_images_with_voxels_that_are_not_annotated_are_not_pasted(images):
    swap, (x, weak, strong) = Swap(), images
    model = taught_otherwise(SelfTraining(unet(), paste=swap))
    labels = torch.zeros(2, 1, 32, 32)
    labels[0, 0, 0, 0] = -1
    _, studied, _ = model(x, weak, strong, labels)
    mixed = torch.cat([x[[1, 1, 1]][..., :16], strong[..., 16:]], dim=-1)
    torch.testing.assert_close(studied, model.student(mixed))
    labels[1, 0, 0, 0] = -1
    _, studied, taught = model(x, weak, strong, labels)
    assert swap.count == 0
    torch.testing.assert_close(studied, model.student(strong))
    torch.testing.assert_close(taught, probabilities(model.teacher(weak)))


def test_pasted_labels_of_regions_are_the_maps_of_the_regions(images):
    x, weak, strong = images
    model = SelfTraining(unet(), paste=Swap(), regions=[[1, 2], [2], [1]])
    labels = torch.randint(0, 3, (2, 1, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    taught = model(x, weak, strong, labels)[2]
    for number, row, column in product(range(3), range(32), range(16)):
        label = int(labels[number % 2, 0, row, column])
        assert taught[number, :, row, column].tolist() == [float(label > 0), float(label == 2), float(label == 1)]


def test_without_views_it_is_the_student(images):
    model = SelfTraining(unet())
    assert torch.equal(model(images[0]), model.student(images[0]))


def test_the_student_gets_a_gradient_of_both_its_outputs_and_the_teacher_none(images):
    model, (x, weak, strong) = SelfTraining(unet()), images
    *outputs, taught = model(x, weak.clone().requires_grad_(), strong)
    assert not taught.requires_grad
    for output in outputs:
        model.zero_grad()
        output[:, 0].square().mean().backward(retain_graph=True)
        assert sum(p.grad.abs().sum() for p in model.student.parameters()) > 0
    assert all(p.grad is None for p in model.teacher.parameters())


def test_batch_statistics_are_those_of_labelled_images_and_strong_views_together(images):
    model, alone = SelfTraining(unet("batch")), unet("batch")
    x, _, strong = images
    labelled, studied, _ = model(*images)
    torch.testing.assert_close(torch.cat([labelled, studied]), alone(torch.cat([x, strong])))
    for key, value in alone.named_buffers():
        torch.testing.assert_close(model.student.get_buffer(key), value)
        assert not value.is_floating_point() or not torch.equal(model.teacher.get_buffer(key), value)


def test_the_teacher_always_evaluates(images):
    model = SelfTraining(unet("batch", dropout=0.5)).train()
    (_, one, first), (_, other, second) = model(*images), model(*images)
    assert torch.equal(first, second)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_labelled_images_and_strong_views_have_all_levels_of_deep_supervision(deeply_supervised, spatial_dims):
    model, size = taught_otherwise(SelfTraining(deeply_supervised(spatial_dims))), [16] * spatial_dims
    x, weak, strong = torch.rand(8, 1, *size, generator=torch.Generator().manual_seed(0)).split([2, 3, 3])
    labelled, studied, taught = model(x, weak, strong)
    levels = model.student(torch.cat([x, strong]))
    assert levels.shape == (5, 3, 3, *size)
    torch.testing.assert_close(labelled, levels[:2])
    torch.testing.assert_close(studied, levels[2:])
    torch.testing.assert_close(taught, probabilities(model.teacher(weak)))
    assert [output.shape for output in model.eval()(x, weak, strong)] == [(n, 3, *size) for n in (2, 3, 3)]
    assert model(x).shape == (2, 3, *size)


def test_its_state_is_that_of_student_and_teacher(images):
    model, again = taught_otherwise(SelfTraining(unet("batch"))), SelfTraining(unet("batch"))
    model(*images)  # moves the running statistics of the student
    keys = list(unet("batch").state_dict())
    assert set(model.state_dict()) == {f"{part}.{key}" for part in ("student", "teacher") for key in keys}
    again.load_state_dict(model.state_dict())
    for one, other in zip(model.eval()(*images), again.eval()(*images), strict=True):
        assert torch.equal(one, other)


def test_it_builds_from_a_config():
    config = {
        "network": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 3, "kernel_size": 3, "padding": 1},
        "model": {"_target_": "semicl_monai.networks.SelfTraining", "student": "@network", "transform": "@mix"},
        "mix": {"_target_": "semicl_monai.transforms.RandCutMix", "prob": 1.0},
    }
    parser = ConfigParser(config)
    model = parser.get_parsed_content("model")
    assert model.student is parser.get_parsed_content("network")
    assert isinstance(model.teacher, nn.Conv2d)
    images = torch.zeros(2, 1, 8, 8)
    assert [output.shape for output in model(images, images, images)] == [(2, 3, 8, 8)] * 3


def test_probabilities_of_regions_are_sigmoids_and_nothing_is_added_outside(images):
    class Shift:
        """A transform that moves images by four voxels, with zeros from outside."""

        def randomize(self, images):
            pass

        def __call__(self, maps):
            moved = torch.zeros_like(maps)
            moved[:, :, 4:] = maps[:, :, :-4]
            return moved

    model = taught_otherwise(SelfTraining(unet(), Shift(), regions=[[1, 2], [1], [2]]))
    x, weak, strong = images
    taught = model(x, weak, strong)[2]
    assert (taught[:, :, :4] == 0).all()
    torch.testing.assert_close(taught[:, :, 4:], 1 / (1 + (-model.teacher(weak)[:, :, :-4]).exp()))


def test_a_mean_teacher_of_regions_compares_sigmoids(images):
    model = taught_otherwise(MeanTeacher(unet(), sigmoid=True))
    _, studied, taught = model(images[0], images[1])
    torch.testing.assert_close(studied, 1 / (1 + (-model.student(images[1])).exp()))
    torch.testing.assert_close(taught, 1 / (1 + (-model.teacher(images[1])).exp()))


def known_voxels(*size):
    """Label maps of three images: one without annotation, one with all of it, one of which half is background."""
    known = torch.full((3, 1, *size), -1.0)
    known[1] = torch.randint(0, 3, size, generator=torch.Generator().manual_seed(0))
    known[2, :, :, size[1] // 2 :] = 0
    return known


def test_annotated_voxels_have_their_labels_and_disagreement_takes_weight_off_the_others(images):
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet())), images
    plain, known = probabilities(model.teacher(weak)), known_voxels(32, 32)
    taught = model(x, weak, strong, known=known)[2]
    torch.testing.assert_close(taught[0], plain[0])
    wrong = sum(1 - plain[2, 0, row, column].item() for row, column in product(range(32), range(16, 32)))
    foreground = sum(1 - plain[2, 0, row, column].item() for row, column in product(range(32), repeat=2))
    assert 0.2 < wrong / foreground < 0.8
    torch.testing.assert_close(taught[2, ..., :16], plain[2, ..., :16] * (1 - wrong / foreground))
    for number, row, column in product((1, 2), range(32), range(16, 32)):
        label = int(known[number, 0, row, column])
        assert taught[number, :, row, column].tolist() == [float(label == c) for c in range(3)]


def test_labels_and_weights_are_transformed_with_the_image(images):
    shift = RandWarp(prob=1.0, rotate=0, scale=0, shear=0, translate=0.5, deform=0)
    model, (x, weak, strong) = taught_otherwise(SelfTraining(unet())), images
    still = model(x, weak, strong, known=known_voxels(32, 32))[2]
    model.transform = shift
    torch.manual_seed(0)
    taught = model(x, weak, strong, known=known_voxels(32, 32))[2]
    outside = shift(torch.ones(3, 1, 32, 32)) == 0
    assert outside.any()
    torch.testing.assert_close(taught[:, 1:], shift(still[:, 1:]))
    assert torch.equal(taught[:, :1][outside], torch.ones(int(outside.sum())))
    assert taught.sum(1).min() < 0.9
    assert taught.sum(1).max() < 1.0001


def test_an_image_without_foreground_keeps_its_weight(images):
    """With annotated background alone, and a teacher that sees no foreground, there is no disagreement."""
    model, (x, weak, strong) = SelfTraining(unet()), images
    bias = model.teacher.final_conv.bias
    bias.copy_(torch.tensor([200.0, 0.0, 0.0]))
    taught = model(x, weak, strong, known=known_voxels(32, 32))[2]
    torch.testing.assert_close(taught[[0, 2]].sum(1), torch.ones(2, 32, 32))


def test_annotated_voxels_of_regions_have_the_maps_of_the_regions(images):
    x, weak, strong = images
    model, known = SelfTraining(unet(), regions=[[1, 2], [2], [1]]), known_voxels(32, 32)
    taught, plain = model(x, weak, strong, known=known)[2], model.teacher(weak).sigmoid()
    torch.testing.assert_close(taught[0], plain[0])
    torch.testing.assert_close(taught[2, ..., :16], plain[2, ..., :16])
    for row, column in product(range(32), repeat=2):
        label = int(known[1, 0, row, column])
        assert taught[1, :, row, column].tolist() == [float(label > 0), float(label == 2), float(label == 1)]
