"""Every method, from pre-training to evaluation, on tiny synthetic volumes."""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Events
from monai.utils import set_determinism
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semicl_monai.engines import SampledLoss
from semicl_monai.methods import METHODS, objectives_of
from semicl_monai.networks import layout_of
from semicl_monai.utils import find_input_error

BOTH = pytest.mark.parametrize(
    "bundle", ["hippocampus_mri_segmentation", "hippocampus_mri_3d_segmentation"], indirect=True
)
PSEUDO_LABELS = ["self_training", "cross_teaching", "local_pseudo", "local_self_training"]
SEMI_SUPERVISED = ["mean_teacher", "tcsm", *PSEUDO_LABELS]
PRETRAINED = [name for name in METHODS.names if objectives_of(name)]


@pytest.fixture(autouse=True)
def _leave_no_seed():
    yield
    set_determinism(None)


@BOTH
@pytest.mark.parametrize("method", METHODS.names)
def test_it_runs_from_pretraining_to_evaluation_and_logs_its_pretext_metric(run_stage, tmp_path, method):
    run_stage("pretrain", method=method)
    run_stage("train", validation="none")
    run_stage("evaluate", num_overlays=0)
    assert (tmp_path / "eval/evaluate/summary.json").is_file()
    for objective in objectives_of(method):
        assert {"pretext", "pretext_chance"} <= _scalars(tmp_path / "eval/pretrain" / objective)
    if method in ("mean_teacher", "tcsm"):
        assert {"consistency", "consistency_chance"} <= _scalars(tmp_path / "eval/train")
    if method in PSEUDO_LABELS:
        assert {"agreement", "agreement_chance"} <= _scalars(tmp_path / "eval/train")


@BOTH
@pytest.mark.parametrize("method", PRETRAINED)
def test_its_pretraining_trains_exactly_what_it_should(run_stage, workflow, tmp_path, method):
    before = _initial_state(workflow("pretrain", method=method))
    network = run_stage("pretrain", method=method).parser.get_parsed_content("network")
    after = _weights(tmp_path / "models/model_pretrained.pt")
    trained = _decoder_and_encoder if method in ("local", "global_local", "joint") else _encoder
    if method == "chaitanya_global_local":
        first = _weights(tmp_path / "models/model_pretrained_first.pt")
        _assert_trained(before, first, _encoder(layout_of(network)))
        before, trained = first, _first_three_blocks
    _assert_trained(before, after, trained(layout_of(network)))


@BOTH
def test_pretraining_goes_on_from_weights_that_have_had_its_first_objective(run_stage, workflow, tmp_path):
    run_stage("pretrain", method="global")
    first = tmp_path / "models/model_pretrained.pt"
    built = workflow("pretrain", method="global_local", pretrained=str(first), output_dir=str(tmp_path / "then"))
    built.initialize()
    trainer = built.parser.get_parsed_content("train::trainer")
    start, network = _weights(first), built.parser.get_parsed_content("network")
    is_classifier = layout_of(network).is_classifier
    assert all(torch.equal(start[k], v.cpu()) for k, v in network.named_parameters() if not is_classifier(k))
    assert built.parser.get_parsed_content("objective") == "local"
    built.run()
    record = json.loads((tmp_path / "then/models/model_pretrained.json").read_text())
    assert (record["method"], bool(record["labelled"]), bool(record["pretrained"])) == ("global_local", True, True)
    assert trainer.state.epoch == 1


@pytest.mark.parametrize("method", ["random", "mixup", *SEMI_SUPERVISED])
def test_without_pretraining_the_initial_network_is_kept_and_has_seen_nothing(run_stage, workflow, tmp_path, method):
    before = _initial_state(workflow("pretrain", method=method))
    run_stage("pretrain", method=method)
    assert all(torch.equal(before[k], v) for k, v in _weights(tmp_path / "models/model_pretrained.pt").items())
    seen = json.loads((tmp_path / "models/model_pretrained.json").read_text())
    assert not any(seen[part] for part in ("labelled", "unlabelled", "validation"))


