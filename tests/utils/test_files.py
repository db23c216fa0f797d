from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semicl_monai.utils import InputError, draft_of, new_folder, read_json, save_json, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes nothing."""

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)


def test_text_is_written_as_utf_8_and_its_folder_is_made(tmp_path):
    write_whole(tmp_path / "a/b.txt", "Tumör\n")
    assert (tmp_path / "a/b.txt").read_bytes() == b"Tum\xc3\xb6r\n"
    assert names(tmp_path / "a") == ["b.txt"]


def test_bytes_are_written_as_they_are(tmp_path):
    write_whole(tmp_path / "b", memoryview(b"\x00\xff"))
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_a_name_that_is_no_utf_8_is_written_as_its_bytes(tmp_path):
    write_whole(tmp_path / "b", os.fsdecode(b"T\xfc"))
    assert (tmp_path / "b").read_bytes() == b"T\xfc"


def test_it_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    file, happened = tmp_path / "a.txt", []
    file.write_text("old")
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (flush(number), happened.append(("fsync", file.read_text()))))
    monkeypatch.setattr(os, "replace", lambda *names: (replace(*names), happened.append(("new", file.read_text()))))
    write_whole(file, "content")
    assert happened == [("fsync", "old"), ("new", "content")]


def test_two_drafts_of_one_file_do_not_meet(tmp_path):
    with draft_of(tmp_path / "a.pt", "draft") as first, draft_of(tmp_path / "a.pt", "draft") as second:
        first.write_text("first")
        second.write_text("second")
        assert list(tmp_path.rglob("a.pt")) == []  # by its name
    assert (tmp_path / "a.pt").read_text() == "first"
    assert names(tmp_path) == ["a.pt"]


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there/file")
    write_whole(tmp_path / "link", "content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there/file").read_text() == "content"


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path):
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(InputError, match=r"^cannot write .*/a\.json: No space left on device; give another disk\.$"):
        write_whole(tmp_path / "a.json", "new", "give another disk")
    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_ctrl_c_leaves_no_draft(tmp_path, monkeypatch):
    def stop(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.json", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [("file/a", "(File exists|Not a directory)"), ("folder", "Is a directory"), ("a" * 300, "File name too long")],
)
def test_what_cannot_be_a_file_is_named(tmp_path, path, reason):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=rf"^cannot write {tmp_path}/{path}: {reason}\.$"):
        write_whole(tmp_path / path, "text")
    assert names(tmp_path) == ["file", "folder"]


def test_a_limit_of_the_size_of_files_is_met_in_a_line(tmp_path):
    (tmp_path / "a").write_text("old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match=r"^cannot write .*/a: File too large\.$"):
            write_whole(tmp_path / "a", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_json_is_ascii_for_readers_in_any_locale_and_is_read_back(tmp_path):
    save_json({"class_names": ["Tumör"], "file": Path("/a")}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes().isascii()
    assert read_json(tmp_path / "a.json", "task") == {"class_names": ["Tumör"], "file": "/a"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_of_others_is_read_as_utf_8_with_or_without_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.json").write_text('{"name": "Tumör"}', encoding=encoding)
    assert read_json(tmp_path / "a.json", "task") == {"name": "Tumör"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"must be a JSON file, got: Expecting value: line 1 column 1 \(char 0\)\.$"),
        (b'{"a": [1, 2', r"must be a JSON file, got: Expecting ',' delimiter"),
        ('{"a": "ü"}'.encode("latin-1"), r"must be a JSON file, got: 'utf-8' codec can't decode"),
        ('{"a": 1}'.encode("utf-16"), r"must be a JSON file, got: 'utf-8' codec can't decode"),
        (b"[" * 100_000, r"must be a JSON file, got: maximum recursion depth exceeded"),
        (b"[1]", r"must hold a JSON object, got a list\.$"),
        (b"3", r"must hold a JSON object, got a int\.$"),
        (b"null", r"must hold a JSON object, got a NoneType\.$"),
        (None, r"cannot be read: Is a directory\.$"),
    ],
    ids=["empty", "truncated", "latin-1", "utf-16", "deep", "list", "number", "null", "folder"],
)
def test_anything_else_is_refused_in_a_line_that_names_the_file(tmp_path, content, reason):
    file = tmp_path / "a.json"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(InputError, match=rf"^task {file} {reason}"):
        read_json(file, "task")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=rf"^task {tmp_path}/no\.json cannot be read: No such file or directory\.$"):
        read_json(tmp_path / "no.json", "task")


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "a/b", "the bundle") as draft:
        write_whole(draft / "configs/train.json", "{}")
        assert not (tmp_path / "a/b").exists()
    assert (tmp_path / "a/b/configs/train.json").read_text() == "{}"
    assert names(tmp_path / "a") == ["b"]


@pytest.mark.usefixtures("full_disk")
def test_a_folder_that_cannot_be_filled_is_named_and_not_its_draft(tmp_path):
    wanted = rf"^the bundle cannot be written to {tmp_path}/a: No space left on device\.$"
    with pytest.raises(InputError, match=wanted), new_folder(tmp_path / "a", "the bundle") as draft:
        write_whole(draft / "task.json", "{}")
    assert names(tmp_path) == []


def test_an_error_about_anything_but_the_draft_passes(tmp_path):
    wanted = r"^task .*/no\.json cannot be read: No such file or directory\.$"
    with pytest.raises(InputError, match=wanted), new_folder(tmp_path / "a", "the bundle"):
        read_json(tmp_path / "no.json", "task")
    assert names(tmp_path) == []


def test_a_folder_that_is_in_use_is_left_as_it_is(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/mine").touch()
    wanted = rf"^the bundle cannot be written to {tmp_path}/a: Directory not empty\.$"
    with pytest.raises(InputError, match=wanted), new_folder(tmp_path / "a", "the bundle") as draft:
        (draft / "file").touch()
    assert names(tmp_path / "a") == ["mine"]
    assert names(tmp_path) == ["a"]


def test_all_of_it_works_in_the_locale_c(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps({"name": "Tumör"}, ensure_ascii=False), encoding="utf-8-sig")
    program = (
        "import sys; from pathlib import Path; from semicl_monai.utils.files import *; "
        "here = Path(sys.argv[1]); name = read_json(here / 'in.json', 'task')['name']; "
        "write_whole(here / 'out.txt', name); save_json({'name': name}, here / 'out.json')"
    )
    locale = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=locale, check=True)
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "Tumör"
    assert (tmp_path / "out.json").read_text() == '{\n    "name": "Tum\\u00f6r"\n}\n'


def test_an_entry_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"labels": {"1": "a", "1": "b"}}')
    with pytest.raises(InputError, match=r"task .*a\.json must be a JSON file, got: the entry '1' twice\."):
        read_json(tmp_path / "a.json", "task")
