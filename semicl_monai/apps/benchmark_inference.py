"""Benchmark of a bundle's inference against MONAI's sliding window on the bare network."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.metrics import compute_dice
from monai.transforms import LoadImage

from semicl_monai.apps.find_bundle import VOLUMES, find_bundle
from semicl_monai.networks import load_network
from semicl_monai.study.runner import MAXRSS_PER_MIB
from semicl_monai.utils import region_maps


def benchmark_inference(
    bundle: str | None = None,
    spatial_size: tuple[int, int, int] = (256, 256, 200),
    weights: str | None = None,
    image: str | None = None,
    repeats: int = 3,
    **overrides: Any,
) -> None:
    """Print time and peak memory of the bundle's inference, and of MONAI's sliding window on the bare network.

    The inference is the whole run of the bundle's ``inference.json``, from the image file to the mask file. For a 3-D
    bundle, it is also run with ``fast_inference``, and the Dice score between the two masks is printed.
    For the bare network, only MONAI's inferer is run on the loaded image, with all windows and the same precision.

    Each run has its own process. The runs take turns, and the medians are printed. On a CPU the peak memory is the
    largest resident size of the process. On a GPU it is the peak memory allocated by torch.

    Args:
        bundle: folder of the bundle. The default is ``bundles/hippocampus_mri_3d_segmentation``.
        spatial_size: size of the image in voxels, if no image is given. The image is then noise.
        weights: file of trained weights. By default the network is untrained.
        image: file of an image. With trained weights, give one of the kind that the network knows.
        repeats: number of runs of each kind.
        overrides: other options of the config, such as ``bfloat16``.
    """
    config = str(find_bundle(bundle, "inference", default=VOLUMES) / "configs" / "inference.json")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(image).resolve() if image else _write_noise(Path(folder) / "images" / "noise.nii.gz", spatial_size)
        given = (
            str(Path(weights).resolve()) if weights else _write_weights(config, Path(folder) / "model.pt", overrides)
        )
        options = {"dataset_dir": str(file), "weights": given, **overrides}
        runs = _runs(config, folder, options)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for name in list(runs) * repeats:
            run, own = runs[name]
            measured[name].append(_in_own_process(run, (config, file, own)))
        _print_table(measured)
        if "fast" in runs:
            print_dice(_mask(runs["fast"][1]), _mask(runs["bundle"][1]), _parse(config, options))


def _runs(config: str, folder: str, options: dict[str, Any]) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return the function and the options of each kind of run."""
    runs = {"bare": (_run_bare, options), "bundle": (_run_bundle, {**options, "output_dir": f"{folder}/bundle"})}
    if "fast_inference" in _parse(config, {}):
        runs["fast"] = (_run_bundle, {**options, "output_dir": f"{folder}/fast", "fast_inference": True})
    return runs


def _print_table(measured: dict[str, list[tuple[float, float]]]) -> None:
    found = {name: [median(values) for values in zip(*pairs, strict=True)] for name, pairs in measured.items()}
    for name, (seconds, memory) in found.items():
        print(f"{name:16}{seconds:10.3f} s{memory:10.0f} MiB")
    for name in found.keys() - {"bundle"}:
        seconds, memory = (ours / other for ours, other in zip(found["bundle"], found[name], strict=True))
        print(f"bundle to {name:6}{seconds:10.2f}  {memory:10.2f}")


def _mask(options: dict[str, Any]) -> torch.Tensor:
    (file,) = Path(options["output_dir"]).rglob("*.nii.gz")
    mask: torch.Tensor = LoadImage(dtype=np.uint8)(file)
    return mask[None, None]


def print_dice(ours: torch.Tensor, full: torch.Tensor, parser: ConfigParser) -> None:
    """Print the Dice score of two masks ``(1, 1, H, W, D)`` by class."""
    regions = parser.get_parsed_content("regions") if "regions" in parser else None
    numbers = regions or [[number] for number in range(1, parser.get_parsed_content("num_classes"))]
    maps, wanted = (region_maps(mask.float(), numbers) for mask in (ours, full))
    dice = compute_dice(maps, wanted, ignore_empty=False)[0]
    for name, value in zip(parser.get_parsed_content("class_names"), dice.tolist(), strict=True):
        print(f"Dice of bundle and fast, {name}: {value:.5f}")


def _write_noise(path: Path, spatial_size: tuple[int, int, int]) -> Path:
    path.parent.mkdir()
    noise = np.random.default_rng(0).normal(size=spatial_size).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), path)
    return path


def _write_weights(config: str, path: Path, overrides: dict[str, Any]) -> str:
    torch.save(_parse(config, overrides).get_parsed_content("network_def").state_dict(), path)
    return str(path)


def _parse(config: str, options: dict[str, Any]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(config)
    parser.update(options)
    return parser


def _in_own_process(run: Callable[..., tuple[float, float]], given: tuple[Any, ...]) -> tuple[float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, given)


def _run_bundle(config: str, image: Path, options: dict[str, Any]) -> tuple[float, float]:
    workflow = ConfigWorkflow(config, run_id="run", logging_file=False, workflow_type="infer", **options)
    workflow.initialize()
    return _measure(workflow.run)


def _run_bare(config: str, image: Path, options: dict[str, Any]) -> tuple[float, float]:
    parser = _parse(config, options)
    device = torch.device(parser.get_parsed_content("device"))
    network = parser.get_parsed_content("network_def").to(device).eval()
    load_network(network, options["weights"], parser.get_parsed_content("class_names"))
    half = parser.get_parsed_content("use_bfloat16"), parser.get_parsed_content("use_amp")
    window = parser.get_parsed_content("window_inferer")
    volume = LoadImage(ensure_channel_first=True)(image)[None].to(device)

    def run() -> None:
        # the precision of the bundle: float16 by MONAI's engines on CUDA, bfloat16 elsewhere, or float32
        dtype = torch.bfloat16 if half[0] else torch.float16
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=any(half)):
            window(volume, network)

    return _measure(run)


def _measure(run: Callable[[], Any]) -> tuple[float, float]:
    import resource  # noqa: PLC0415 - missing on Windows, where the other commands must still run

    start = perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return perf_counter() - start, torch.cuda.max_memory_allocated() / 2**20
    return perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS_PER_MIB
