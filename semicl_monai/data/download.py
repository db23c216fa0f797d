"""Medical Segmentation Decathlon tasks, fetched by MONAI's own downloader."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from monai.apps import DecathlonDataset, download_url, extractall

from semicl_monai.utils import InputError, draft_of


def download_decathlon(dataset_dir: str | os.PathLike[str]) -> None:
    """Fetch the Decathlon task that the last folder of ``dataset_dir`` names, e.g. ``Task04_Hippocampus``.

    The archive is kept beside ``dataset_dir``, as with :class:`monai.apps.DecathlonDataset`. The folder appears only
    when it is complete.

    Args:
        dataset_dir: folder for the task, new or empty.

    Raises:
        InputError: When the folder's name is no Decathlon task, the folder is not empty, or the download fails.
    """
    folder = Path(os.path.abspath(Path(dataset_dir).expanduser()))
    task = folder.name
    if task not in DecathlonDataset.resource:
        known = ", ".join(DecathlonDataset.resource)
        raise InputError(
            f"download: the last folder of dataset_dir must name a Decathlon task ({known}), got '{task}'."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"download: dataset_dir must be new or empty, got {folder} with something else in it.")
    try:
        _fetch(task, folder)
    except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"download: could not fetch {task} to {folder}: {reason}") from error


def _fetch(task: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive, md5 = f"{folder}.tar", DecathlonDataset.md5[task]
    # in two steps, because monai.apps.download_and_extract needs the package requests to guess a file name
    download_url(DecathlonDataset.resource[task], archive, hash_val=md5, hash_type="md5")
    try:
        with draft_of(folder) as draft:
            extractall(archive, draft.parent)  # it holds a folder of the same name
    except OSError:
        if not (folder / "dataset.json").is_file():  # else another process has been faster
            raise
