from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from semicl_monai.handlers import SnapshotKeeper, TeacherEMA
from semicl_monai.methods import (
    CrossTeachingMethod,
    LocalPseudoMethod,
    MeanTeacherMethod,
    Mixup,
    SelfTrainingMethod,
    epochs_of,
)
from semicl_monai.networks import Snapshots
from semicl_monai.transforms import RandPatchesd, RandSlicesd
from semicl_monai.utils import InputError


@pytest.mark.parametrize(
    ("method", "options", "warm_up", "ramp_up"),
    [
        (MeanTeacherMethod, {}, 0, 40),
        (MeanTeacherMethod, {"warm_up_epochs": 10}, 10, 30),
        (SelfTrainingMethod, {}, 10, 7),
        (LocalPseudoMethod, {"warm_up_divisor": 3}, 13, 6),
        (SelfTrainingMethod, {"warm_up_epochs": 40}, 40, 1),
        (SelfTrainingMethod, {"ramp_up_epochs": 2}, 10, 2),
    ],
)
def test_a_method_that_waits_for_its_teacher_warms_up_and_then_ramps_up_in_a_quarter(method, options, warm_up, ramp_up):
    built = method(epochs=40, **options)
    assert (built.warm_up, built.ramp_up) == (warm_up, ramp_up)


def test_regions_have_no_classes_to_align():
    method = SelfTrainingMethod(align_classes=True, regions=[[1, 2], [2]])
    message = r"^align_classes must be false for regions, which have no shares of the foreground, got true\.$"
    with pytest.raises(InputError, match=message):
        method.align()


@pytest.mark.parametrize(
    "draw", [RandSlicesd(["image", "label"], axis=0, num_samples=40), RandPatchesd(["image", "label"], (1, 4, 4), 40)]
)
def test_a_teacher_labels_all_parts_of_an_image_that_is_annotated_in_part(draw):
    label = torch.full((1, 6, 4, 4), -1)
    label[:, 2] = 1
    first, *_ = SelfTrainingMethod(epochs=4).unlabelled_transforms(draw, [], [], [])
    places = {int(torch.as_tensor(sample["place"]).flatten()[0]) for sample in first({"image": label, "label": label})}
    assert places == set(range(6))
    assert draw.label_key == "label"  # what labelled images are drawn with


@pytest.mark.parametrize("method", [SelfTrainingMethod, CrossTeachingMethod])
def test_snapshots_are_kept_at_the_ends_of_cycles(method):
    method = method(epochs=12, warm_up_epochs=3, snapshots=2)
    model = method.model(torch.nn.Conv2d(1, 2, 1))
    handlers = method.handlers(model, method.loss(torch.nn.MSELoss()), iterations_per_epoch=1)
    trainer = Engine(lambda engine, batch: None)
    for handler in handlers:
        if isinstance(handler, SnapshotKeeper):
            handler.attach(trainer)
    kept = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: kept.append(sum(int(m.kept) for m in _snapshots(model))))
    trainer.run([None], max_epochs=12)
    students = len(_snapshots(model))
    assert kept == [0] * 5 + [students] * 3 + [2 * students] * 4
    factor = method.lr_lambda(12)
    assert [epoch for epoch in range(12) if factor(epoch) == 1] == [0, 3, 6, 9]


def _snapshots(model):
    return [module for module in model.modules() if isinstance(module, Snapshots)]


def test_other_methods_do_not_warm_up():
    assert Mixup().warm_up == 0


def test_epochs_are_those_of_methods_that_wait_or_of_all_others():
    assert [epochs_of(name, 40, 90) for name in ("self_training", "local_pseudo", "tcsm", "random")] == [90, 90, 40, 40]


@pytest.mark.parametrize(("warm_up_epochs", "share"), [(1, 1.0), (0, 0.5)])
def test_both_teachers_of_two_students_follow_them(warm_up_epochs, share):
    method = CrossTeachingMethod(epochs=2, warm_up_epochs=warm_up_epochs, teacher_decay=0.9)
    model = method.model(torch.nn.Conv2d(1, 2, 1))
    trainer = Engine(lambda engine, batch: None)
    for handler in method.handlers(model, method.loss(torch.nn.MSELoss()), iterations_per_epoch=1):
        if isinstance(handler, TeacherEMA):
            handler.attach(trainer)
    pairs = [(model.student, model.teacher), (model.other.student, model.other.teacher)]
    before = [teacher.weight.clone() for _, teacher in pairs]
    for student, _ in pairs:
        torch.nn.init.ones_(student.weight)
    trainer.run([None])  # one step: the teacher is half of its student, or the student itself in the warm-up
    for (_, teacher), start in zip(pairs, before, strict=True):
        torch.testing.assert_close(teacher.weight, share + (1 - share) * start)
