"""Bundles for labels that are not complete or not exclusive run every stage."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import monai
import nibabel as nib
import numpy as np
import pytest
import torch
from own_bundles import build, make_own, run_to_end, small

from semicl_monai.apps.export_bundle import write_configs
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.networks import SelfTraining
from semicl_monai.utils import InputError, find_input_error

BUNDLES = Path(__file__).parents[2] / "bundles"
SHORT = {"epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "samples_per_volume": 2, "num_overlays": 1}
SHAPE = (26, 22, 8)


def write(data, labels, ignore, **content):
    """Write five labelled cases, in which labels are known in some slices or in a box, and two others."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(7):
        label = np.zeros(SHAPE, np.uint8)
        label[4:20, 4:18, 1:7], label[7:16, 7:14, 2:6], label[9:13, 9:12, 3:5] = 1, 2, 3
        image = rng.normal(label, 0.3).astype(np.float32)
        known = np.zeros(SHAPE, bool)
        if number % 2:
            known[:, :, [2, 4, 5]] = True  # some slices
        else:
            known[3:18, 3:16, 1:6] = True  # a box
        files = {"image": f"i{number}.nii.gz", "label": f"l{number}.nii.gz"}
        nib.save(nib.Nifti1Image(image, np.eye(4)), data / files["image"])
        if ignore is not None:
            label[~known] = ignore
        nib.save(nib.Nifti1Image(label, np.eye(4)), data / files["label"])
        entries.append(files if number < 5 else files["image"])
    content = {
        "labels": labels,
        "modality": {"0": "MRI"},
        "training": entries[:5],
        "unlabelled": entries[5:],
        **content,
    }
    (data / "dataset.json").write_text(json.dumps(content))
    return data


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def make(tmp_path):
    """Make a bundle for a data set, and return its folder."""
    return partial(make_own, tmp_path / "bundles")


@pytest.fixture
def run():
    """Run a stage of a bundle with a small network."""

    def run(bundle, name, **options):
        short = {key: value for key, value in SHORT.items() if (key == "num_overlays") == (name == "evaluate")}
        network = {} if "volumes" in bundle.name else small(bundle)
        given = {
            "device": "cpu",
            **network,
            **({} if name == "inference" else short),
            **options,
        }
        return run_to_end(build(bundle, name, **given))

    yield run
    monai.data.set_track_meta(True)


def read(file):
    return json.loads(file.read_text())


def classes_measured(bundle):
    with (bundle / "eval/evaluate/cases.csv").open() as file:
        return {row["class"]: float(row["dice"]) for row in csv.DictReader(file)}


IGNORING = {"background": 0, "outer": 1, "middle": 2, "inner": 3, "ignore": 9}


