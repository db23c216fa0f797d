"""Benchmark of a bundle's inference against MONAI's sliding window on the bare network."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import LoadImage

from semicl_monai.apps.find_bundle import VOLUMES, find_bundle
from semicl_monai.study.runner import MAXRSS_PER_MIB


def benchmark_inference(
    bundle: str | None = None, spatial_size: tuple[int, int, int] = (256, 256, 200), **overrides: Any
) -> None:
    """Print time and peak memory of the bundle's inference, and of MONAI's sliding window on the bare network.

    The inference is the whole run of the bundle's ``inference.json``, from the image file to the mask file. For the
    bare network, only MONAI's inferer is run on the loaded image, with the same inferer and the same precision. Each of
    the two runs in its own process. On a CPU the peak memory is the largest resident size of the process. On a GPU it
    is the peak memory allocated by torch. The weights are untrained and the image is noise.

    Args:
        bundle: folder of the bundle. The default is ``bundles/hippocampus_mri_3d_segmentation``.
        spatial_size: size of the image in voxels.
        overrides: other options of the config, such as ``bfloat16``.
    """
    config = str(find_bundle(bundle, "inference", default=VOLUMES) / "configs" / "inference.json")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "images" / "noise.nii.gz"
        image.parent.mkdir()
        noise = np.random.default_rng(0).normal(size=spatial_size).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.eye(4)), image)
        given = (config, image, {"dataset_dir": str(image.parent), "output_dir": folder, **overrides})
        _write_weights(config, Path(folder) / "models" / "model.pt", overrides)
        found = {name: _in_own_process(run, given) for name, run in (("bare", _run_bare), ("bundle", _run_bundle))}
    for name, (seconds, memory) in found.items():
        print(f"{name:8}{seconds:10.3f} s{memory:10.0f} MiB")
    seconds, memory = (ours / bare for ours, bare in zip(found["bundle"], found["bare"], strict=True))
    print(f"ratio   {seconds:10.2f}  {memory:10.2f}")


def _write_weights(config: str, path: Path, overrides: dict[str, Any]) -> None:
    path.parent.mkdir()
    torch.save(_parse(config, overrides).get_parsed_content("network_def").state_dict(), path)


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
