"""nnU-Net is given the labelled volumes of a run and no other label, and is measured as our runs are.

nnU-Net itself is not installed here: stand-ins for its commands record how they were called, and copy given masks.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.__main__ import COMMANDS
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.apps.nnunet_baseline import nnunet
from semicl_monai.data import MMWHS_VALUES, SegmentationDatalist, mmwhs_sections
from semicl_monai.synthetic import make_synthetic_hippocampus, make_synthetic_whole_heart
from semicl_monai.utils import InputError

BUNDLES = Path(__file__).parents[2] / "bundles"
STAND_IN = """#!{python}
import json, os, shutil, sys
from pathlib import Path
here, step, arguments = Path(__file__).parent, Path(__file__).name, sys.argv[1:]
folders = [os.environ[name] for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
with open(here / "calls", "a") as file:
    file.write(json.dumps([step, arguments, folders]) + "\\n")
if (here / "failing").exists() and (here / "failing").read_text() == step:
    sys.exit(3)
options = dict(zip(arguments, arguments[1:]))
if step == "nnUNetv2_train":
    (data,) = Path(folders[0]).iterdir()
    fold = Path(folders[2], data.name, options["-tr"] + "__nnUNetPlans__3d_fullres", "fold_all")
    fold.mkdir(parents=True, exist_ok=True)
    (fold / "checkpoint_final.pth").touch()
if step == "nnUNetv2_predict":
    Path(options["-o"]).mkdir(parents=True, exist_ok=True)
    for image in Path(options["-i"]).glob("*_0000.nii.gz"):
        mask = here / "masks" / image.name.replace("_0000", "")
        if mask.exists():
            shutil.copy(mask, options["-o"])
"""
VERSION = "#!/bin/sh\necho 2.8.1\n"


def write_command(file, text):
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def environment(tmp_path):
    """The folder of an interpreter and of the commands of nnU-Net beside it."""
    folder = tmp_path / "nnunet" / "bin"
    (folder / "masks").mkdir(parents=True)
    write_command(folder / "python", VERSION)
    for step in ("plan_and_preprocess", "train", "predict"):
        write_command(folder / f"nnUNetv2_{step}", STAND_IN.format(python=sys.executable))
    return folder


@pytest.fixture
def calls(environment):
    """Return what the stand-ins were called with."""

    def read():
        file = environment / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


@pytest.fixture(scope="module")
def hippocampus(tmp_path_factory):
    """A data set, and the split of a run with two labels."""
    folder = tmp_path_factory.mktemp("hippocampus")
    data = make_synthetic_hippocampus(folder / "data", num_cases=10, num_test=1, spatial_size=(20, 24, 16))
    lists = SegmentationDatalist(data, labelled_fraction=2, save_to=folder / "split.json")
    return SimpleNamespace(data=data, split_file=folder / "split.json", lists=lists)


@pytest.fixture
def baseline(environment, hippocampus, tmp_path):
    """Run the command on the hippocampus with the stand-ins."""

    def run(**options):
        given = {"split_file": str(hippocampus.split_file), "output_dir": str(tmp_path / "out")}
        given |= {"dataset_dir": str(hippocampus.data), "python": str(environment / "python")}
        nnunet(**{**given, **options})
        return tmp_path / "out"

    return run


@pytest.fixture
def masks(environment, hippocampus):
    """Masks of the test volumes, each with other mistakes, as nnU-Net's answers; their voxels by case."""
    rng, found = np.random.default_rng(0), {}
    for record in hippocampus.lists.test:
        truth = nib.load(record["label"])
        values = np.asarray(truth.dataobj).copy()
        wrong = rng.random(values.shape) < rng.uniform(0.05, 0.3)
        values[wrong] = rng.integers(0, 3, int(wrong.sum()))
        found[record["case"]] = values
        nib.save(nib.Nifti1Image(values, truth.affine), environment / "masks" / f"{record['case']}.nii.gz")
    return found


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def voxels(file):
    return np.asarray(nib.load(file).dataobj)


def raw(output):
    (folder,) = (output / "nnUNet_raw").iterdir()
    return folder


def test_it_is_a_command():
    assert COMMANDS["nnunet"] is nnunet


def test_only_the_labelled_volumes_are_trained_with_and_only_test_images_are_segmented(baseline, masks, hippocampus):
    folder, lists = raw(baseline()), hippocampus.lists
    assert folder.name == "Dataset501_hippocampus_mri_3d_segmentation"
    assert names(folder) == ["dataset.json", "imagesTr", "imagesTs", "labelsTr"]
    assert len(lists.split["labelled"]) == 2
    assert names(folder / "imagesTr") == sorted(f"{case}_0000.nii.gz" for case in lists.split["labelled"])
    assert names(folder / "labelsTr") == sorted(f"{case}.nii.gz" for case in lists.split["labelled"])
    assert names(folder / "imagesTs") == sorted(f"{case}_0000.nii.gz" for case in lists.split["test"])
    for record in lists.labelled:
        assert np.array_equal(voxels(folder / "labelsTr" / f"{record['case']}.nii.gz"), voxels(record["label"]))
    for part, records in {"imagesTr": lists.labelled, "imagesTs": lists.test}.items():
        for record in records:
            assert np.array_equal(voxels(folder / part / f"{record['case']}_0000.nii.gz"), voxels(record["image"]))
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert description["channel_names"] == {"0": "MR"}
    assert (description["numTraining"], description["file_ending"]) == (2, ".nii.gz")


def test_the_labels_of_test_volumes_are_opened_when_the_masks_are_there_and_not_before(
    baseline, masks, hippocampus, calls, tmp_path
):
    data = shutil.copytree(hippocampus.data, tmp_path / "data")
    broken = data / "labelsTr" / Path(hippocampus.lists.test[0]["label"]).name
    broken.write_bytes(b"no label")
    with pytest.raises(InputError, match=rf"label file {broken} cannot be read"):
        baseline(dataset_dir=str(data))
    assert [step for step, *_ in calls()] == ["nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict"]


def test_nnunet_is_called_as_its_users_call_it(baseline, masks, calls, capsys):
    output = baseline(epochs=250, device="cpu")
    common = ["-tr", "nnUNetTrainer_250epochs", "-device", "cpu"]
    images, answers = str(raw(output) / "imagesTs"), str(output / "eval/predictions")
    folders = [str(output / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
    expected = {
        "nnUNetv2_plan_and_preprocess": ["-d", "501", "-c", "3d_fullres", "--verify_dataset_integrity"],
        "nnUNetv2_train": ["501", "3d_fullres", "all", *common],
        "nnUNetv2_predict": ["-i", images, "-o", answers, "-d", "501", "-c", "3d_fullres", "-f", "all", *common],
    }
    assert calls() == [[step, arguments, folders] for step, arguments in expected.items()]
    shown = capsys.readouterr().out
    assert all(f"$ {step} {' '.join(arguments)}\n" in shown for step, arguments in expected.items())


@pytest.mark.parametrize(("epochs", "trainer"), [(1, "nnUNetTrainer_1epoch"), (1000, "nnUNetTrainer")])
def test_the_lengths_whose_classes_are_named_otherwise(baseline, masks, calls, epochs, trainer):
    baseline(epochs=epochs)
    assert all(arguments[arguments.index("-tr") + 1] == trainer for _, arguments, _ in calls()[1:])


def test_dice_is_that_of_the_masks_counted_by_hand(baseline, masks, hippocampus, capsys):
    output = baseline()
    expected = {}
    for record in hippocampus.lists.test:
        pred, truth = masks[record["case"]], voxels(record["label"])
        for number, name in enumerate(("Anterior", "Posterior"), 1):
            both = ((pred == number) & (truth == number)).sum()
            expected[record["case"], name] = 2 * both / ((pred == number).sum() + (truth == number).sum())
    assert len(expected) == 4
    with (output / "eval/evaluate/cases.csv").open() as file:
        found = {(row["case"], row["class"]): float(row["dice"]) for row in csv.DictReader(file)}
    assert found == pytest.approx(expected)
    summary = json.loads((output / "eval/evaluate/summary.json").read_text())
    anterior = np.mean([dice for (_, name), dice in expected.items() if name == "Anterior"])
    assert summary["classes"]["Anterior"]["dice"]["mean"] == pytest.approx(anterior)
    assert summary["classes"]["mean"]["dice"]["mean"] == pytest.approx(np.mean(list(expected.values())))
    assert summary["num_cases"] == 2
    assert (summary["nnunetv2"], summary["trainer"]) == ("2.8.1", "nnUNetTrainer")
    assert Path(summary["weights"]).is_file()
    assert f"Anterior             Dice {anterior:.3f}" in capsys.readouterr().out
    split = json.loads((output / "eval/evaluate/split.json").read_text())
    assert split == json.loads(hippocampus.split_file.read_text())
    assert names(output / "eval/evaluate/overlays") == sorted(f"{case}.png" for case in masks)


@pytest.mark.filterwarnings("ignore:.* holds 421")
def test_the_numbers_of_classes_stand_for_the_values_of_labels_and_ct_is_named(baseline, environment, calls, tmp_path):
    data = make_synthetic_whole_heart(tmp_path / "heart", "ct", num_train=4, num_test=1, spatial_size=(24, 24, 16))
    cases = [f"ct_train_100{number}" for number in (1, 2, 3, 4)]
    split = {"labelled": cases[:1], "unlabelled": [], "validation": cases[1:2], "test": cases[2:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    records = {record["case"]: record for record in mmwhs_sections(data, "ct")["training"]}
    for case in split["test"]:
        truth, mask = nib.load(records[case]["label"]), environment / "masks" / f"{case}.nii.gz"
        numbers = sum((np.asarray(truth.dataobj) == value) * number for number, value in enumerate(MMWHS_VALUES, 1))
        nib.save(nib.Nifti1Image(numbers.astype(np.uint8), truth.affine), mask)
    bundle = str(BUNDLES / "whole_heart_ct_segmentation")
    output = baseline(dataset_dir=str(data), split_file=str(tmp_path / "split.json"), bundle=bundle)
    given, written = (
        nib.load(file) for file in (records[cases[0]]["label"], raw(output) / f"labelsTr/{cases[0]}.nii.gz")
    )
    values, numbers = np.array(given.dataobj), np.asarray(written.dataobj)
    assert (values == 421).any()
    values[values == 421] = 420  # the known mistake
    assert set(np.unique(values)) == {0, *MMWHS_VALUES}
    for number, value in enumerate((0, *MMWHS_VALUES)):
        assert np.array_equal(numbers == number, values == value)
    np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)
    assert json.loads((raw(output) / "dataset.json").read_text())["channel_names"] == {"0": "CT"}
    classes = json.loads((output / "eval/evaluate/summary.json").read_text())["classes"]
    assert len(classes) == 8
    assert all(metrics["dice"]["mean"] == 1 for metrics in classes.values())


@pytest.mark.parametrize("one_file", [True, False])
def test_every_channel_is_a_file(baseline, environment, tmp_path, one_file):
    rng, data, training = np.random.default_rng(0), tmp_path / "data", []
    data.mkdir()
    for number in range(5):
        label = rng.integers(0, 2, (20, 18, 16)).astype(np.uint8)
        channels = [rng.normal(label + 10 * channel, 1).astype(np.float32) for channel in range(2)]
        images = {f"p{number}_{channel:04d}.nii.gz": volume for channel, volume in enumerate(channels)}
        images = {f"p{number}.nii.gz": np.stack(channels, -1)} if one_file else images
        for file, volume in {**images, f"label{number}.nii.gz": label}.items():
            nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1, 2, 1])), data / file)
        image = next(iter(images)) if one_file else list(images)
        training.append({"image": image, "label": f"label{number}.nii.gz"})
        nib.save(nib.Nifti1Image(label, np.diag([1.0, 1, 2, 1])), environment / "masks" / f"p{number}.nii.gz")
    content = {"training": training, "modality": {"0": "CT (HU)", "1": "PET"}, "labels": {"1": "Tumour"}}
    (data / "dataset.json").write_text(json.dumps(content))
    new_bundle("own_pet_segmentation", str(data), folder=str(tmp_path), estimate=False)
    split = SegmentationDatalist(data, save_to=tmp_path / "split.json").split
    output = baseline(
        bundle=str(tmp_path / "own_pet_segmentation"), dataset_dir=None, split_file=tmp_path / "split.json"
    )
    folder, (case, *_) = raw(output), split["test"]
    assert names(folder / "imagesTs") == [f"{case}_0000.nii.gz", f"{case}_0001.nii.gz"]
    for channel in range(2):
        expected = voxels(data / f"{case}.nii.gz")[..., channel] if one_file else None
        expected = voxels(data / f"{case}_{channel:04d}.nii.gz") if expected is None else expected
        assert np.array_equal(voxels(folder / "imagesTs" / f"{case}_{channel:04d}.nii.gz"), expected)
    assert json.loads((folder / "dataset.json").read_text())["channel_names"] == {"0": "CT", "1": "PET"}
    summary = json.loads((output / "eval/evaluate/summary.json").read_text())
    assert summary["classes"]["Tumour"]["dice"]["mean"] == 1


