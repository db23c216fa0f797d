from __future__ import annotations

import pytest
import torch

from semicl_monai.losses import PrototypeContrast, SupConLoss
from semicl_monai.methods import Joint, Local, LocalPseudoMethod, LocalSelfTrainingMethod
from semicl_monai.samplers import BalancedSampler, BlockSampler, FullSampler, StrideSampler
from semicl_monai.utils import InputError


@pytest.mark.parametrize(
    ("name", "wanted", "argument", "value"),
    [
        ("stride", StrideSampler, "stride", 2),
        ("block", BlockSampler, "block_size", 8),
        ("balanced", BalancedSampler, "num_per_class", 7),
    ],
)
def test_a_sampler_is_built_by_name_with_the_field_that_is_its_argument(name, wanted, argument, value):
    sampler = Local(pixel_sampler=name, **{argument: value}).loss().sampler
    assert isinstance(sampler, wanted)
    assert getattr(sampler, argument) == value


def test_a_sampler_of_the_users_own_is_taken_as_it_is():
    own = FullSampler()
    assert Local(pixel_sampler=own).loss().sampler is own


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InputError, match=r"^unknown sampler 'blok', did you mean 'block'; known: "):
        Local(pixel_sampler="blok").loss()


def test_the_old_name_of_the_option_works_and_warns():
    with pytest.warns(FutureWarning, match="^sampler is now called pixel_sampler; 0.2 drops the old name"):
        method = Local(sampler="block", block_size=8)
    assert isinstance(method.loss().sampler, BlockSampler)
    assert method.options()["pixel_sampler"] == "block"
    assert "sampler" not in method.options()


def test_loss_and_head_have_the_numbers_of_the_method():
    method = Local(temperature=0.3, background_index=-1, head_hidden_channels=8, head_out_channels=4, head_act="relu")
    assert (method.loss().loss.temperature, method.loss().loss.background_index) == (0.3, -1)
    head = method.head()(in_channels=3, spatial_dims=2)
    assert head(torch.zeros(1, 3, 5, 5)).shape == (1, 4, 5, 5)
    assert head.hidden.out_channels == 8
    assert isinstance(head.act, torch.nn.ReLU)


@pytest.mark.parametrize("method", [Local, Joint, LocalPseudoMethod, LocalSelfTrainingMethod])
def test_the_random_numbers_of_the_grid_are_those_that_all_processes_seed_alike(method):
    built = method()
    (generator,) = built.generators()
    assert built.pixel_loss().sampler.generator is generator
    assert method().generators() != [generator]


def test_pixels_are_contrasted_with_those_of_the_batch_of_earlier_steps_or_with_prototypes():
    assert isinstance(Local().loss().loss, SupConLoss)
    remembered = LocalSelfTrainingMethod(contrast_memory=3, temperature=0.3).pixel_loss().loss
    assert (remembered.memory.maxlen, remembered.loss.temperature) == (3, 0.3)
    prototypes = LocalSelfTrainingMethod(contrast_with="prototypes", background_index=-1).pixel_loss().loss
    assert isinstance(prototypes, PrototypeContrast)
    assert prototypes.background_index == -1


@pytest.mark.parametrize(
    ("options", "got"),
    [({"contrast_memory": 2}, "2 and across_ranks False"), ({"across_ranks": True}, "0 and across_ranks True")],
)
def test_prototypes_are_their_own_memory(options, got):
    message = rf"^prototypes need contrast_memory 0 and across_ranks False, got contrast_memory {got}\.$"
    with pytest.raises(InputError, match=message):
        Local(contrast_with="prototypes", **options).loss()
