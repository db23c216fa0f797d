"""An older commit is written to a folder of its own, and the clone stays as it is."""

from __future__ import annotations

import subprocess

import pytest

from semicl_monai.benchmarks import builds, checked_out, working_tree
from semicl_monai.utils import InputError

AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")


def git(folder, *words):
    done = subprocess.run(["git", *AUTHOR, "-C", str(folder), *words], capture_output=True, check=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for content in ("older", "newer"):
        (folder / "file.txt").write_text(content)
        git(folder, "add", "file.txt")
        git(folder, "commit", "--quiet", "--message", content)
    return folder


def test_the_files_of_the_commit_are_there_and_gone_afterwards(clone):
    with checked_out("HEAD~1", clone) as old:
        assert (old.tree / "file.txt").read_text() == "older"
        assert (old.name, old.commit) == ("old", git(clone, "rev-parse", "HEAD~1"))
    assert not old.tree.exists()


def test_nothing_is_noted_in_the_clone(clone):
    with checked_out("HEAD~1", clone):
        assert git(clone, "worktree", "list").count("\n") == 0
        assert git(clone, "status", "--porcelain") == ""
    assert (clone / "file.txt").read_text() == "newer"


def test_the_working_tree_is_used_as_it_is_and_says_whether_it_was_changed(clone):
    commit = git(clone, "rev-parse", "HEAD")
    assert working_tree(clone) == builds.Build("new", clone, commit)
    (clone / "file.txt").write_text("not committed")
    assert working_tree(clone).commit == f"{commit}+"


@pytest.mark.parametrize("commit", ["0123abc", "no such name", "--help", ""])
def test_an_unknown_commit_is_refused(clone, commit):
    with pytest.raises(InputError, match=rf"commit must be a commit of the clone .*clone, got '{commit}'"):
        checked_out(commit, clone).__enter__()


def test_a_package_outside_a_clone_is_refused(tmp_path, clone):
    (clone / "site-packages").mkdir()
    for folder in (tmp_path, clone / "site-packages"):
        with pytest.raises(InputError, match=r"must run from a git clone of the repository, got the folder"):
            checked_out("HEAD", folder).__enter__()


def test_missing_git_is_said(clone, monkeypatch):
    monkeypatch.setenv("PATH", str(clone))
    with pytest.raises(InputError, match="needs git, which was not found"):
        working_tree(clone)
