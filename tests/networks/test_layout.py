from __future__ import annotations

import pytest
from monai.networks.nets import AttentionUnet

from semicl_monai.networks import NetworkLayout, layout_of
from semicl_monai.utils import InputError

# Words that mark encoder and classifier in the parameter names of each network, written down from MONAI's sources.
DECODER = {"BasicUNet": "upcat_", "DynUNet": "upsamples.", "SegResNet": "up_", "UNet": None}
CLASSIFIER = {"BasicUNet": "final_conv.", "DynUNet": "output_block.", "SegResNet": "conv_final.", "UNet": "model.2."}


def test_every_parameter_is_of_the_encoder_the_decoder_or_the_classifier(network):
    layout, kind = layout_of(network), type(network).__name__
    for key, _ in network.named_parameters():
        assert layout.is_classifier(key) == key.startswith(CLASSIFIER[kind])
        if kind != "UNet":
            assert layout.is_encoder(key) != key.startswith((DECODER[kind], CLASSIFIER[kind])), key


def test_the_decoder_of_a_nested_unet_is_what_stands_behind_a_skip(build):
    network = build("UNet")
    layout = layout_of(network)
    decoder = {key for key, _ in network.named_parameters() if not layout.is_encoder(key)}
    skips = ("model.2.", "model.1.submodule.2.", "model.1.submodule.1.submodule.2.")
    assert decoder == {key for key, _ in network.named_parameters() if key.startswith(skips)}


def test_a_prefix_is_a_whole_module_name():
    layout = NetworkLayout(encoder=("down_1",), bottleneck="down_1", decoder_blocks=("up",), classifier=("final",))
    assert layout.is_encoder("down_1.weight")
    assert layout.is_encoder("down_1")
    assert not layout.is_encoder("down_10.weight")
    assert not layout.is_classifier("final_norm.weight")


def test_an_unknown_network_is_refused_with_the_known_ones():
    network = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))
    with pytest.raises(InputError, match=r"AttentionUnet has no known layout; known: BasicUNet, .*NetworkLayout"):
        layout_of(network)
