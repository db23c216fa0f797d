from __future__ import annotations

import numpy as np
import pytest

from semicl_monai.data import Fingerprint
from semicl_monai.planning import spacing_to_resample, target_spacing, thick_axis


def of(shapes, spacings):
    return Fingerprint(1, np.array(shapes), np.array(spacings, float), (1,), (np.arange(4.0)[:, None],))


def test_the_spacing_is_the_median():
    found = of([(100, 100, 40)] * 3, [(0.5, 0.6, 1.0), (0.7, 0.8, 1.5), (2.0, 2.0, 9.0)])
    assert target_spacing(found).tolist() == [0.7, 0.8, 1.5]


def test_thick_and_few_slices_get_the_tenth_percentile():
    thickness = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0]
    found = of([(250, 220, 10)] * 11, [(1.5, 1.5, value) for value in thickness])
    assert target_spacing(found).tolist() == [1.5, 1.5, 6.0]  # one tenth of the way from the 1st to the 11th
    found = of([(10, 250, 220)] * 11, [(value, 1.5, 1.5) for value in thickness])
    assert target_spacing(found).tolist() == [6.0, 1.5, 1.5]


@pytest.mark.parametrize(
    ("shape", "thickness"), [((250, 220, 80), 10.0), ((250, 220, 10), 4.5)], ids=["many slices", "not so thick"]
)
def test_slices_that_are_not_thick_and_few_get_the_median(shape, thickness):
    found = of([shape] * 3, [(1.5, 1.5, 2.0), (1.5, 1.5, thickness), (1.5, 1.5, thickness)])
    assert target_spacing(found)[2] == thickness


def test_the_tenth_percentile_is_not_below_the_other_axes():
    found = of([(250, 220, 10)] * 3, [(1.5, 1.5, 0.5), (1.5, 1.5, 10.0), (1.5, 1.5, 10.0)])
    assert target_spacing(found) == pytest.approx([1.5, 1.5, 2.4])
    found = of([(250, 220, 10)] * 5, [(1.5, 1.5, 0.5)] * 2 + [(1.5, 1.5, 10.0)] * 3)
    assert target_spacing(found).tolist() == [1.5, 1.5, 1.5]


def test_images_that_have_the_spacing_are_not_resampled():
    found = of([(10, 10, 10)] * 2, [(1.0, 1.0, 1.0), (1.009, 1.0, 0.991)])
    assert spacing_to_resample(found, np.ones(3)) is None
    assert spacing_to_resample(found, np.array([1.0, 1.0, 1.23456])) == [1.0, 1.0, 1.23]


@pytest.mark.parametrize(
    ("patch", "spacing", "axis"),
    [
        ((128, 128, 10), (1.5, 1.5, 10.0), 2),
        ((10, 128, 128), (10.0, 1.5, 1.5), 0),
        ((28, 30, 10), (1.5, 1.5, 10.0), None),  # not three times as many voxels along another axis
        ((128, 128, 10), (1.5, 1.5, 4.5), None),  # not more than three times the spacing
        ((40, 56, 40), (1.0, 1.0, 1.0), None),
    ],
)
def test_slices_are_thick_by_their_spacing_and_their_number(patch, spacing, axis):
    assert thick_axis(patch, spacing) == axis