def test_what_the_weights_of_the_bundle_have_seen_is_no_matter(baseline, masks, hippocampus, tmp_path):
    bundle = shutil.copytree(BUNDLES / "hippocampus_mri_3d_segmentation", tmp_path / "bundle")
    (bundle / "models").mkdir(exist_ok=True)
    (bundle / "models/model.json").write_text(json.dumps({"labelled": hippocampus.lists.split["test"]}))
    assert (baseline(bundle=str(bundle)) / "eval/evaluate/summary.json").is_file()


def test_a_trained_network_is_not_trained_again(baseline, masks, calls):
    baseline()
    written = {file: file.stat().st_mtime_ns for file in raw(baseline()).rglob("*")}
    assert [step for step, *_ in calls()][3:] == ["nnUNetv2_predict"]
    assert {file: file.stat().st_mtime_ns for file in raw(baseline()).rglob("*")} == written


@pytest.mark.parametrize("checkpoint", ["latest", "best"])
def test_a_training_that_was_stopped_goes_on_from_its_checkpoint(baseline, environment, masks, calls, checkpoint):
    (environment / "failing").write_text("nnUNetv2_train")
    with pytest.raises(InputError, match="nnUNetv2_train failed with exit code 3"):
        baseline(epochs=5)
    (environment / "failing").unlink()
    output = environment.parents[1] / "out"
    fold = f"{raw(output).name}/nnUNetTrainer_5epochs__nnUNetPlans__3d_fullres/fold_all"
    (output / "nnUNet_results" / fold).mkdir(parents=True)
    (output / "nnUNet_results" / fold / f"checkpoint_{checkpoint}.pth").touch()
    baseline(epochs=5)
    steps = [(step, "--c" in arguments) for step, arguments, _ in calls()][2:]
    assert steps == [("nnUNetv2_train", True), ("nnUNetv2_predict", False)]


