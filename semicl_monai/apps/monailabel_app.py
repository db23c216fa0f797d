"""A bundle and its pre-training in a MONAI Label app."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from monai.bundle import ConfigParser

from semicl_monai.apps.demo import BUNDLE
from semicl_monai.handlers import ModelSaver
from semicl_monai.utils import InputError

# What the trainer "<bundle>_pretraining" is made of: its files, and the bundle's they are copies of.
PRETRAINING = {
    "logging.conf": "logging.conf",
    "train.json": "monailabel_pretrain.json",
    "multi_gpu_train.json": "multi_gpu_monailabel_pretrain.json",
}


def monailabel_app(app: str, bundle: str | None = None) -> None:
    """Put a bundle into the ``monaibundle`` app of MONAI Label, and beside it a trainer that pre-trains it.

    The trainer, ``<bundle>_pretraining``, sees all studies of the datastore, and labels where there are some; the
    bundle's own next training starts from its weights. A bundle without weights gets untrained ones, since MONAI Label
    offers no model without.

    Args:
        app: folder of the app, as ``monailabel apps --download --name monaibundle`` leaves it.
        bundle: folder of the bundle, by default ``bundles/hippocampus_mri_segmentation`` beside the package.

    Raises:
        InputError: When there is no such app or bundle, or the app has the bundle already.
    """
    source, models = Path(bundle or BUNDLE).resolve(), Path(app).resolve() / "model"
    target, pretraining = models / source.name, models / f"{source.name}_pretraining"
    _check(source, models, (target, pretraining))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("eval", "cache", "checkpoints*", "__pycache__"))
    _write_pretraining(target, pretraining)
    if not (target / "models" / "model.pt").is_file():
        _write_untrained(target, target)
        print("The bundle had no models/model.pt: its masks are noise until the first training.")
    print(
        f"Start the server with\n  monailabel start_server --app {app} --studies STUDIES --conf models "
        f"{target.name},{pretraining.name} --conf zoo_source local --conf sam2 false"
    )


def _check(source: Path, models: Path, targets: tuple[Path, ...]) -> None:
    if not (source / "configs" / "monailabel_pretrain.json").is_file():
        raise InputError(f"{source} is not a bundle of this project: wanted configs/monailabel_pretrain.json in it.")
    if not (models.parent / "main.py").is_file():
        raise InputError(
            f"{models.parent} is not an app of MONAI Label: wanted main.py in it; get the app by "
            "monailabel apps --download --name monaibundle --output apps."
        )
    for target in targets:
        if target.exists():
            raise InputError(f"{target} is there already, with what was trained in it: move it away first.")


def _write_pretraining(bundle: Path, folder: Path) -> None:
    (folder / "configs").mkdir(parents=True)
    for name, source in PRETRAINING.items():
        shutil.copy(bundle / "configs" / source, folder / "configs" / name)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    metadata["description"] = f"Pre-trains {bundle.name} on all studies; then train that one."
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4) + "\n")
    # Pre-training starts from no model, but 3D Slicer fails on a trainer whose list of models to choose from is empty.
    _write_untrained(bundle, folder)


def _write_untrained(bundle: Path, folder: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    ModelSaver(folder / "models" / "model.pt", parser.get_parsed_content("network_def")).write()
