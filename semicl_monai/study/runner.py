"""Runner for the steps of a study: several steps at a time, and continuation of a stopped study."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from monai.bundle import ConfigParser

from semicl_monai.handlers import set_aside
from semicl_monai.study.grid import STAGES, Step
from semicl_monai.utils import InputError, read_json, save_json

RUN_IDS = {"pretrain": "pretrain", "train": "run", "evaluate": "evaluate"}
WEIGHTS = {"pretrain": "model_pretrained.pt", "train": "model.pt"}
STATES = ("started", "done", "failed", "stopped")
STARTS_FROM = {"pretrain": "pretrained", "train": "pretrained", "evaluate": "weights"}
STOPPED = [-getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
WATCH = 5.0  # seconds between two looks at the logs of running steps
MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


@dataclass
class Record:
    """The outcome of a step, stored in the folder of the step.

    Args:
        key: key of the step.
        state: ``"started"``, ``"done"``, ``"failed"`` or ``"stopped"``. A step is stopped by a signal from outside. The
            state ``"stopped"`` is not stored.
        seconds: duration of the step. ``None`` for a resumed step, because only its last part was measured.
        cpu_seconds: processor time of the step. ``None`` for a resumed step, or when the system does not report it.
        peak_mib: peak memory in MiB. ``None`` when the system does not report it.
        error: reason of a failure, in one line.
    """

    key: str
    state: str
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_mib: float | None = None
    error: str | None = None


class Runner:
    """Run steps of a bundle, each only once.

    Steps that an earlier run has finished are not run again.

    Args:
        configs: folder of the configs of the bundle.
        output_dir: folder of the study.
        workers: number of steps to run at a time.
        devices: values of ``CUDA_VISIBLE_DEVICES`` that the workers share. Empty when the workers share the processors.
        retry_failed: whether to run steps again that have failed before.
    """

    def __init__(
        self, configs: Path, output_dir: Path, workers: int, devices: tuple[str, ...] = (), retry_failed: bool = False
    ) -> None:
        self.configs, self.output_dir, self.workers = configs, output_dir, workers
        self.environments: SimpleQueue[dict[str, str]] = SimpleQueue()
        for number in range(workers):
            self.environments.put(_environment(number, workers, devices))
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.places: dict[str, Path] = {}
        self.records: dict[str, Record] = {}
        for file in (file for stage in STAGES for file in sorted(output_dir.rglob(f"steps/{stage}.json"))):
            record = _read_record(file)
            failed = record.state == "failed" and not retry_failed and record.key not in self.records
            if record.state == "done" or failed:
                self.records[record.key], self.places[record.key] = record, file.parents[1]

    def run(
        self,
        last: Iterable[Step],
        done: Callable[[Step, Record], None],
        watch: Callable[[Step, str], None] = lambda step, log: None,
    ) -> None:
        """Run steps together with the steps they need.

        Steps that were run before are not run again.

        Args:
            last: the steps.
            done: called after each step.
            watch: called with each running step and its log, every few seconds.

        Raises:
            InputError: When the folder of a step holds a finished step with other options.
        """
        steps: dict[str, Step] = {}
        for step in (step for end in last for step in end.chain()):
            steps.setdefault(step.key, step)
        waiting = [step for key, step in steps.items() if key not in self.records]
        self._check_same_runs(waiting)
        running: dict[Future[Record], Step] = {}
        with ThreadPoolExecutor(self.workers) as pool, self._no_orphans():
            while waiting or running:
                ready = [step for step in waiting if step.needs is None or step.needs.key in self.records]
                free = self.workers - len(running)
                # submit only as many as can start now: a step of an earlier split may become ready, and comes first
                for step in ready[:free]:
                    waiting.remove(step)
                    running[pool.submit(self._run, step)] = step
                finished = wait(running, timeout=WATCH, return_when=FIRST_COMPLETED).done
                for step in running.values():
                    watch(step, self.log_of(step))
                for future in finished:
                    step = running.pop(future)
                    self.records[step.key] = future.result()
                    done(step, self.records[step.key])

    def log_of(self, step: Step) -> str:
        """Return what the latest command of a step has printed so far."""
        log = self._log_file(step)
        return log.read_text(errors="replace").rpartition("\n$ ")[2] if log.is_file() else ""

    def _log_file(self, step: Step) -> Path:
        return self.output_dir / step.folder / "logs" / f"{step.stage}.log"

    @contextmanager
    def _no_orphans(self) -> Iterator[None]:
        """End the running steps when the study itself is stopped, for example by SIGTERM."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield
        except BaseException:
            for process in list(self.processes):
                process.terminate()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def place(self, step: Step) -> Path:
        """Return the folder that a step has written to or will write to."""
        return self.places.get(step.key, self.output_dir / step.folder)

    def _check_same_runs(self, steps: Iterable[Step]) -> None:
        for step in steps:
            file = self._record_file(step)
            record = _read_record(file) if file.is_file() else None
            if record is not None and record.state == "done" and record.key != step.key:
                raise InputError(
                    f"{file.parents[1]} holds {step.stage} with options other than those of this study: give another "
                    f"output_dir, or give the method another name."
                )

    def _run(self, step: Step) -> Record:
        folder = self.output_dir / step.folder
        try:
            self._begin(step, folder)
            record = self._without_weights(step) or self._command(step, folder)
        except Exception as error:  # a cell that cannot be started must not end the others
            record = Record(step.key, "failed", error=f"{type(error).__name__}: {error}")
        if record.state != "stopped":
            save_json(vars(record), self._record_file(step))
        if record.state == "done":
            shutil.rmtree(folder / "models" / "checkpoints" / step.stage, ignore_errors=True)
        self.places[step.key] = folder
        return record

    def _record_file(self, step: Step) -> Path:
        return self.output_dir / step.folder / "steps" / f"{step.stage}.json"

    def _begin(self, step: Step, folder: Path) -> None:
        """Record the step that now runs in the folder, and move checkpoints of another step away."""
        file = self._record_file(step)
        if not file.is_file() or _read_record(file).key != step.key:
            set_aside(folder / "models" / "checkpoints" / step.stage)
        save_json(vars(Record(step.key, "started")), file)

    def _without_weights(self, step: Step) -> Record | None:
        """Return the record of a step that cannot run because the step before made no weights, or ``None``."""
        needed = self.records[step.needs.key] if step.needs else None
        if step.needs is None or needed is None or needed.state == "done":
            return None
        return Record(step.key, needed.state, error=f"the {step.needs.stage} step has {needed.state}: {needed.error}")

    @contextmanager
    def _free_worker(self) -> Iterator[dict[str, str]]:
        """Yield the environment variables of a free worker."""
        environment = self.environments.get()
        try:
            yield environment
        finally:
            self.environments.put(environment)

    def _command(self, step: Step, folder: Path) -> Record:
        resumed, words = self._has_checkpoint(step, folder), self.words(step, folder)
        log = self._log_file(step)
        log.parent.mkdir(parents=True, exist_ok=True)
        start = perf_counter()
        with open(log, "a") as file, self._free_worker() as environment:
            file.write(f"\n$ {shlex.join(['python', *words[1:]])}\n")
            file.flush()
            process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=environment, close_fds=False)
            self.processes.add(process)
            code, cpu_seconds, peak_mib = _wait(process)
            self.processes.discard(process)
        state = "done" if code == 0 else "stopped" if code in STOPPED else "failed"
        record = Record(step.key, state, peak_mib=peak_mib, error=_reason(log, code) if code else None)
        if not resumed:
            record.seconds, record.cpu_seconds = perf_counter() - start, cpu_seconds
        return record

    def words(self, step: Step, folder: Path) -> list[str]:
        """Return the command of a step, and write the resulting config to the folder of the step."""
        config, options = self.configs / f"{step.stage}.json", self._options(step, folder)
        _save_config(config, options, folder / "configs" / f"{step.stage}.json")
        words = [sys.executable, "-m", "monai.bundle", "run", RUN_IDS[step.stage], "--config_file", str(config)]
        return [*words, *(f"--{name}={value}" for name, value in options.items())]

    def _options(self, step: Step, folder: Path) -> dict[str, Any]:
        options = {name: value for name, value in step.options.items() if value is not None}
        options["output_dir"] = str(folder)
        if step.needs:
            options[STARTS_FROM[step.stage]] = str(self.place(step.needs) / "models" / WEIGHTS[step.needs.stage])
        elif step.stage == "train":
            options["pretrained"] = "none"
        if self._has_checkpoint(step, folder):
            options["resume"] = True
        return options

    @staticmethod
    def _has_checkpoint(step: Step, folder: Path) -> bool:
        return any((folder / "models" / "checkpoints" / step.stage).rglob("checkpoint_*.pt"))


