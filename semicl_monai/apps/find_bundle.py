"""Find the bundle of a command."""

from __future__ import annotations

from pathlib import Path

from semicl_monai.utils import InputError

BUNDLES = Path(__file__).parents[2] / "bundles"
SLICES, VOLUMES = "hippocampus_mri_segmentation", "hippocampus_mri_3d_segmentation"


def find_bundle(bundle: str | None, *stages: str, default: str = SLICES) -> Path:
    """Return the folder of a bundle.

    Args:
        bundle: the folder as given to a command, or None.
        stages: config files that the bundle must have.
        default: name of the bundle of this repository to use when none is given.

    Raises:
        InputError: When a config file is missing.
    """
    folder = Path(bundle or BUNDLES / default).expanduser().resolve()
    for file in (folder / "configs" / f"{stage}.json" for stage in stages):
        if not file.is_file():
            raise InputError(
                f"no bundle at {folder}, {file.name} is missing: run from a clone of the repository, or give --bundle."
            )
    return folder
