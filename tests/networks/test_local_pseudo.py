from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet
from torch import nn

from semicl_monai.networks import DenseHead, LocalPseudo, NetworkLayout, SelfTraining
from semicl_monai.utils import InputError

HEAD = partial(DenseHead, hidden_channels=6, out_channels=5)


@pytest.fixture
def images():
    """Labelled images, and the weak and the strong view of unlabelled ones."""
    return torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)).split([2, 3, 3])


@pytest.fixture
def model():
    """A student whose every pass is another one, with its teacher and its head."""
    torch.manual_seed(0)
    return LocalPseudo(BasicUNet(2, 1, 3, features=[4] * 6, dropout=0.3), HEAD)


def watched(module):
    """A list that gets whatever the module gives from now on."""
    outputs = []
    module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    return outputs


def test_embeddings_are_the_head_of_the_map_that_the_logits_are_made_of(model, images):
    maps, heads = watched(model.student.upcat_1), watched(model.head)
    labelled, studied, _, embeddings = model(*images)
    assert len(maps) == len(heads) == 1
    assert maps[0].shape == (5, 4, 32, 32)
    torch.testing.assert_close(torch.cat([labelled, studied]), model.student.final_conv(maps[0]))
    torch.testing.assert_close(embeddings, model.head(maps[0]))
    assert embeddings.shape == (5, 5, 32, 32)


def test_each_network_sees_its_images_once(model, images):
    studied, taught = watched(model.student), watched(model.teacher)
    model(*images)
    assert [len(output) for output in studied] == [5]
    assert [len(output) for output in taught] == [3]


def test_the_other_outputs_are_those_of_self_training(model, images):
    with torch.no_grad():
        next(model.teacher.parameters()).mul_(2)
    model.eval()
    plain = SelfTraining(model.student)
    plain.teacher = model.teacher
    for one, other in zip(model(*images)[:3], plain(*images), strict=True):
        assert torch.equal(one, other)


def test_embeddings_are_those_of_transformed_images(images):
    def upside_down(maps):
        return maps.flip(2)

    upside_down.randomize = lambda images: None
    torch.manual_seed(0)
    model = LocalPseudo(BasicUNet(2, 1, 3, features=[4] * 6), HEAD, transform=upside_down)
    x, weak, strong = images
    plain = LocalPseudo(model.student, HEAD)
    plain.head = model.head
    for one, other in zip(model(*images)[:2], plain(x, weak, strong.flip(2))[:2], strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(model(*images)[2], plain(*images)[2].flip(2))
    torch.testing.assert_close(model(*images)[3], plain(x, weak, strong.flip(2))[3])


def test_without_views_there_are_the_plain_logits(model, images):
    heads = watched(model.head)
    model.eval()
    assert torch.equal(model(images[0]), model.student(images[0]))
    assert heads == []


def test_embeddings_teach_student_and_head_but_neither_the_classifier_nor_the_teacher(model, images):
    *_, embeddings = model(*images)
    embeddings[:, :, ::2].square().mean().backward()
    for name, parameter in model.student.named_parameters():
        assert (parameter.grad is None) == name.startswith("final_conv"), name
    assert sum(p.grad.abs().sum() for name, p in model.student.named_parameters() if name.startswith("conv_0")) > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.head.parameters())
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


@pytest.mark.parametrize("broken", [None, "student", "teacher"])
def test_the_student_is_watched_during_a_pass_only_also_when_it_fails(model, images, broken):
    if broken is None:
        model(*images)
    else:
        model.get_submodule(broken).final_conv = nn.Conv2d(7, 3, 1)
        with pytest.raises(RuntimeError, match="to have 7 channels, but got 4 channels"):
            model(*images)
    assert not any(module._forward_hooks for module in model.modules())


