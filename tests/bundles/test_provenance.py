"""What every file of weights says it was trained on, from its training to the table of its evaluation."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import torch
from ignite.engine import Events

from semicl_monai.data import SegmentationDatalist
from semicl_monai.networks import read_provenance
from semicl_monai.utils import InputError, find_input_error, image_digest

PARTS = ("labelled", "unlabelled", "validation")
TRAINED = ("model.pt", "model_student.pt", "model_final.pt", "checkpoints/train/checkpoint_1.pt")


def cause(error):
    return str(find_input_error(error))


@pytest.fixture
def trained(run_stage, tmp_path):
    """The folder of the weights of a teacher and its student."""
    run_stage("train", pretrained="none", method="mean_teacher", val_interval=1)
    return tmp_path / "models"


def table(tmp_path):
    with open(tmp_path / "eval/evaluate/cases.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_of_a_training_is_refused_for_what_it_has_seen_and_evaluated_for_what_it_has_not(
    trained, run_stage, dataset_dir, tmp_path
):
    split = json.loads((tmp_path / "eval/train/split.json").read_text())
    for name in TRAINED:
        known = read_provenance(trained / name)
        seen = {part: [case["case"] for case in getattr(known, part)] for part in PARTS}
        assert seen == {part: split[part] for part in seen}
        case = known.labelled[0]
        assert case["image"] == image_digest(dataset_dir / "imagesTr" / f"{case['case']}.nii.gz")
        with pytest.raises((RuntimeError, InputError)) as caught:
            run_stage("evaluate", weights=str(trained / name), num_overlays=0, split_seed=1)
        assert "the weights have seen cases that are held out now" in cause(caught.value)
    for name in TRAINED[2:]:
        run_stage("evaluate", weights=str(trained / name), num_overlays=0)
        assert {row["provenance"] for row in table(tmp_path)} == {"recorded"}
        assert json.loads((tmp_path / "eval/evaluate/summary.json").read_text())["provenance"] == "recorded"


def test_a_copy_without_its_record_or_under_another_one_is_known_all_the_same(trained, run_stage, tmp_path):
    shutil.copy(trained / "model.pt", tmp_path / "copy.pt")
    (tmp_path / "copy.json").write_text('{"labelled": "", "unlabelled": [], "validation": []}')
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage("evaluate", weights=str(tmp_path / "copy.pt"), num_overlays=0, split_seed=1)
    assert "the weights have seen cases that are held out now" in cause(caught.value)


def test_the_volumes_are_recognised_under_other_names(trained, run_stage, dataset_dir, tmp_path):
    held_out, data = SegmentationDatalist(dataset_dir, split_seed=0).test, tmp_path / "renamed"
    (data / "images").mkdir(parents=True)
    entries = []
    for number, image in enumerate(sorted((dataset_dir / "imagesTr").glob("*.nii.gz"))):
        label = dataset_dir / "labelsTr" / image.name
        (data / f"images/new_{number}.nii.gz").symlink_to(image)
        entries.append({"image": f"images/new_{number}.nii.gz", "label": str(label)})
    (data / "dataset.json").write_text(json.dumps({"training": entries}))
    assert held_out
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage("evaluate", dataset_dir=str(data), num_overlays=0, split_seed=1)
    assert "held out now: new_" in cause(caught.value)
    assert "(as " in cause(caught.value)


def test_weights_of_others_are_evaluated_when_it_is_asked_for_and_the_tables_say_so(trained, run_stage, tmp_path):
    state = {f"module.{name}": value for name, value in torch.load(trained / "model.pt", weights_only=True).items()}
    torch.save({"state_dict": state}, tmp_path / "foreign.pt")
    options = {"weights": str(tmp_path / "foreign.pt"), "num_overlays": 0}
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage("evaluate", **options)
    assert "give --allow_unknown_provenance true to evaluate it anyway" in cause(caught.value)
    assert not (tmp_path / "eval/evaluate/cases.csv").exists()
    run_stage("evaluate", allow_unknown_provenance="true", **options)
    assert {row["provenance"] for row in table(tmp_path)} == {"unknown"}

    # what is fine-tuned from them is not refused, and says so too
    run_stage("train", pretrained=str(tmp_path / "foreign.pt"), validation="none", output_dir=str(tmp_path / "on"))
    run_stage("evaluate", weights=str(tmp_path / "on/models/model.pt"), num_overlays=0)
    assert {row["provenance"] for row in table(tmp_path)} == {"unknown"}
    assert json.loads((tmp_path / "eval/evaluate/summary.json").read_text())["provenance"] == "unknown"


def test_both_files_of_a_pretraining_say_what_they_have_seen(run_stage, tmp_path):
    run_stage("pretrain", method="chaitanya_global_local")
    for name in ("model_pretrained", "model_pretrained_first", "checkpoints/pretrain/region/checkpoint_1"):
        known = read_provenance(tmp_path / f"models/{name}.pt")
        assert len(known.unlabelled) == 6
        assert (known.labelled, known.validation, known.from_unknown) == ((), (), False)
    run_stage(
        "train", validation="none", pretrained=str(tmp_path / "models/checkpoints/pretrain/region/checkpoint_1.pt")
    )
    assert not read_provenance(tmp_path / "models/model.pt").from_unknown


@pytest.mark.parametrize("stage", ["evaluate", "inference"])
def test_weights_are_used_for_the_classes_they_were_trained_for_alone(run_stage, tmp_path, stage):
    run_stage("pretrain", method="global")
    run_stage("train", validation="none")
    for name, options, message in [
        ("model_pretrained.pt", {}, "is from pre-training, which trains no classifier"),
        ("model.pt", {"class_names": ["Posterior", "Anterior"]}, "was trained for the classes Anterior, Posterior"),
    ]:
        with pytest.raises((RuntimeError, InputError)) as caught:
            run_stage(stage, weights=str(tmp_path / "models" / name), **options)
        assert message in cause(caught.value)


def test_one_image_in_training_and_test_stops_a_stage(run_stage, dataset_dir, tmp_path):
    images = sorted((dataset_dir / "imagesTr").glob("*.nii.gz"))
    shutil.copy(images[0], tmp_path / "again.nii.gz")
    entries = [{"image": str(image), "label": str(dataset_dir / "labelsTr" / image.name)} for image in images]
    shutil.copy(entries[0]["label"], tmp_path / "again_label.nii.gz")
    test = [{key: str(tmp_path / name) for key, name in (("image", "again.nii.gz"), ("label", "again_label.nii.gz"))}]
    (tmp_path / "lists.json").write_text(json.dumps({"training": entries, "validation": [], "test": test}))
    with pytest.raises((RuntimeError, InputError)) as caught:
        run_stage(
            "train", pretrained="none", split_seed=0, labelled_fraction=1.0, datalist_file=str(tmp_path / "lists.json")
        )
    assert "the same image is in the" in cause(caught.value)
    assert "part as again" in cause(caught.value)


def test_a_training_that_fails_leaves_the_models_of_the_one_before(trained, workflow):
    before = {file.name: file.read_bytes() for file in trained.glob("model*")}
    built = workflow("train", pretrained="none", validation="none", seed=5)
    built.initialize()
    trainer = built.parser.get_parsed_content("train::trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    with pytest.raises(RuntimeError, match="run_without_metadata"):
        built.run()
    assert trainer.state.iteration == 2
    assert {file.name: file.read_bytes() for file in trained.glob("model*")} == before
    assert "model_final.pt" in before


def fail():
    raise ValueError("in the middle")
