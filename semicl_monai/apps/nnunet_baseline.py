"""Baseline: nnU-Net v2 on the volumes of one of our runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from semicl_monai.apps.bundle_metadata import modality_of
from semicl_monai.apps.export_bundle import as_text
from semicl_monai.apps.find_bundle import VOLUMES, find_bundle
from semicl_monai.data import SegmentationDatalist
from semicl_monai.handlers import CaseMetrics, OverlayWriter
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError, new_folder, one_of, read_json, write_whole

STEPS = ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict")
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")  # also the names of nnU-Net's environment variables
# nnU-Net's default length, and all lengths with a class nnUNetTrainer_{N}epochs
LENGTHS = (1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, 2000, 4000, 8000)
DATASET = 501  # any number will do: the folders hold no other data set
CONFIGURATION = "3d_fullres"
FOLD = "all"  # trains with every labelled volume and holds none out
INSTALL = "python -m venv nnunet && nnunet/bin/pip install 'nnunetv2>=2.6.4', then --python nnunet/bin/python"


class Task(NamedTuple):
    """Properties of a bundle for nnU-Net and the evaluation."""

    name: str
    datalist: SegmentationDatalist
    channels: list[str]
    class_names: list[str]
    regions: list[list[int]] | None
    regions_class_order: list[int] | None
    loading: dict[str, Any]
    slice_axis: int
    num_overlays: int


def nnunet(
    split_file: str,
    output_dir: str,
    dataset_dir: str | None = None,
    bundle: str | None = None,
    python: str = "nnunet/bin/python",
    epochs: int = 1000,
    device: str = "cuda",
) -> None:
    """Train nnU-Net v2 with the labels of a run, segment the same test volumes, and evaluate them the same way.

    nnU-Net is not a part of this package. Its commands are run in a separate environment, with nnU-Net's own plans for
    ``3d_fullres``, just as a user without this project would run them. nnU-Net sees the labelled training volumes of
    ``split_file`` and no other label. No fold is held out, and the last checkpoint is used. After a stop, run the
    command again: it continues from the last checkpoint. nnU-Net writes a checkpoint every 50 epochs.

    Args:
        split_file: the split of a run of ours, ``eval/train/split.json``.
        output_dir: a new or empty folder, or the folder of the same run to continue it. The results of ``evaluate`` go
            to ``eval/evaluate`` in it, the masks to ``eval/predictions``.
        dataset_dir: folder of the data set, by default the bundle's.
        bundle: folder of the bundle that describes the data, by default
            ``bundles/hippocampus_mri_3d_segmentation`` beside the package.
        python: the interpreter of the environment in which nnU-Net is installed.
        epochs: length of the training in epochs of 250 iterations. nnU-Net's default is 1000.
        device: ``cuda`` or ``cpu``.

    Raises:
        InputError: When nnU-Net is missing or has no training of that length, when the data cannot be used, when
            ``output_dir`` holds other files, when a step fails, or when a mask is missing.
    """
    trainer, device = _trainer(epochs), one_of(device, ("cuda", "cpu"), "device")
    interpreter, output = Path(python).expanduser().absolute(), Path(output_dir).expanduser().absolute()
    version, commands = _version(interpreter), _commands(interpreter)
    task = _read_task(find_bundle(bundle, "evaluate", default=VOLUMES), dataset_dir, split_file)
    _prepare(output, task, trainer)
    weights = _run_steps(commands, output, task, trainer, device)
    how = {"nnunetv2": version, "trainer": trainer, "configuration": CONFIGURATION, "fold": FOLD}
    _evaluate(task, output, {"weights": str(weights), **how})


def _trainer(epochs: int) -> str:
    if epochs not in LENGTHS:
        raise InputError(f"epochs must be one of {', '.join(map(str, LENGTHS))} (nnU-Net's trainers), got {epochs}.")
    return {1: "nnUNetTrainer_1epoch", 1000: "nnUNetTrainer"}.get(epochs, f"nnUNetTrainer_{epochs}epochs")


def _version(python: Path) -> str:
    ask = [str(python), "-c", "from importlib.metadata import version; print(version('nnunetv2'))"]
    try:
        return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    except OSError as error:
        raise InputError(f"python {python} cannot be run: {error.strerror}; {INSTALL}.") from error
    except subprocess.CalledProcessError as error:
        raise InputError(f"python {python} has no nnunetv2: {INSTALL}.") from error


def _commands(python: Path) -> dict[str, str]:
    # python may be a link to another folder: the commands of its environment lie beside the link
    found = {step: shutil.which(step, path=str(python.parent)) for step in STEPS}
    for step, command in found.items():
        if command is None:
            raise InputError(f"{python.parent} has no command {step}: {INSTALL}.")
    return {step: command for step, command in found.items() if command}


def _read_task(bundle: Path, dataset_dir: str | None, split_file: str) -> Task:
    """Read the options of the bundle's evaluation. Nothing is written, and no label is opened."""
    parser = ConfigParser(read_json(bundle / "configs" / "evaluate.json", "config"))
    parser.update({"bundle_root": str(bundle), "split_file": str(Path(split_file).expanduser().absolute())})
    if dataset_dir is not None:
        parser["dataset_dir"] = str(Path(dataset_dir).expanduser().absolute())
    # both belong to our own weights, which are not used here
    parser["datalist::provenance"] = parser["datalist::save_to"] = None
    options = (
        *("num_classes", "in_channels", "label_values", "stray_values", "ignore_value", "replace_nan"),
        *("class_names", "allow_gaps"),
    )
    loading = {option: parser.get_parsed_content(option) for option in options if option in parser}
    others = {id: parser.get_parsed_content(id) for id in ("datalist", "class_names", "slice_axis", "num_overlays")}
    of_regions = ("regions", "regions_class_order")
    others |= {id: parser.get_parsed_content(id) if id in parser else None for id in of_regions}
    return Task(name=bundle.name, channels=_channels(bundle, loading["in_channels"]), loading=loading, **others)