def test_every_stage_runs_with_an_ignore_label(data, make, run, monkeypatch):
    bundle = make(write(data, IGNORING, ignore=9))
    task = read(bundle / "task.json")
    assert (task["class_names"], task["ignore_value"]) == (["outer", "middle", "inner"], 9)
    run(bundle, "pretrain", method="global_local")
    trained = run(bundle, "train", method="self_training", warm_up_epochs=0)
    dataset = trained.parser.get_parsed_content("train::dataset")
    assert {float(v) for sample in dataset for drawn in sample for v in drawn["label"].unique()} == {-1, 0, 1, 2, 3}
    taught = trained.parser.get_parsed_content("train::unlabelled_dataset").data
    labelled = [record["case"] for record in dataset.data]
    assert [record["case"] for record in taught] == ["i5", "i6", *labelled]
    assert [record["case"] for record in taught if "label" in record] == labelled
    run(bundle, "evaluate")
    assert {"outer", "middle", "inner"} == set(classes_measured(bundle))
    assert (bundle / "eval/evaluate/overlays").is_dir()
    run(bundle, "inference", dataset_dir=str(data / "i5.nii.gz"), original_values=True)
    (mask,) = (bundle / "eval/predictions").iterdir()
    assert set(np.unique(nib.load(mask).dataobj)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("method", ["self_training", "cross_teaching", "local_self_training"])
def test_weak_labels_take_the_place_of_the_teachers(data, make, run, monkeypatch, method):
    write(data, IGNORING, ignore=9)
    content = read(data / "dataset.json")
    content["unlabelled"][0] = {"image": content["unlabelled"][0], "weak_label": "l5.nii.gz"}
    (data / "dataset.json").write_text(json.dumps(content))
    known, correct = [], SelfTraining._corrected

    def seen(self, taught, labels):
        known.append((labels, correct(self, taught, labels)))
        return known[-1][1]

    monkeypatch.setattr(SelfTraining, "_corrected", seen)
    trained = run(make(data), "train", method=method, pretrained="none", warm_up_epochs=0, iterations_per_epoch=6)
    dataset = trained.parser.get_parsed_content("train::unlabelled_dataset")
    weak, without = dataset.data[:2]
    assert (weak["case"], Path(weak["label"]).name) == ("i5", "l5.nii.gz")
    assert (without["case"], "label" in without) == ("i6", False)
    assert {float(value) for drawn in dataset[1] for value in drawn["label"].unique()} == {-1}
    assert {float(value) for labels, _ in known for value in labels.unique()} == {-1, 0, 1, 2, 3}
    for labels, taught in known:
        of_label = taught.argmax(1, keepdim=True) == labels
        assert of_label[labels >= 0].all()


def test_a_weak_label_with_another_value_is_refused(data, make, run):
    write(data, IGNORING, ignore=9)
    content = read(data / "dataset.json")
    content["unlabelled"][0] = {"image": content["unlabelled"][0], "weak_label": "weak.nii.gz"}
    (data / "dataset.json").write_text(json.dumps(content))
    nib.save(nib.Nifti1Image(np.full(SHAPE, 77, np.uint8), np.eye(4)), data / "weak.nii.gz")
    bundle = make(data)
    with pytest.raises(RuntimeError) as raised:
        run(bundle, "train", method="self_training", pretrained="none", warm_up_epochs=0)
    assert re.search(r"case i5: label file .*weak.nii.gz.*77", str(find_input_error(raised.value)))


@pytest.mark.parametrize("method", ["random", "mixup", "mean_teacher", "local_pseudo"])
def test_the_other_ways_to_fine_tune_run_with_an_ignore_label(data, make, run, method):
    bundle = make(write(data, IGNORING, ignore=9))
    options = {} if method in ("random", "mixup") else {"warm_up_epochs": 0}
    run(bundle, "train", method=method, pretrained="none", **options)
    assert (bundle / "models/model.pt").is_file()


def test_the_image_under_ignored_voxels_far_from_others_changes_no_training(data, make, run, tmp_path):
    """A supervised run of one process on whole slices, some of which hold no annotation."""
    weights = []
    for turn in range(2):
        write(data, IGNORING, ignore=9)
        if turn:
            for number in (1, 3):
                image = nib.load(data / f"i{number}.nii.gz")
                voxels = np.asarray(image.dataobj).copy()
                voxels[:, :, [0, 1, 3, 6, 7]] = 0.1  # slices without annotation
                nib.save(nib.Nifti1Image(voxels, image.affine), data / f"i{number}.nii.gz")
        if not turn:
            bundle = make(data)
        chosen = {"validation": "none", "scaling": {"_target_": "Identityd", "keys": "image"}}
        (data / "few.json").write_text(
            json.dumps({"training": [{"image": f"i{n}.nii.gz", "label": f"l{n}.nii.gz"} for n in (1, 3)]})
        )
        with pytest.warns(UserWarning, match="no volume is held out"):
            built = run(
                bundle,
                "train",
                pretrained="none",
                datalist_file="few.json",
                output_dir=str(tmp_path / f"{turn}"),
                **chosen,
            )
        weights.append(built.parser.get_parsed_content("network").state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_label_with_only_voxels_to_ignore_is_refused_by_name(data, make, run):
    bundle = make(write(data, IGNORING, ignore=9))
    for number in range(5):
        nib.save(nib.Nifti1Image(np.full(SHAPE, 9, np.uint8), np.eye(4)), data / f"l{number}.nii.gz")
    message = r"must have annotated voxels, got \d with only voxels to ignore: i\d.*; leave these labels out"
    with pytest.raises(RuntimeError) as raised:
        run(bundle, "train", pretrained="none")
    assert re.search(message, str(find_input_error(raised.value)))
    with pytest.raises(InputError, match=message):
        new_bundle("other_mri_segmentation", str(data), folder=str(data), estimate=False)


REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3}
# masks get 1 outside of the core; the values in files are those of the data
ORDER = [1, 2, 3]


@pytest.mark.parametrize("ignore", [None, 4], ids=["complete", "with ignore"])
def test_every_stage_runs_with_regions(data, make, run, ignore):
    labels = REGIONS if ignore is None else {**REGIONS, "ignore": ignore}
    bundle = make(write(data, labels, ignore, regions_class_order=ORDER))
    task = read(bundle / "task.json")
    assert task["class_names"] == ["whole", "core", "inner"]
    assert (task["regions"], task["regions_class_order"]) == ([[1, 2, 3], [2, 3], [3]], ORDER)
    pred = read(bundle / "configs/metadata.json")["network_data_format"]["outputs"]["pred"]
    assert (pred["num_channels"], pred["value_range"]) == (3, [0, 3])
    assert pred["channel_def"] == {"0": "whole", "1": "core", "2": "inner"}
    run(bundle, "pretrain", method="global_local", block_size=8, pixel_sampler="block")
    trained = run(bundle, "train", method="self_training", warm_up_epochs=0)
    assert trained.parser.get_parsed_content("network").output_block.conv.conv.out_channels == 3
    run(bundle, "evaluate", mirror_axes=[0, 1])
    assert {"whole", "core", "inner"} == set(classes_measured(bundle))
    run(bundle, "inference", dataset_dir=str(data / "i5.nii.gz"))
    (mask,) = (bundle / "eval/predictions").iterdir()
    assert set(np.unique(nib.load(mask).dataobj)) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("random", {}),
        ("mixup", {}),
        ("mean_teacher", {"warm_up_epochs": 0}),
        ("tcsm", {"warm_up_epochs": 0}),
        ("self_training", {"warm_up_epochs": 0, "soft_pseudo_labels": False, "pseudo_threshold": 0.5}),
        ("local_pseudo", {"warm_up_epochs": 0, "pseudo_threshold": 0.5}),
    ],
)
def test_the_other_ways_to_fine_tune_run_with_regions(data, make, run, method, options):
    bundle = make(write(data, {**REGIONS, "ignore": 4}, 4, regions_class_order=ORDER))
    run(bundle, "train", method=method, pretrained="none", **options)
    assert (bundle / "models/model.pt").is_file()


