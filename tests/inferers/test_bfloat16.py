from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from torch import nn

from semicl_monai.inferers import Bfloat16Inferer


class Recorder(nn.Module):
    """Two layers that note the type of what they give."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.types = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1), []

    def forward(self, x):
        hidden = self.first(x)
        logits = self.second(hidden.relu())
        self.types += [hidden.dtype, logits.dtype]
        return logits


class Scaled(Inferer):
    """An inferer that is no pass of the network alone, and takes further arguments."""

    def __call__(self, inputs, network, *args, **kwargs):
        return 2 * network(inputs, *args, **kwargs)


def images(*shape):
    return torch.rand(shape or (2, 1, 8, 8), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("inferer", [SimpleInferer(), SlidingWindowInferer((4, 4), 2, 0.5, "gaussian"), Scaled()])
def test_disabled_it_is_the_inferer(inferer):
    network = Recorder()
    result = Bfloat16Inferer(inferer, enabled=False)(images(), network)
    assert set(network.types) == {torch.float32}
    assert torch.equal(result, inferer(images(), network))


@pytest.mark.parametrize("inferer", [None, SlidingWindowInferer((4, 4), 2, 0.5, "gaussian"), Scaled()])
def test_the_network_runs_in_bfloat16_and_the_result_is_float32(inferer):
    network = Recorder()
    wanted = (inferer or SimpleInferer())(images(), network)
    network.types.clear()
    result = Bfloat16Inferer(inferer)(images(), network)
    assert set(network.types) == {torch.bfloat16}
    assert result.dtype == torch.float32
    assert not torch.equal(result, wanted)
    # bfloat16 has eight bits: a relative error of 2 ** -8 for each of the two layers
    torch.testing.assert_close(result, wanted, rtol=0, atol=2 * 2**-8 * wanted.abs().max().item())


def test_parameters_stay_as_they_are():
    network = Recorder()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    Bfloat16Inferer()(images(), network)
    for key, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[key])


def test_what_comes_after_it_is_not_in_bfloat16():
    network = Recorder()
    Bfloat16Inferer()(images(), network)
    assert not torch.is_autocast_enabled("cpu")
    assert network(images()).dtype == torch.float32


def test_an_error_of_the_network_leaves_autocast_off():
    def broken(x):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Bfloat16Inferer()(images(), broken)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_network_may_give_several_maps(enabled):
    def network(x):
        return layer(x), layer(-x).double(), x.to(torch.bfloat16)

    layer = Recorder()
    result = Bfloat16Inferer(enabled=enabled)(images(), network)
    assert isinstance(result, tuple)
    assert [m.dtype for m in result] == [torch.float32, torch.float64, torch.float32 if enabled else torch.bfloat16]
    for given, wanted in zip(result, network(images()), strict=True):
        torch.testing.assert_close(given.float(), wanted.float(), rtol=0, atol=0.02)


def test_further_arguments_reach_the_network():
    def network(x, other, *, factor):
        return factor * x + other

    other = torch.ones(2, 1, 8, 8)
    result = Bfloat16Inferer(Scaled())(images(), network, other, factor=3)
    torch.testing.assert_close(result, 2 * (3 * images() + other))


def test_gradients_reach_images_and_parameters_in_float32():
    network, gradients = Recorder(), []
    for enabled in (False, True):
        x = images().requires_grad_()
        result = Bfloat16Inferer(enabled=enabled)(x, network)
        gradients.append(torch.autograd.grad(result.square().mean(), [x, *network.parameters()]))
    for exact, rounded in zip(*gradients, strict=True):
        assert rounded.dtype == torch.float32
        assert exact.count_nonzero() > 0
        torch.testing.assert_close(rounded, exact, rtol=0, atol=0.1 * exact.abs().max().item())


def test_it_builds_from_a_config():
    config = {
        "inferer": {
            "_target_": "semicl_monai.inferers.Bfloat16Inferer",
            "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4]},
            "enabled": True,
        }
    }
    built = ConfigParser(config).get_parsed_content("inferer")
    assert isinstance(built.inferer, SlidingWindowInferer)
    assert built(images(), Recorder()).shape == (2, 3, 8, 8)
