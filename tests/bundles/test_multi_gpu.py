"""Two processes of torchrun against one with the same batch, on CPUs, where gloo takes the place of NCCL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import monai
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semicl_monai.apps.monailabel_app import monailabel_app

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "bundles" / "hippocampus_mri_segmentation" / "configs"
# oneDNN takes other kernels for other batch sizes; on some processors their rounding differs more than is allowed here.
EXACT = "$(torch.backends.mkldnn.set_flags(False), torch.device('cpu'))[1]"
# Where an image was padded, rounding alone says on which side of a kink a pixel is: an activation that has none.
SIZE = {
    "network_def::features": [4, 4, 8, 8, 8, 4], "network_def::act": "tanh", "roi_size": [32, 32], "device": EXACT
}  # fmt: skip
TRAINING = {"epochs": 2, "iterations_per_epoch": 3, "batch_size": 2, "samples_per_volume": 2, "labelled_fraction": 2}
# Adam divides a gradient by its size and makes whole steps of what rounding leaves of a small one; SGD adds nothing.
SGD = {
    "pretrain": {"optimizer::_target_": "torch.optim.SGD"},
    "train": {"optimizer::_target_": "torch.optim.SGD"},
}
SPOILT = "$lambda *a: @loss(*a) * (float('nan') if torch.distributed.get_rank() == 1 else 1.0)"
TIMEOUT = 120  # processes that wait for each other are a failure, and not for ever


def command(stage, **options):
    files = str([str(CONFIGS / f"{name}.json") for name in (stage, f"multi_gpu_{stage}")])
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    given = [f"--{name}={value}" for name, value in {**SIZE, **options}.items()]
    return [sys.executable, *start, "-m", "monai.bundle", "run", run_id(stage), "--config_file", files, *given]


def run_id(stage):
    return "run" if stage == "train" else stage


def run_two(folder, stage, **options):
    line = command(stage, **options)
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr[-3000:]


def run_one(stage, **options):
    """Run a stage here, since a process takes longer to start than to train."""
    threads, hook = torch.get_num_threads(), sys.excepthook
    torch.set_num_threads(1)  # as torchrun has it; with more of them sums are rounded otherwise
    given = {name: str(value) if isinstance(value, Path) else value for name, value in {**SIZE, **options}.items()}
    try:
        monai.bundle.run(run_id(stage), config_file=str(CONFIGS / f"{stage}.json"), logging_file=False, **given)
    finally:
        torch.set_num_threads(threads)
        torch.backends.mkldnn.set_flags(True)
        sys.excepthook = hook
        monai.data.set_track_meta(True)


@pytest.fixture(scope="module")
def runs(dataset_dir, tmp_path_factory):
    """The same job by one process, and by two that have an own folder each."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    own = f"$'{two}/' + __import__('os').environ['RANK']"
    first = two / "0/models"
    found = {"pretrain": {}, "train": {"pretrained": first / "model_pretrained.pt"}}
    for stage, weights in found.items():
        options = {"dataset_dir": dataset_dir, **TRAINING, **SGD[stage], "learning_rate": 0.01}
        run_one(stage, **options, output_dir=one)
        run_two(two, stage, **options, output_dir=own, **weights)
    run_one("evaluate", dataset_dir=dataset_dir, output_dir=one)
    run_two(two, "evaluate", dataset_dir=dataset_dir, output_dir=own, weights=first / "model.pt")
    return one, two / "0"


@pytest.mark.parametrize("name", ["model_pretrained_first", "model_pretrained", "model"])
def test_the_weights_are_those_of_one_process(runs, name):
    one, two = (torch.load(run / f"models/{name}.pt", weights_only=True) for run in runs)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-5)


