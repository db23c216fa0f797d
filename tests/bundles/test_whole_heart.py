"""The whole-heart bundles on tiny synthetic hearts, laid out like the MM-WHS challenge's data.

What depends on patches runs in 2-D and in 3-D, everything else in 2-D.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial.transform import Rotation
from torch import nn
from torch.nn import functional as F

from semicl_monai.apps.export_bundle import label_pretraining
from semicl_monai.planning import GIB, plan_patches
from semicl_monai.utils import find_input_error

BUNDLES = Path(__file__).parents[2] / "bundles"
MODALITIES = {"ct": "whole_heart_ct", "mr": "whole_heart_mri"}
# what the challenge says of its label files, in the order of our classes
VALUES = {
    "Left ventricle": 500,
    "Right ventricle": 600,
    "Left atrium": 420,
    "Right atrium": 550,
    "Myocardium": 205,
    "Ascending aorta": 820,
    "Pulmonary artery": 850,
}


in_2d_and_3d = pytest.mark.parametrize("bundle", ["segmentation", "3d_segmentation"], indirect=True)


@pytest.fixture(params=MODALITIES)
def modality(request):
    return request.param


@pytest.fixture
def bundle(modality, request):
    return BUNDLES / f"{MODALITIES[modality]}_{getattr(request, 'param', 'segmentation')}"


@pytest.fixture
def case(modality):
    """Return the name of a training case."""
    return lambda number: f"{modality}_train_{number}"


@pytest.fixture
def split_file(case, modality, tmp_path):
    """Write a split with the case of the stray value among the labelled ones."""
    split = {
        "labelled": [case(1001), case(1002)],
        "unlabelled": [case(1003), f"{modality}_test_2001", f"{modality}_test_2002"],
        "validation": [case(1004)],
        "test": [case(1005), case(1006)],
    }
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split))
    return str(file)


@pytest.fixture
def copied(heart_dir, tmp_path):
    """Copy the data set, to change it."""
    return shutil.copytree(heart_dir, tmp_path / "copy")


@pytest.fixture
def opened(monkeypatch):
    """Return the list of the NIfTI files that are opened."""
    files, load = [], nib.load

    def watched(file, *args, **kwargs):
        files.append(Path(file).name)
        return load(file, *args, **kwargs)

    monkeypatch.setattr(nib, "load", watched)
    return files


def voxels_of(file):
    return np.asarray(nib.load(file).dataobj)


def cases_of(dataset):
    return {record["case"] for record in dataset.data}


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def refuse(run_stage, name, **options):
    """Return the one line that a stage ends with."""
    with pytest.raises((RuntimeError, ValueError)) as caught:
        run_stage(name, **options)
    message = str(find_input_error(caught.value))
    assert "\n" not in message
    return message


@in_2d_and_3d
def test_all_four_stages_run_to_their_end(run_stage, images_dir, tmp_path):
    run_stage("pretrain", method="global_local")
    run_stage("train")
    run_stage("evaluate", num_overlays=1)
    run_stage("inference", dataset_dir=str(images_dir))

    record = json.loads((tmp_path / "models/model.json").read_text())
    assert record["pretrained"] == sha256(tmp_path / "models/model_pretrained.pt")
    splits = [json.loads((tmp_path / f"eval/{stage}/split.json").read_text()) for stage in ("pretrain", "evaluate")]
    assert splits[0] == splits[1]
    rows = list(csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open()))
    assert [(row["case"], row["class"]) for row in rows] == [(c, name) for c in splits[1]["test"] for name in VALUES]
    summary = json.loads((tmp_path / "eval/evaluate/summary.json").read_text())
    assert list(summary["classes"]) == [*VALUES, "mean"]
    assert [file.stem for file in (tmp_path / "eval/evaluate/overlays").iterdir()] == [splits[1]["test"][0]]
    assert len(list((tmp_path / "eval/predictions").iterdir())) == 2


@pytest.mark.parametrize("bundle", ["3d_segmentation"], indirect=True)
def test_in_3d_the_default_learns_from_the_unlabelled_test_volumes(run_stage, modality, tmp_path):
    run_stage("pretrain")
    built = run_stage("train", validation="none")
    drawn = cases_of(built.parser.get_parsed_content("train::unlabelled_dataset"))
    assert {f"{modality}_test_2001", f"{modality}_test_2002"} < drawn
    assert json.loads((tmp_path / "eval/train/options.json").read_text())["fine_tuning"] == "self_training"


def test_in_3d_patch_and_network_are_planned_for_a_heart_and_the_data_are_those_of_2d(modality):
    folders = (BUNDLES / f"{MODALITIES[modality]}_{end}" for end in ("segmentation", "3d_segmentation"))
    flat, solid = (json.loads((folder / "task.json").read_text()) for folder in folders)
    plan = plan_patches((160, 160, 120), flat["spacing"], 8 * GIB, outputs=8)
    del flat["roi_size"], flat["network_def"]
    assert solid == flat | plan


def test_the_unlabelled_test_volumes_are_among_the_images_of_pre_training(run_stage, modality, tmp_path):
    run_stage("pretrain", method="global_local", validation="none")
    tests = {f"{modality}_test_2001", f"{modality}_test_2002"}
    split = json.loads((tmp_path / "eval/pretrain/split.json").read_text())
    for name in ("model_pretrained_first", "model_pretrained"):
        record = json.loads((tmp_path / f"models/{name}.json").read_text())
        labelled, unlabelled = ({case["case"] for case in record[part]} for part in ("labelled", "unlabelled"))
        assert tests < unlabelled
        assert labelled | unlabelled == set(split["labelled"] + split["unlabelled"])


@in_2d_and_3d
def test_a_mean_teacher_learns_from_the_unlabelled_test_volumes_too(run_stage, modality, tmp_path):
    built = run_stage("train", method="mean_teacher", pretrained="none", validation="none")
    drawn = cases_of(built.parser.get_parsed_content("train::unlabelled_dataset"))
    assert {f"{modality}_test_2001", f"{modality}_test_2002"} < drawn
    assert {name.split("_test")[0].split("_train")[0] for name in drawn} == {modality}
    run_stage("evaluate", num_overlays=0)
    assert (tmp_path / "models/model_student.pt").is_file()


def test_the_twenty_volumes_of_the_challenge_are_split_2_1_1(config, modality, tmp_path):
    names = [f"{modality}_train/{modality}_train_{number}" for number in range(1001, 1021)]
    tests = [f"{modality}_test/{modality}_test_{number}" for number in range(2001, 2041)]
    files = [f"{name}_{kind}.nii.gz" for name in names for kind in ("image", "label")]
    for file in [*files, *(f"{name}_image.nii.gz" for name in tests)]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()  # empty: to split is not to open
    for stage in ("pretrain", "train", "evaluate"):
        parser = ConfigParser()
        parser.read_config(str(config(stage)))
        parser["dataset_dir"], parser["output_dir"] = str(tmp_path), str(tmp_path)
        split = parser.get_parsed_content("datalist").split
        assert {part: len(cases) for part, cases in split.items()} == {
            "labelled": 10,
            "unlabelled": 40,
            "validation": 5,
            "test": 5,
        }


def test_an_image_is_scaled_by_the_window_or_by_percentiles(workflow, split_file, heart_dir, modality, case):
    built = workflow("train", pretrained="none", spacing=None, split_file=split_file, roi_size=[8, 8])
    prepared = built.parser.get_parsed_content("validate::dataset")[0]
    image = nib.as_closest_canonical(nib.load(heart_dir / f"{modality}_train/{case(1004)}_image.nii.gz"))
    voxels = np.asarray(image.dataobj, dtype=float)
    low, high = (-200, 700) if modality == "ct" else np.percentile(voxels, [0.5, 99.5])
    expected = np.clip((voxels - low) / (high - low), 0, 1)
    assert (expected == 0).any()
    np.testing.assert_allclose(prepared["image"][0], expected, rtol=0, atol=2**-11)  # kept in half precision


def test_a_prepared_volume_has_the_wanted_spacing_and_orientation(workflow, split_file, heart_dir, modality, case):
    built = workflow("train", pretrained="none", spacing=[5.0, 6.0, 8.0], split_file=split_file, roi_size=[8, 8])
    prepared = built.parser.get_parsed_content("validate::dataset")[0]
    image = nib.as_closest_canonical(nib.load(heart_dir / f"{modality}_train/{case(1004)}_image.nii.gz"))
    extent = np.multiply(image.header.get_zooms(), np.subtract(image.shape, 1))
    for key in ("image", "label"):
        np.testing.assert_allclose(np.subtract(prepared[key].shape[1:], 1), extent / [5, 6, 8], atol=1)
    assert set(torch.unique(prepared["label"]).tolist()) <= set(range(8))  # not blurred between classes


def test_the_stray_value_is_mended_with_a_warning_and_training_goes_on(run_stage, split_file, case, tmp_path):
    with pytest.warns(UserWarning, match=rf"case {case(1001)}: label file .* holds 421 in \d+ voxel.* read as 420"):
        run_stage("train", pretrained="none", validation="none", split_file=split_file)
    assert (tmp_path / "models/model.pt").is_file()


def test_a_prepared_label_counts_each_structure_as_its_file_does(workflow, heart_dir, modality, case, tmp_path):
    split = {"labelled": [case(1002)], "unlabelled": [], "validation": [case(1001)], "test": [case(1003)]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    built = workflow("train", pretrained="none", spacing=None, split_file=str(tmp_path / "split.json"))
    built.initialize()
    with pytest.warns(UserWarning, match="holds 421"):
        label = built.parser.get_parsed_content("validate::dataset")[0]["label"]
    file = voxels_of(heart_dir / f"{modality}_train/{case(1001)}_label.nii.gz")
    assert (file == 421).any()
    for number, value in enumerate(VALUES.values(), 1):
        wanted = np.isin(file, [420, 421]) if value == 420 else file == value
        assert (label == number).sum() == wanted.sum() > 0


def test_an_unknown_value_ends_the_run_and_is_named_with_its_case(run_stage, split_file, copied, modality, case):
    file = copied / f"{modality}_train/{case(1002)}_label.nii.gz"
    label = nib.load(file)
    voxels = np.array(label.dataobj)
    voxels[0, 0, 0] = 422
    nib.save(nib.Nifti1Image(voxels, label.affine), file)
    message = refuse(run_stage, "train", pretrained="none", split_file=split_file, dataset_dir=str(copied))
    assert message.startswith(f"case {case(1002)}: label file {file} must hold 0, 205, 420, 500, 550, ...")
    assert message.endswith("got 422 in 1 voxel(s).")


@pytest.mark.parametrize("stage", ["pretrain", "train", "evaluate"])
def test_without_the_data_a_line_tells_where_it_is_given_out_and_how_it_must_lie(run_stage, modality, tmp_path, stage):
    if stage == "evaluate":
        run_stage("train", pretrained="none", validation="none")
    empty = tmp_path / "empty"
    empty.mkdir()
    message = refuse(run_stage, stage, dataset_dir=str(empty), **({"pretrained": "none"} if stage == "train" else {}))
    assert message.startswith(f"no MM-WHS {modality} images in {empty}: ")
    assert "register at https://zmiclab.github.io/zxh/0/mmwhs/" in message
    for file in ("train_1001_image", "train_1001_label", "test_2001_image"):
        part = f"{modality}_{file.split('_')[0]}/" if "image" in file else ""
        assert f"{part}{modality}_{file}.nii.gz" in message


def test_later_stages_and_methods_open_no_source_file_again(run_stage, opened, tmp_path):
    run_stage("pretrain", method="global_local")
    assert opened
    prepared = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    # six images to train with and two to validate with, and with their labels two of either
    assert len(prepared) == 12
    opened.clear()

    run_stage("train", val_interval=1)
    run_stage("train", method="mean_teacher", pretrained="none", val_interval=1)
    run_stage("pretrain", method="pcl", output_dir=str(tmp_path / "other"))
    run_stage("pretrain", method="local", pixel_sampler="block", output_dir=str(tmp_path / "other"))
    assert opened == []
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == prepared


def test_data_prepared_in_another_way_are_no_prepared_data(run_stage, opened):
    run_stage("train", pretrained="none", validation="none")
    opened.clear()
    run_stage("train", pretrained="none", validation="none", spacing=[8.0, 9.0, 9.0])
    assert opened


def test_prepared_volumes_lie_in_the_bundle_that_two_trainers_of_monai_label_share(config):
    label = label_pretraining(config("pretrain").parents[1])
    for content, folder in (
        (str(config("pretrain")), "bundle"),
        (str(config("train")), "bundle"),
        (label, "bundle_pretraining"),
    ):
        parser = ConfigParser()
        parser.read_config(content)
        parser["bundle_root"] = f"/app/{folder}"
        assert parser.get_parsed_content("cache_dir") == "/app/bundle/cache"


@in_2d_and_3d
def test_masks_lie_on_the_grids_of_their_images_and_hold_class_numbers(run_stage, weights, images_dir, modality):
    images = sorted(images_dir.iterdir())
    predictions = segment(run_stage, weights, images_dir)
    assert len(images) == len(predictions) == 2
    for image in images:
        loaded, mask = nib.load(image), nib.load(predictions[image.name])
        sizes = nib.affines.voxel_sizes(loaded.affine)
        assert (np.abs(loaded.affine[:3, :3] / sizes).max(0) < 0.9999).all()  # oblique
        assert sizes[2] > 1.4 * sizes[0]
        assert (nib.aff2axcodes(loaded.affine)[2] in "SI") == (modality == "ct")
        assert mask.shape == loaded.shape
        np.testing.assert_allclose(mask.affine, loaded.affine, atol=1e-4)
        assert mask.get_data_dtype() == np.uint8
        found = set(np.unique(mask.dataobj))
        assert found <= set(range(8))
        assert len(found) > 4  # of an untrained network


def test_masks_may_hold_the_values_of_the_challenge(run_stage, weights, images_dir):
    numbers = {name: voxels_of(file) for name, file in segment(run_stage, weights, images_dir).items()}
    for name, file in segment(run_stage, weights, images_dir, original_values="true").items():
        assert nib.load(file).get_data_dtype() == np.uint16
        expected = np.array([0, *VALUES.values()])[numbers[name]]
        assert np.array_equal(voxels_of(file), expected)


@in_2d_and_3d
def test_every_part_of_a_body_keeps_its_place_and_its_class(run_stage, body, tmp_path):
    """Eight parts of a body, each as bright as the class it is to become, in a network that answers brightness."""
    file, parts = body
    for original, table in ((False, range(8)), (True, [0, *VALUES.values()])):
        run_stage("inference", dataset_dir=str(file), network=Brightness(), initialize=[], original_values=original)
        mask = voxels_of(tmp_path / "eval/predictions" / file.name.replace(".nii.gz", "_seg.nii.gz"))
        inside = maximum_filter(parts, (7, 7, 5)) == minimum_filter(parts, (7, 7, 5))  # voxels of the prepared image
        assert inside.mean() > 0.3
        assert np.array_equal(mask[inside], np.array(table)[parts[inside]])


class Brightness(nn.Module):
    """Answer class k where a slice or patch is k / 7."""

    def forward(self, images):
        return 50 * F.one_hot((images[:, 0] * 7).round().long(), 8).movedim(-1, 1).float()


@pytest.fixture
def levels(modality):
    """Return how bright each class is: for CT far beyond the window at both ends, for MR in a unit of its own."""
    if modality == "ct":
        return np.array([-1024, *(-200 + 900 * np.arange(1, 7) / 7), 3000], dtype=np.float32)
    return np.float32(100) + 50 * np.arange(8, dtype=np.float32)


@pytest.fixture
def body(modality, levels, tmp_path):
    """Return an oblique, anisotropic image and which of the eight parts of a body each voxel is in."""
    orientation = nib.orientations.axcodes2ornt({"ct": "LPS", "mr": "LIA"}[modality])
    axes = np.linalg.inv(nib.orientations.inv_ornt_aff(orientation, (40, 36, 20))[:3, :3])
    turn = Rotation.from_euler("xyz", [6, -5, 8], degrees=True).as_matrix()
    affine = nib.affines.from_matvec(turn @ axes * [5, 5.5, 9], [30, -80, 400])
    assert nib.aff2axcodes(affine) == tuple({"ct": "LPS", "mr": "LIA"}[modality])
    middle = nib.affines.apply_affine(affine, [19.5, 17.5, 9.5])
    index = np.moveaxis(np.indices((40, 36, 20)), 0, -1)
    parts = (nib.affines.apply_affine(affine, index) > middle) @ [4, 2, 1]
    file = tmp_path / "body.nii.gz"
    nib.save(nib.Nifti1Image(levels[parts], affine), file)
    return file, parts


@in_2d_and_3d
def test_cases_are_evaluated_in_the_grid_of_their_files_by_the_structures_in_them(
    run_stage, copied, levels, modality, case, tmp_path
):
    tests = [case(1001), case(1005)]
    truths, images = {}, {name: copied / f"{modality}_train/{name}_image.nii.gz" for name in tests}
    for name, image in images.items():  # each structure as bright as its class
        label = nib.load(str(image).replace("_image", "_label"))
        truths[name] = np.array(label.dataobj)
        truths[name][truths[name] == 421] = 420
        numbers = sum(number * (truths[name] == value) for number, value in enumerate(VALUES.values(), 1))
        nib.save(nib.Nifti1Image(levels[numbers], label.affine), image)
    split = {"labelled": [case(1002)], "unlabelled": [], "validation": [case(1003)], "test": tests}
    (tmp_path / "tests.json").write_text(json.dumps(split))
    network = {"network": Brightness(), "spacing": [4.0, 5.0, 6.0]}
    options = {"split_file": str(tmp_path / "tests.json"), "num_overlays": 0, "evaluate": ["$@evaluator.run()"]}
    run_stage("evaluate", dataset_dir=str(copied), **network, **options)
    rows = csv.DictReader((tmp_path / "eval/evaluate/cases.csv").open())
    found = {(row["case"], row["class"]): float(row["dice"]) for row in rows}

    expected = {}
    for name, image in images.items():
        run_stage("inference", dataset_dir=str(image), initialize=[], **network)
        mask = voxels_of(tmp_path / f"eval/predictions/{name}_image_seg.nii.gz")
        for number, (structure, value) in enumerate(VALUES.items(), 1):
            answer, truth = mask == number, truths[name] == value
            expected[name, structure] = 2 * (answer & truth).sum() / (answer.sum() + truth.sum())
    assert found == pytest.approx(expected)
    assert min(found.values()) > 0.2


def segment(run_stage, weights, images, **options):
    """Return the file of each mask by the name of its image."""
    folder = Path(weights).with_name("masks")
    shutil.rmtree(folder, ignore_errors=True)
    run_stage("inference", weights=str(weights), dataset_dir=str(images), log_dir=str(folder), **options)
    return {file.name.replace("_seg", ""): file for file in folder.iterdir()}