def _channels(bundle: Path, count: int) -> list[str]:
    """Return the names of the channels. nnU-Net recognises Hounsfield units by the name CT."""
    names = modality_of(bundle / "configs" / "metadata.json").split(", ")
    names = names if len(names) == count else [f"channel {number}" for number in range(count)]
    return ["CT" if name.upper().startswith("CT") else name for name in names]


def _dataset(output: Path, task: Task, folder: str = "nnUNet_raw") -> Path:
    return output / folder / f"Dataset{DATASET}_{task.name}"


def _prepare(output: Path, task: Task, trainer: str) -> None:
    """Write the raw data, completely or not at all. Keep the raw data of the same run."""
    description = _description(task, trainer)
    file = _dataset(output, task) / "dataset.json"
    if file.is_file() and read_json(file, "dataset.json") == description:
        print(f"{output} holds this run already: the run continues.")
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"output_dir {output} must be new, empty, or of a run with the same split, data and epochs.")
    with new_folder(output, "the data for nnU-Net") as draft:
        _write_raw(_dataset(draft, task), task, description)


def _description(task: Task, trainer: str) -> dict[str, Any]:
    data, split = task.datalist, {part: task.datalist.split[part] for part in ("labelled", "test")}
    return {
        "channel_names": {str(number): name for number, name in enumerate(task.channels)},
        "labels": {"background": 0, **_labels(task)},
        **({"regions_class_order": task.regions_class_order} if task.regions else {}),
        "numTraining": len(data.labelled),
        "file_ending": ".nii.gz",
        # the default reader refuses images whose axes are not quite at right angles
        "overwrite_image_reader_writer": "NibabelIO",
        # identifies the run when it is continued; nnU-Net ignores entries that it does not know
        "semicl_monai": {"dataset_dir": str(data.dataset_dir), "trainer": trainer, **split},
    }


def _labels(task: Task) -> dict[str, int | list[int]]:
    """The classes or regions in class numbers; voxels to ignore have the next number."""
    numbers: Sequence[int | list[int]] = task.regions or range(1, 1 + len(task.class_names))
    labels = dict(zip(task.class_names, numbers, strict=True))
    return labels if task.loading.get("ignore_value") is None else labels | {"ignore": task.loading["num_classes"]}


def _write_raw(folder: Path, task: Task, description: dict[str, Any]) -> None:
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for sample in _load(task.datalist.labelled, ("image", "label"), task.loading):
        _save_channels(sample["image"], folder / "imagesTr", sample["case"])
        label: MetaTensor = sample["label"][0]
        _save(
            label.masked_fill(label < 0, task.loading["num_classes"]),
            np.uint8,
            folder / "labelsTr" / f"{sample['case']}.nii.gz",
        )
    images = [{"image": record["image"], "case": record["case"]} for record in task.datalist.test]
    for sample in _load(images, ("image",), task.loading):
        _save_channels(sample["image"], folder / "imagesTs", sample["case"])
    write_whole(folder / "dataset.json", as_text(description))