def test_a_region_is_learned_and_masks_have_the_values_of_the_data(data, make, run):
    """Values 20, 50, 60 in files; every voxel of the whole is at least one standard deviation brighter than none."""
    labels = {"background": 0, "whole": [20, 50, 60], "core": [50, 60], "inner": [60], "ignore": 99}
    write(data, labels, ignore=99, regions_class_order=[20, 50, 60])
    for file in data.glob("l*.nii.gz"):
        label = np.asarray(nib.load(file).dataobj)
        table = np.arange(100, dtype=np.uint8)
        table[1:4] = 20, 50, 60
        nib.save(nib.Nifti1Image(table[label], np.eye(4)), file)
    bundle = make(data, validation="none")
    assert (task := read(bundle / "task.json"))["label_values"] == [20, 50, 60]
    assert (task["regions"], task["regions_class_order"]) == ([[1, 2, 3], [2, 3], [3]], [1, 2, 3])
    run(bundle, "train", pretrained="none", iterations_per_epoch=60, learning_rate=0.01, samples_per_volume=4)
    run(bundle, "evaluate")
    dice = classes_measured(bundle)
    assert dice["whole"] > 0.8, dice
    run(bundle, "inference", dataset_dir=str(data / "i5.nii.gz"), original_values=True)
    (mask,) = (bundle / "eval/predictions").iterdir()
    values = set(np.unique(nib.load(mask).dataobj).tolist())
    assert values <= {0, 20, 50, 60}
    assert len(values) > 2


@pytest.fixture
def volumes_bundle(tmp_path):
    """Write the 3-D bundle of the project for other labels, and return its folder."""

    def write(data, **task):
        shipped = read(BUNDLES / "hippocampus_mri_3d_segmentation/task.json")
        shipped["network_def"] |= {
            "filters": [4, 4, 8, 8],
            "out_channels": "@num_regions" if "regions" in task else "@num_classes",
        }
        task = {**shipped, "dataset_dir": str(data), "roi_size": [16, 16, 8], "bfloat16": False, **task}
        task["stages"]["pretrain"] |= {"roi_size": [16, 16, 8]}
        folder = tmp_path / "volumes_mri_segmentation"
        folder.mkdir()
        (folder / "task.json").write_text(json.dumps(task))
        write_configs(folder)
        return folder

    return write


@pytest.mark.parametrize(
    "task",
    [
        {"class_names": ["outer", "middle", "inner"]},
        {
            "class_names": ["whole", "core", "inner"],
            "regions": [[1, 2, 3], [2, 3], [3]],
            "regions_class_order": ORDER,
        },
    ],
    ids=["classes", "regions"],
)
def test_deep_supervision_and_fast_inference_of_patches(data, volumes_bundle, run, task):
    write(data, REGIONS | {"ignore": 9} if "regions" in task else IGNORING, ignore=9, regions_class_order=ORDER)
    bundle = volumes_bundle(data, ignore_value=9, **task)
    run(bundle, "train", pretrained="none", method="self_training", warm_up_epochs=0)
    run(bundle, "evaluate", fast_inference=True, mirror_axes=[2])
    assert set(task["class_names"]) == set(classes_measured(bundle))


@pytest.mark.slow
def test_two_processes_train_with_regions_and_voxels_to_ignore_as_one_does(data, make, run, tmp_path):
    bundle = make(write(data, {**REGIONS, "ignore": 4}, 4, regions_class_order=ORDER))
    # SGD and a smooth activation, as rounding would otherwise be made large
    options = {"optimizer::_target_": "torch.optim.SGD", "network_def::act_name": "tanh", "pretrained": "none"}
    run(bundle, "train", **options, output_dir=str(tmp_path / "one"))
    files = str([str(bundle / f"configs/{name}.json") for name in ("train", "multi_gpu_train")])
    given = {**SHORT, **options, **small(bundle), "bundle_root": bundle}
    given |= {"output_dir": f"$'{tmp_path}/two' + __import__('os').environ['RANK']"}
    del given["num_overlays"]
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run", "run"]
    line = [sys.executable, *start, "--config_file", files, *(f"--{name}={value}" for name, value in given.items())]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{name}/models/model.pt", weights_only=True) for name in ("one", "two0"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-5)