def _read_record(file: Path) -> Record:
    """Read the record of a step.

    Raises:
        InputError: When the file is damaged.
    """
    try:
        content = read_json(file, "record")
        record = Record(**content)
    except (InputError, TypeError) as error:
        raise InputError(f"{_without_end(error, file)}; delete this file to run the step again.") from error
    numbers = (record.seconds, record.cpu_seconds, record.peak_mib)
    right = isinstance(record.key, str) and record.state in STATES
    if not right or not all(number is None or isinstance(number, int | float) for number in numbers):
        raise InputError(f"record {file} was not written by a study; delete this file to run the step again.")
    return record


def _without_end(error: Exception, file: Path) -> str:
    line = str(error) if isinstance(error, InputError) else f"record {file} was not written by a study: {error}"
    return line.rstrip(".").replace("Record.__init__() ", "")


def _environment(number: int, workers: int, devices: tuple[str, ...]) -> dict[str, str]:
    """Return the environment variables of a worker, which give it a device or a share of the processors."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    own = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
    return {"OMP_NUM_THREADS": str(threads), **os.environ, **own}


def _save_config(config: Path, options: Mapping[str, Any], file: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(config))
    parser.update(dict(options))
    save_json(parser.get(), file)


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float | None, float | None]:
    """Return exit code, seconds of processor time and peak memory in MiB (the last two not on Windows)."""
    if not hasattr(os, "wait4"):
        return process.wait(), None, None
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:  # terminate() has waited for it already
        return process.wait(), None, None
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MAXRSS_PER_MIB


def _reason(log: Path, code: int) -> str:
    """Return the line of the log with the reason of the end: ``error: ...``, or the first exception of a traceback."""
    lines = log.read_text(errors="replace").rpartition("\n$ ")[2].splitlines()
    reasons = [line for line in lines if re.match(r"error: |[\w.]+(Error|Exception|Interrupt)\b", line)]
    return f"{(reasons or lines[-1:] or [''])[0].removeprefix('error: ')} (exit code {code}, see {log})"
