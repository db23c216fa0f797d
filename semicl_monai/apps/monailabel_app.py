"""Install a bundle and its pre-training in a MONAI Label app."""

from __future__ import annotations

import shutil
from pathlib import Path

from monai.bundle import ConfigParser

from semicl_monai.apps.export_bundle import as_text, label_pretraining
from semicl_monai.apps.find_bundle import find_bundle
from semicl_monai.handlers import ModelSaver
from semicl_monai.networks.weights_file import find_state_dict
from semicl_monai.utils import InputError, new_folder, read_json, save_json, write_whole

# Files of the trainer "<bundle>_pretraining", and the files of the bundle that they are copied from.
COPIES = {"logging.conf": "logging.conf", "multi_gpu_train.json": "multi_gpu_pretrain.json"}
LEFT_OUT = shutil.ignore_patterns("eval", "cache", "checkpoints*", "__pycache__")


def monailabel_app(app: str, bundle: str | None = None) -> None:
    """Copy a bundle into the ``monaibundle`` app of MONAI Label, and add a trainer for its pre-training.

    The trainer is called ``<bundle>_pretraining``. It uses all studies of the datastore, and labels where they exist.
    If the method of the bundle has no pre-training, such as ``self_training``, the trainer's method is the default one.
    The next training of the bundle starts from the pre-trained weights. A bundle without weights gets untrained
    weights, because MONAI Label does not offer a model without weights.

    Args:
        app: folder of the app, made by ``monailabel apps --download --name monaibundle``.
        bundle: folder of the bundle. The default is ``bundles/hippocampus_mri_segmentation`` next to the package.

    Raises:
        InputError: When the app or the bundle does not exist, the app already has the bundle, or the classes of the
            bundle are regions.
    """
    source, models = find_bundle(bundle, "pretrain"), Path(app).expanduser().resolve() / "model"
    target, pretraining = models / source.name, models / f"{source.name}_pretraining"
    _check(source, models, (target, pretraining))
    has_weights = (source / "models" / "model.pt").is_file()
    with new_folder(target, "the bundle") as draft, new_folder(pretraining, "the pre-training of the bundle") as beside:
        shutil.copytree(source, draft, ignore=LEFT_OUT, dirs_exist_ok=True)
        _write_pretraining(draft, beside)
        if not has_weights:
            _write_untrained(draft, draft)
    if not has_weights:
        print("The bundle has no models/model.pt: its masks are noise until the first training.")
    print(
        f"Start the server with\n  monailabel start_server --app {app} --studies STUDIES --conf models "
        f"{target.name},{pretraining.name} --conf zoo_source local --conf sam2 false"
    )


def _check(source: Path, models: Path, targets: tuple[Path, ...]) -> None:
    if not (models.parent / "main.py").is_file():
        raise InputError(
            f"{models.parent} is not an app of MONAI Label, because it has no main.py: get the app by "
            "monailabel apps --download --name monaibundle --output apps."
        )
    if (regions := read_json(source / "configs" / "inference.json", "config").get("regions")) is not None:
        raise InputError(
            f"{source} has {len(regions)} regions that share voxels, but a label of MONAI Label has one segment for "
            "each voxel: train it from a data list."
        )
    for target in targets:
        if target.exists():
            raise InputError(f"{target} already exists and may hold trained weights: move it away first.")
    weights = source / "models" / "model.pt"
    if weights.is_file():
        find_state_dict(weights)
    for name, kind in {"metadata": "metadata", "pretrain": "config", "inference": "config"}.items():
        read_json(source / "configs" / f"{name}.json", kind)


def _write_pretraining(bundle: Path, folder: Path) -> None:
    metadata = read_json(bundle / "configs" / "metadata.json", "metadata")
    metadata["description"] = f"Pre-trains {bundle.name} on all studies. Train {bundle.name} afterwards."
    save_json(metadata, folder / "configs" / "metadata.json")
    write_whole(folder / "configs" / "train.json", as_text(label_pretraining(bundle)))
    for name, source in COPIES.items():
        shutil.copy(bundle / "configs" / source, folder / "configs" / name)
    # Pre-training needs no weights to start from. But 3D Slicer fails if a trainer has no models to choose from.
    _write_untrained(bundle, folder)


def _write_untrained(bundle: Path, folder: Path) -> None:
    parser = ConfigParser(read_json(bundle / "configs" / "inference.json", "config"))
    try:
        network = parser.get_parsed_content("network_def")
    except Exception as error:  # a network may raise anything
        reason = " ".join(str(error.__cause__ or error).split())[:200].rstrip(".")
        raise InputError(f"{bundle / 'configs' / 'inference.json'}: network_def cannot be built: {reason}.") from error
    ModelSaver(folder / "models" / "model.pt", network).write()
