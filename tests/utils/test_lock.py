from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from semicl_monai.utils import InputError, lock, lock_folders, unlock_folders
from semicl_monai.utils.lock import locked

pytestmark = pytest.mark.filterwarnings("ignore:.*fork")

FORK = multiprocessing.get_context("fork")  # a new interpreter takes seconds to import torch


def _hold(connection, how, folders):
    try:
        lock_folders(folders)
    except InputError as error:
        connection.send(str(error))
        return
    if how == "and let go":
        unlock_folders(folders)
    if how != "with a worker":
        connection.send("held")
    elif os.fork() == 0:
        connection.send("held")  # the worker says it, so that it has started when its parent is killed
        time.sleep(5)  # longer than its parent
        os._exit(0)
    time.sleep(60)


@pytest.fixture
def hold():
    """Hold folders in another process; return the process and what it says."""
    started = []

    def start(*folders, how=""):
        connection, other = FORK.Pipe()
        process = FORK.Process(target=_hold, args=(other, how, folders))
        process.start()
        started.append(process)
        assert connection.poll(60)
        return process, connection.recv()

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def folders(tmp_path):
    yield [tmp_path / "models", tmp_path / "eval"]
    unlock_folders([tmp_path / "models", tmp_path / "eval"])


def test_another_process_may_not_write_to_a_folder_that_is_held(hold, folders):
    hold(folders[1])
    message = f"another run is at work in {folders[1]}: wait for it, or give another --output_dir."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        lock_folders(folders)
    assert hold(folders[0])[1] == "held"  # what was taken before the refusal has been let go


def test_a_killed_process_holds_nothing_although_its_worker_lives_on(hold, folders):
    process, _ = hold(*folders, how="with a worker")
    with pytest.raises(InputError, match="another run is at work in"):
        lock_folders(folders)
    process.kill()
    process.join()
    lock_folders(folders)


def test_nothing_is_left_behind_when_it_is_let_go(hold, folders):
    hold(*folders, how="and let go")
    assert [list(folder.iterdir()) for folder in folders] == [[], []]
    lock_folders(folders)


def test_nothing_is_left_behind_when_the_process_ends(folders):
    code = "import sys; from semicl_monai.utils import lock_folders; lock_folders(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *map(str, folders)], check=True)
    assert [list(folder.iterdir()) for folder in folders] == [[], []]


def test_a_process_may_hold_a_folder_twice(hold, folders):
    lock_folders(folders)
    lock_folders(folders)
    assert "another run is at work in" in hold(folders[0])[1]
    unlock_folders(folders)
    assert hold(folders[0])[1] == "held"


def test_a_folder_that_was_removed_and_made_anew_is_held_again(hold, folders):
    lock_folders(folders)
    shutil.rmtree(folders[0])
    lock_folders(folders)
    assert "another run is at work in" in hold(folders[0])[1]


def test_a_copy_of_a_held_folder_is_free(hold, folders, tmp_path):
    hold(folders[0])
    lock_folders([shutil.copytree(folders[0], tmp_path / "copy")])
    unlock_folders([tmp_path / "copy"])


def test_letting_go_of_what_is_not_held_does_nothing(hold, folders):
    hold(folders[0])
    unlock_folders(folders)
    with pytest.raises(InputError, match="another run is at work in"):
        lock_folders(folders)


def _no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("place", ["file system", "system"])
def test_where_there_are_no_locks_a_warning_says_so(folders, monkeypatch, caplog, place):
    if place == "system":
        monkeypatch.setattr(lock, "fcntl", None)
    else:
        monkeypatch.setattr(lock.fcntl, "flock", _no_locks)
    with caplog.at_level(logging.WARNING):
        lock_folders(folders[:1])
    assert f"{folders[0] / '.lock'} cannot be locked: make sure that no other run writes to this folder" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^cannot write to .*file/run: Not a directory; give a writable"):
        lock_folders([tmp_path / "file" / "run"])


def test_a_folder_of_a_study_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output_dir .*file cannot be made: File exists"), locked(tmp_path / "file"):
        pass


def test_a_folder_is_run_by_one_study_at_a_time_and_by_its_steps(tmp_path):
    with locked(tmp_path):
        step = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        with pytest.raises(InputError, match="another run, or a step of one, is at work in"), locked(tmp_path):
            pass
    try:
        with pytest.raises(InputError, match="another run, or a step of one, is at work in"), locked(tmp_path):
            pass
    finally:
        step.kill()
        step.wait()
    with locked(tmp_path):
        pass