def test_joint_pretraining_contrasts_pixels_of_labelled_and_views_of_all_training_images(workflow):
    built = workflow("pretrain", method="joint")
    built.initialize()
    trainer = built.parser.get_parsed_content("train::trainer")
    drawn = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: drawn.append(trainer.state.batch))
    before = [p.detach().clone() for p in built.parser.get_parsed_content("model").global_head.parameters()]
    built.run()
    built.finalize()
    loss, datalist = (built.parser.get_parsed_content(name) for name in ("loss", "datalist"))
    assert (loss.local_loss.loss.temperature, loss.global_loss.temperature) == (0.1, 0.5)
    cases = {record["case"] for record in built.parser.get_parsed_content("train::images_dataset").data}
    assert cases == {*datalist.split["labelled"], *datalist.split["unlabelled"]}
    assert all(batch["unlabelled_view2_image"].shape == batch["view2_image"].shape for batch in drawn)
    assert not any(torch.equal(a, b) for a, b in zip(before, trainer.network.global_head.parameters(), strict=True))


def test_simclr_and_global_are_one_method(run_stage, tmp_path):
    for method in ("simclr", "global"):
        run_stage("pretrain", method=method, output_dir=str(tmp_path / method))
    one, other = (_weights(tmp_path / method / "models/model_pretrained.pt") for method in ("simclr", "global"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", SEMI_SUPERVISED)
def test_the_teacher_is_kept_and_the_student_can_be_evaluated_too(run_stage, tmp_path, method):
    run_stage("train", method=method, pretrained="none", validation="none", iterations_per_epoch=4)
    teacher, student = (_weights(tmp_path / "models" / name) for name in ("model.pt", "model_student.pt"))
    assert teacher.keys() == student.keys()
    assert not any(torch.equal(teacher[key], student[key]) for key in teacher if key.endswith("conv.weight"))
    for weights in ("model.pt", "model_student.pt"):
        run_stage("evaluate", weights=str(tmp_path / "models" / weights), num_overlays=0)


def test_fine_tuning_goes_on_with_the_method_of_the_weights(run_stage, tmp_path):
    run_stage("pretrain", method="tcsm")
    run_stage("train", validation="none")
    assert json.loads((tmp_path / "eval/train/options.json").read_text())["method"] == "tcsm"
    assert json.loads((tmp_path / "models/model.json").read_text())["method"] == "tcsm"


def test_validation_chooses_by_the_teacher(run_stage, tmp_path):
    built = run_stage("train", method="mean_teacher", pretrained="none", val_interval=1)
    evaluated = built.parser.get_parsed_content("validate::evaluator").network
    assert evaluated is built.parser.get_parsed_content("model").teacher


def test_semi_supervised_training_draws_unlabelled_images(workflow):
    built = workflow("train", method="mean_teacher", pretrained="none", validation="none")
    built.initialize()
    trainer = _trainer(built)
    drawn = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: drawn.append(trainer.state.batch))
    built.run()
    built.finalize()
    volumes = built.parser.get_parsed_content("train::unlabelled_dataset")
    assert {record["case"] for record in volumes.data} == set(
        built.parser.get_parsed_content("datalist").split["unlabelled"]
    )
    assert all(batch["unlabelled_image"].shape == batch["image"].shape for batch in drawn)


@pytest.mark.parametrize("method", [None, "mean_teacher"])
def test_what_was_pretrained_may_learn_more_slowly(run_stage, tmp_path, method):
    run_stage("pretrain", method="local")
    built = run_stage("train", method=method, pretrained_learning_rate=0.0001, validation="none", learning_rate=0.01)
    groups = built.parser.get_parsed_content("optimizer").param_groups
    assert [group["initial_lr"] for group in groups] == [0.0001, 0.1]
    assert groups[1]["params"] == list(built.parser.get_parsed_content("network").final_conv.parameters())
    assert json.loads((tmp_path / "eval/train/options.json").read_text())["pretrained_learning_rate"] == 0.0001


@pytest.mark.parametrize(
    ("bundle", "wanted"),
    [("hippocampus_mri_segmentation", 0.02), ("hippocampus_mri_3d_segmentation", 0.002)],
    indirect=["bundle"],
)
def test_the_new_classifier_of_slices_learns_ten_times_as_fast_as_the_rest(workflow, wanted):
    built = workflow("train", pretrained="none", method="random", learning_rate=0.002)
    built.initialize()
    network, optimizer = (built.parser.get_parsed_content(name) for name in ("network", "optimizer"))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    is_classifier = layout_of(network).is_classifier
    assert {rates[id(p)] for name, p in network.named_parameters() if is_classifier(name)} == {wanted}
    assert {rates[id(p)] for name, p in network.named_parameters() if not is_classifier(name)} == {0.002}


@pytest.mark.parametrize(("stage", "method"), [("pretrain", "local"), ("pretrain", "joint"), ("train", "local_pseudo")])
def test_the_grid_of_pixels_that_are_contrasted_moves_as_the_seed_says(workflow, monkeypatch, stage, method):
    def offsets(seed):
        options = {"pretrained": "none", "warm_up_epochs": 0} if stage == "train" else {}
        built = workflow(stage, method=method, validation="none", iterations_per_epoch=6, seed=seed, **options)
        built.initialize()
        drawn, sampler = [], sampler_of(built)
        draw = sampler.randomize
        monkeypatch.setattr(sampler, "randomize", lambda limits: drawn.append(draw(limits)) or drawn[-1])
        built.run()
        built.finalize()
        return drawn

    first = offsets(0)
    assert len({tuple(offset) for offset in first}) > 2
    assert offsets(0) == first != offsets(1)


def test_pixels_of_an_earlier_decoder_level_can_be_contrasted(run_stage, tmp_path):
    run_stage("pretrain", method="local", **{"method_def::tap": 3})
    assert (tmp_path / "models" / "model_pretrained.pt").is_file()


@pytest.mark.parametrize("method", PSEUDO_LABELS)
def test_the_student_sees_a_stronger_view_of_what_its_teacher_sees(workflow, method):
    built = workflow("train", method=method, pretrained="none", validation="none")
    built.initialize()
    trainer = _trainer(built)
    seen = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: seen.append(trainer.state.batch))
    built.run()
    built.finalize()
    views = [(batch["unlabelled_weak_image"], batch["unlabelled_image"]) for batch in seen]
    assert all(weak.min() >= 0 and weak.max() <= 1 for weak, _ in views)  # as scaled: no intensity is changed
    assert any(not torch.equal(weak, strong) for weak, strong in views)
    # they show the same place
    assert all(_correlation(weak, strong) > 0.5 for weak, strong in views)