def test_building_it_leaves_the_student_as_it_was():
    torch.manual_seed(0)
    student = BasicUNet(2, 1, 3, features=[4] * 6, norm="batch")
    student(torch.rand(2, 1, 32, 32))  # moves the running statistics from where every network has them
    before = {key: value.clone() for key, value in student.state_dict().items()}
    model = LocalPseudo(student, HEAD)
    assert model.student is student
    for part in (student, model.teacher):
        assert list(part.state_dict()) == list(before)
        assert all(torch.equal(value, before[key]) for key, value in part.state_dict().items())
    assert all(module.training for module in student.modules())
    assert not any(module.training for module in model.teacher.modules())


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_labelled_images_and_strong_views_have_all_levels_of_deep_supervision(deeply_supervised, spatial_dims):
    model, size = LocalPseudo(deeply_supervised(spatial_dims), HEAD), [16] * spatial_dims
    x, weak, strong = torch.rand(8, 1, *size, generator=torch.Generator().manual_seed(0)).split([2, 3, 3])
    maps = watched(model.student.upsamples[-1])
    labelled, studied, taught, embeddings = model(x, weak, strong)
    assert taught.shape == (3, 3, *size)
    levels = model.student(torch.cat([x, strong]))
    assert levels.shape == (5, 3, 3, *size)
    torch.testing.assert_close(labelled, levels[:2])
    torch.testing.assert_close(studied, levels[2:])
    torch.testing.assert_close(embeddings, model.head(maps[0]))
    (labelled.square().mean() + embeddings.square().mean()).backward()
    assert all(parameter.grad is not None for parameter in model.student.parameters())
    assert [output.shape for output in model.eval()(x, weak, strong)[:2]] == [(2, 3, *size), (3, 3, *size)]


def test_every_known_network_has_embeddings_of_its_pixels(network):
    spatial_dims = next(p.ndim - 2 for p in network.parameters() if p.ndim > 2)
    images = torch.rand(3, 1, *[32] * spatial_dims, generator=torch.Generator().manual_seed(0))
    *_, embeddings = LocalPseudo(network, HEAD)(images[:1], images[1:], images[1:])
    assert embeddings.shape[:2] == (3, 5)
    assert embeddings.shape[2:] in (images.shape[2:], (16,) * spatial_dims)  # a UNet's last map is of half the size


def test_its_state_is_that_of_student_teacher_and_head(images):
    def build(seed):
        torch.manual_seed(seed)
        return LocalPseudo(BasicUNet(2, 1, 3, features=[4] * 6, norm="batch"), HEAD)

    model, again = build(0), build(1)
    network, head = BasicUNet(2, 1, 3, features=[4] * 6, norm="batch"), HEAD(in_channels=4)
    parts = {"student": network, "teacher": network, "head": head}
    assert set(model.state_dict()) == {f"{name}.{key}" for name, part in parts.items() for key in part.state_dict()}
    again.load_state_dict(model.state_dict())
    for one, other in zip(model.eval()(*images), again.eval()(*images), strict=True):
        assert torch.equal(one, other)
    network.load_state_dict(model.student.state_dict())
    assert torch.equal(network.eval()(images[0]), model(images[0]))


def test_a_network_without_a_known_layout_needs_one():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 1))
    with pytest.raises(InputError, match="network Sequential has no known layout"):
        LocalPseudo(network, HEAD)
    model, images = LocalPseudo(network, HEAD, layout=NetworkLayout((), "0", ("0",), ("1",))), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model(images, images, images)[3], model.head(network[0](images.repeat(2, 1, 1, 1))))


def test_it_builds_from_a_config(images):
    config = {
        "network": {
            "_target_": "BasicUNet",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 3,
            "features": [4, 4, 4, 4, 4, 4],
        },
        "head": {"_target_": "semicl_monai.networks.DenseHead", "_mode_": "callable", "out_channels": 7},
        "model": {"_target_": "semicl_monai.networks.LocalPseudo", "student": "@network", "head": "@head"},
    }
    parser = ConfigParser(config)
    model = parser.get_parsed_content("model")
    assert model.student is parser.get_parsed_content("network")
    assert model(*images)[3].shape == (5, 7, 32, 32)
