from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from semicl_monai.study import Runner, Step
from semicl_monai.study.runner import _wait
from semicl_monai.utils import InputError


def chain(name="a", **options):
    pretrain = Step("pretrain", f"{name}/first", {"method": "local", **options})
    return [pretrain, Step("train", name, options, pretrain)]


def ran(folder):
    file = folder / "ran.txt"
    return file.read_text().splitlines() if file.is_file() else []


def run(runner, steps):
    told = []
    runner.run(steps, lambda step, record: told.append((step.folder, step.stage, record.state)))
    return told


def test_each_step_runs_once_after_the_one_it_needs_and_is_recorded_with_its_cost(runner, tmp_path):
    first, second = chain()
    told = run(runner(), [second, first, second])
    assert told == [("a/first", "pretrain", "done"), ("a", "train", "done")]
    assert ran(tmp_path) == ["pretrain a/first", "train a"]
    record = json.loads((tmp_path / "a/steps/train.json").read_text())
    assert (record["key"], record["state"]) == (second.key, "done")
    assert record["seconds"] > 0
    assert record["cpu_seconds"] > 0
    assert record["peak_mib"] > 1
    assert "$ python -c" in (tmp_path / "a/logs/train.log").read_text()


def test_what_an_earlier_run_has_done_is_not_done_again(runner, tmp_path):
    run(runner(), chain())
    assert run(runner(), [*chain(), *chain("b", seed=1)]) == [("b/first", "pretrain", "done"), ("b", "train", "done")]
    assert len(ran(tmp_path)) == 4


def test_a_step_that_another_cell_has_done_is_taken_from_there(runner, tmp_path):
    run(runner(), chain())
    again = runner()
    pretrain = Step("pretrain", "elsewhere", {"method": "local"})
    assert run(again, [pretrain]) == []
    assert again.place(pretrain) == tmp_path / "a/first"


def test_a_failure_is_recorded_with_its_reason_and_stops_only_what_needs_it(runner, tmp_path):
    broken = "raise ValueError('no such thing') from KeyError('x')"
    told = run(runner(local=broken), [*chain(), Step("train", "b", {})])
    assert sorted(told) == [("a", "train", "failed"), ("a/first", "pretrain", "failed"), ("b", "train", "done")]
    reasons = [
        json.loads((tmp_path / name).read_text())["error"]
        for name in ("a/first/steps/pretrain.json", "a/steps/train.json")
    ]
    assert reasons[0].startswith("KeyError: 'x' (exit code 1, see ")
    assert reasons[1].startswith("the pretrain step has failed: KeyError")


def test_an_input_error_is_the_reason(runner, tmp_path):
    run(runner(local="import sys; print('error: no folder x.'); print('bye'); sys.exit(1)"), chain())
    assert json.loads((tmp_path / "a/first/steps/pretrain.json").read_text())["error"].startswith("no folder x. (exit")


def test_a_failure_is_tried_again_when_asked_for_alone(runner):
    run(runner(local="1 / 0"), chain())
    assert run(runner(), chain()) == []
    assert run(runner(retry_failed=True), chain()) == [("a/first", "pretrain", "done"), ("a", "train", "done")]


def test_a_step_that_was_stopped_from_outside_is_run_again(runner):
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert [state for *_, state in run(runner(local=stop), chain())] == ["stopped", "stopped"]
    assert [state for *_, state in run(runner(), chain())] == ["done", "done"]


def test_a_step_that_was_killed_for_memory_has_failed(runner):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run(runner(local=kill), chain())[0] == ("a/first", "pretrain", "failed")


def test_workers_run_steps_side_by_side(runner, tmp_path):
    wait = f"import pathlib, time; here = pathlib.Path({str(tmp_path)!r})"
    meet = "while len(list(here.glob('here_*'))) < 3: time.sleep(0.01)"
    scripts = {f"m{number}": f"{wait}; (here / 'here_{number}').touch()\n{meet}" for number in range(3)}
    steps = [Step("train", method, {"method": method}) for method in scripts]
    assert len(run(runner(workers=3, **scripts), steps)) == 3  # each waits for the others


def test_no_more_steps_run_at_a_time_than_there_are_workers(runner, tmp_path):
    busy = f"import pathlib, time; busy = pathlib.Path({str(tmp_path / 'busy')!r})"
    alone = f"{busy}; busy.touch(exist_ok=False); time.sleep(0.1); busy.unlink()"
    steps = [Step("train", f"s{number}", {"number": number}) for number in range(3)]
    assert {state for *_, state in run(runner(train=alone), steps)} == {"done"}


def test_the_steps_of_the_first_split_go_first(runner, tmp_path):
    run(runner(), [chain("a")[-1], chain("b", seed=1)[-1], Step("train", "c", {}, chain("a")[0])])
    assert ran(tmp_path) == ["pretrain a/first", "train a", "pretrain b/first", "train b"]


def test_the_steps_end_with_the_study(runner, tmp_path):
    def stop(step, record):
        os.kill(os.getpid(), signal.SIGTERM)

    short = runner(workers=2, train="import time; time.sleep(60)")
    steps, start = [Step("train", "long", {}), Step("evaluate", "short", {})], time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        short.run(steps, stop)
    assert time.perf_counter() - start < 30
    assert json.loads((tmp_path / "long/steps/train.json").read_text())["state"] == "started"


