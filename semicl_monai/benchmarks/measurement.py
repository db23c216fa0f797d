"""A measurement, and the process that makes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semicl_monai.benchmarks.builds import Build
from semicl_monai.utils import InputError

PROBES = Path(__file__).parent / "probes"
PACKAGE = "semicl_probes"  # a name of its own, so that no build hides the probes


@dataclass(frozen=True)
class Measurement:
    """What a probe measures.

    Args:
        name: name of the row, and what is measured.
        probe: name of the probe.
        options: options of the probe.
        is_count: whether it counts things. It is then made once, with the first number of threads.
        output: option of a folder for each build; empty if the probe writes none.
    """

    name: str
    probe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_count: bool = False
    output: str = ""


class Prober:
    """Run probes, each in its own process.

    The probes are copied first, so that a change of the working tree in the meantime does not change them.

    Args:
        folder: an existing folder for the probes and for what they write.
        probes: folder of the probes.
    """

    def __init__(self, folder: Path, probes: Path = PROBES) -> None:
        self.folder = folder
        shutil.copytree(probes, folder / "probes" / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))

    def output_of(self, build: Build, measurement: Measurement) -> Path:
        """Return the folder that a probe writes to for a build."""
        return self.folder / "output" / measurement.probe / build.name

    def __call__(self, measurement: Measurement, build: Build, threads: int) -> dict[str, float]:
        """Return the numbers of one run.

        Args:
            measurement: what to measure.
            build: the build to measure.
            threads: number of threads of torch.

        Raises:
            InputError: When the probe fails. The message holds its last line.
        """
        options = dict(measurement.options)
        if measurement.output:
            shutil.rmtree(self.output_of(build, measurement), ignore_errors=True)
            options[measurement.output] = str(self.output_of(build, measurement))
        words = [sys.executable, "-m", f"{PACKAGE}.{measurement.probe}", str(build.tree), json.dumps(options)]
        own = {"PYTHONPATH": str(build.tree), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        where: dict[str, Any] = {"cwd": self.folder / "probes", "env": {**os.environ, **own}}
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, **where)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise InputError(f"{measurement.name} failed with the {build.name} build: {reason}")
        numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return numbers
