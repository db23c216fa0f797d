"""The demonstration calls the runner and nothing else, and says what it called."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser

from semicl_monai.apps import demo as program
from semicl_monai.apps.demo import DEMONSTRATIONS, comparison, demo
from semicl_monai.apps.find_bundle import BUNDLES
from semicl_monai.utils import InputError


@pytest.fixture
def summary():
    def write(folder, dice):
        def mean(value):
            return {"mean": value, "interval": [value, value]}

        classes = {name: {"dice": mean(dice), "hd95": mean(2.5), "asd": mean(1)} for name in ("Anterior", "mean")}
        path = folder / "eval/evaluate/summary.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"num_cases": 4, "classes": classes}))

    return write


def test_every_step_is_printed_as_the_command_that_runs(tmp_path, monkeypatch, capsys, summary):
    called = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: called.append(command) or SimpleNamespace(returncode=0)
    )
    summary(tmp_path / "global_local", 0.8)
    summary(tmp_path / "scratch", 0.7)
    demo(str(tmp_path))
    output = capsys.readouterr().out
    assert [command[4] for command in called] == ["pretrain", "run", "evaluate", "run", "evaluate", "run"]
    assert all(command[1:4] == ["-m", "monai.bundle", "run"] for command in called)
    assert all(f"$ {shlex.join(['python', *command[1:]])}" in output for command in called)
    assert "4 SYNTHETIC volumes" in output
    shown = output.partition("\nglobal_local:\n")[2]
    assert str(tmp_path / "global_local/models/model.pt") in shown
    assert str(tmp_path / "global_local/eval/predictions") in shown
    assert "scratch" not in shown


def test_each_step_is_followed_by_the_time_that_is_left(tmp_path, monkeypatch, capsys, summary):
    monkeypatch.setattr(subprocess, "run", lambda command, check: SimpleNamespace(returncode=0))
    times = iter(range(0, 10_000, 100))  # each step takes 100 s
    monkeypatch.setattr(program, "perf_counter", lambda: next(times))
    summary(tmp_path / "global_local", 0.8)
    summary(tmp_path / "scratch", 0.7)
    demo(str(tmp_path))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    # shares: pre-training 1, two fine-tunings of 1, two evaluations and the inference of 0.2
    assert told[:2] == ["[1/6] done; about 4 min left", "[2/6] done; about 3 min left"]  # 100 s * 2.6, 200 s * 1.6 / 2
    assert told[-1] == "[6/6] done"


def test_the_options_of_each_bundle_are_options_it_has(tmp_path):
    for name, (_, _, options) in DEMONSTRATIONS.items():
        parser = ConfigParser()
        parser.read_config(str(BUNDLES / name / "configs" / "train.json"))
        assert all(option in parser for option in options), name


@pytest.mark.parametrize("kind", ["ct", "mri", "ct_3d", "mri_3d"])
def test_the_heart_is_shown_on_a_heart(tmp_path, monkeypatch, capsys, summary, kind):
    called = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: called.append(command) or SimpleNamespace(returncode=0)
    )
    method = "self_training" if kind.endswith("3d") else "global_local"
    for name in (method, "scratch"):
        summary(tmp_path / name, 0.8)
    bundle = Path(__file__).parents[2] / "bundles" / f"whole_heart_{kind}_segmentation"
    demo(str(tmp_path), bundle=str(bundle))
    assert all(str(bundle) in " ".join(command) for command in called)
    (images,) = (option for option in called[-1] if option.startswith("--dataset_dir"))
    assert list(Path(images.partition("=")[2]).glob(f"{kind[:2]}_test_*_image.nii.gz"))
    assert f"\n{method:14}" in capsys.readouterr().out


def test_a_bundle_without_synthetic_data_is_refused(tmp_path):
    (tmp_path / "own/configs").mkdir(parents=True)
    for stage in ("pretrain", "train", "evaluate", "inference"):
        (tmp_path / f"own/configs/{stage}.json").touch()
    with pytest.raises(InputError, match=r"bundle must be one of hippocampus_mri_segmentation, .* got 'own'"):
        demo(str(tmp_path), bundle=str(tmp_path / "own"))


def test_a_step_that_fails_ends_the_demonstration_with_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command, check: SimpleNamespace(returncode=3))
    with pytest.raises(SystemExit, match="3"):
        demo(str(tmp_path))


def test_a_missing_bundle_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no bundle at .*nowhere"):
        demo(str(tmp_path), bundle=str(tmp_path / "nowhere"))


def test_the_comparison_shows_dice_and_hd95_of_each_run(tmp_path, summary):
    summary(tmp_path / "a", 0.8)
    summary(tmp_path / "b", 0.7)
    table = comparison({"pre-trained": tmp_path / "a", "from scratch": tmp_path / "b"})
    header, first, second = table.splitlines()[2:]
    assert header.split() == ["Dice", "Anterior", "Dice", "mean", "HD95", "Anterior", "HD95", "mean"]
    assert first.split() == ["pre-trained", "0.800", "0.800", "2.500", "2.500"]
    assert second.split() == ["from", "scratch", "0.700", "0.700", "2.500", "2.500"]