def test_a_step_that_cannot_be_started_has_failed_and_the_others_go_on(runner, tmp_path, monkeypatch):
    short = runner()
    words = short.words
    monkeypatch.setattr(
        short, "words", lambda step, folder: ["no such program"] if "a" in step.folder else words(step, folder)
    )
    told = run(short, [Step("train", "a", {}), Step("train", "b", {"seed": 1})])
    assert told == [("a", "train", "failed"), ("b", "train", "done")]
    assert json.loads((tmp_path / "a/steps/train.json").read_text())["error"].startswith("FileNotFoundError: ")


def leaves_a_checkpoint(tmp_path, stop):
    """A step that ends after its third epoch, and the checkpoint it leaves."""
    file = tmp_path / "a/models/checkpoints/train/checkpoint_3.pt"
    return f"import pathlib; f = pathlib.Path({str(file)!r}); f.parent.mkdir(parents=True); f.touch(); {stop}", file


@pytest.mark.parametrize("stop", ["1 / 0", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"])
def test_what_was_resumed_has_no_cost_and_its_checkpoints_go_when_it_is_done(runner, tmp_path, stop):
    script, checkpoint = leaves_a_checkpoint(tmp_path, stop)
    run(runner(train=script), [Step("train", "a", {})])
    assert checkpoint.exists()
    run(runner(retry_failed=True), [Step("train", "a", {})])
    record = json.loads((tmp_path / "a/steps/train.json").read_text())
    assert (record["state"], record["seconds"], record["cpu_seconds"]) == ("done", None, None)
    assert not checkpoint.exists()


@pytest.mark.parametrize("stop", ["1 / 0", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"])
def test_the_checkpoints_of_other_options_are_not_resumed(runner, tmp_path, stop):
    script, checkpoint = leaves_a_checkpoint(tmp_path, stop)
    run(runner(train=script), [Step("train", "a", {"epochs": 400})])
    run(runner(), [Step("train", "a", {"epochs": 40})])
    record = json.loads((tmp_path / "a/steps/train.json").read_text())
    assert record["state"] == "done"
    assert record["seconds"] > 0
    assert (tmp_path / "a/models/checkpoints/train.previous" / checkpoint.name).exists()


def test_what_was_done_in_one_folder_is_done_though_it_has_failed_in_another(runner):
    run(runner(train="1 / 0"), [Step("train", "z", {})])
    again = runner(retry_failed=True)
    assert run(again, [Step("train", "a", {})]) == [("a", "train", "done")]
    assert run(runner(), [Step("train", "z", {})]) == []


def test_a_step_that_was_waited_for_elsewhere_has_ended_as_it_did(runner):
    # as terminate() does, before it sends a signal
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    assert _wait(process) == (3, None, None)


def test_each_worker_has_its_share_of_the_processors_or_a_device_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    shared = Runner(tmp_path, tmp_path, 2).environments
    assert [shared.get()["OMP_NUM_THREADS"] for _ in range(2)] == ["4", "4"]
    devices = Runner(tmp_path, tmp_path, 4, ("3", "5")).environments
    assert [devices.get()["CUDA_VISIBLE_DEVICES"] for _ in range(4)] == ["3", "5", "3", "5"]


def test_threads_that_the_user_has_set_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Runner(tmp_path, tmp_path, 2).environments.get()["OMP_NUM_THREADS"] == "7"


def test_a_failure_of_other_options_is_in_nobodys_way(runner):
    run(runner(local="1 / 0"), chain(epoch=9))
    assert [state for *_, state in run(runner(), chain(epochs=9))] == ["done", "done"]


def test_a_folder_with_a_step_of_other_options_is_refused_before_anything_runs(runner, tmp_path):
    run(runner(), chain())
    with pytest.raises(InputError, match="a/first holds pretrain with options other than those of this study"):
        run(runner(), [*chain("b"), *chain(epochs=9)])
    assert len(ran(tmp_path)) == 2


def test_a_command_is_given_the_weights_before_it_and_goes_on_from_its_checkpoint(tmp_path, bundle_configs):
    runner = Runner(bundle_configs, tmp_path, 1)
    first, second = chain()
    last = Step("evaluate", "a", {"num_overlays": 0}, second)
    words = runner.words(last, tmp_path / "a")
    assert words[1:5] == ["-m", "monai.bundle", "run", "evaluate"]
    assert f"--weights={tmp_path}/a/models/model.pt" in words
    assert f"--pretrained={tmp_path}/a/first/models/model_pretrained.pt" in runner.words(second, tmp_path / "a")
    assert "--pretrained=none" in runner.words(Step("train", "b", {}), tmp_path / "b")
    assert not any("pretrained" in word or "resume" in word for word in runner.words(first, tmp_path / "a/first"))
    checkpoint = tmp_path / "a/models/checkpoints/train/checkpoint_3.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert "--resume=True" in runner.words(second, tmp_path / "a")
    assert json.loads((tmp_path / "a/configs/evaluate.json").read_text())["num_overlays"] == 0


@pytest.fixture
def bundle_configs(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    for stage in ("pretrain", "train", "evaluate"):
        (folder / f"{stage}.json").write_text('{"num_overlays": 4}')
    return folder


def test_the_log_of_a_running_step_is_watched(runner, tmp_path, monkeypatch):
    monkeypatch.setattr("semicl_monai.study.runner.WATCH", 0.01)
    seen = tmp_path / "seen"
    script = (
        f"import pathlib, time; print('about 38 min', flush=True)\nwhile not pathlib.Path({str(seen)!r}).exists(): "
    )
    script += "time.sleep(0.01)"  # it ends only after its log was seen

    def watch(step, log):
        if "about 38 min" in log:
            seen.touch()

    runner(train=script).run([Step("train", "a", {})], lambda step, record: None, watch)
    assert seen.exists()
