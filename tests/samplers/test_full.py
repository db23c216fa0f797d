from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from semicl_monai.samplers import SAMPLERS, FullSampler
from semicl_monai.utils import InputError


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5)])
def test_every_pixel_is_there_with_its_label(maps: Callable, shape: tuple[int, ...]):
    embeddings, labels = maps(*shape)
    groups, targets = FullSampler()(embeddings, labels)
    places = [tuple(map(int, place)) for place in groups[0].tolist()]
    assert sorted(places) == list(product(*map(range, shape)))
    assert targets[0].tolist() == [labels[place[0], 0][place[1:]] for place in places]
    assert targets.dtype == torch.int64


def test_gradients_flow_and_metadata_does_not(maps: Callable):
    embeddings, labels = maps(2, 3, 4)
    groups, targets = FullSampler()(MetaTensor(embeddings.requires_grad_()), MetaTensor(labels))
    assert type(groups) is type(targets) is torch.Tensor
    groups.sum().backward()
    assert torch.equal(embeddings.grad, torch.ones_like(embeddings))


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        ((2, 3, 4), (2, 1, 4), r"embeddings must be of shape \(B, C, H, W\) or \(B, C, H, W, D\), got \(2, 3, 4\)"),
        (
            (2, 3, 4, 4),
            (2, 1, 4, 5),
            r"labels must be of shape \(2, 1, 4, 4\), like the embeddings, got \(2, 1, 4, 5\)",
        ),
        ((2, 3, 4, 4), (2, 4, 4), r"labels must be of shape \(2, 1, 4, 4\), like the embeddings, got \(2, 4, 4\)"),
    ],
)
def test_wrong_shapes_are_refused(embeddings: tuple, labels: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        FullSampler()(torch.zeros(embeddings), torch.zeros(labels))


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"sampler": {"_target_": "semicl_monai.samplers.FullSampler"}})
    assert isinstance(parser.get_parsed_content("sampler"), FullSampler)
    assert isinstance(SAMPLERS.build("full"), FullSampler)


def test_an_unknown_sampler_lists_the_known_ones():
    with pytest.raises(
        InputError, match="unknown sampler 'blok', did you mean 'block'; known: stride, block, full, bal"
    ):
        SAMPLERS.build("blok")
