"""A real MONAI Label server on loopback, and the few requests a client sends it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from semicl_monai.apps.export_bundle import export_bundle

REPOSITORY = Path(__file__).parents[2]
# MONAI Label may live in an environment of its own: torchvision, which it needs, has no build for torch without CUDA.
PYTHON = os.environ.get("SEMICL_LABEL_PYTHON", sys.executable)
DEAD_PROXY = "http://127.0.0.1:9"  # the discard port: what would reach the internet fails at once
ENDS = ("DONE", "ERROR", "STOPPED")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def has_monailabel() -> bool:
    """Whether the interpreter of the server has MONAI Label."""
    return subprocess.run([PYTHON, "-c", "import monailabel"], capture_output=True, check=False).returncode == 0


def download_app(folder: Path) -> Path:
    """Copy the stock app of MONAI Label for bundles out of its package, as ``monailabel apps --download`` does."""
    options = ["apps", "--download", "--name", "monaibundle", "--output", str(folder)]
    subprocess.run([PYTHON, "-m", "monailabel.main", *options], check=True, capture_output=True, cwd=folder)
    return folder / "monaibundle"


def small_bundle(folder: Path, features: list[int], **task: Any) -> Path:
    """Copy the bundle of the folder's name, with a network that trains in seconds and a task that differs a little."""
    shutil.copytree(
        REPOSITORY / "bundles" / folder.name, folder, ignore=shutil.ignore_patterns("models", "eval", "cache")
    )
    content = json.loads((folder / "task.json").read_text())
    content["network_def"]["features"] = features
    (folder / "task.json").write_text(json.dumps({**content, **task}))
    export_bundle(str(folder))
    return folder


class LabelServer:
    """Run a server in a process group of its own until the ``with`` block ends."""

    def __init__(self, app: Path, studies: Path, models: list[str], **conf: str) -> None:
        self.app, self.studies, self.log = app, studies, app.parent / "server.log"
        self.conf = {"models": ",".join(models), "zoo_source": "local", "sam2": "false", **conf}
        self.url = f"http://127.0.0.1:{_free_port()}"

    def __enter__(self) -> LabelServer:
        conf = [word for name, value in self.conf.items() for word in ("--conf", name, value)]
        options = ["--app", self.app, "--studies", self.studies, "--host", "127.0.0.1", "--port", self.url[-5:], *conf]
        command = [PYTHON, "-m", "monailabel.main", "start_server", *map(str, options)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.app.parent, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        self.wait(lambda: self.get("/info/"), 120)
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def get(self, path: str) -> Any:
        """Return what the server answers, or ``None`` as long as it does not."""
        try:
            with OPENER.open(self.url + path, timeout=60) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def post(self, path: str, body: dict, content_type: str = "application/json") -> bytes:
        """Post a JSON body and return the answer."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": content_type})
        try:
            with OPENER.open(request, timeout=300) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:500]!r}\n{self.tail()}") from error

    def infer(self, model: str, study: str, folder: Path) -> nibabel.Nifti1Image:
        """Return the mask of a study."""
        file = folder / f"{study}_mask.nii.gz"
        file.write_bytes(self.post(f"/infer/{model}?image={study}&output=image", {}))
        return nibabel.load(file)

    def infer_as_slicer(self, model: str, study: str, folder: Path) -> Path:
        """Return the file of the mask of a study that 3D Slicer asks for."""
        file = folder / f"{study}_mask.nrrd"
        params = json.dumps({"result_extension": ".nrrd", "result_dtype": "uint8"})
        form = urllib.parse.urlencode({"params": params}).encode()
        request = urllib.request.Request(f"{self.url}/infer/{model}?image={study}&output=image", form)
        with OPENER.open(request, timeout=300) as answer:
            file.write_bytes(answer.read())
        return file

    def train(self, model: str, ends: str = "DONE", **request: Any) -> str:
        """Train to the end and return what the server has logged meanwhile."""
        start = len(self.log.read_text(errors="replace"))
        self.post(f"/train/{model}", request)
        self.wait(lambda: self._state("/train/") in ENDS, 400)
        log = self.log.read_text(errors="replace")[start:]
        assert self._state("/train/") == ends, log[-3000:]
        return log

    def save_label(self, study: str, label: Path, segments: list[str]) -> None:
        """Submit a label as 3D Slicer does, with the names of its segments in their order."""
        info = {"label_info": [{"name": name, "idx": number} for number, name in enumerate(segments, 1)]}
        parts = [
            ('name="params"', json.dumps(info).encode()),
            (f'name="label"; filename="{label.name}"', label.read_bytes()),
        ]
        body = b"".join(
            b"--cut\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (a.encode(), b) for a, b in parts
        )
        headers = {"Content-Type": "multipart/form-data; boundary=cut"}
        url = f"{self.url}/datastore/label?image={study}&tag=final"
        request = urllib.request.Request(url, body + b"--cut--\r\n", headers, method="PUT")
        with OPENER.open(request, timeout=60) as answer:
            assert json.load(answer)["label"] == study

    def wait_for_scores(self) -> None:
        """Wait until the active learning that a training sets off has scored all unlabelled studies."""
        self.wait(lambda: self._state("/scoring/") in ENDS, 200)
        assert self._state("/scoring/") == "DONE", self.tail()

    def wait(self, ready: Any, seconds: float) -> None:
        """Wait until ``ready`` returns something true."""
        end = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, f"the server has ended\n{self.tail()}"
            assert time.monotonic() < end, f"no answer in {seconds} s\n{self.tail()}"
            time.sleep(0.5)

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-5000:]

    def _state(self, path: str) -> str | None:
        return (self.get(path) or {}).get("status")

    def _environment(self) -> dict[str, str]:
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), DEAD_PROXY)
        own = {"no_proxy": "127.0.0.1", "PYTHONPATH": str(REPOSITORY), "HOME": str(self.app.parent)}
        return {**os.environ, **proxies, **own, "PYTHONUNBUFFERED": "1"}


def dice(mask: nibabel.Nifti1Image, truth: nibabel.Nifti1Image) -> float:
    """Mean Dice of the classes of the truth."""
    a, b = (np.asanyarray(image.dataobj) for image in (mask, truth))
    labels = [label for label in np.unique(b) if label > 0]
    return float(np.mean([2 * ((a == v) & (b == v)).sum() / ((a == v).sum() + (b == v).sum()) for v in labels]))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
