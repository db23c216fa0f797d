from __future__ import annotations

import pytest

from semicl_monai.methods import LocalPseudoMethod, MeanTeacherMethod, Mixup, SelfTrainingMethod, epochs_of


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


def test_other_methods_do_not_warm_up():
    assert Mixup().warm_up == 0


def test_epochs_are_those_of_methods_that_wait_or_of_all_others():
    assert [epochs_of(name, 40, 90) for name in ("self_training", "local_pseudo", "tcsm", "random")] == [90, 90, 40, 40]
