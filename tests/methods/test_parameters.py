from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, SegResNet
from torch import nn
from torch.optim import AdamW

from semicl_monai.methods import parameter_groups
from semicl_monai.networks import CrossTeaching, DenseHead, LocalPseudo, MeanTeacher, layout_of
from semicl_monai.utils import InputError, Provenance, save_tensors, with_provenance

ENCODER = {"conv_0", "down_1", "down_2", "down_3", "down_4"}
DECODER = {"upcat_4", "upcat_3", "upcat_2", "upcat_1"}
PRETRAINED = {
    "simclr": ENCODER,
    "rotation": ENCODER,
    "pcl": ENCODER,
    "chaitanya_global": ENCODER,
    "chaitanya_global_local": ENCODER | (DECODER - {"upcat_1"}),
    "local": ENCODER | DECODER,
    "global_local": ENCODER | DECODER,
    "joint": ENCODER | DECODER,
}


@pytest.fixture
def unet():
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=(4, 4, 4, 4, 4, 4))


def weights_of(folder, method):
    save_tensors(with_provenance({"weight": torch.ones(1)}, Provenance(method=method)), folder / "weights.pt")
    return folder / "weights.pt"


def parts(network, group):
    own = {id(parameter) for parameter in group["params"]}
    return {name.split(".")[0] for name, parameter in network.named_parameters() if id(parameter) in own}


@pytest.mark.parametrize(("method", "wanted"), PRETRAINED.items())
def test_what_a_method_has_trained_learns_at_the_rate_of_the_pretrained(unet, tmp_path, method, wanted):
    pretrained, others = parameter_groups(unet, unet, weights_of(tmp_path, method), 0.1, 0.01, 0.1)
    assert (pretrained["lr"], parts(unet, pretrained)) == (0.01, wanted)
    assert (others["lr"], parts(unet, others)) == (0.1, (ENCODER | DECODER | {"final_conv"}) - wanted)
    assert len(pretrained["params"]) + len(others["params"]) == len(list(unet.parameters()))


def test_of_weights_without_a_record_all_but_the_classifier_counts_as_pretrained(unet, tmp_path):
    pretrained, others = parameter_groups(unet, unet, tmp_path / "foreign.pt", 0.1, 0.01, 0.1)
    assert (parts(unet, pretrained), parts(unet, others)) == (ENCODER | DECODER, {"final_conv"})


@pytest.mark.parametrize("method", ["random", "mixup", "self_training"])
def test_a_method_that_does_not_pretrain_has_one_rate(unet, tmp_path, method):
    (group,) = parameter_groups(unet, unet, weights_of(tmp_path, method), 0.1, 0.01, 0.1)
    assert (group["lr"], group["params"]) == (0.1, list(unet.parameters()))


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_from_scratch_there_is_one_rate_and_any_network_will_do(pretrained):
    network = nn.Linear(2, 2)
    (group,) = parameter_groups(network, network, pretrained, 0.1, 0.01, 0.1)
    assert (group["lr"], group["params"]) == (0.1, list(network.parameters()))


def test_equal_rates_are_one_group(unet, tmp_path):
    assert len(parameter_groups(unet, unet, weights_of(tmp_path, "local"), 0.1, 0.1, 0.1)) == 1


@pytest.mark.parametrize("method", ["local", "random", None])
def test_the_classifier_learns_at_its_own_rate_after_any_pretraining_and_without(unet, tmp_path, method):
    weights = weights_of(tmp_path, method) if method else "none"
    groups = parameter_groups(unet, unet, weights, 0.1, 0.1, 1.0)
    assert [(group["lr"], parts(unet, group)) for group in groups] == [(0.1, ENCODER | DECODER), (1.0, {"final_conv"})]


def test_all_three_rates_are_told_apart(unet, tmp_path):
    groups = parameter_groups(unet, unet, weights_of(tmp_path, "simclr"), 0.1, 0.01, 1.0)
    rates = {group["lr"]: parts(unet, group) for group in groups}
    assert rates == {0.01: ENCODER, 0.1: DECODER, 1.0: {"final_conv"}}


def test_the_head_of_a_contrast_is_no_classifier(unet):
    model = LocalPseudo(unet, DenseHead)
    groups = parameter_groups(model, unet, "none", 0.1, 0.1, 1.0)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert {rates[id(parameter)] for parameter in model.head.parameters()} == {0.1}


def test_heads_of_deep_supervision_are_classifiers():
    network = DynUNet(3, 1, 3, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 4, 4], deep_supervision=True)
    groups = parameter_groups(network, network, "none", 0.1, 0.1, 1.0)
    assert {"output_block", "deep_supervision_heads"} <= parts(network, groups[1])


def test_a_teacher_is_not_trained_and_its_student_is(unet, tmp_path):
    model = MeanTeacher(unet)
    pretrained, others = parameter_groups(model, unet, weights_of(tmp_path, "simclr"), 0.1, 0.01, 0.1)
    assert len(pretrained["params"]) + len(others["params"]) == len(list(unet.parameters()))
    assert parts(model.student, pretrained) == ENCODER


def test_a_second_student_is_not_pretrained_and_its_classifier_has_its_own_rate(unet, tmp_path):
    model = CrossTeaching(unet)
    groups = parameter_groups(model, unet, weights_of(tmp_path, "local"), 0.1, 0.01, 1.0)
    first, second = (
        {group["lr"]: parts(student, group) for group in groups if parts(student, group)}
        for student in (model.student, model.other.student)
    )
    assert first == {0.01: ENCODER | DECODER, 1.0: {"final_conv"}}
    assert second == {0.1: ENCODER | DECODER, 1.0: {"final_conv"}}


@pytest.mark.parametrize(
    "network",
    [DynUNet(3, 1, 3, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 4, 4]), SegResNet(2, 8, 1, 3, upsample_mode="deconv")],
    ids=lambda network: type(network).__name__,
)
def test_an_optimizer_of_another_network_has_the_rate_of_each_parameter(tmp_path, network):
    optimizer = AdamW(parameter_groups(network, network, weights_of(tmp_path, "local"), 0.1, 0.01, 0.1))
    layout = layout_of(network)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    wanted = {id(p): 0.1 if layout.is_classifier(name) else 0.01 for name, p in network.named_parameters()}
    assert rates == wanted


@pytest.mark.parametrize(("method", "rates"), [("local", (0.1, 0.01, 0.1)), (None, (0.1, 0.1, 1.0))])
def test_a_network_of_no_known_layout_is_refused(tmp_path, method, rates):
    network, weights = nn.Linear(2, 2), weights_of(tmp_path, method) if method else "none"
    with pytest.raises(InputError, match=r"network Linear has no known layout, .* the value of learning_rate"):
        parameter_groups(network, network, weights, *rates)