@pytest.mark.parametrize("pretraining", ["global", "global_local"])
@pytest.mark.parametrize("method", PSEUDO_LABELS)
def test_pseudo_labels_go_with_any_pretraining(run_stage, workflow, tmp_path, method, pretraining):
    run_stage("pretrain", method=pretraining)
    built = workflow("train", method=method, validation="none")
    built.initialize()
    state = built.parser.get_parsed_content("final_network").state_dict()
    pretrained = _weights(tmp_path / "models/model_pretrained.pt")
    layout = layout_of(built.parser.get_parsed_content("network"))
    assert all(torch.equal(state[key], value) for key, value in pretrained.items() if not layout.is_classifier(key))


def test_the_contrast_of_pseudo_labels_trains_its_head(workflow):
    built = workflow("train", method="local_pseudo", pretrained="none", validation="none", pseudo_threshold=0.0)
    built.initialize()
    head = built.parser.get_parsed_content("model").head
    before = [parameter.detach().clone() for parameter in head.parameters()]
    built.run()
    built.finalize()
    assert not any(torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True) if a.ndim > 1)


@pytest.mark.parametrize("method", SEMI_SUPERVISED)
def test_without_an_unlabelled_case_semi_supervised_training_is_refused(run_stage, method):
    with pytest.raises(RuntimeError) as caught:
        run_stage("train", method=method, pretrained="none", validation="none", labelled_fraction=1.0)
    assert "needs unlabelled training volumes, got none: lower labelled_fraction" in str(find_input_error(caught.value))


@pytest.mark.parametrize("method", SEMI_SUPERVISED)
def test_without_an_unlabelled_case_the_method_of_the_weights_gives_way_to_supervision(run_stage, tmp_path, method):
    run_stage("pretrain", method=method, labelled_fraction=1.0)
    run_stage("train", validation="none", labelled_fraction=1.0)
    options = json.loads((tmp_path / "eval/train/options.json").read_text())
    assert (options["method"], options["fine_tuning"]) == (method, "random")


