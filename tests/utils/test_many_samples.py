from __future__ import annotations

import pytest
from monai.transforms import Compose, Lambda, OneOf, RandomOrder, SomeOf

from semicl_monai.data.samples_compose import SamplesCompose
from semicl_monai.utils import transform_samples


class Many:
    """Adds the number of samples that it gets at once."""

    def __call__(self, sample: int) -> int:
        return self.call_many([sample])[0]

    def call_many(self, samples: list[int]) -> list[int]:
        return [sample + len(samples) for sample in samples]


def double(sample: int) -> int:
    return 2 * sample


def test_transforms_are_applied_to_every_sample_in_order():
    draw = Lambda(lambda volume: [volume, volume + 1])
    assert transform_samples([double, draw, double], 3) == [12, 14]
    assert transform_samples([double, double], 3) == Compose([double, double])(3) == 12


def test_a_transform_that_takes_many_samples_gets_them_at_once():
    assert transform_samples([Many()], [10, 20, 30]) == [13, 23, 33]
    assert transform_samples([Many()], 10) == 11
    assert transform_samples([Compose([double, Many()])], [10, 20]) == [22, 42]


@pytest.mark.parametrize("kind", [OneOf, RandomOrder, lambda parts: SomeOf(parts, num_transforms=1, replace=False)])
def test_a_compose_that_chooses_among_its_transforms_still_does(kind):
    choice = kind([lambda sample: 2 * sample, lambda sample: sample + 1])
    wanted = kind([lambda sample: 2 * sample, lambda sample: sample + 1])
    choice.set_random_state(0)
    wanted.set_random_state(0)
    samples = list(range(10, 30))
    assert transform_samples([choice], samples) == [wanted(sample) for sample in samples]


def test_other_settings_of_a_compose_are_kept():
    assert transform_samples([Compose(max, unpack_items=True, map_items=False)], (3, 5)) == 5
    draw = Lambda(lambda volume: [volume, volume + 1])
    assert SamplesCompose([draw, len], map_items=False)(7) == 2
    assert SamplesCompose([draw, double])(7) == [14, 16]


def test_an_error_names_the_transform_as_by_compose():
    with pytest.raises(RuntimeError, match=r"applying transform .*double") as raised:
        transform_samples([double], [None])
    assert isinstance(raised.value.__cause__, TypeError)
