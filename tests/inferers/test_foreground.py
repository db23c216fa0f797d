from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer
from torch import nn

from semicl_monai.inferers import Bfloat16Inferer, ForegroundInferer, MirroredInferer

WINDOW = (8, 12, 10)
SIZE = (40, 44, 37)  # 9 x 7 x 7 windows, the last of an axis at another step; 5 x 4 x 4 cover the image


def sliding(**options):
    return SlidingWindowInferer(
        **{"roi_size": WINDOW, "sw_batch_size": 4, "overlap": 0.5, "mode": "gaussian"} | options
    )


def images(*size, batch=1, seed=0):
    return torch.rand((batch, 1, *size), generator=torch.Generator().manual_seed(seed))


def blob(size, *corners, edge=4):
    """An image that is dark, with bright cubes."""
    image = torch.zeros(1, 1, *size)
    for corner in corners:
        image[(0, 0, *(slice(start, start + edge) for start in corner))] = 1
    return image


class Network(nn.Module):
    """Three classes by convolutions that see their window's edge, and the number of windows that were seen."""

    def __init__(self, background=0.0, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv3d(1, 8, 5, padding=2), nn.Conv3d(8, 3, 5, padding=2)
        self.background, self.scale, self.seen = background, scale, []
        self.requires_grad_(False)

    def forward(self, x, shift=0.0):
        self.seen += list(x.clone())
        logits = self.scale * self.second(self.first(x).tanh()) + shift
        logits[:, 0] += self.background
        return logits


class Brightness:
    """A network that knows bright voxels for foreground with a certain probability, whatever the window."""

    def __init__(self, probability=0.9):
        self.logit, self.seen = math.log(probability / (1 - probability)), 0

    def __call__(self, x):
        self.seen += len(x)
        return torch.cat([torch.zeros_like(x), torch.where(x > 0.5, self.logit, -9.0)], dim=1)


def test_with_foreground_everywhere_it_is_the_sliding_window_and_no_window_is_run_twice():
    image, network, same = images(*SIZE), Network(), Network()
    found = ForegroundInferer(sliding(), threshold=1e-9)(image, network)
    wanted = sliding()(image, same)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert len(network.seen) == len(same.seen) == 9 * 7 * 7
    assert {window.numpy().tobytes() for window in network.seen} == {w.numpy().tobytes() for w in same.seen}


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "constant", "overlap": 0.25},
        {"overlap": (0.5, 0.25, 0.7), "sigma_scale": 0.2},
        {"padding_mode": "reflect", "roi_size": (8, 50, 8)},
        {"cval": 2.0, "roi_size": (8, 8, 50)},
    ],
)
def test_weights_and_places_and_padding_are_those_of_the_sliding_window(options):
    image = images(*SIZE, batch=2)
    found = ForegroundInferer(sliding(**options), threshold=1e-9)(image, Network())
    torch.testing.assert_close(found, sliding(**options)(image, Network()), rtol=1e-5, atol=1e-6)


