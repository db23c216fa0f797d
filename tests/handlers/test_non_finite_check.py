from __future__ import annotations

import re

import pytest
import torch
from ignite.engine import Events
from monai.handlers import CheckpointSaver
from torch import nn

from semicl_monai.handlers import ModelSaver, NonFiniteCheck, ResumeCheckpoint, non_finite_check
from semicl_monai.utils import InputError

ADVICE = (
    "lower --learning_rate, or compute in full precision (--amp false --bfloat16 false); "
    "nothing of this epoch was saved."
)


def exactly(message):
    return f"^{re.escape(message)}: {re.escape(ADVICE)}$"


class LossOf(nn.Module):
    """The mean, and from a step on a value that is none."""

    def __init__(self, step=10**9, value=float("nan")):
        super().__init__()
        self.step, self.value, self.steps = step, value, 0

    def forward(self, pred, target):
        self.steps += 1
        return pred.mean() * (self.value if self.steps >= self.step else 1.0)


def refused(stage, *handlers, match):
    with pytest.raises(InputError, match=match):
        stage.run(NonFiniteCheck("fine-tuning", stage.network), *handlers)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_loss_that_is_not_finite_ends_the_run_before_its_step(stage, value):
    trained, weights = stage(), []
    trained.trainer.loss_function = LossOf(6, value)
    trained.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: weights.append(trained.weights()))
    refused(trained, match=r"^fine-tuning: the loss must be finite, got (nan|-?inf) in epoch 2, step 2 of 4, cases ")
    assert len(weights) == 5
    assert all(map(torch.equal, trained.weights(), weights[-1]))


def test_the_line_names_epoch_step_and_cases_labelled_and_unlabelled(stage):
    trained = stage()
    trained.trainer.loss_function = LossOf(3)

    def name(engine):
        step = engine.state.iteration
        engine.state.batch.update(case=[f"a{step}", f"b{step}", f"a{step}"], unlabelled_case=[f"u{step}"] * 2)

    trained.trainer.add_event_handler(Events.ITERATION_STARTED, name)
    wanted = "fine-tuning: the loss must be finite, got nan in epoch 1, step 3 of 4, cases a3, b3, u3 (unlabelled)"
    refused(trained, match=exactly(wanted))


def test_other_ranks_end_with_it_and_its_cases(stage, monkeypatch):
    """A rank whose own loss is finite must not wait for the others."""
    of_other = (float("inf"), ["other"])
    monkeypatch.setattr(non_finite_check, "largest_over_ranks", lambda found, device: 1)
    monkeypatch.setattr(non_finite_check, "all_gather_object", lambda mine: [mine, of_other])
    refused(
        stage(), match=exactly("fine-tuning: the loss must be finite, got inf in epoch 1, step 1 of 4, cases other")
    )


def spoil(stage, value):
    """Set a weight after the last step of an epoch, as that step may."""

    def set_weight(engine):
        if engine.state.iteration == 4:
            stage.network[0].weight.data.fill_(value)

    stage.trainer.add_event_handler(Events.ITERATION_COMPLETED, set_weight)
    return stage


def test_weights_that_are_not_finite_are_found_before_anything_is_saved(stage, tmp_path):
    trained = spoil(stage(epochs=1), float("nan"))
    savers = savers_of(trained, tmp_path)
    wanted = "fine-tuning: weights must be finite, got NaN or infinity in 0.weight after epoch 1"
    refused(trained, *savers, match=exactly(wanted))
    assert not list(tmp_path.rglob("*.pt"))


def test_weights_too_large_to_compute_with_are_found_after_the_last_step(stage, tmp_path):
    """With a learning rate of 1e30, weights are finite after one step, and what is computed from them is not."""
    trained = stage(epochs=1)
    trained.network.append(nn.Conv2d(1, 1, 1))
    trained.trainer.optimizer = torch.optim.AdamW(trained.network.parameters(), lr=1e30)
    trained.trainer.state.epoch_length = 1
    wanted = "fine-tuning: the network's output must be finite, got NaN or infinity after epoch 1"
    refused(trained, *savers_of(trained, tmp_path), match=exactly(wanted))
    assert all(torch.isfinite(weight).all() for weight in trained.weights())
    assert not list(tmp_path.rglob("*.pt"))


def savers_of(stage, folder):
    """Return all that save in a fine-tuning."""
    return (
        ModelSaver(folder / "model.pt", stage.network),
        CheckpointSaver(str(folder), {"network": stage.network}, save_final=True, final_filename="model_final.pt"),
        ResumeCheckpoint(folder / "checkpoints", stage.objects),
    )


@pytest.mark.parametrize("step", [1, 7])
def test_what_an_earlier_run_left_and_the_last_good_checkpoint_stay(stage, tmp_path, step):
    for name in ("model.pt", "model_final.pt"):
        (tmp_path / name).write_bytes(b"earlier")
    trained = stage()
    trained.trainer.loss_function = LossOf(step)
    refused(trained, *savers_of(trained, tmp_path), match="the loss must be finite, got nan in epoch")
    assert [(tmp_path / name).read_bytes() for name in ("model.pt", "model_final.pt")] == [b"earlier"] * 2
    checkpoints = sorted(file.name for file in (tmp_path / "checkpoints").glob("*.pt"))
    assert checkpoints == (["checkpoint_1.pt"] if step == 7 else [])


def test_any_other_error_leaves_no_final_network_either(stage, tmp_path):
    trained = stage()

    def fail(engine):
        raise InputError("case a: broken.")

    trained.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    refused(trained, *savers_of(trained, tmp_path), match=r"^case a: broken\.$")
    assert not list(tmp_path.rglob("*.pt"))


def test_a_sound_training_is_not_changed_by_it(stage):
    plain, checked = stage(), stage()
    for trained, handlers in ((plain, ()), (checked, (NonFiniteCheck("fine-tuning", checked.network),))):
        trained.dataloader.sampler.generator.manual_seed(0)
        trained.dataloader.dataset.transform.set_random_state(0)
        torch.manual_seed(0)
        trained.run(*handlers)
        assert trained.network.training
    assert all(map(torch.equal, plain.weights(), checked.weights()))


@pytest.mark.filterwarnings("ignore::UserWarning")  # MONAI's amp is that of CUDA
def test_gradients_that_a_scaler_leaves_out_are_no_error(stage):
    """Under float16 the first steps are left out, until the scale fits."""
    trained = stage(epochs=1, amp=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    trained.trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine, "scaler", scaler))
    trained.trainer.loss_function = lambda pred, target: 1000 * pred.mean()
    before = trained.weights()
    trained.run(NonFiniteCheck("fine-tuning", trained.network))
    assert scaler.get_scale() < 1e38
    assert all(map(torch.equal, trained.weights(), before))


@pytest.mark.parametrize(("scale", "ends"), [(8.0, True), (2.0**16, False)])
def test_float16_that_leaves_out_step_after_step_ends_the_run_and_a_few_at_its_beginning_do_not(stage, scale, ends):
    trained, scaler = stage(epochs=1), torch.amp.GradScaler("cpu", init_scale=scale)
    trained.trainer.amp = True
    trained.trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine, "scaler", scaler))
    trained.network[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    before = trained.weights()
    found = "fine-tuning: gradients must be finite, got NaN or infinity in many float16 steps in a row after epoch 1"
    if ends:
        refused(trained, match=exactly(found))
    else:
        trained.run(NonFiniteCheck("fine-tuning", trained.network))
    assert scaler.get_scale() == scale / 2**4
    assert all(map(torch.equal, trained.weights(), before))