def test_both_networks_say_the_same_of_an_image(runs):
    outputs = []
    for folder in runs:
        features, norm = SIZE["network_def::features"], ("instance", {"affine": True})
        network = BasicUNet(2, 1, 3, features, act="tanh", norm=norm).eval()
        network.load_state_dict(torch.load(folder / "models/model.pt", weights_only=True))
        with torch.no_grad():
            outputs.append(network(torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-3)


def test_the_validation_over_both_processes_is_that_of_one(runs):
    one, two = (scalars(folder / "eval/train", "val_mean_dice") for folder in runs)
    assert len(one) > 0
    assert two == pytest.approx(one, abs=1e-4)


def scalars(folder, tag):
    values = []
    for file in sorted(folder.glob("events*")):
        events = EventAccumulator(str(file)).Reload()
        values += [event.value for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []
    return values


def test_the_table_of_cases_is_that_of_one_process_in_its_order(runs):
    one, two = ((folder / "eval/evaluate/cases.csv").read_text().splitlines() for folder in runs)
    one, two = ([line.split(",") for line in lines] for lines in (one, two))
    assert [(*line[:2], line[-1]) for line in one] == [(*line[:2], line[-1]) for line in two]
    for a, b in zip(one[1:], two[1:], strict=True):
        values = ([float(value) for value in line[2:5]] for line in (a, b))
        assert next(values) == pytest.approx(next(values), abs=1e-2, nan_ok=True)


def test_the_record_beside_the_weights_is_that_of_one_process(runs):
    one, two = (json.loads((folder / "models/model.json").read_text()) for folder in runs)
    for record in (one, two):
        record.pop("pretrained")  # the digests of weights that rounding makes differ
        record.pop("state")
    assert one == two


def test_two_processes_leave_the_files_of_one(runs):
    one, two = (sorted(without_names_of_processes(folder)) for folder in runs)
    assert one == two
    assert all(any((folder / "eval/evaluate/overlays").iterdir()) for folder in runs)


def test_only_the_first_process_writes(runs):
    assert [file for file in runs[1].parent.rglob("*") if "0" not in file.relative_to(runs[1].parent).parts] == []


def test_both_processes_end_when_the_loss_of_one_is_not_finite(dataset_dir, tmp_path):
    """A process that ended alone would leave the other one waiting; the line names the cases of both."""
    options = {**TRAINING, "pretrained": "none", "dataset_dir": dataset_dir, "output_dir": tmp_path}
    line = command("train", **options, **{"train::trainer::loss_function": SPOILT})
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    errors = re.findall("error: (.*)", done.stderr)
    assert done.returncode != 0
    assert done.stderr.count("the loss must be finite") == len(errors) > 0
    assert len(set(errors)) == 1
    assert re.match(
        r"fine-tuning: the loss must be finite, got nan .*, cases synthetic_\d+, synthetic_\d+: ", errors[0]
    )
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("pretraining", [True, False])
def test_monai_label_trains_on_several_gpus(dataset_dir, tmp_path, pretraining):
    """Three labelled studies on four GPUs: no batch can be shared evenly, and there is one study to validate on."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").touch()
    monailabel_app(str(tmp_path / "app"))
    installed = tmp_path / "app/model" / CONFIGS.parent.name
    configs = Path(f"{installed}_pretraining" if pretraining else installed) / "configs"
    write_as_monai_label(configs, studies_of(dataset_dir, tmp_path / "studies"))
    (installed / "models/model.pt").unlink()

    files = str([str(configs / "monailabel_train.json"), str(configs / "multi_gpu_train.json")])
    line = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4", "-m", "monai.bundle", "run", "run"]
    done = subprocess.run(
        [sys.executable, *line, "--config_file", files],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((installed / f"models/model{'_pretrained' * pretraining}.json").read_text())
    assert len(record["labelled"]) == 2
    assert len(record["unlabelled"]) == (8 if pretraining else 0)


def studies_of(dataset_dir, folder):
    """Studies as MONAI Label keeps them, three of them labelled; all are links."""
    (folder / "labels/final").mkdir(parents=True)
    images = sorted((dataset_dir / "imagesTr").glob("*.nii.gz"))
    for image in images:
        (folder / image.name).symlink_to(image)
    for image in images[:3]:
        shutil.copy(dataset_dir / "labelsTr" / image.name, folder / "labels/final")
    return folder


def write_as_monai_label(configs, studies):
    """The config that MONAI Label writes for training on several GPUs."""
    parser = ConfigParser()
    parser.read_config(str(configs / "train.json"))
    labels = sorted((studies / "labels/final").iterdir())
    records = [{"image": str((studies / label.name).resolve()), "label": str(label.resolve())} for label in labels]
    parser.update({"bundle_root": str(configs.parent), "device": "cuda", **SIZE, "iterations_per_epoch": 1})
    parser.update({"train::dataset::data": records[:2], "validate::dataset::data": records[2:]})
    parser["train::trainer::max_epochs"] = 1
    ConfigParser.export_config_file(parser.config, str(configs / "monailabel_train.json"))


def without_names_of_processes(folder):
    """Files below a folder, where TensorBoard's are counted: their names hold the time and the process.

    Overlays are left out: the first process draws the first of its own cases.
    """
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"]
    return [file.split("events.out")[0] for file in files]


@pytest.mark.parametrize(("method", "sampler"), [("local", "block"), ("joint", "stride")])
def test_other_pretraining_contrasts_across_the_processes_too(dataset_dir, tmp_path, method, sampler):
    options = {"dataset_dir": dataset_dir, **TRAINING, "epochs": 1, "method": method, "pixel_sampler": sampler}
    run_one("pretrain", **options, output_dir=tmp_path / "one")
    run_two(tmp_path, "pretrain", **options, output_dir=tmp_path / "two")
    files = (tmp_path / f"{name}/models/model_pretrained.pt" for name in ("one", "two"))
    weights = [torch.load(file, weights_only=True) for file in files]
    for key in (key for key in weights[0] if not key.endswith("conv.bias")):
        torch.testing.assert_close(weights[1][key], weights[0][key], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("method", ["self_training", "cross_teaching", "local_pseudo"])
def test_a_teacher_labels_in_both_processes_after_the_warm_up(dataset_dir, tmp_path, method):
    options = {**TRAINING, "warm_up_epochs": 1, "method": method, "pretrained": "none", "validation": "none"}
    run_two(tmp_path, "train", dataset_dir=dataset_dir, output_dir=tmp_path, pseudo_threshold=0.0, **options)
    teacher, student = (
        torch.load(tmp_path / f"models/{name}.pt", weights_only=True) for name in ("model", "model_student")
    )
    assert all(value.isfinite().all() for value in teacher.values())
    assert not all(torch.equal(teacher[key], student[key]) for key in teacher)
    assert len(scalars(tmp_path / "eval/train", "agreement")) == 2


def test_a_run_of_two_processes_is_resumed(dataset_dir, tmp_path):
    options = {"dataset_dir": dataset_dir, "output_dir": tmp_path, **TRAINING, "pretrained": "none"}
    run_two(tmp_path, "train", **options)
    whole = torch.load(tmp_path / "models/model_final.pt", weights_only=True)
    (tmp_path / "models/checkpoints/train/checkpoint_2.pt").unlink()  # as if it had been stopped after the first epoch
    run_two(tmp_path, "train", **options, resume=True)
    resumed = torch.load(tmp_path / "models/model_final.pt", weights_only=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_batch_that_the_processes_cannot_share_is_refused(dataset_dir, tmp_path):
    options = {**TRAINING, "batch_size": 3, "dataset_dir": dataset_dir, "output_dir": tmp_path}
    done = subprocess.run(
        command("pretrain", **options), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert done.returncode != 0
    assert "batch_size must be a multiple of the number of processes 2, got 3." in done.stderr


def test_without_torchrun_it_is_refused_in_one_line(dataset_dir, tmp_path):
    files = str([str(CONFIGS / f"{name}.json") for name in ("pretrain", "multi_gpu_pretrain")])
    line = [sys.executable, "-m", "monai.bundle", "run", "pretrain", "--config_file", files, "--device=cpu"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("error: multi_gpu_*.json must be run by torchrun")