def test_a_training_that_was_stopped_before_its_first_checkpoint_starts_anew(baseline, environment, masks, calls):
    (environment / "failing").write_text("nnUNetv2_train")
    with pytest.raises(InputError, match="nnUNetv2_train failed with exit code 3"):
        baseline()
    (environment / "failing").unlink()
    baseline()
    steps = [(step, "--c" in arguments) for step, arguments, _ in calls()][2:]
    assert steps == [(f"nnUNetv2_{step}", False) for step in ("plan_and_preprocess", "train", "predict")]


@pytest.mark.parametrize("step", ["plan_and_preprocess", "train", "predict"])
def test_a_step_that_fails_is_named_and_the_last_one(baseline, environment, masks, calls, step):
    (environment / "failing").write_text(f"nnUNetv2_{step}")
    with pytest.raises(InputError, match=f"^nnUNetv2_{step} failed with exit code 3"):
        baseline()
    assert calls()[-1][0] == f"nnUNetv2_{step}"
    assert not (environment.parents[1] / "out/eval/evaluate").exists()


def test_the_folder_of_another_run_is_refused_and_left_as_it_is(baseline, masks, hippocampus, calls, tmp_path):
    output = baseline(epochs=5)
    before, count = {file: file.stat().st_mtime_ns for file in output.rglob("*")}, len(calls())
    with pytest.raises(InputError, match=rf"output_dir {output} must be new, empty, or of a run with the same split"):
        baseline(epochs=10)
    split = json.loads(hippocampus.split_file.read_text())
    split["labelled"] += split["unlabelled"][:1]
    split["unlabelled"] = split["unlabelled"][1:]
    (tmp_path / "other.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match="must be new, empty, or of a run with the same split"):
        baseline(epochs=5, split_file=str(tmp_path / "other.json"))
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*")} == before
    assert len(calls()) == count


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(baseline, masks, calls, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(InputError, match=r"output_dir .* must be new, empty"):
        baseline()
    assert names(tmp_path / "out") == ["mine"]
    assert calls() == []


def test_nothing_is_left_of_data_that_cannot_be_used(baseline, masks, hippocampus, tmp_path):
    data = shutil.copytree(hippocampus.data, tmp_path / "data")
    image = data / "imagesTr" / Path(hippocampus.lists.labelled[1]["image"]).name
    nib.save(nib.Nifti1Image(np.zeros(nib.load(image).shape), np.eye(4)), image)
    with pytest.raises(InputError, match="must not be constant"):
        baseline(dataset_dir=str(data))
    assert names(tmp_path) == ["data", "nnunet"]


def test_a_missing_mask_is_refused(baseline, environment, masks, hippocampus, tmp_path):
    case = hippocampus.lists.split["test"][-1]
    (environment / "masks" / f"{case}.nii.gz").unlink()
    with pytest.raises(InputError, match=f"case {case}: nnU-Net has not written the mask"):
        baseline()
    assert not (tmp_path / "out/eval/evaluate").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[1:], "must have the same shape"),
        (lambda values: values + 1, "must hold whole numbers from 0 to 2, got 3"),
    ],
)
def test_a_mask_that_is_not_one_of_the_image_is_refused(baseline, environment, masks, change, message):
    case, values = next(iter(masks.items()))
    file = environment / "masks" / f"{case}.nii.gz"
    nib.save(nib.Nifti1Image(change(values), nib.load(file).affine), file)
    with pytest.raises(Exception, match=message) as caught:
        baseline()
    assert case in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 300}, "epochs must be one of 1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, .* got 300"),
        ({"device": "tpu"}, "device must be one of cuda, cpu, got 'tpu'"),
        ({"python": "nowhere/python"}, r"nowhere/python cannot be run: .*python -m venv nnunet && nnunet/bin/pip inst"),
        ({"bundle": "nowhere"}, "no bundle at .*nowhere"),
        ({"split_file": "nowhere.json"}, r"split_file .*nowhere\.json cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_done(baseline, calls, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        baseline(**options)
    assert calls() == []
    assert not (tmp_path / "out").exists()


def test_an_interpreter_without_nnunet_is_refused(baseline, environment, tmp_path):
    write_command(environment / "python", "#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match=r"bin/python has no nnunetv2: python -m venv nnunet"):
        baseline()
    write_command(environment / "python", VERSION)
    (environment / "nnUNetv2_predict").unlink()
    with pytest.raises(InputError, match=r"bin has no command nnUNetv2_predict: python -m venv nnunet"):
        baseline()
    assert not (tmp_path / "out").exists()


def test_the_commands_lie_beside_the_interpreter_of_an_environment_and_not_where_its_link_leads(
    baseline, environment, masks, calls, tmp_path
):
    (tmp_path / "system").mkdir()
    shutil.move(environment / "python", tmp_path / "system/python")
    os.symlink(tmp_path / "system/python", environment / "python")
    baseline()
    assert len(calls()) == 3


def test_the_command_line_shows_one_line(hippocampus, tmp_path):
    options = ["--split_file", hippocampus.split_file, "--output_dir", tmp_path / "out", "--python", "nowhere/python"]
    command = [sys.executable, "-m", "semicl_monai", "nnunet", *map(str, options)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: python {tmp_path / 'nowhere/python'} cannot be run: No such file")
    assert len(found.stderr.splitlines()) == 1


def test_voxels_to_ignore_and_regions_are_written_as_nnunet_wants_them(baseline, environment, tmp_path):
    """Values 5, 7 and 9 of a data set, of which 9 is to be ignored."""
    for case in "abc":
        label = np.zeros((8, 8, 4), np.uint8)
        label[2:6, 2:6, 1:3], label[3:5, 3:5, 1:3], label[..., 3] = 5, 7, 9
        image = np.random.default_rng(0).normal(label, 1).astype(np.float32)
        for name, volume in ((f"{case}.nii.gz", image), (f"{case}_label.nii.gz", label)):
            nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / name)
        mask = np.select([label == 5, label == 7], [1, 2], 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, np.eye(4)), environment / "masks" / f"{case}.nii.gz")
    content = {
        "labels": {"background": 0, "whole": [5, 7], "core": [7], "ignore": 9},
        "regions_class_order": [5, 7],
        "training": [{"image": f"{case}.nii.gz", "label": f"{case}_label.nii.gz"} for case in "abc"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    new_bundle("own_mri_segmentation", str(tmp_path), folder=str(tmp_path / "bundles"), estimate=False)
    split = {"labelled": ["a"], "unlabelled": [], "validation": ["b"], "test": ["c"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    bundle = str(tmp_path / "bundles/own_mri_segmentation")
    output = baseline(dataset_dir=str(tmp_path), split_file=str(tmp_path / "split.json"), bundle=bundle)
    description = json.loads((raw(output) / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    assert description["regions_class_order"] == [1, 2]
    written = np.asarray(nib.load(raw(output) / "labelsTr/a.nii.gz").dataobj)
    given = np.asarray(nib.load(tmp_path / "a_label.nii.gz").dataobj)
    for number, value in enumerate((0, 5, 7, 9)):
        assert np.array_equal(written == number, given == value)
    classes = json.loads((output / "eval/evaluate/summary.json").read_text())["classes"]
    assert {name: metrics["dice"]["mean"] for name, metrics in classes.items()} == {"whole": 1, "core": 1, "mean": 1}
