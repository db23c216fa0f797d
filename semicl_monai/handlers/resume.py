"""Checkpoints to continue a run from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, global_step_from_engine
from torch import nn

from semicl_monai.networks import check_finite
from semicl_monai.utils import InputError, is_not_rank0, is_true, save_tensors


def set_aside(folder: str | Path, resume: bool | str = False) -> None:
    """Move the checkpoints of an earlier run to ``<folder>.previous``, unless that run is to be resumed.

    A run of several stages calls this for all stages before the first one starts. Suppose such a run stops before one
    of its stages. When the run is resumed, that stage must not find the checkpoints of another run.

    Args:
        folder: folder to move, with all folders below it. It may be missing.
        resume: whether to leave everything where it is. ``"true"`` is accepted too.
    """
    folder = Path(folder)
    if is_not_rank0() or is_true(resume, "resume") or not any(folder.rglob("checkpoint_*.pt")):
        return
    previous = folder.with_name(f"{folder.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    folder.rename(previous)


class ResumeCheckpoint:
    """Save checkpoints after epochs, and continue from the last one on request.

    The trainer's epoch and its gradient scaler are added to ``objects``. With :class:`SeedEpoch`, the random state
    follows from the epoch. A new checkpoint is written beside the last good one and renamed when it is complete. The
    previous checkpoint is kept. A run that is killed at any moment therefore leaves a checkpoint to continue from. A
    new run moves the checkpoints of an earlier run to ``<folder>.previous``.

    Args:
        folder: folder of the checkpoints of this stage.
        objects: objects to save, by name: network, heads, optimizer, scheduler, anything with a state dict.
        resume: whether to continue from the last checkpoint in ``folder``, if there is one. ``"true"`` is accepted too.
        interval: number of epochs between checkpoints. The last epoch (``max_epochs``) always has a checkpoint.

    Raises:
        InputError: When ``interval`` is not a positive whole number, when a checkpoint does not fit the run, or when a
            checkpoint is of an epoch after the run's last one.
    """

    def __init__(
        self, folder: str | Path, objects: Mapping[str, Any], resume: bool | str = False, interval: int = 1
    ) -> None:
        if not isinstance(interval, int) or isinstance(interval, bool) or interval < 1:
            raise InputError(f"checkpoint_interval must be a positive whole number of epochs, got {interval!r}.")
        self.folder, self.objects, self.resume = Path(folder), dict(objects), is_true(resume, "resume")
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, behind every handler that changes the saved objects."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def start(self, engine: Engine) -> None:
        """Restore the last checkpoint, or make room for new ones."""
        self.objects.update(trainer=engine)
        if getattr(engine, "scaler", None) is not None:
            self.objects.update(scaler=engine.scaler)  # type: ignore[attr-defined]
        if not self.resume:
            set_aside(self.folder)
        elif last := self.last():
            self._restore(engine, last)
        else:
            engine.logger.info(f"Nothing to resume in {self.folder}: the stage starts from its beginning.")

    def save(self, engine: Engine) -> None:
        """Save a checkpoint if one is due, and delete all but the last two, in the first process only.

        Raises:
            InputError: When a network holds values that are not finite, or the file cannot be written. The earlier
                checkpoints stay.
        """
        due = engine.state.epoch % self.interval == 0 or engine.state.epoch == engine.state.max_epochs
        if is_not_rank0() or not due:
            return
        self._check_finite(engine.state.epoch)
        step = global_step_from_engine(engine)
        Checkpoint(self.objects, self._write, n_saved=None, global_step_transform=step)(engine)
        for old in self.checkpoints()[:-2]:
            old.unlink()

    def _check_finite(self, epoch: int) -> None:
        for name, part in self.objects.items():
            if isinstance(part, nn.Module):
                tensors = {**dict(part.named_parameters()), **dict(part.named_buffers())}
                check_finite(tensors, f"the {name} after epoch {epoch}, not saved,")

    # not ignite's DiskSaver: it fails with a traceback on a full disk, and does not flush the file to disk
    def _write(self, content: Mapping[str, Any], filename: str, _: Any = None) -> None:
        save_tensors(content, self.folder / filename)

    def last(self) -> Path | None:
        """Return the last complete checkpoint."""
        return self.checkpoints()[-1] if self.checkpoints() else None

    def checkpoints(self) -> list[Path]:
        """Return all complete checkpoints, oldest first."""
        found = {path: re.fullmatch(r"checkpoint_(\d+)\.pt", path.name) for path in self.folder.glob("checkpoint_*.pt")}
        epochs = {path: int(name[1]) for path, name in found.items() if name}  # skips a user's copy with another name
        return sorted(epochs, key=lambda path: epochs[path])

    def _restore(self, engine: Engine, path: Path) -> None:
        max_epochs = engine.state.max_epochs
        try:
            content = torch.load(path, map_location=getattr(engine.state, "device", None), weights_only=True)
            Checkpoint.load_objects(self.objects, content)
        except Exception as error:  # many types: a foreign file, another architecture, another optimiser
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
            raise InputError(f"cannot resume from {path}: it does not fit this run ({reason}).") from error
        if max_epochs is not None and engine.state.epoch > max_epochs:
            raise InputError(
                f"cannot resume from {path}: it is of epoch {engine.state.epoch}, "
                f"wanted at most {max_epochs} (--epochs)."
            )
        engine.state.max_epochs = max_epochs
        engine.logger.info(f"Resumed from {path}, epoch {engine.state.epoch} of {max_epochs} is complete.")
