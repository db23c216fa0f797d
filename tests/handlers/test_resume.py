from __future__ import annotations

import errno
import logging
import os
import re

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.handlers import LrScheduleHandler

from semicl_monai.handlers import ResumeCheckpoint, SeedEpoch
from semicl_monai.utils import InputError


def run(stage, folder, resume=False, stop_at=None, interval=1, **options):
    """Train a new stage, stopped as by a power cut in the middle of the iteration ``stop_at``."""
    stage = stage(**options)
    if stop_at is not None:

        @stage.trainer.on(Events.ITERATION_COMPLETED(once=stop_at))
        def stop(engine):
            raise KeyboardInterrupt

    handlers = (
        SeedEpoch(stage.dataloader, seed=3),
        LrScheduleHandler(stage.scheduler, print_lr=False),
        ResumeCheckpoint(folder, stage.objects, resume, interval),
    )
    if stop_at is None:
        return stage.run(*handlers)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        stage.run(*handlers)
    return stage


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.weights(), other.weights(), strict=True))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints" / "train"


@pytest.mark.parametrize("first", [{"epochs": 2}, {"stop_at": 10}], ids=["of two epochs", "cut off in the third"])
def test_a_resumed_run_ends_with_bitwise_the_same_weights(stage, folder, tmp_path, first):
    whole = run(stage, tmp_path / "whole")
    run(stage, folder, **first)
    torch.rand(3)
    resumed = run(stage, folder, resume=True, seed=1)
    assert same(resumed, whole)
    assert resumed.trainer.state.epoch == 4
    assert resumed.trainer.state.iteration == 16
    assert resumed.scheduler.get_last_lr() == whole.scheduler.get_last_lr()
    one, other = resumed.optimizer.state_dict()["state"], whole.optimizer.state_dict()["state"]
    assert all(torch.equal(one[i][key], other[i][key]) for i in other for key in other[i])


def test_checkpoints_can_be_further_apart_but_the_last_epoch_has_one(stage, folder, tmp_path):
    run(stage, folder, interval=3)
    assert names(folder) == ["checkpoint_3.pt", "checkpoint_4.pt"]
    run(stage, tmp_path / "cut", interval=2, stop_at=15)
    assert names(tmp_path / "cut") == ["checkpoint_2.pt"]
    assert same(run(stage, tmp_path / "cut", resume=True, interval=2), run(stage, tmp_path / "whole"))


@pytest.mark.parametrize("interval", [0, 2.5, "20", True])
def test_an_interval_that_is_none_is_refused(folder, interval):
    message = f"checkpoint_interval must be a positive whole number of epochs, got {interval!r}."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ResumeCheckpoint(folder, {}, interval=interval)


