"""Every stage of the bundle, for one epoch on tiny synthetic volumes."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from semicl_monai.networks import layout_of
from semicl_monai.utils import InputError, find_input_error


@pytest.mark.parametrize("sampler", ["stride", "block", "full", "balanced"])
def test_local_pretraining_runs_with_every_sampler(run_stage, tmp_path, sampler):
    run_stage("pretrain", method="local", pixel_sampler=sampler)
    assert (tmp_path / "models/model_pretrained.pt").is_file()
    assert json.loads((tmp_path / "eval/pretrain/options.json").read_text())["pixel_sampler"] == sampler


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "method"),
    [("pretrain", "global_local"), ("pretrain", "joint"), ("train", "mixup"), ("train", "local_pseudo")],
)
def test_processes_that_augment_change_nothing_nor_does_resuming_with_them(run_stage, tmp_path, stage, method):
    def run(num_workers, epochs=3, **options):
        scratch = {"pretrained": "none", "validation": "none"} if stage == "train" else {}
        run_stage(stage, method=method, epochs=epochs, num_workers=num_workers, **scratch, **options)
        return torch.load(tmp_path / f"models/model{'' if stage == 'train' else '_pretrained'}.pt", weights_only=True)

    by_thread, by_process = run(0), run(1)
    assert all(torch.equal(value, by_process[key]) for key, value in by_thread.items())
    for folder in (tmp_path / "models/checkpoints").rglob("checkpoint_3.pt"):
        folder.unlink()  # as if stopped in the third epoch
    resumed = run(1, resume=True)
    assert all(torch.equal(value, resumed[key]) for key, value in by_thread.items())


def test_each_ingredient_of_the_recipe_is_switched_by_one_option(workflow):
    def built(**options):
        run = workflow("train", method="self_training", pretrained="none", validation="none", **options)
        run.initialize()
        parser = run.parser
        return [parser.get_parsed_content(name) for name in ("model", "intensity_transforms", "spatial_transforms")]

    model, usual, (warp,) = built()
    _, strong, _ = built(strong_intensity=True)
    names = [type(transform).__name__ for transform in strong]
    assert names[: len(usual)] == [type(transform).__name__ for transform in usual]
    assert names[len(usual) :] == [
        *["RandAdjustContrastd", "RandScaleIntensityFixedMeand", "RandBiasFieldd", "RandGaussianSmoothd"],
        "RandSimulateLowResolutiond",
    ]
    assert model.paste.prob == 0.5
    assert built(copy_paste_prob=0)[0].paste is None
    zoomed, _, (zooming,) = built(zoom_range=0.3)
    assert (model.transform[0].zoom, zoomed.transform[0].zoom) == (0.0, 0.3)
    assert (warp.warp.zoom, zooming.warp.zoom) == (0.0, 0.3)
    rotated, _, (rotating,) = built(rotate90_prob=0.5)
    assert [warp.rotate90_prob for warp in (model.transform[0], rotated.transform[0])] == [0.0, 0.5]
    assert (warp.warp.rotate90_prob, rotating.warp.rotate90_prob) == (0.0, 0.5)
    assert built(cut_mix_prob=0)[0].transform[1].prob == 0
    assert model.align is None
    assert built(align_classes=True)[0].align.of_labels.shape == (2,)


@pytest.mark.parametrize(("keep", "dice"), [(True, 1.0), (False, 2 * 4 / (4 + 5))])
def test_the_network_is_chosen_by_the_masks_that_inference_gives(workflow, keep, dice):
    postprocess = workflow("train", largest_component=keep).parser.get_parsed_content("validate::postprocessing")
    label, wrong = torch.zeros(2, 1, 6, 6)
    label[0, 1:3, 1:3], wrong[0, 5, 5] = 1, 1
    logits = torch.cat([1 - label - wrong, label + wrong, torch.zeros(1, 6, 6)])
    maps = postprocess({"pred": logits, "label": label})
    assert compute_dice(maps["pred"][None], maps["label"][None], False)[0, 0] == pytest.approx(dice)


@pytest.mark.parametrize("method", ["self_training", "cross_teaching", "local_self_training"])
def test_a_student_may_see_several_views_of_an_unlabelled_image(workflow, method):
    run = workflow("train", method=method, pretrained="none", validation="none", warm_up_epochs=0, strong_views=2)
    run.initialize()
    batch = next(iter(run.parser.get_parsed_content("train::batches")))
    assert batch["unlabelled_image"].shape[1] == 2 * batch["unlabelled_weak_image"].shape[1] == 2
    run.run()  # the network takes one channel


def test_images_of_thick_slices_are_not_blurred_across_them(workflow):
    run = workflow("train", pretrained="none", thick_axis=2, strong_intensity=True)
    run.initialize()
    names = [type(transform).__name__ for transform in run.parser.get_parsed_content("intensity_transforms")]
    assert {"RandBiasFieldd", "RandScaleIntensityFixedMeand"} <= set(names)
    assert not {"RandGaussianSmoothd", "RandSimulateLowResolutiond"} & set(names)


def test_the_projection_head_of_each_stage_is_trained(workflow):
    for method in ("rotation", "pirl", "global", "pcl", "chaitanya_global", "local"):
        built = workflow("pretrain", method=method)
        built.initialize()
        head = built.parser.get_parsed_content("model").head
        before = [p.detach().clone() for p in head.parameters()]
        built.run()
        built.finalize()
        assert not any(torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True) if a.ndim > 1)


def test_global_local_runs_both_stages_as_two_runs_would(run_stage, tmp_path):
    run_stage("pretrain", method="global_local")
    models, alone = tmp_path / "models", {"output_dir": str(tmp_path / "alone")}
    at_once = [
        torch.load(models / name, weights_only=True) for name in ("model_pretrained_first.pt", "model_pretrained.pt")
    ]
    run_stage("pretrain", method="global", **alone)
    weights = tmp_path / "alone/models/model_pretrained.pt"
    first = torch.load(weights, weights_only=True)
    run_stage("pretrain", method="global_local", pretrained=str(weights), **alone)
    last = torch.load(weights, weights_only=True)
    for found, wanted in zip(at_once, (first, last), strict=True):
        assert all(torch.equal(found[key], value) for key, value in wanted.items())
    assert not all(torch.equal(first[key], value) for key, value in last.items())
    assert (tmp_path / "eval/pretrain/embedding_local.png").stat().st_size > 1000
    assert list((tmp_path / "eval/pretrain/global").glob("events*"))
    assert list((tmp_path / "eval/pretrain/local").glob("events*"))
    assert json.loads((models / "model_pretrained.json").read_text())["pretrained"]


def test_fine_tuning_starts_from_the_pretrained_tensors_and_says_so(run_stage, workflow, tmp_path):
    run_stage("pretrain", method="local")
    built = workflow("train")
    built.initialize()
    network = built.parser.get_parsed_content("network")
    pretrained = torch.load(tmp_path / "models/model_pretrained.pt", weights_only=True)
    layout = layout_of(network)
    for key, value in network.state_dict().items():
        assert torch.equal(value, pretrained[key]) or layout.is_classifier(key)
    built.run()
    built.finalize()
    options = json.loads((tmp_path / "eval/train/options.json").read_text())
    assert options["pretrained"].endswith("models/model_pretrained.pt")


def test_training_from_scratch_is_recorded(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none")
    assert json.loads((tmp_path / "eval/train/options.json").read_text())["pretrained"] == "none"


def test_fine_tuning_without_pretrained_weights_is_refused(run_command):
    done = run_command("train", labelled_fraction=2)
    assert done.returncode != 0
    assert "run the stage before this one first" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_program_that_brings_no_pretrained_weights_starts_without(run_stage, tmp_path):
    run_stage("train", validation="none")
    assert json.loads((tmp_path / "models/model.json").read_text())["pretrained"] is None


@pytest.mark.parametrize("validation", ["best", "none"])
def test_the_whole_job_ends_with_tables_pictures_and_masks(run_stage, dataset_dir, tmp_path, validation):
    run_stage("train", pretrained="none", validation=validation, val_interval=1)
    run_stage("evaluate", num_overlays=1)
    run_stage("inference", dataset_dir=str(dataset_dir / "imagesTs"))

    rows = list(csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open()))
    split = json.loads((tmp_path / "eval/evaluate/split.json").read_text())
    assert {row["case"] for row in rows} == set(split["test"])
    assert {row["class"] for row in rows} == {"Anterior", "Posterior"}
    summary = json.loads((tmp_path / "eval/evaluate/summary.json").read_text())
    assert summary["num_cases"] == len(split["test"])
    assert len(list((tmp_path / "eval/evaluate/overlays").glob("*.png"))) == 1
    assert list((tmp_path / "eval/train").glob("events*"))

    image = next((dataset_dir / "imagesTs").glob("*.nii.gz"))
    mask = nib.load(tmp_path / "eval/predictions" / image.name.replace(".nii.gz", "_seg.nii.gz"))
    assert mask.shape == nib.load(image).shape
    assert np.allclose(mask.affine, nib.load(image).affine, atol=1e-5)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2}


def test_the_split_of_a_run_can_be_passed_back_in(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none", split_seed=3)
    first = json.loads((tmp_path / "eval/train/split.json").read_text())
    run_stage("evaluate", split_file=str(tmp_path / "eval/train/split.json"))
    assert json.loads((tmp_path / "eval/evaluate/split.json").read_text())["test"] == first["test"]


@pytest.mark.parametrize("later", ["train", "evaluate"])
def test_a_later_stage_refuses_to_hold_out_what_an_earlier_one_has_seen(run_stage, later):
    run_stage("pretrain", method="local")
    run_stage("train", validation="none")
    with pytest.raises(RuntimeError) as caught:
        run_stage(later, split_seed=1)
    assert "have seen cases that are held out now" in _cause(caught.value)


def test_training_from_scratch_may_use_another_split_than_pretraining(run_stage):
    run_stage("pretrain", method="local")
    run_stage("train", pretrained="none", validation="none", split_seed=1)


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        ("pretrain", {"method": "simclr2"}, "unknown method 'simclr2', did you mean 'simclr'; known: random, rotation"),
        ("pretrain", {"method": "local", "pixel_sampler": "blok"}, "unknown sampler 'blok', did you mean 'block'"),
        ("pretrain", {"method": "local", "temperature": -1}, "temperature must be positive, got -1"),
        ("pretrain", {"labelled_fraction": 0.001}, "labelled_fraction"),
        ("train", {"pretrained": "none", "validation": "last"}, "validation must be one of best, none, got 'last'"),
        ("pretrain", {"method": "local", "amp": "flase"}, "amp must be true or false, got 'flase'"),
        ("train", {"pretrained": "none", "dataset_dir": "/nowhere"}, "--download true"),
        ("train", {"pretrained": "/nowhere.pt"}, "no weights at /nowhere.pt"),
    ],
)
def test_a_bad_option_is_named_in_one_line(run_stage, stage, options, message):
    with pytest.raises((RuntimeError, InputError, ValueError)) as caught:
        run_stage(stage, **options)
    assert message in _cause(caught.value)
    assert "\n" not in _cause(caught.value)


def test_the_validation_volumes_can_be_evaluated_in_place_of_the_test_volumes(run_stage, tmp_path):
    run_stage("train", pretrained="none")
    run_stage("evaluate", num_overlays=0, part="validation")
    rows = list(csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open()))
    split = json.loads((tmp_path / "eval/evaluate/split.json").read_text())
    assert {row["case"] for row in rows} == set(split["validation"])
    assert json.loads((tmp_path / "eval/evaluate/summary.json").read_text())["part"] == "validation"


def test_a_part_that_is_not_held_out_is_refused(run_stage, weights):
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage("evaluate", weights=str(weights), part="labelled")
    assert "part must be one of test, validation, held_out, got 'labelled'" in _cause(caught.value)


@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_missing_weights_stop_evaluation_and_inference(run_stage, name):
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage(name)
    assert "no weights at" in _cause(caught.value)


def test_weights_of_another_architecture_stop_the_evaluation(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none")
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage("evaluate", **{"network_def::features": [8, 8, 8, 8, 8, 8]})
    assert "holds another architecture than BasicUNet" in _cause(caught.value)


def _copy(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def _cause(error):
    return str(find_input_error(error))


def test_labels_seen_in_pretraining_may_not_be_unlabelled_later(run_stage):
    run_stage("pretrain", method="local", labelled_fraction=3)
    with pytest.raises(RuntimeError) as caught:
        run_stage("train", labelled_fraction=2)
    assert "have seen labels of cases that are unlabelled now" in _cause(caught.value)


def test_global_pretraining_has_seen_no_label_and_serves_any_labelled_fraction(run_stage):
    run_stage("pretrain", method="global", labelled_fraction=3)
    run_stage("train", labelled_fraction=2, validation="none")


def test_weights_from_another_folder_are_checked_against_what_they_have_seen(run_stage, tmp_path):
    run_stage("pretrain", method="local", output_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(RuntimeError) as caught:
        run_stage("train", pretrained=str(tmp_path / "elsewhere/models/model_pretrained.pt"), split_seed=1)
    assert "have seen cases that are held out now" in _cause(caught.value)


def test_a_run_started_anew_leaves_no_checkpoint_of_an_earlier_one_to_be_resumed(run_stage, workflow, tmp_path):
    run_stage("pretrain", method="global_local")
    with pytest.raises(RuntimeError):  # before the first epoch
        run_stage("pretrain", method="global_local", lr_scheduler={"_target_": "builtins.float", "x": "none"})
    assert not list((tmp_path / "models/checkpoints/pretrain").rglob("*.pt"))
    assert len(list((tmp_path / "models/checkpoints/pretrain.previous").rglob("*.pt"))) == 2


def test_the_former_validation_volumes_train_without_validation_and_are_no_measure_then(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none", labelled_fraction=7)
    split = json.loads((tmp_path / "eval/train/split.json").read_text())
    assert (len(split["labelled"]), len(split["test"]), split["validation"]) == (7, 2, [])
    seen = json.loads((tmp_path / "models/model.json").read_text())["labelled"]
    assert [case["case"] for case in seen] == split["labelled"]
    with pytest.raises(RuntimeError) as caught:
        run_stage("evaluate", num_overlays=0, part="validation", labelled_fraction=7)
    assert "the weights have seen cases that are held out now" in _cause(caught.value)
    run_stage("evaluate", num_overlays=0, labelled_fraction=7)
    rows = csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open())
    assert {row["case"] for row in rows} == set(split["test"])


def _lists(dataset_dir, folder, **change):
    """Write lists of the synthetic volumes elsewhere; ``change`` makes some of them of the pairs of files."""
    content = json.loads((dataset_dir / "dataset.json").read_text())
    pairs = [{key: str(dataset_dir / file) for key, file in entry.items()} for entry in content["training"]]
    lists = {"training": pairs, **{name: made(pairs) for name, made in change.items()}}
    (folder / "lists.json").write_text(json.dumps(lists))
    return str(folder / "lists.json")


def test_one_labelled_volume_trains_and_there_is_nothing_to_evaluate(run_stage, dataset_dir, tmp_path):
    few = {"training": lambda pairs: [pairs[0], {"image": pairs[1]["image"]}]}
    lists = {"datalist_file": _lists(dataset_dir, tmp_path, **few), "labelled_fraction": 1.0}
    with pytest.raises(RuntimeError) as caught:
        run_stage("pretrain", **lists)
    assert "got 1; --validation none trains with so few" in _cause(caught.value)
    run_stage("pretrain", validation="none", **lists)
    run_stage("train", validation="none", **lists)
    with pytest.raises(RuntimeError) as caught:
        run_stage("evaluate", **lists)
    assert "there is nothing to evaluate: no labelled volume is in the test part of this split" in _cause(caught.value)


def test_an_empty_validation_list_keeps_the_last_network_and_measures_on_training(run_stage, dataset_dir, tmp_path):
    lists = {"datalist_file": _lists(dataset_dir, tmp_path, validation=lambda pairs: [])}
    built = run_stage("pretrain", method="global", **lists)
    measured, seen = (built.parser.get_parsed_content(f"{name}::dataset") for name in ("validate", "train"))
    assert [r["case"] for r in measured.data] == [r["case"] for r in seen.data]
    assert len(seen.data) == 8
    trained = run_stage("train", **lists)
    assert len(trained.parser.get_parsed_content("validate::dataset")) == 0
    assert torch.equal(*(torch.load(tmp_path / f"models/{n}.pt")["final_conv.bias"] for n in ("model", "model_final")))


def test_splits_tables_and_intervals_go_by_patient_through_all_stages(run_stage, dataset_dir, tmp_path):
    def of_patients(pairs):
        return [{**pair, "patient": f"p{number // 2}"} for number, pair in enumerate(pairs)]

    lists = {"datalist_file": _lists(dataset_dir, tmp_path, training=of_patients), "labelled_fraction": 1}
    run_stage("pretrain", **lists)
    run_stage("train", method="mean_teacher", **lists)
    run_stage("evaluate", num_overlays=0, **lists)
    split = json.loads((tmp_path / "eval/train/split.json").read_text())
    assert [len(split[part]) for part in ("labelled", "unlabelled", "validation", "test")] == [2, 4, 2, 2]
    rows = list(csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open()))
    assert len({row["case"] for row in rows}) == 2
    assert {row["patient"] for row in rows} == {f"p{int(split['test'][0][-3:]) // 2}"}
    summary = json.loads((tmp_path / "eval/evaluate/summary.json").read_text())
    assert (summary["num_cases"], summary["num_patients"]) == (2, 1)
