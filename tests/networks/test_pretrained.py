from __future__ import annotations

import logging

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from semicl_monai.networks import (
    ContrastiveNetwork,
    DenseHead,
    NetworkLayout,
    find_pretrained,
    from_scratch,
    initial_network,
    layout_of,
    load_network,
    load_pretrained,
    read_state_dict,
    without_deep_supervision,
)
from semicl_monai.utils import InputError, Provenance, state_digest, with_provenance


class Code:
    """What runs code when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def save(content, path):
    torch.save(content, path)
    return path


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("semicl_monai")]


def equal(network, weights, keys):
    own = network.state_dict()
    return [torch.equal(own[key], weights[key]) for key in keys]


def test_an_encoder_of_another_normalisation_is_refused_and_nothing_is_loaded(tmp_path):
    sizes = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": (4, 4, 4, 4, 4, 4)}
    network, other = BasicUNet(**sizes, norm=("instance", {"affine": True})), BasicUNet(**sizes, norm="batch")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        InputError, match=r"another architecture than BasicUNet.* 30 tensors .*adn\.N\.running_mean'\.$"
    ):
        load_pretrained(network, save(other.state_dict(), tmp_path / "model.pt"))
    assert all(equal(network, before, before))


@pytest.mark.parametrize("name", ["BasicUNet", "DynUNet", "SegResNet", "UNet"])
def test_all_but_the_classifier_is_loaded_and_named(build, tmp_path, name):
    source, target = build(name, seed=1), build(name, seed=2)
    weights = source.state_dict()
    untouched = {key: value.clone() for key, value in target.state_dict().items()}
    loaded = load_pretrained(target, save(weights, tmp_path / "model.pt"))
    layout = layout_of(target)
    classifier = [key for key in weights if layout.is_classifier(key)]
    assert sorted(loaded) == sorted(set(weights) - set(classifier))
    assert classifier
    assert all(equal(target, weights, loaded))
    assert all(equal(target, untouched, classifier))


def test_what_was_trained_under_a_head_loads_into_the_plain_network(build, tmp_path):
    network = build(seed=1)
    model = ContrastiveNetwork(network, DenseHead)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(2, 1, 32, 32)).pow(2).mean().backward()
    optimizer.step()
    fresh = build(seed=2)
    loaded = load_pretrained(fresh, save(network.state_dict(), tmp_path / "model.pt"))
    assert all(equal(fresh, network.state_dict(), loaded))


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"model": w}, lambda w: {"network": w, "epoch": 3}])
def test_a_flat_or_a_nested_state_dict_is_accepted(build, tmp_path, wrap):
    weights = build(seed=1).state_dict()
    path = save(wrap(weights), tmp_path / "model.pt")
    assert set(read_state_dict(path)) == set(weights)
    assert len(load_pretrained(build(seed=2), str(path))) == len(weights) - 2


def test_another_number_of_classes_is_no_obstacle(build, tmp_path):
    path = save(build(seed=1, out_channels=5).state_dict(), tmp_path / "model.pt")
    assert "final_conv.weight" not in load_pretrained(build(seed=2), path)


def test_a_decoder_that_is_not_in_the_file_starts_anew(build, tmp_path):
    weights = {key: value for key, value in build(seed=1).state_dict().items() if not key.startswith("upcat")}
    target = build(seed=2)
    loaded = load_pretrained(target, save(weights, tmp_path / "model.pt"))
    assert set(loaded) == {key for key in target.state_dict() if layout_of(target).is_encoder(key)}


def test_an_encoder_tensor_of_another_shape_is_refused_by_name(build, tmp_path):
    weights = build(seed=1).state_dict()
    weights["conv_0.conv_0.conv.weight"] = torch.zeros(8, 1, 3, 3)
    path = save(weights, tmp_path / "model.pt")
    target = build(seed=2)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    message = (
        r"model\.pt does not fit BasicUNet: 1 tensors of the encoder .* first is 'conv_0\.conv_0\.conv\.weight'; "
        r"wanted \(4, 1, 3, 3\), got \(8, 1, 3, 3\)\.$"
    )
    with pytest.raises(InputError, match=message):
        load_pretrained(target, path)
    assert all(equal(target, before, before))


def test_an_encoder_tensor_that_is_missing_is_refused_by_name(build, tmp_path):
    weights = build(seed=1).state_dict()
    del weights["down_2.convs.conv_0.conv.bias"]
    with pytest.raises(InputError, match=r"first is 'down_2\.convs\.conv_0\.conv\.bias'; wanted \(4,\), got nothing"):
        load_pretrained(build(seed=2), save(weights, tmp_path / "model.pt"))


def test_weights_of_another_network_are_refused(build, tmp_path):
    with pytest.raises(InputError, match=r"does not fit BasicUNet: \d+ tensors"):
        load_pretrained(build(), save(build("SegResNet").state_dict(), tmp_path / "model.pt"))


def test_a_layout_decides_what_counts_as_the_classifier(build, tmp_path):
    layout = NetworkLayout(("conv_0",), "down_4", ("upcat_1",), classifier=("final_conv", "upcat_1"))
    path = save(build(seed=1).state_dict(), tmp_path / "model.pt")
    assert not any(key.startswith("upcat_1") for key in load_pretrained(build(seed=2), path, layout))


def test_a_missing_file_is_refused_with_both_ways_out(build, tmp_path):
    with pytest.raises(InputError, match=r"^no weights at .*nowhere\.pt: run the stage before .* --pretrained none"):
        load_pretrained(build(), tmp_path / "nowhere.pt")


@pytest.mark.parametrize("text", [b"", b"no checkpoint", b"PK\x03\x04 neither"])
def test_a_damaged_file_is_refused(build, tmp_path, text):
    (tmp_path / "model.pt").write_bytes(text)
    with pytest.raises(InputError, match=r"^cannot load weights from .*model\.pt: it is damaged or no checkpoint"):
        load_pretrained(build(), tmp_path / "model.pt")


def test_a_truncated_file_is_refused(build, tmp_path):
    path = save(build().state_dict(), tmp_path / "model.pt")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="it is damaged or no checkpoint"):
        load_pretrained(build(), path)


def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(build, tmp_path):
    path = save({"network": build().state_dict(), "more": Code(tmp_path / "trace")}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"^cannot load weights from .*model\.pt: it would run code") as raised:
        load_pretrained(build(), path)
    assert not (tmp_path / "trace").exists()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"network": {}}, [1, 2], torch.zeros(2)])
def test_a_file_without_tensors_is_refused(build, tmp_path, content):
    with pytest.raises(InputError, match=r"model\.pt holds no state dict of a network, got \w+\.$"):
        load_pretrained(build(), save(content, tmp_path / "model.pt"))


def test_load_network_loads_every_tensor(build, tmp_path):
    weights, target = build(seed=1).state_dict(), build(seed=2)
    assert load_network(target, save({"network": weights}, tmp_path / "model.pt")) is target
    assert all(equal(target, weights, weights))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("final_conv.bias"), r"Missing key\(s\) in state_dict: \"final_conv\.bias\""),
        (lambda w: w.update(more=torch.zeros(1)), r"Unexpected key\(s\) in state_dict: \"more\""),
        (lambda w: w.update({"final_conv.bias": torch.zeros(9)}), r"size mismatch for final_conv\.bias"),
    ],
)
def test_load_network_is_strict_and_says_so_in_one_line(build, tmp_path, change, message):
    weights = build().state_dict()
    change(weights)
    path = save(weights, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"model\.pt holds another architecture than BasicUNet: {message}") as raised:
        load_network(build(), path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "is from pre-training, which trains no classifier: wanted weights from the stage train."),
        (("b", "a"), "was trained for the classes b, a, in this order; class_names is a, b."),
        (("a", "c"), "was trained for the classes a, c, in this order; class_names is a, b."),
    ],
)
def test_load_network_refuses_a_classifier_of_other_classes(build, tmp_path, classes, message):
    weights = with_provenance(build().state_dict(), Provenance(classes=classes))
    path = save(weights, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"model\.pt {message}$"):
        load_network(build(), path, ["a", "b"])
    load_network(build(), path, classes or None)
    load_network(build(), save(dict(weights), tmp_path / "unknown.pt"), ["a", "b"])


def test_a_network_without_deep_supervision_takes_what_one_with_it_has_learnt(deeply_supervised, tmp_path):
    trained = deeply_supervised(3).eval()
    plain = deeply_supervised(3, deep_supervision=False).eval()
    state = without_deep_supervision(trained.state_dict())
    assert state.keys() == plain.state_dict().keys() < trained.state_dict().keys()
    load_network(plain, save(trained.state_dict(), tmp_path / "model.pt"))
    image = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(plain(image), trained(image))
    with_heads = load_network(deeply_supervised(3), save(plain.state_dict(), tmp_path / "plain.pt")).eval()
    assert torch.equal(with_heads(image), plain(image))


def test_the_heads_of_deep_supervision_start_anew_under_both_of_their_names(deeply_supervised, tmp_path):
    source, target = deeply_supervised(3), deeply_supervised(3)
    for parameter in source.parameters():
        torch.nn.init.ones_(parameter)
    heads = {key: value.clone() for key, value in target.state_dict().items() if "head" in key}
    load_pretrained(target, save(source.state_dict(), tmp_path / "model.pt"))
    assert len(heads) == 8
    assert all(equal(target, heads, heads))


def test_load_network_refuses_a_missing_file(build, tmp_path):
    with pytest.raises(InputError, match=r"no weights at .*nowhere\.pt"):
        load_network(build(), tmp_path / "nowhere.pt")


@pytest.mark.parametrize(("pretrained", "scratch"), [(None, True), ("none", True), ("None", True), ("a.pt", False)])
def test_none_means_from_scratch(pretrained, scratch):
    assert from_scratch(pretrained) is scratch


def test_a_program_has_pretrained_weights_where_there_are_some(build, tmp_path):
    assert find_pretrained(tmp_path) == "none"
    path = save(build().state_dict(), tmp_path / "model_pretrained.pt")
    assert find_pretrained(tmp_path) == str(path)


def test_a_user_of_the_runner_is_to_have_pretrained_weights(tmp_path, monkeypatch):
    argv = ["monai/bundle/__main__.py", "run", "--config_file", "configs/train.json"]
    monkeypatch.setattr("sys.argv", argv)
    assert find_pretrained(tmp_path) == str(tmp_path / "model_pretrained.pt")


@pytest.mark.parametrize("pretrained", [None, "none", "None"])
def test_a_network_from_scratch_is_left_as_it_is_and_that_is_logged(build, caplog, pretrained):
    network = build(seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="semicl_monai"):
        assert initial_network(network, pretrained) is network
    assert all(equal(network, before, before))
    assert messages(caplog) == ["Training starts without pre-trained weights."]


def test_a_network_with_pretrained_weights_says_what_and_how_much_was_loaded(build, tmp_path, caplog):
    path = save(build(seed=1).state_dict(), tmp_path / "model.pt")
    network = build(seed=2)
    with caplog.at_level(logging.INFO, logger="semicl_monai"):
        assert initial_network(network, path) is network
    number = len(network.state_dict())
    assert messages(caplog) == [
        f"Loaded {number - 2} of {number} tensors from {path}; the classifier starts anew.",
        f"Training starts from the pre-trained weights {path}.",
        f"Provenance unknown: {path} does not say which cases it was trained on.",
    ]
    assert all(equal(network, build(seed=1).state_dict(), ["conv_0.conv_0.conv.weight"]))


def test_an_untrained_network_is_not_called_pre_trained(build, tmp_path, caplog):
    network = build(seed=1)
    untrained = Provenance("self_training", state=state_digest(network.state_dict()))
    path = save(with_provenance(network.state_dict(), untrained), tmp_path / "model.pt")
    with caplog.at_level(logging.INFO, logger="semicl_monai"):
        initial_network(build(seed=2), path)
    assert messages(caplog)[1:] == [f"Training starts from the untrained network {path}."]


def test_weights_that_are_asked_for_and_missing_are_never_passed_over(build, tmp_path):
    with pytest.raises(InputError, match="no weights at"):
        initial_network(build(), tmp_path / "model_pretrained.pt")


@pytest.mark.parametrize("function", ["initial_network", "load_network"])
def test_it_builds_from_a_config(build, tmp_path, function):
    weights = build(seed=1).state_dict()
    name = {"initial_network": "pretrained", "load_network": "weights"}[function]
    config = {
        "network": build(seed=2),
        "loaded": {
            "_target_": f"semicl_monai.networks.{function}",
            "network": "@network",
            name: str(save(weights, tmp_path / "model.pt")),
        },
    }
    assert all(equal(ConfigParser(config).get_parsed_content("loaded"), weights, ["conv_0.conv_0.conv.weight"]))


@pytest.mark.parametrize("function", [load_network, load_pretrained])
@pytest.mark.parametrize("change", [torch.Tensor.int, lambda x: x.to(torch.complex64), torch.Tensor.to_sparse])
def test_weights_that_are_no_floating_point_numbers_are_refused(build, tmp_path, function, change):
    weights = {name: change(value) for name, value in build(seed=1).state_dict().items()}
    with pytest.raises(InputError, match=r"hold dense tensors of floating point numbers, got 'conv_0\..*' of torch"):
        function(build(), save(weights, tmp_path / "model.pt"))
