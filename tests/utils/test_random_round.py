import numpy as np
import pytest

from semicl_monai.utils import random_round


@pytest.mark.parametrize("number", [0, 1.0, 3])
def test_a_whole_number_is_kept_and_takes_no_draw(number):
    random_state = np.random.RandomState(0)
    assert random_round(number, random_state) == number
    assert random_state.random_sample() == np.random.RandomState(0).random_sample()


@pytest.mark.parametrize(("number", "below"), [(0.5, 0), (0.25, 0), (2.9, 2)])
def test_the_mean_of_many_calls_is_the_number(number, below):
    random_state = np.random.RandomState(0)
    drawn = [random_round(number, random_state) for _ in range(10_000)]
    assert set(drawn) == {below, below + 1}
    # a standard deviation of at most 0.005
    assert np.mean(drawn) == pytest.approx(number, abs=0.02)