def _load(records: Iterable[Any], keys: Sequence[str], options: Mapping[str, Any]) -> Iterator[dict[Hashable, Any]]:
    return map(LoadCased(keys, **options), records)


def _save_channels(image: MetaTensor, folder: Path, case: str) -> None:
    for number, channel in enumerate(image):
        _save(channel, np.float32, folder / f"{case}_{number:04d}.nii.gz")


def _save(volume: Any, dtype: type, file: Path) -> None:
    nib.save(nib.Nifti1Image(volume.numpy().astype(dtype), volume.affine.numpy()), file)


def _run_steps(commands: Mapping[str, str], output: Path, task: Task, trainer: str, device: str) -> Path:
    """Plan, train and predict, skip the steps that an earlier call has completed, and return the weights file."""
    folders = {name: str(output / name) for name in FOLDERS}
    print("\n" + "\n".join(f"$ export {name}={shlex.quote(folder)}" for name, folder in folders.items()))
    run = partial(_run_step, commands, os.environ | folders)
    fold = _dataset(output, task, "nnUNet_results") / f"{trainer}__nnUNetPlans__{CONFIGURATION}" / f"fold_{FOLD}"
    weights = fold / "checkpoint_final.pth"
    checkpoints = any((fold / f"checkpoint_{name}.pth").is_file() for name in ("latest", "best"))
    plan, train, predict = STEPS
    common = ("-tr", trainer, "-device", device)
    if not weights.is_file():
        if not checkpoints:
            run(plan, "-d", DATASET, "-c", CONFIGURATION, "--verify_dataset_integrity")
        run(train, DATASET, CONFIGURATION, FOLD, *common, *(["--c"] if checkpoints else []))
    images, masks = _dataset(output, task) / "imagesTs", output / "eval" / "predictions"
    run(predict, "-i", images, "-o", masks, "-d", DATASET, "-c", CONFIGURATION, "-f", FOLD, *common)
    return weights


def _run_step(commands: Mapping[str, str], environment: Mapping[str, str], step: str, *arguments: object) -> None:
    words = [str(argument) for argument in arguments]
    print(f"\n$ {shlex.join([step, *words])}", flush=True)
    code = subprocess.run([commands[step], *words], env=dict(environment), check=False).returncode
    if code:
        raise InputError(f"{step} failed with exit code {code}: fix the error printed above and run this again.")


def _evaluate(task: Task, output: Path, about: dict[str, Any]) -> None:
    """Write the results that ``evaluate`` writes, for the masks of nnU-Net."""
    folder, data = output / "eval" / "evaluate", task.datalist
    masks = {record["case"]: output / "eval" / "predictions" / f"{record['case']}.nii.gz" for record in data.test}
    for case, mask in masks.items():
        if not mask.is_file():
            raise InputError(f"case {case}: nnU-Net has not written the mask {mask}.")
    about |= {"dataset_dir": str(data.dataset_dir), "split": str(folder / "split.json")}
    data.save(folder / "split.json")
    metrics = CaseMetrics(
        folder, task.class_names, about, provenance="recorded", regions=task.regions
    )  # nnU-Net was trained above
    engine = Engine(lambda _, batch: [_sample(task, record, masks[record["case"]]) for record in batch])
    metrics.attach(engine)
    OverlayWriter(folder / "overlays", task.num_overlays, task.slice_axis).attach(engine)
    engine.run([[record] for record in data.test])
    print(_summary(metrics, folder))


def _sample(task: Task, record: dict[Hashable, Any], mask: Path) -> dict[Hashable, Any]:
    """Return image, truth and mask of a case. The mask must hold class numbers in the grid of the image."""
    load = LoadCased(("image", "label"), **task.loading)
    return {**load(record), "pred": load({**record, "label": str(mask)})["label"]}


def _summary(metrics: CaseMetrics, folder: Path) -> str:
    summary = metrics.summary()
    lines = [f"\nnnU-Net on {summary['num_cases']} test volumes (mean; HD95 in mm), see {folder}:"]
    for name, values in summary["classes"].items():
        lines.append(f"  {name:20} Dice {values['dice']['mean']:.3f}   HD95 {values['hd95']['mean']:.2f}")
    return "\n".join(lines)