@pytest.mark.parametrize("method", PRETRAINED)
def test_one_labelled_volume_and_no_unlabelled_one_are_enough_for_pretraining(run_stage, tmp_path, dataset_dir, method):
    datalist = json.loads((dataset_dir / "dataset.json").read_text())
    split = tmp_path / "split.json"
    names = [entry["image"].split("/")[-1].removesuffix(".nii.gz") for entry in datalist["training"]]
    split.write_text(
        json.dumps({"labelled": names[:1], "unlabelled": [], "validation": names[1:2], "test": names[2:3]})
    )
    run_stage("pretrain", method=method, split_file=str(split), batch_size=1)
    assert all(value.isfinite().all() for value in _weights(tmp_path / "models/model_pretrained.pt").values())


@pytest.mark.parametrize(
    ("stage", "method", "own"),
    [
        ("pretrain", "pirl", {}),
        *(("train", method, {}) for method in ["mixup", *SEMI_SUPERVISED]),
        ("train", "self_training", {"snapshots": 1}),
        ("train", "local_self_training", {"contrast_memory": 2}),
        ("train", "local_self_training", {"contrast_with": "prototypes"}),
    ],
)
def test_a_stopped_run_resumes_to_the_weights_of_an_uninterrupted_one(
    run_stage, workflow, tmp_path, stage, method, own
):
    options = {"method": method, "epochs": 3, "validation": "none", **own} | (
        {"pretrained": "none"} if stage == "train" else {}
    )
    run_stage(stage, **options, output_dir=str(tmp_path / "whole"))

    built = workflow(stage, **options, output_dir=str(tmp_path / "stopped"))
    built.initialize()
    trainer = _trainer(built)
    trainer.add_event_handler(Events.EPOCH_STARTED(once=2), _stop)
    with pytest.raises(RuntimeError, match=r"run_without_metadata|run_pretraining"):
        built.run()
    built.finalize()
    run_stage(stage, **options, output_dir=str(tmp_path / "stopped"), resume=True)

    whole, resumed = (_last_checkpoint(tmp_path / run) for run in ("whole", "stopped"))
    assert _flat(whole).keys() == _flat(resumed).keys()
    assert all(torch.equal(value, _flat(resumed)[key]) for key, value in _flat(whole).items())


def _trainer(built):
    return built.parser.get_parsed_content("train::trainer")


def _correlation(one, other):
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]


def _stop():
    raise ValueError("stopped in the middle")


def _last_checkpoint(folder):
    path = next(folder.rglob("checkpoint_3.pt"))
    content = torch.load(path, weights_only=True)
    return {key: content.get(key, {}) for key in ("model", "network", "loss")}


def _flat(content, prefix=""):
    """Return all tensors of nested dicts by their path."""
    if isinstance(content, torch.Tensor):
        return {prefix: content}
    listed = dict(enumerate(content)) if isinstance(content, list | tuple) else {}
    items = content.items() if isinstance(content, dict) else listed.items()
    return {path: t for key, value in items for path, t in _flat(value, f"{prefix}/{key}").items()}


def _scalars(folder):
    return {tag for file in folder.glob("events*") for tag in _tags(file)}


def _tags(file):
    events = EventAccumulator(str(file))
    events.Reload()
    return events.Tags()["scalars"]


def _initial_state(built):
    built.initialize()
    return {key: value.clone() for key, value in built.parser.get_parsed_content("network").state_dict().items()}


def _weights(path):
    # a DynUNet has each of its blocks a second time in skip_layers
    state = torch.load(path, weights_only=True)
    return {key: value for key, value in state.items() if not key.startswith("skip_layers")}


def _encoder(layout):
    return layout.is_encoder


def _decoder_and_encoder(layout):
    return lambda key: not layout.is_classifier(key)


def _first_three_blocks(layout):
    return lambda key: key.startswith(tuple(f"{block}." for block in layout.decoder_blocks[:3]))


def _assert_trained(before, after, is_trained):
    # the bias of a convolution before an instance norm gets a gradient of rounding errors only, zero or not
    for key in (key for key in after if not key.endswith("conv.bias")):
        assert torch.equal(before[key], after[key]) != is_trained(key), key
    untouched = [key for key in after if not is_trained(key)]
    assert all(torch.equal(before[key], after[key]) for key in untouched)


def sampler_of(built):
    """The sampler of the pixels that a run contrasts."""
    return next(m.sampler for m in built.parser.get_parsed_content("loss").modules() if isinstance(m, SampledLoss))
