from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.networks import HEADS, DenseHead, GlobalHead, JigsawHead, LinearHead
from semicl_monai.utils import InputError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)])
def test_a_global_head_is_two_linear_layers_on_the_mean_of_the_map(size):
    head = GlobalHead(in_channels=3, hidden_channels=6, out_channels=4, spatial_dims=len(size)).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weights = head.state_dict()
    for image, embedding in zip(x, head(x), strict=True):
        mean = torch.stack([channel.sum() / channel.numel() for channel in image])
        hidden = (weights["mlp.0.weight"] @ mean + weights["mlp.0.bias"]).clamp(min=0)
        torch.testing.assert_close(embedding, weights["mlp.2.weight"] @ hidden + weights["mlp.2.bias"])


def test_a_global_head_is_as_wide_as_its_input_by_default():
    assert GlobalHead(in_channels=5).mlp[0].out_features == 5


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)])
def test_a_linear_head_is_one_linear_layer_on_the_mean_of_the_map(size):
    head = LinearHead(in_channels=3, out_channels=4, spatial_dims=len(size)).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    for image, logits in zip(x, head(x), strict=True):
        mean = torch.stack([channel.sum() / channel.numel() for channel in image])
        torch.testing.assert_close(logits, head.linear.weight @ mean + head.linear.bias)


def jigsaw_head(spatial_dims=2):
    return JigsawHead(in_channels=3, out_channels=4, grid=2, spatial_dims=spatial_dims).double()


def standardised_means(maps):
    """The mean of each channel, less its mean over the batch and by its standard deviation over the batch."""
    means = [[channel.mean().item() for channel in image] for image in maps]
    columns = []
    for column in zip(*means, strict=True):
        centre = sum(column) / len(column)
        variance = sum((value - centre) ** 2 for value in column) / len(column)
        columns.append([(value - centre) / (variance + 1e-5) ** 0.5 for value in column])
    return torch.tensor(columns, dtype=torch.float64).T


@pytest.mark.parametrize(("size", "patch_size"), [((5, 7), (2, 3)), ((3, 4, 5), (2, 2, 1))])
def test_a_jigsaw_head_projects_an_image_and_its_patches_joined_in_their_order(size, patch_size):
    head = jigsaw_head(len(size))
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    number = 2 ** len(size)
    patches = torch.randn(2 * number, 3, *patch_size, dtype=torch.float64)
    of_image, of_patches = head(x, patches)
    linear, last = head.image[-1], head.patches
    for features, embedding in zip(standardised_means(x), of_image, strict=True):
        torch.testing.assert_close(embedding, linear.weight @ features + linear.bias)
    features, linear = standardised_means(patches), head.patch[-1]
    for image, embedding in enumerate(of_patches):
        joined = torch.cat([linear.weight @ features[number * image + i] + linear.bias for i in range(number)])
        torch.testing.assert_close(embedding, last.weight @ joined + last.bias)


def test_the_order_of_the_patches_matters_and_only_to_their_own_image():
    head = jigsaw_head()
    x, patches = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(8, 3, 2, 2, dtype=torch.float64)
    of_image, of_patches = head(x, patches)
    moved_image, moved_patches = head(x, patches[[1, 0, *range(2, 8)]])
    torch.testing.assert_close(moved_image, of_image)
    torch.testing.assert_close(moved_patches[1], of_patches[1])
    assert (moved_patches[0] - of_patches[0]).abs().max() > 1e-3


def test_a_jigsaw_of_one_image_is_refused_in_training_only():
    head = jigsaw_head()
    x, patches = torch.randn(1, 3, 4, 4, dtype=torch.float64), torch.randn(4, 3, 2, 2, dtype=torch.float64)
    with pytest.raises(InputError, match="a jigsaw needs at least two slices per batch, got 1: raise batch_size"):
        head(x, patches)
    assert all(embedding.isfinite().all() for embedding in head.eval()(x, patches))


def test_every_part_of_a_jigsaw_head_and_both_its_inputs_receive_a_gradient():
    head = jigsaw_head()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    patches = torch.randn(8, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    of_image, of_patches = head(x, patches)
    (of_image.pow(3).sum() + of_patches.pow(3).sum()).backward()
    for leaf in (x, patches, *head.parameters()):
        assert leaf.grad.abs().sum() > 0


def test_an_image_does_not_depend_on_its_batch_once_a_jigsaw_head_evaluates():
    head = jigsaw_head().eval()
    x, patches = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(8, 3, 2, 2, dtype=torch.float64)
    for alone, together in zip(head(x[:1], patches[:4]), head(x, patches), strict=True):
        torch.testing.assert_close(alone, together[:1])


@pytest.mark.parametrize("act", [None, "relu"])
@pytest.mark.parametrize("size", [(2, 3), (2, 1, 2)])
def test_a_dense_head_treats_every_pixel_alike_and_has_a_nonlinearity_only_if_asked(size, act):
    head = DenseHead(in_channels=3, hidden_channels=6, out_channels=4, spatial_dims=len(size), act=act).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    first, last = head.hidden, head.out
    hidden = torch.einsum("hc,bc...->bh...", first.weight.flatten(1), x) + first.bias.view(-1, *[1] * len(size))
    hidden = hidden if act is None else hidden.clamp(min=0)
    wanted = torch.einsum("oh,bh...->bo...", last.weight.flatten(1), hidden) + last.bias.view(-1, *[1] * len(size))
    torch.testing.assert_close(head(x), wanted)


@pytest.mark.parametrize(("name", "shape"), [("global_pool", (2, 4)), ("linear", (2, 4)), ("dense", (2, 4, 5, 5))])
def test_heads_are_built_by_name(name, shape):
    assert HEADS.build(name, in_channels=3, out_channels=4)(torch.zeros(2, 3, 5, 5)).shape == shape


def test_an_unknown_head_is_refused():
    with pytest.raises(InputError, match="unknown head 'densee', did you mean 'dense'"):
        HEADS["densee"]


@pytest.mark.parametrize("name", ["GlobalHead", "LinearHead", "DenseHead"])
def test_it_builds_from_a_config(name):
    config = {"head": {"_target_": f"semicl_monai.networks.{name}", "in_channels": 3, "out_channels": 4}}
    assert ConfigParser(config).get_parsed_content("head")(torch.zeros(2, 3, 5, 5)).shape[:2] == (2, 4)


def test_a_jigsaw_head_builds_from_a_config_and_by_name():
    config = {"head": {"_target_": "semicl_monai.networks.JigsawHead", "in_channels": 3, "out_channels": 4}}
    for head in (ConfigParser(config).get_parsed_content("head"), HEADS.build("jigsaw", in_channels=3, out_channels=4)):
        assert [e.shape for e in head(torch.rand(2, 3, 5, 5), torch.rand(18, 3, 2, 2))] == [(2, 4), (2, 4)]
