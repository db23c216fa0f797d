"""A probe runs in its own process with the build on its path."""

from __future__ import annotations

import pytest

from semicl_monai.benchmarks import Build, Measurement, Prober
from semicl_monai.utils import InputError

FAKE = """
import json, os, sys
from pathlib import Path
import semicl_monai
tree, options = sys.argv[1], json.loads(sys.argv[2])
if "output_dir" in options:
    assert not Path(options["output_dir"]).exists()
    Path(options["output_dir"]).mkdir(parents=True)
if options.get("fails"):
    print("a long traceback", file=sys.stderr)
    sys.exit("error: no such data")
print("a progress bar")
names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
print(json.dumps({"number": semicl_monai.NUMBER, "tree": tree, **{name: os.environ[name] for name in names}}))
"""


@pytest.fixture
def prober(tmp_path):
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "__init__.py").touch()
    (tmp_path / "fakes" / "fake.py").write_text(FAKE)
    return Prober(tmp_path, tmp_path / "fakes")


@pytest.fixture
def build(tmp_path):
    (tmp_path / "tree" / "semicl_monai").mkdir(parents=True)
    (tmp_path / "tree" / "semicl_monai" / "__init__.py").write_text("NUMBER = 7")
    return Build("old", tmp_path / "tree", "1")


def test_the_last_line_of_the_probe_is_read_and_the_build_and_threads_are_given(prober, build):
    found = prober(Measurement("row", "fake"), build, threads=2)
    assert found == {"number": 7, "tree": str(build.tree), "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}


def test_a_failed_probe_is_told_by_its_last_line(prober, build):
    with pytest.raises(InputError, match=r"^row failed with the old build: error: no such data$"):
        prober(Measurement("row", "fake", {"fails": True}), build, threads=1)


def test_each_run_gets_a_new_folder_for_its_output(prober, build):
    measurement = Measurement("row", "fake", output="output_dir")
    for _ in range(2):
        prober(measurement, build, threads=1)
    assert prober.output_of(build, measurement).is_dir()
