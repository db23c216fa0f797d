from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from torch import nn

from semicl_monai.handlers import TeacherEMA
from semicl_monai.networks import MeanTeacher
from semicl_monai.utils import InputError


class Walk(nn.Module):
    """A weight that wanders and a buffer that counts its steps."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.register_buffer("steps", torch.tensor(0))


def train(epochs, first=1, checkpoint=None, warm_up=0):
    """Let a student walk, ten steps an epoch; return the model and both weights after each step."""
    model = MeanTeacher(Walk())
    walked = []

    def step(engine, batch):
        with torch.no_grad():
            model.student.weight += torch.tensor(float(engine.state.iteration * 7 % 11) - 4)
            model.student.steps += 1

    engine = Engine(step)
    TeacherEMA(model, warm_up_steps=warm_up).attach(engine)
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: walked.append((model.student.weight.item(), model.teacher.weight.item()))
    )
    if checkpoint:
        model.load_state_dict(checkpoint)
        engine.load_state_dict({"epoch": first - 1, "max_epochs": epochs, "epoch_length": 10})
        engine.run(range(10))
    else:
        engine.run(range(10), max_epochs=epochs)
    return model, walked


def test_the_teacher_is_the_moving_average_of_the_paper_before_and_after_its_ramp():
    _, walked = train(epochs=15)
    teacher, alphas = 0.0, []
    for t, (student, found) in enumerate(walked, start=1):
        alphas.append(min(1 - 1 / (t + 1), 0.99))
        teacher = alphas[-1] * teacher + (1 - alphas[-1]) * student
        assert found == pytest.approx(teacher, rel=1e-9, abs=1e-12)
    assert alphas[0] == 0.5
    assert alphas[-1] == 0.99 > alphas[90]


def test_the_teacher_is_a_copy_until_the_end_of_the_warm_up_and_moves_slowly_from_then_on():
    _, walked = train(epochs=3, warm_up=12)
    assert all(teacher == student for student, teacher in walked[:12])
    teacher = walked[11][1]
    for student, found in walked[12:]:
        teacher = 0.99 * teacher + 0.01 * student
        assert found == pytest.approx(teacher, rel=1e-9, abs=1e-12)


def test_a_resumed_teacher_moves_on_as_if_never_stopped():
    _, whole = train(epochs=4)
    model, first = train(epochs=2)
    checkpoint = {key: value.clone() for key, value in model.state_dict().items()}
    _, second = train(epochs=4, first=3, checkpoint=checkpoint)
    assert first + second == whole


def test_buffers_are_copied_and_not_shared():
    model, _ = train(epochs=1)
    assert model.teacher.steps == model.student.steps == 10
    model.student.steps += 1
    assert model.teacher.steps == 10
    assert model.teacher.steps.data_ptr() != model.student.steps.data_ptr()


def test_batch_statistics_of_the_teacher_are_those_of_the_student_after_each_step():
    torch.manual_seed(0)
    model = MeanTeacher(nn.BatchNorm1d(3))
    engine = Engine(lambda engine, batch: model.student(batch))
    TeacherEMA(model).attach(engine)
    state = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda: state.extend(zip(*([b.clone() for b in net.buffers()] for net in (model.student, model.teacher)))),  # noqa: B905
    )
    engine.run(torch.randn(4, 5, 3))
    assert len(state) == 12
    assert all(torch.equal(student, teacher) for student, teacher in state)
    with torch.no_grad():
        model.student(torch.randn(5, 3))
    assert not torch.equal(model.student.running_mean, model.teacher.running_mean)


def test_the_student_is_left_alone_and_the_teacher_needs_no_gradient():
    model, walked = train(epochs=1)
    assert [student for student, _ in walked] == [
        float(sum(t * 7 % 11 - 4 for t in range(1, last + 1))) for last in range(1, 11)
    ]
    assert model.student.weight.requires_grad
    assert not model.teacher.weight.requires_grad


@pytest.mark.parametrize("decay", [0, 1, -0.5, 1.5, float("nan")])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(InputError, match=f"teacher_decay must be above 0 and below 1, got {decay}"):
        TeacherEMA(MeanTeacher(Walk()), decay=decay)


def test_it_builds_from_a_config():
    model = MeanTeacher(Walk())
    config = {"handler": {"_target_": "semicl_monai.handlers.TeacherEMA", "model": model, "decay": 0.9}}
    handler, engine = ConfigParser(config).get_parsed_content("handler"), Engine(lambda engine, batch: None)
    assert handler.ema_model is model.teacher
    handler.attach(engine)
    engine.run(range(20))
    assert engine.state.ema_momentum == pytest.approx(0.1)
