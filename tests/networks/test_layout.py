from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.networks.nets import AttentionUnet
from torch import nn

from semicl_monai.networks import NetworkLayout, layout_of, set_layout
from semicl_monai.utils import InputError

# Words that mark encoder and classifier in the parameter names of each network, written down from MONAI's sources.
DECODER = {"BasicUNet": "upcat_", "DynUNet": "upsamples.", "SegResNet": "up_", "UNet": None}
BLOCKS = {"BasicUNet": 4, "DynUNet": 2, "SegResNet": 2, "UNet": 2}
CLASSIFIER = {"BasicUNet": "final_conv.", "DynUNet": "output_block.", "SegResNet": "conv_final.", "UNet": "model.2."}


def test_every_parameter_is_of_the_encoder_the_decoder_or_the_classifier(network):
    layout, kind = layout_of(network), type(network).__name__
    for key, _ in network.named_parameters():
        assert layout.is_classifier(key) == key.startswith(CLASSIFIER[kind])
        if kind != "UNet":
            assert layout.is_encoder(key) != key.startswith((DECODER[kind], CLASSIFIER[kind])), key
            assert layout.is_decoder(key) == key.startswith(DECODER[kind]), key


def test_the_decoder_of_a_nested_unet_is_what_stands_behind_a_skip(build):
    network = build("UNet")
    layout = layout_of(network)
    decoder = {key for key, _ in network.named_parameters() if not layout.is_encoder(key)}
    skips = ("model.2.", "model.1.submodule.2.", "model.1.submodule.1.submodule.2.")
    assert decoder == {key for key, _ in network.named_parameters() if key.startswith(skips)}


def maps_of(network, names):
    """The outputs of modules in the order in which a forward pass makes them, and what the classifier gets."""
    maps, layout = {}, layout_of(network)
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: maps.update({name: output}))
        for name in names
    ]
    classifier = network.get_submodule(layout.classifier[0])
    hooks.append(classifier.register_forward_pre_hook(lambda _, inputs: maps.update(classifier=inputs[0])))
    dims = next(p for p in network.parameters() if p.ndim > 2).ndim - 2
    network(torch.rand(2, 1, *[32] * dims, generator=torch.Generator().manual_seed(0)))
    for hook in hooks:
        hook.remove()
    return maps


def test_decoder_blocks_are_in_the_order_of_the_forward_pass_and_the_last_feeds_the_classifier(network):
    layout = layout_of(network)
    maps = maps_of(network, layout.decoder_blocks)
    assert list(maps) == [*layout.decoder_blocks, "classifier"]
    assert layout.decoder == layout.decoder_blocks[-1]
    assert maps[layout.decoder] is maps["classifier"]
    sizes = [maps[name].shape[-1] for name in layout.decoder_blocks]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("name", BLOCKS)
def test_every_decoder_block_adds_to_the_part_of_the_decoder_before_it(build, name):
    network = build(name)
    layout = layout_of(network)
    assert len(layout.decoder_blocks) == BLOCKS[name]
    maps, before = maps_of(network, layout.decoder_blocks), set()
    parameters = {key: p for key, p in network.named_parameters() if not layout.is_encoder(key)}
    for block in layout.decoder_blocks:
        gradients = torch.autograd.grad(
            maps[block].pow(2).sum(), list(parameters.values()), allow_unused=True, retain_graph=True
        )
        reached = {key for key, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
        assert before < reached
        before = reached
    assert before == {key for key in parameters if not layout.is_classifier(key)}


def test_a_prefix_is_a_whole_module_name():
    layout = NetworkLayout(encoder=("down_1",), bottleneck="down_1", decoder_blocks=("up",), classifier=("final",))
    assert layout.is_encoder("down_1.weight")
    assert layout.is_encoder("down_1")
    assert not layout.is_encoder("down_10.weight")
    assert not layout.is_classifier("final_norm.weight")


def test_an_unknown_network_is_refused_with_the_known_ones():
    network = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))
    with pytest.raises(
        InputError, match=r"AttentionUnet has no known layout; known: BasicUNet, .*; give network_layout for others"
    ):
        layout_of(network)


def test_a_layout_that_is_given_is_that_of_the_network_and_of_its_copies():
    """Lists, as a config has them."""
    network = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))
    layout = NetworkLayout(["model.0"], "model.1.submodule", ["model.1"], ["model.2"])
    set_layout(network, layout)
    assert layout_of(network) == layout_of(deepcopy(network)) == layout
    assert layout.decoder_blocks + layout.upsamplers == ("model.1",)


@pytest.mark.parametrize("field", ["encoder", "bottleneck", "decoder_blocks", "classifier", "upsamplers"])
def test_a_layout_of_another_network_is_refused(field):
    right = {"encoder": ["0"], "bottleneck": "0", "decoder_blocks": ["1"], "classifier": ["2"]}
    layout = NetworkLayout(**{**right, field: "conv" if field == "bottleneck" else ["conv"]})
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    with pytest.raises(InputError, match=rf"^network_layout: {field} must be modules of Sequential, got 'conv'\."):
        set_layout(network, layout)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier": []}, "classifier must be modules of Sequential, got none"),
        ({"decoder_blocks": []}, "decoder_blocks must be modules of Sequential, got none"),
        ({"encoder": "0"}, "encoder must be a list of names, got the text '0'"),
        ({"classifier": ["1"]}, "every parameter of Sequential must be in a part, '2.weight' is in none"),
    ],
)
def test_a_layout_that_leaves_something_out_is_refused(change, message):
    right = {"encoder": ["0"], "bottleneck": "0", "decoder_blocks": ["1"], "classifier": ["2"]}
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    with pytest.raises(InputError, match=f"^network_layout: {message}"):
        set_layout(network, NetworkLayout(**{**right, **change}))