def test_without_foreground_the_fewest_windows_that_cover_the_image_are_run():
    network = Network(background=99.0)
    logits = ForegroundInferer(sliding())(images(*SIZE), network)
    assert len(network.seen) == 5 * 4 * 4
    assert logits.shape == (1, 3, *SIZE)
    assert logits.isfinite().all()
    assert (logits.argmax(1) == 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_voxels_above_the_threshold_have_the_logits_of_the_sliding_window(seed):
    image, network = torch.zeros(1, 1, *SIZE), Network(background=4.0, scale=9.0)
    image[..., 9:20, 12:25, 11:19] = images(11, 13, 8, seed=seed)
    found = ForegroundInferer(sliding(), threshold=0.1)(image, network)
    assert 5 * 4 * 4 < len(network.seen) < 9 * 7 * 7
    above = found.softmax(1)[0, 0] < 0.9
    assert above.sum() > 99
    wanted = sliding()(image, network)
    torch.testing.assert_close(found[0, :, above], wanted[0, :, above], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("corner", [(0, 0, 0), (36, 40, 33), (7, 11, 9), (18, 20, 16), (8, 30, 0)])
def test_around_foreground_every_window_is_run_that_sees_it(corner):
    image, network = blob(SIZE, corner), Brightness()
    found = ForegroundInferer(sliding())(image, network)
    assert torch.equal(found.argmax(1) > 0, image[0] > 0.5)
    starts = [sorted({*range(0, size - edge, edge // 2), size - edge}) for size, edge in zip(SIZE, WINDOW, strict=True)]
    sees = [
        [s for s in of_axis if s < first + 4 and first < s + edge]
        for of_axis, first, edge in zip(starts, corner, WINDOW, strict=True)
    ]
    covers = [of_axis[::2] if len(of_axis) % 2 else [*of_axis[::2], of_axis[-1]] for of_axis in starts]
    both = [set(s) & set(c) for s, c in zip(sees, covers, strict=True)]
    assert network.seen == math.prod(map(len, covers)) + math.prod(map(len, sees)) - math.prod(map(len, both))


def test_one_voxel_is_found():
    image = blob(SIZE, (23, 17, 30), edge=1)
    logits = ForegroundInferer(sliding())(image, Brightness())
    assert (logits.argmax(1)[0] > 0).nonzero().tolist() == [[23, 17, 30]]


@pytest.mark.parametrize(("probability", "more"), [(0.19, False), (0.21, True)])
def test_the_threshold_is_a_probability_of_foreground(probability, more):
    network = Brightness(probability)
    ForegroundInferer(sliding(), threshold=0.2)(blob(SIZE, (18, 20, 16)), network)
    assert (network.seen > 5 * 4 * 4) is more


@pytest.mark.parametrize("size", [(6, 9, 7), (8, 12, 10), (11, 12, 22), (16, 24, 20)])
def test_small_images_are_those_of_the_sliding_window(size):
    image, network, same = images(*size), Network(background=99.0), Network(background=99.0)
    assert torch.equal(ForegroundInferer(sliding())(image, network), sliding()(image, same))
    assert len(network.seen) == len(same.seen)


def test_switched_off_it_is_the_sliding_window():
    image = images(*SIZE)
    found = ForegroundInferer(sliding(), enabled=False)(image, Network(background=99.0))
    assert torch.equal(found, sliding()(image, Network(background=99.0)))


def test_what_other_inferers_do_is_done_around_it():
    image, network = blob(SIZE, (3, 30, 5), (30, 2, 20)), Brightness()
    inferer = Bfloat16Inferer(MirroredInferer(ForegroundInferer(sliding()), axes=[0, 2]))
    assert torch.equal(inferer(image, network).argmax(1) > 0, image[0] > 0.5)
    assert 4 * 5 * 4 * 4 < network.seen < 4 * 9 * 7 * 7


def test_in_bfloat16_it_is_the_sliding_window_to_rounding():
    image = images(*SIZE)
    found, wanted = (
        Bfloat16Inferer(inferer)(image, Network()) for inferer in (ForegroundInferer(sliding(), 1e-9), sliding())
    )
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_further_arguments_reach_the_network_and_metadata_is_kept():
    image = MetaTensor(images(*SIZE), affine=torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0])))
    found = ForegroundInferer(sliding(), 1e-9)(image, Network(), shift=3.0)
    wanted = sliding()(image, Network(), shift=3.0)
    assert isinstance(found, MetaTensor)
    assert torch.equal(found.affine, wanted.affine)
    torch.testing.assert_close(found.as_tensor(), wanted.as_tensor(), rtol=1e-5, atol=1e-5)


def test_the_windows_of_slices_are_left_alone():
    layer = nn.Conv2d(1, 3, 3, padding=1)
    found = ForegroundInferer(SlidingWindowInferer((8, 8), 2, 0.5), 1e-9)(images(40, 30), layer)
    torch.testing.assert_close(found, SlidingWindowInferer((8, 8), 2, 0.5)(images(40, 30), layer))


@pytest.mark.parametrize(
    "inferer",
    [SimpleInferer(), SliceInferer(spatial_dim=1, roi_size=(8, 8)), sliding(device="cpu"), sliding(buffer_steps=2)],
)
def test_inferers_of_another_kind_are_refused(inferer):
    with pytest.raises(ValueError, match="inferer must be a SlidingWindowInferer without sw_device, device, "):
        ForegroundInferer(inferer)


@pytest.mark.parametrize("threshold", [0, 1, -0.1])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(ValueError, match=f"threshold must be above 0 and below 1, got {threshold}"):
        ForegroundInferer(sliding(), threshold)


def test_it_builds_from_a_config():
    config = {
        "window": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4]},
        "inferer": {"_target_": "semicl_monai.inferers.ForegroundInferer", "inferer": "@window", "enabled": False},
    }
    parser = ConfigParser(config)
    assert parser.get_parsed_content("inferer").inferer is parser.get_parsed_content("window")


def test_a_voxel_of_any_region_is_foreground():
    image = blob(SIZE, (30, 2, 20))

    def regions(windows):
        seen.append(len(windows))
        return torch.cat([0 * windows - 9, 18 * windows - 9], dim=1)  # only the second region is there

    seen: list[int] = []
    found = ForegroundInferer(sliding(), sigmoid=True)(image, regions)
    wanted = sliding()(image, lambda windows: torch.cat([0 * windows - 9, 18 * windows - 9], dim=1))
    assert torch.equal(found > 0, wanted > 0)
    assert sum(seen) < 9 * 7 * 7