def test_without_a_checkpoint_to_resume_the_stage_starts_from_its_beginning(stage, folder, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert same(run(stage, folder, resume=True), run(stage, tmp_path / "other"))
    assert f"Nothing to resume in {folder}: the stage starts from its beginning." in caplog.text


def test_a_complete_run_is_not_trained_any_further(stage, folder):
    first = run(stage, folder, epochs=2)
    again = run(stage, folder, epochs=2, resume="true", seed=1)
    assert same(first, again)
    assert again.trainer.state.epoch == 2


def test_resuming_says_where_from(stage, folder, caplog):
    run(stage, folder, epochs=2)
    with caplog.at_level(logging.INFO):
        run(stage, folder, epochs=3, resume=True)
    assert f"Resumed from {folder / 'checkpoint_2.pt'}, epoch 2 of 3 is complete." in caplog.text


def test_the_last_two_checkpoints_are_kept_and_nothing_else(stage, folder):
    run(stage, folder, epochs=11)
    assert names(folder) == ["checkpoint_10.pt", "checkpoint_11.pt"]


def test_the_last_checkpoint_is_the_one_of_the_highest_epoch(stage, folder):
    folder.mkdir(parents=True)
    for epoch in (9, 10):
        (folder / f"checkpoint_{epoch}.pt").touch()
    assert ResumeCheckpoint(folder, {}).last() == folder / "checkpoint_10.pt"


def test_a_half_written_file_is_passed_over(stage, folder, tmp_path):
    run(stage, folder, epochs=2)
    (folder / "tmp8zq1").write_bytes((folder / "checkpoint_2.pt").read_bytes()[:100])
    assert same(run(stage, folder, resume=True, seed=1), run(stage, tmp_path / "whole"))


def test_a_kill_while_writing_leaves_the_checkpoints_before(stage, folder, tmp_path, monkeypatch):
    run(stage, folder, epochs=2)
    write = torch.save

    def kill(content, file, **options):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", kill)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run(stage, folder, resume=True)
    monkeypatch.setattr(torch, "save", write)
    assert [path.name for path in ResumeCheckpoint(folder, {}).checkpoints()] == ["checkpoint_1.pt", "checkpoint_2.pt"]
    assert same(run(stage, folder, resume=True, seed=1), run(stage, tmp_path / "whole"))


def test_a_network_that_is_not_finite_is_not_saved_and_the_checkpoints_before_stay(stage, folder):
    one = stage(epochs=3)

    @one.trainer.on(Events.EPOCH_COMPLETED(once=3))
    def spoil(engine):
        with torch.no_grad():
            one.network[2].bias.fill_(float("nan"))

    message = (
        r"^the network after epoch 3, not saved, must hold finite numbers, got NaN or .* first is '2\.bias' with 1"
    )
    with pytest.raises(InputError, match=message):
        one.run(ResumeCheckpoint(folder, one.objects))
    assert names(folder) == ["checkpoint_1.pt", "checkpoint_2.pt"]


def test_a_full_disk_leaves_the_checkpoints_before_and_is_one_line(stage, folder, monkeypatch):
    run(stage, folder, epochs=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"^cannot write .*checkpoint_3\.pt: No space left on device; give a writable"):
        run(stage, folder, epochs=3, resume=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_one_line(stage, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(
        InputError, match=r"^cannot write .*checkpoint_1\.pt: (File exists|Not a directory); give a writabl"
    ):
        run(stage, tmp_path / "models" / "train", epochs=1)


@pytest.mark.parametrize("num_bytes", [0, 1000])
def test_a_truncated_checkpoint_is_refused_in_one_line(stage, folder, num_bytes):
    run(stage, folder, epochs=2)
    last = folder / "checkpoint_2.pt"
    last.write_bytes(last.read_bytes()[:num_bytes])
    with pytest.raises(InputError, match=r"^cannot resume from .*checkpoint_2\.pt: it does not fit this run") as raised:
        run(stage, folder, resume=True)
    assert "\n" not in str(raised.value)


def test_another_architecture_is_refused_in_one_line_with_the_first_tensor(stage, folder):
    run(stage, folder, epochs=1)
    with pytest.raises(InputError, match=r"it does not fit this run \(Error.* size mismatch for 0\.weight") as raised:
        run(stage, folder, resume=True, channels=5)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_without_an_object_of_the_run_is_refused(stage, folder):
    run(stage, folder, epochs=1)
    other = stage()
    handler = ResumeCheckpoint(folder, {**other.objects, "best_metric": other.scheduler}, resume=True)
    with pytest.raises(InputError, match=r"it does not fit this run \(.*'best_metric'"):
        other.run(handler)


def test_a_checkpoint_of_a_later_epoch_is_refused(stage, folder):
    run(stage, folder, epochs=3)
    with pytest.raises(InputError, match=r"checkpoint_3\.pt: it is of epoch 3, wanted at most 2 \(--epochs\)"):
        run(stage, folder, epochs=2, resume=True)


def test_checkpoints_of_an_earlier_run_are_set_aside_and_not_lost(stage, folder):
    run(stage, folder, epochs=3)
    before = (folder / "checkpoint_3.pt").read_bytes()
    run(stage, folder, epochs=1)
    assert names(folder) == ["checkpoint_1.pt"]
    previous = folder.with_name("train.previous")
    assert names(previous) == ["checkpoint_2.pt", "checkpoint_3.pt"]
    assert (previous / "checkpoint_3.pt").read_bytes() == before


def test_a_run_that_ends_before_its_first_checkpoint_leaves_the_set_aside_ones(stage, folder):
    run(stage, folder, epochs=2)
    run(stage, folder, stop_at=2)
    run(stage, folder, stop_at=2)
    assert names(folder.with_name("train.previous")) == ["checkpoint_1.pt", "checkpoint_2.pt"]


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.filterwarnings("ignore:.*GradScaler")
def test_the_gradient_scaler_of_the_trainer_is_saved(stage, folder):
    run(stage, folder, epochs=1, amp=True)
    assert "scaler" in torch.load(folder / "checkpoint_1.pt", weights_only=True)


def test_the_gradient_scaler_of_the_trainer_is_restored(stage, folder):
    scales = []
    for resume, scale in ((False, 4.0), (True, 8.0)):
        one = stage(epochs=1)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        one.trainer.add_event_handler(Events.STARTED, lambda engine, s=scaler: setattr(engine, "scaler", s))
        one.run(ResumeCheckpoint(folder, one.objects, resume=resume))
        scales.append(scaler.get_scale())
    assert scales == [4.0, 4.0]


@pytest.mark.parametrize("resume", ["maybe", "", None])
def test_resume_must_be_a_switch(folder, resume):
    with pytest.raises(InputError, match=rf"resume must be true or false, got '{resume}'"):
        ResumeCheckpoint(folder, {}, resume)


def test_it_builds_from_a_config(stage, folder):
    config = {
        "handler": {
            "_target_": "semicl_monai.handlers.ResumeCheckpoint",
            "folder": str(folder),
            "objects": {"network": stage().network},
            "resume": "true",
        }
    }
    handler = ConfigParser(config).get_parsed_content("handler")
    assert (handler.folder, list(handler.objects), handler.resume) == (folder, ["network"], True)


@pytest.mark.parametrize("name", ["checkpoint_1 (copy).pt", "checkpoint_best.pt"])
def test_a_copy_beside_the_checkpoints_is_passed_over(stage, folder, tmp_path, name):
    whole = run(stage, tmp_path / "whole")
    run(stage, folder, epochs=2)
    (folder / name).write_bytes((folder / "checkpoint_1.pt").read_bytes())
    assert same(run(stage, folder, resume=True), whole)
    assert (folder / name).is_file()


def test_an_empty_checkpoint_is_refused_with_a_reason(stage, folder):
    run(stage, folder, epochs=2)
    (folder / "checkpoint_2.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"checkpoint_2\.pt: it does not fit this run \(\w.*\)"):
        run(stage, folder, resume=True)
