from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import AttentionUnet, BasicUNet, DynUNet
from torch import nn

from semicl_monai.networks import ContrastiveNetwork, DenseHead, GlobalHead, JigsawHead, NetworkLayout, layout_of
from semicl_monai.utils import InputError

HEADS = {"bottleneck": partial(GlobalHead, out_channels=4), "decoder": partial(DenseHead, hidden_channels=8)}


def image(network):
    dims = next(p for p in network.parameters() if p.ndim > 2).ndim - 2
    return torch.randn(2, 1, *[32] * dims, generator=torch.Generator().manual_seed(0))


def with_gradient(module):
    return {key for key, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_wrapping_keeps_the_networks_keys_values_and_mode(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    model = ContrastiveNetwork(network, HEADS["decoder"])
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert model.network is network
    assert all(module.training for module in network.modules())


def test_the_network_itself_is_as_usable_after_a_tap_as_before(network):
    x = image(network)
    before = network(x)
    ContrastiveNetwork(network, HEADS["decoder"])(x)
    torch.testing.assert_close(network(x), before)


def test_the_bottleneck_gives_a_gradient_to_exactly_the_encoder(network):
    model = ContrastiveNetwork(network, HEADS["bottleneck"], tap="bottleneck")
    # A square weighs embeddings unevenly: the gradient of a plain sum vanishes behind an instance norm.
    model(image(network)).pow(2).sum().backward()
    layout = layout_of(network)
    reached = {key for key, p in network.named_parameters() if p.grad is not None}
    assert reached == {key for key, _ in network.named_parameters() if layout.is_encoder(key)}


def test_a_global_head_gets_the_deepest_map_of_further_images(network):
    model = ContrastiveNetwork(network, HEADS["decoder"], global_head=HEADS["bottleneck"])
    x = image(network)
    pixels, images = model(x, x.flip(0))
    bottleneck = ContrastiveNetwork(network, lambda **_: model.global_head, tap="bottleneck")
    torch.testing.assert_close(pixels, model.head(model.features(x)))
    torch.testing.assert_close(images, bottleneck(x.flip(0)))
    torch.testing.assert_close(model(x), pixels)
    images.pow(2).sum().backward()
    layout = layout_of(network)
    reached = {key for key, p in network.named_parameters() if p.grad is not None}
    assert reached == {key for key, _ in network.named_parameters() if layout.is_encoder(key)}
    assert with_gradient(model.global_head)
    assert not with_gradient(model.head)


def test_the_decoder_gives_a_gradient_to_all_but_the_classifier(network):
    model = ContrastiveNetwork(network, HEADS["decoder"], tap="decoder")
    model(image(network)).pow(2).sum().backward()
    layout = layout_of(network)
    reached = {key for key, p in network.named_parameters() if p.grad is not None}
    assert reached == {key for key, _ in network.named_parameters() if not layout.is_classifier(key)}


@pytest.mark.parametrize("tap", ["bottleneck", "decoder"])
def test_the_tapped_map_is_the_one_the_network_computes_itself(network, tap):
    x, seen = image(network), []
    hook = network.get_submodule(getattr(layout_of(network), tap)).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    network.eval()(x)
    hook.remove()
    model = ContrastiveNetwork(network, HEADS[tap], tap=tap)
    torch.testing.assert_close(model.features(x), seen[0])
    assert model(x).shape[1] == {"bottleneck": 4, "decoder": 128}[tap]


def test_the_decoders_map_is_what_the_classifier_gets(build):
    network, seen = build("BasicUNet"), []
    network.final_conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = image(network)
    network(x)
    torch.testing.assert_close(ContrastiveNetwork(network, DenseHead).features(x), seen[0])


def test_the_bottleneck_is_the_smallest_map(build):
    model = ContrastiveNetwork(build("BasicUNet"), GlobalHead, "bottleneck")
    assert model.features(torch.zeros(1, 1, 32, 32)).shape == (1, 8, 2, 2)


@pytest.mark.parametrize("tap", ["bottleneck", "decoder"])
def test_the_head_is_among_the_parameters_and_is_trained(build, tap):
    model = ContrastiveNetwork(build("BasicUNet"), HEADS[tap], tap)
    before = {key: value.clone() for key, value in model.head.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(image(model.network)).pow(2).sum().backward()
    assert with_gradient(model.head) == set(before)
    optimizer.step()
    assert not any(torch.equal(value, before[key]) for key, value in model.head.state_dict().items())


def test_deep_networks_need_no_larger_image_to_be_wrapped():
    """Seven poolings in 2-D and five in 3-D, as nnU-Net plans them; an instance norm refuses a map of one pixel."""
    for dims, levels in ((2, 8), (3, 6)):
        halvings = [2] * (levels - 1)
        network = DynUNet(dims, 1, 2, [3] * levels, [1, *halvings], halvings, filters=[2] * levels)
        assert ContrastiveNetwork(network, GlobalHead, "bottleneck").head.mlp[0].in_features == 2


@pytest.mark.parametrize("tap", ["decodr", 0, -1, 5, 2.0, None])
def test_a_tap_that_is_no_part_of_the_network_is_refused(build, tap):
    wanted = f"tap must be 'bottleneck', 'decoder' or a number of decoder blocks from 1 to 4, got '{tap}'"
    with pytest.raises(InputError, match=wanted):
        ContrastiveNetwork(build("BasicUNet"), DenseHead, tap=tap)


def test_a_number_taps_the_map_behind_so_many_decoder_blocks(network):
    x, seen, blocks = image(network), [], layout_of(network).decoder_blocks
    hooks = [
        network.get_submodule(block).register_forward_hook(lambda module, inputs, output: seen.append(output))
        for block in blocks
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    for number, wanted in enumerate(seen, start=1):
        torch.testing.assert_close(ContrastiveNetwork(network, DenseHead, number).features(x), wanted)
    with pytest.raises(InputError, match=f"from 1 to {len(blocks)}, got '{len(blocks) + 1}'"):
        ContrastiveNetwork(network, DenseHead, len(blocks) + 1)


def test_blocks_behind_a_tapped_one_receive_no_gradient(build):
    network = build("BasicUNet")
    ContrastiveNetwork(network, DenseHead, tap=2)(image(network)).pow(2).sum().backward()
    decoder = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None and "upcat" in key}
    assert decoder == {"upcat_4", "upcat_3"}


def test_a_frozen_encoder_receives_no_gradient_and_the_decoder_does(network):
    model = ContrastiveNetwork(network, HEADS["decoder"], frozen_encoder=True)
    model(image(network)).pow(2).sum().backward()
    layout = layout_of(network)
    reached = {key for key, p in network.named_parameters() if p.grad is not None}
    decoder = {k for k, _ in network.named_parameters() if not layout.is_encoder(k) and not layout.is_classifier(k)}
    assert reached == decoder
    assert with_gradient(model.head) == {key for key, _ in model.head.named_parameters()}


def test_freezing_the_encoder_changes_no_embedding(network):
    x = image(network)
    model = ContrastiveNetwork(network, HEADS["decoder"])
    before = model(x)
    model.frozen_encoder = True
    torch.testing.assert_close(model(x), before)


def batch_norm_network():
    torch.manual_seed(0)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=[4] * 6, norm="batch")


def test_running_statistics_move_in_the_decoder_and_not_in_a_frozen_encoder():
    network = batch_norm_network()
    layout = layout_of(network)
    model = ContrastiveNetwork(network, DenseHead, frozen_encoder=True)
    before = {key: value.clone() for key, value in network.named_buffers()}
    model(image(network))
    moved = {key for key, value in network.named_buffers() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if not layout.is_encoder(key)}
    assert moved < before.keys()


@pytest.mark.parametrize("fails", [False, True])
def test_an_encoder_is_frozen_for_the_forward_pass_alone(fails):
    network = batch_norm_network()
    network.down_2.eval()
    network.conv_0.requires_grad_(False)
    network.upcat_4.requires_grad_(False)

    def flags():
        return [m.training for m in network.modules()], [p.requires_grad for p in network.parameters()]

    model, before = ContrastiveNetwork(network, DenseHead, frozen_encoder=True), flags()
    if fails:
        with pytest.raises(RuntimeError, match="channels"):
            model(torch.zeros(1, 2, 32, 32))
    else:
        model(image(network))
    assert flags() == before


def test_another_stage_still_trains_an_encoder_that_one_froze():
    network = batch_norm_network()
    frozen = ContrastiveNetwork(network, DenseHead, frozen_encoder=True)
    free = ContrastiveNetwork(network, HEADS["bottleneck"], "bottleneck")
    frozen(image(network)).pow(2).sum().backward()
    encoder = {key for key, _ in network.named_parameters() if layout_of(network).is_encoder(key)}
    assert encoder.isdisjoint(key for key, p in network.named_parameters() if p.grad is not None)
    mean = network.conv_0.conv_0.adn.N.running_mean.clone()
    free(image(network)).pow(2).sum().backward()
    assert encoder <= {key for key, p in network.named_parameters() if p.grad is not None}
    assert not torch.equal(network.conv_0.conv_0.adn.N.running_mean, mean)


class Pair(nn.Module):
    """A head that hands on the maps it gets."""

    def __init__(self, in_channels, spatial_dims):
        super().__init__()

    def forward(self, *maps):
        return maps


def test_other_images_of_any_size_pass_the_network_and_the_head_gets_all_maps(network):
    x = image(network)
    others = [torch.cat([x, x.flip(2)]), x[:, :, :16]]
    model = ContrastiveNetwork(network.eval(), Pair)
    maps = model(x, *others)
    assert len(maps) == 3
    for found, alone in zip(maps, (x, *others), strict=True):
        torch.testing.assert_close(found, model.features(alone))


def test_images_and_their_patches_both_train_the_encoder(build):
    x, patches = image(build()), torch.rand(18, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    for chosen in (0, 1):
        model = ContrastiveNetwork(build(), partial(JigsawHead, out_channels=4), "bottleneck")
        model(x, patches)[chosen].pow(3).sum().backward()
        reached = {key for key, p in model.network.named_parameters() if p.grad is not None}
        assert reached == {key for key, _ in model.network.named_parameters() if model.layout.is_encoder(key)}


def test_an_unknown_network_is_refused_and_accepted_with_a_layout():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 2, 1))
    with pytest.raises(InputError, match="network Sequential has no known layout"):
        ContrastiveNetwork(network, DenseHead)
    layout = NetworkLayout(encoder=("0",), bottleneck="0", decoder_blocks=("1",), classifier=("2",))
    model = ContrastiveNetwork(network, DenseHead, layout=layout)
    assert model.features(torch.zeros(2, 1, 8, 8)).shape == (2, 6, 8, 8)
    assert ContrastiveNetwork(network, GlobalHead, "bottleneck", layout).head.mlp[0].in_features == 4


def test_a_layout_whose_module_is_never_called_is_refused():
    network = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))
    network.unused = nn.Identity()
    layout = NetworkLayout(encoder=("model",), bottleneck="unused", decoder_blocks=("unused",), classifier=())
    with pytest.raises(InputError, match="forward pass of AttentionUnet does not call its module 'unused'"):
        ContrastiveNetwork(network, DenseHead, layout=layout)


def test_an_error_of_the_network_leaves_no_hook_behind(build):
    model = ContrastiveNetwork(build(), DenseHead)
    with pytest.raises(RuntimeError, match="channels"):
        model.features(torch.zeros(1, 2, 32, 32))
    assert not any(module._forward_hooks for module in model.modules())


def test_it_builds_from_a_config():
    config = {
        "network": {
            "_target_": "BasicUNet",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "features": [4] * 6,
        },
        "model": {
            "_target_": "semicl_monai.networks.ContrastiveNetwork",
            "network": "@network",
            "head": {"_target_": "semicl_monai.networks.DenseHead", "_mode_": "callable", "out_channels": 5},
            "tap": 3,
            "frozen_encoder": True,
        },
    }
    assert ConfigParser(config).get_parsed_content("model")(torch.zeros(1, 1, 32, 32)).shape == (1, 5, 16, 16)
