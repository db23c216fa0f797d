from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet

from semicl_monai.networks import (
    ContrastiveNetwork,
    DenseHead,
    LocalPseudo,
    MeanTeacher,
    find_state_dict,
    load_network,
    load_pretrained,
)
from semicl_monai.utils import InputError


def prefixed(weights, prefix):
    return {f"{prefix}{name}": value for name, value in weights.items()}


def others(weights):
    return {name: torch.zeros_like(value) for name, value in weights.items()}


WRAPPED = {
    "under 'state_dict'": lambda w: {"state_dict": w, "epoch": 3},
    "under 'network_weights'": lambda w: {"network_weights": w, "logging": {"dice": [np.float64(0.5), np.float32(1)]}},
    "under 'network'": lambda w: {"network": w, "optimizer": {"state": {}}},
    "under 'model'": lambda w: {"model": w, "epoch": torch.tensor(3)},
    "under 'model_state_dict'": lambda w: {"model_state_dict": w},
    "under 'state_dict', under 'model'": lambda w: {"state_dict": {"model": w}},
    "under 'teacher'": lambda w: {"student": others(w), "teacher": w},
    "without the prefix 'module.'": lambda w: prefixed(w, "module."),
    "without the prefix '_orig_mod.'": lambda w: prefixed(w, "_orig_mod."),
    "without the prefix 'student.'": lambda w: prefixed(w, "student."),
    "without the prefix 'teacher.'": lambda w: prefixed(w, "teacher."),
    "without the prefix 'network.'": lambda w: prefixed(w, "network."),
    "without the prefix 'net.'": lambda w: prefixed(w, "net."),
    "under 'state_dict', without the prefix 'model.'": lambda w: {"state_dict": prefixed(w, "model.")},
    "under 'state_dict', without the prefix '_model.', without the prefix 'module.'": lambda w: {
        "state_dict": prefixed(w, "_model.module.")
    },
    "without the prefix 'module.', without the prefix 'student.'": lambda w: prefixed(w, "module.student."),
    "under 'state_dict', without the prefix '_orig_mod.', without the prefix 'module.'": lambda w: {
        "state_dict": prefixed(w, "_orig_mod.module.")
    },
    "the teacher of teacher and student": lambda w: prefixed(w, "teacher.") | prefixed(others(w), "student."),
    "without the prefix 'module.', the teacher of teacher and student": lambda w: (
        prefixed(others(w), "module.student.") | prefixed(w, "module.teacher.")
    ),
}


@pytest.mark.parametrize(("where", "wrap"), WRAPPED.items())
def test_weights_are_found_and_it_is_said_where(build, tmp_path, caplog, where, wrap):
    weights, target = build(seed=1).state_dict(), build(seed=2)
    torch.save(wrap(weights), tmp_path / "model.pt")
    with caplog.at_level(logging.INFO, logger="semicl_monai"):
        load_network(target, tmp_path / "model.pt")
        load_pretrained(build(seed=3), tmp_path / "model.pt")
    assert all(torch.equal(value, weights[name]) for name, value in target.state_dict().items())
    number = len(weights)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("semicl_monai")] == [
        f"Loaded all {number} tensors from {tmp_path / 'model.pt'} ({where}).",
        f"Loaded {number - 2} of {number} tensors from {tmp_path / 'model.pt'} ({where}); the classifier starts anew.",
    ]


def test_flat_weights_are_loaded_and_counted(build, tmp_path, caplog):
    torch.save(build(seed=1).state_dict(), tmp_path / "model.pt")
    with caplog.at_level(logging.INFO, logger="semicl_monai"):
        load_network(build(), tmp_path / "model.pt")
    assert re.search(r"^Loaded all \d+ tensors from .*model\.pt\.$", caplog.messages[0])


def test_a_network_is_taken_out_of_what_our_methods_train(build, tmp_path):
    network = build(seed=1)
    models = [
        ContrastiveNetwork(network, DenseHead),
        ContrastiveNetwork(network, DenseHead, global_head=DenseHead),
        MeanTeacher(network),
        LocalPseudo(network, DenseHead),
    ]
    for model in models:
        if hasattr(model, "student"):
            model.student = build(seed=2)
        torch.save({"model": model.state_dict(), "epoch": 1}, tmp_path / "checkpoint.pt")
        target = load_network(build(seed=3), tmp_path / "checkpoint.pt").state_dict()
        assert all(torch.equal(target[name], value) for name, value in network.state_dict().items())


def test_a_network_whose_own_names_begin_like_a_prefix_keeps_them(tmp_path):
    network = torch.nn.Sequential()
    network.add_module("network", torch.nn.Linear(2, 2))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    load_network(network, tmp_path / "model.pt")
    assert find_state_dict(tmp_path / "model.pt", network.state_dict()).where == ()


def test_a_prefix_that_some_names_do_not_have_is_not_taken_off_and_nothing_is_loaded(build, tmp_path):
    weights, target = build(seed=1).state_dict(), build(seed=2)
    names = list(weights)
    half = prefixed({name: weights[name] for name in names[:5]}, "module.")
    torch.save(half | {name: weights[name] for name in names[5:]}, tmp_path / "a.pt")
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(InputError, match=r"a\.pt holds another architecture than BasicUNet: Missing key"):
        load_network(target, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt does not fit BasicUNet: 5 tensors of the encoder are missing"):
        load_pretrained(target, tmp_path / "a.pt")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("load", [load_network, load_pretrained])
def test_weights_that_are_not_finite_are_refused_with_file_tensor_and_number(build, tmp_path, load, value):
    weights = build(seed=1).state_dict()
    weights["down_1.convs.conv_0.conv.weight"].view(-1)[:3] = value
    weights["upcat_1.convs.conv_0.conv.bias"][0] = value
    torch.save({"state_dict": prefixed(weights, "module.")}, tmp_path / "model.pt")
    message = (
        rf"^.*model\.pt must hold finite numbers, got NaN or infinity in 2 of {len(weights)} tensors, the first is "
        r"'down_1\.convs\.conv_0\.conv\.weight' with 3 such value\(s\) of 144\.$"
    )
    with pytest.raises(InputError, match=message):
        load(build(), tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("name", "change", "got"),
    [
        ("conv_0.conv_0.conv.weight", lambda w: w.to("meta"), "no values"),
        ("conv_0.conv_0.conv.weight", lambda w: w.to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        ("conv_0.conv_0.adn.N.running_mean", lambda w: w.to(torch.complex64), "torch.complex64"),
        ("conv_0.conv_0.adn.N.running_var", lambda w: w.int(), "torch.int32"),
        ("conv_0.conv_0.adn.N.num_batches_tracked", lambda w: w.to(torch.complex64), "torch.complex64"),
    ],
)
@pytest.mark.parametrize("load", [load_network, load_pretrained])
def test_tensors_that_would_lose_values_or_cannot_be_read_are_refused(tmp_path, load, name, change, got):
    network = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4), norm="batch")
    weights = network.state_dict()
    weights[name] = change(weights[name])
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"must hold dense tensors of floating point .*, got '{name}' of {got}\.$"):
        load(network, tmp_path / "model.pt")
