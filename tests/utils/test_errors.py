from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from semicl_monai.utils import InputError, error_line, find_input_error, show_input_errors
from semicl_monai.utils.errors import note_unchecked


def raised(*errors):
    """Return the last error as Python gives it when each is raised from the one before."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


@pytest.fixture
def hook(monkeypatch):
    """The hook of ``show_input_errors``, before which a recording one was in place."""
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: shown.append(error))
    monkeypatch.setattr(threading, "excepthook", shown.append)
    records = logging.getLogRecordFactory()
    show_input_errors()
    yield sys.excepthook, shown
    logging.setLogRecordFactory(records)


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)


def test_it_is_found_behind_what_it_caused():
    found = InputError("no file")
    assert find_input_error(found) is found
    assert find_input_error(raised(found, RuntimeError("in Compose"), RuntimeError("in the config"))) is found


def test_it_is_found_behind_an_error_that_was_met_while_handling_it():
    found = InputError("no file")
    outer = RuntimeError("in Compose")
    outer.__context__ = found
    assert find_input_error(outer) is found


def test_other_errors_hold_none():
    assert find_input_error(None) is None
    assert find_input_error(raised(ValueError("a"), RuntimeError("b"))) is None


def test_one_line_is_shown_for_a_wrapped_input_error(hook, capsys):
    show, shown = hook
    error = raised(InputError("case a: no file."), RuntimeError("applying transform"), RuntimeError("in the config"))
    show(type(error), error, error.__traceback__)
    assert capsys.readouterr() == ("", "error: case a: no file.\n")
    assert shown == []


def test_other_errors_are_shown_as_before(hook, capsys):
    show, shown = hook
    error = raised(KeyError("a"), RuntimeError("b"))
    show(type(error), error, error.__traceback__)
    assert shown == [(RuntimeError, error, error.__traceback__)]
    assert capsys.readouterr() == ("", "")


def test_what_a_component_makes_of_an_entry_that_nothing_has_checked_is_shown_in_one_line(hook, capsys):
    show, shown = hook
    error = raised(TypeError("AdamW() got an unexpected\nkeyword argument."), RuntimeError("in the config"))
    note_unchecked(["--optimizer::weight_deca"])
    show(type(error), error, error.__traceback__)
    note_unchecked([])
    message = (
        "TypeError: AdamW() got an unexpected keyword argument; check what you gave with --optimizer::weight_deca."
    )
    assert capsys.readouterr() == ("", f"error: {message}\n")
    show(type(error), error, error.__traceback__)
    assert len(shown) == 1


def test_a_component_that_is_not_there_is_told_in_one_line():
    error = ModuleNotFoundError("Cannot locate class or function path: 'torch.optim.Adamw'.")
    assert (
        error_line(error) == "the config wants torch.optim.Adamw as a _target_, which does not exist: check its name."
    )
    assert error_line(ModuleNotFoundError("No module named 'yaml'")) is None


def test_asked_for_twice_it_still_shows_one_line(hook, capsys):
    show_input_errors()
    error = InputError("no file.")
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == "error: no file.\n"


FULL = "No space left on device; free some space, or give a folder on another disk."


class FullDisk(io.RawIOBase):
    """A file that takes nothing."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def writable(self):
        return True

    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Broken(Dataset):
    """Its cases raise an error."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise RuntimeError("applying transform") from self.error


def failure_of(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any; what is made of it is tested
        call()
    return caught.value


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("ENOSPC", FULL),
        ("EDQUOT", "Disk quota exceeded; free some space, or give a folder on another disk."),
        ("EFBIG", "File too large; free some space, or give a folder on another disk."),
        ("EROFS", "Read-only file system; give a folder you can write to."),
        ("EACCES", "Permission denied; give a folder you can write to."),
        ("EPERM", "Operation not permitted; give a folder you can write to."),
        ("ENAMETOOLONG", "File name too long; give a folder you can write to."),
        ("ENOTDIR", "Not a directory; give a folder you can write to."),
        ("EISDIR", "Is a directory; give a folder you can write to."),
        ("EMFILE", "Too many open files; close other programs, or raise the limit (ulimit -n)."),
    ],
)
def test_what_a_disk_refuses_is_one_line_with_the_file_and_the_reason(number, reason):
    error = OSError(getattr(errno, number), os.strerror(getattr(errno, number)), "/data/a.pt")
    assert (
        error_line(raised(error, RuntimeError("applying transform"), RuntimeError("config"))) == f"/data/a.pt: {reason}"
    )


@pytest.mark.parametrize(
    "error", [OSError("odd"), FileNotFoundError(2, "No such file or directory", "a"), KeyError("a")]
)
def test_other_errors_keep_their_traceback(hook, error):
    assert error_line(error) is None
    show, shown = hook
    show(type(error), error, None)
    assert [entry[1] for entry in shown] == [error]


def test_a_file_that_the_error_does_not_name_is_found():
    def write():
        picture = FullDisk("/data/picture.png")
        picture.write(b"content")

    assert error_line(failure_of(write)) == f"/data/picture.png: {FULL}"
    assert error_line(OSError(errno.ENOSPC, "No space left on device")) == f"a file cannot be written: {FULL}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_a_mask_that_monai_cannot_save_is_named(tmp_path):
    (tmp_path / "mask.nii").symlink_to("/dev/full")
    save = SaveImage(tmp_path, output_ext=".nii", separate_folder=False, output_postfix="", print_log=False)
    image = MetaTensor(np.zeros((1, 40, 40, 40), "float32"), meta={"filename_or_obj": "mask.nii"})
    assert error_line(failure_of(lambda: save(image))) == f"{tmp_path}/mask.nii: {FULL}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_the_thread_of_tensorboard_does_not_lose_its_error(hook, tmp_path, monkeypatch, capsys):
    show, shown = hook
    writer = SummaryWriter(tmp_path)
    opened = writer.file_writer.event_writer._general_file_writer
    opened.filename = b"/dev/full"
    error = failure_of(lambda: (writer.add_scalar("loss", 1.0), writer.flush()))
    show(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == f"error: /dev/full: {FULL}\n"  # once, whoever tells it
    assert shown == []


def test_an_error_of_a_thread_is_one_line(hook, capsys):
    def fail():
        raise OSError(errno.EROFS, "Read-only file system", "/data/events")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == "error: /data/events: Read-only file system; give a folder you can write to.\n"
    assert hook[1] == []


def test_an_unknown_error_of_a_thread_is_shown_as_before(hook):
    thread = threading.Thread(target=lambda: {}["a"])
    thread.start()
    thread.join()
    assert [args.exc_type for args in hook[1]] == [KeyError]


def test_what_copytree_could_not_copy_is_named(tmp_path, monkeypatch):
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a").touch()

    def refuse(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    error = failure_of(lambda: shutil.copytree(tmp_path / "from", tmp_path / "to", copy_function=refuse))
    assert error_line(error) == f"{tmp_path}/to/a: {FULL}"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee documentation"),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=repr,
)
def test_missing_memory_is_one_line_that_says_what_to_lower(error):
    line = error_line(raised(error, RuntimeError("applying transform")))
    advice = (
        "lower --batch_size, --samples_per_volume or --roi_size, or give --cache_dir, which keeps the prepared volumes"
    )
    assert line.startswith("there is not enough memory")
    assert advice in line
    assert "\n" not in line


def test_memory_that_torch_does_not_get_is_found_by_what_it_says():
    line = error_line(failure_of(lambda: torch.empty(2**60, dtype=torch.uint8)))
    assert line.startswith("there is not enough memory (")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("case a: no file."), "case a: no file."),
        (OSError(errno.ENOSPC, "No space left on device", "/data/a"), f"/data/a: {FULL}"),
    ],
)
def test_what_a_process_of_a_loader_met_is_one_line(error, line):
    assert error_line(failure_of(lambda: next(iter(DataLoader(Broken(error), num_workers=1))))) == line


def test_logs_hold_no_traceback_of_what_is_shown_in_a_line(hook, caplog):
    for error in (InputError("no file."), KeyError("a")):
        logging.getLogger("StatsHandler").error("Exception", exc_info=error)
    known, unknown = caplog.records
    assert known.exc_info is None
    assert unknown.exc_info[1].args == ("a",)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_text_that_the_terminal_has_no_letters_for_is_printed_with_escapes(hook, monkeypatch, encoding):
    bytes_of = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_of, encoding=encoding))
    show_input_errors()
    print("Tum\N{LATIN SMALL LETTER O WITH DIAERESIS}r \udcfc", flush=True)
    wanted = {"ascii": b"Tum\\xf6r", "latin-1": b"Tum\xf6r", "utf-8": b"Tum\xc3\xb6r"}[encoding]
    assert bytes_of.getvalue() == wanted + b" \\udcfc\n"


def test_a_program_ends_with_one_line_and_code_1_at_a_limit_of_the_size_of_files(tmp_path):
    program = (
        "import resource, sys; from semicl_monai.utils import show_input_errors; show_input_errors(); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        "file = open(sys.argv[1], 'wb', buffering=0); [file.write(bytes(90)) for _ in range(3)]"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    wanted = f"error: {tmp_path}/a: File too large; free some space, or give a folder on another disk.\n"
    assert (ended.returncode, ended.stderr) == (1, wanted)


def test_a_file_name_that_the_locale_cannot_write_is_one_line():
    program = (
        "from semicl_monai.utils import show_input_errors; show_input_errors(); open('/tmp/Tum\\xf6r_that_is_not')"
    )
    locale = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    ended = subprocess.run([sys.executable, "-c", program], env=locale, capture_output=True, text=True, check=False)
    name = r"'/tmp/Tum\xf6r_that_is_not'"
    wanted = f"error: the locale cannot name the file {name}: set the environment variable PYTHONUTF8=1."
    assert (ended.returncode, ended.stderr.strip()) == (1, wanted)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", r"the name 'a\udce4' is not in UTF-8: give the file or folder another name."),
        ("ascii", r"the locale cannot name the file 'a\udce4': set the environment variable PYTHONUTF8=1."),
    ],
)
def test_a_name_that_is_no_utf_8_has_a_line(monkeypatch, encoding, line):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    with pytest.raises(UnicodeEncodeError) as raised:
        "a\udce4".encode()
    assert error_line(raised.value) == line
