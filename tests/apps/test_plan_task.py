from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.apps.plan_task import choose_dims, describe_plan, plan_task
from semicl_monai.data import Fingerprint
from semicl_monai.planning import slices_memory, topology_from
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError

ISOTROPIC = (1.0, 1.0, 1.0)
BRAIN = (100, 200, 40)


def of(shapes=(BRAIN,), spacings=(ISOTROPIC,), values=(1, 2), foreground=None, in_channels=1):
    """What is measured of some images, whose foreground does not matter unless it is given."""
    foreground = foreground or [np.arange(10.0 * in_channels).reshape(10, in_channels)] * 2
    sizes = np.broadcast_arrays(np.array(shapes), np.array(spacings))
    return Fingerprint(foreground[0].shape[1], *sizes, values, tuple(foreground))


def plan(channels=(), names=None, dims=2, memory=8, **found):
    return plan_task(of(**found), channels, names or {}, dims, memory * 2**30)


def test_what_is_as_in_most_bundles_is_not_written():
    task = plan(shapes=[(64, 60, 40)])
    written = {"class_names", "roi_size", "scaling", "shift_range", "noise_std", "network_def", "stages", "mirror_axes"}
    assert set(task) == written
    assert set(task["stages"]) == {"train"}


def test_images_of_one_spacing_stay_as_they_are():
    assert "spacing" not in plan(spacings=[(0.7, 0.7, 5.0)] * 3)
    assert "spacing" not in plan(spacings=[(1.0, 1.0, 1.0), (1.009, 1.0, 0.991), (1.0, 1.0, 1.0)])


def test_other_images_are_brought_to_the_median_spacing_in_three_digits():
    assert plan(spacings=[(0.5, 0.5, 1.0), (0.71234, 0.8, 1.0), (2.0, 2.0, 10.0)])["spacing"] == [0.712, 0.8, 1.0]
    assert plan(spacings=[ISOTROPIC, ISOTROPIC, (1.011, 1.0, 1.0)])["spacing"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((1.0, 1.0, 1.0), 2),
        ((1.0, 1.0, 5.0), 2),
        ((5.0, 1.0, 1.0), 0),
        ((1.0, 5.0, 1.0), 1),
        ((1.5, 1.0, 1.0), 2),  # not more than 1.5 times
        ((1.51, 1.0, 1.0), 0),
        ((3.0, 1.0, 2.5), 2),  # not of the larger other one
        ((1.0, 5.0, 0.2), 1),
    ],
)
def test_slices_are_taken_across_an_axis_much_coarser_than_the_others(spacing, axis):
    assert plan(spacings=[spacing]).get("slice_axis", 2) == axis


def test_the_axis_is_that_of_the_median_spacing():
    assert plan(spacings=[(5.0, 1.0, 1.0), (5.0, 1.0, 1.0), (1.0, 1.0, 9.0)])["slice_axis"] == 0


@pytest.mark.parametrize(
    ("spacing", "size"), [((1.0, 1.0, 1.0), [112, 224]), ((5.0, 1.0, 1.0), [224, 40]), ((1.0, 5.0, 1.0), [112, 40])]
)
def test_a_slice_is_as_large_as_the_image_beside_its_axis(spacing, size):
    assert plan(spacings=[spacing])["roi_size"] == size


@pytest.mark.parametrize(
    ("voxels", "size"),
    [(2, 32), (32, 32), (33, 40), (48, 48), (49, 56), (60, 64), (240, 256), (241, 256), (512, 512)],
)
def test_a_slice_has_whole_steps_of_its_network_from_32(voxels, size):
    task = plan(shapes=[(voxels, 64, 40)])
    assert task["roi_size"][0] == size
    steps = np.prod(task["network_def"]["strides"], axis=0)
    assert (np.array(task["roi_size"]) % steps == 0).all()
    assert (np.array(task["roi_size"]) // steps).max() < 12  # so deep that no map could be halved again


@pytest.mark.parametrize(
    ("size", "samples", "stride"),
    [
        ([32, 32], 4, 4),  # never below the stride of the paper
        ([64, 64], 4, 4),  # sqrt(32 * 64 * 64 / 8192)
        ([128, 128], 2, 3),  # sqrt(16 * 64 * 64 / 8192): the maps have half the edges of a slice
        ([160, 160], 1, 2),
        ([256, 224], 1, 4),
    ],
)
def test_a_step_has_as_many_pixels_of_large_slices_as_of_small_ones_and_an_epoch_as_many_slices(size, samples, stride):
    task = plan(shapes=[(*size, 40)])
    assert task["roi_size"] == size
    assert task.get("samples_per_volume", 4) == samples
    assert task.get("iterations_per_epoch", 30) * samples == (
        360 if task["network_def"]["strides"][0] == [2, 2] else 120
    )
    of_stage = {"block_size": 4 * stride, "method_def": {"stride": stride}}
    stages = task["stages"]
    network = stages["train"].pop("network_def")
    assert network == {"deep_supervision": "@use_deep_supervision", "deep_supr_num": 2}
    assert stages == ({"train": {}} if stride == 4 else {"pretrain": of_stage, "train": of_stage})
    assert stride == 4 or stages["pretrain"] is not stages["train"]  # each may get entries of its own


@pytest.mark.parametrize(
    ("extents", "size"),
    [
        (None, [224, 256]),
        ([(105.0, 90.0, 80.0)], [160, 128]),  # 140 and 120 pixels
        ([(105.0, 90.0, 80.0), (300.0, 300.0, 80.0), (10.0, 10.0, 10.0)], [160, 128]),  # the median
        ([(400.0, 90.0, 80.0)], [224, 128]),  # never larger than the image
        ([(15.0, 15.0, 80.0)], [32, 32]),
    ],
)
def test_the_network_sees_twice_the_edges_of_the_foreground(extents, size):
    found = of(shapes=[(224, 256, 9)], spacings=[(1.5, 1.5, 10.0)])
    found = replace(found, extents=None if extents is None else np.array(extents))
    assert plan_task(found, (), {}, 2)["roi_size"] == size


def test_a_slice_that_takes_too_much_memory_is_made_smaller_along_its_longer_edge():
    shape, sizes = [[640, 448, 40]], []
    for memory in (1, 2, 4, 8):
        task = plan(shapes=shape, memory=memory)
        sizes.append(task["roi_size"])
        assert slices_memory(sizes[-1], topology_from(task["network_def"]), outputs=3) <= memory * 2**30
    assert sizes == sorted(sizes)
    assert sizes[-1] == shape[0][:2]
    assert abs(sizes[0][0] - sizes[0][1]) <= 32


def test_patches_are_planned_unless_they_had_fewer_than_five_slices():
    four, five = (of(shapes=[(256, 256, slices)], spacings=[(1.0, 1.0, 2.5)]) for slices in (4, 5))
    assert choose_dims(four, 2**33, 2) == (2, "a 3-D patch would have 4 slice(s) of 2.5 mm, less than 5")
    assert choose_dims(five, 2**33, 2) == (3, "a 3-D patch has 5 voxels of 2.5 mm along its shortest axis, at least 5")
    assert [len(plan_task(found, (), {})["roi_size"]) for found in (four, five)] == [2, 3]


@pytest.mark.parametrize(("thickness", "slices", "dims"), [(3.0, 10, 3), (3.1, 10, 2), (3.1, 90, 3)])
def test_few_thick_slices_are_planned_in_2d(thickness, slices, dims):
    chosen, why = choose_dims(of(shapes=[(256, 256, slices)], spacings=[(1.0, 1.0, thickness)]), 2**33, 2)
    assert chosen == dims
    assert dims == 3 or why == "slices of 3.1 mm are thick beside pixels of 1 mm"


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_planned_is_told(dims):
    found = of(shapes=[(128, 128, 12)] * 2, spacings=[(1.0, 1.0, 5.0)] * 2)
    told = describe_plan(plan_task(found, (), {}, dims), found)
    assert told["spacing"] == "1 x 1 x 5 mm, unchanged; largest to smallest edge 5"
    assert re.fullmatch(r"about \d\.\d GiB a training step(, in float32)?", told["memory"])
    if dims == 2:
        assert told["slices"] == "128 x 128 pixels, across axis 2, of a median image of 128 x 128 x 12"
    else:
        assert told["patch"].startswith("128 x 128 x 12 voxels of a median image of 128 x 128 x 12; thick slices")
        assert told["network"].startswith("DynUNet, strides (2, 2, 1), (2, 2, 1), (2, 2, 2), ")


def test_a_slice_is_as_large_as_the_median_image():
    assert plan(shapes=[(40, 90, 10), (60, 50, 10), (200, 70, 10)])["roi_size"] == [64, 80]


def test_the_size_is_that_after_resampling():
    shapes, spacings = [(100, 80, 9), (50, 40, 9), (150, 40, 9)], [(1.0, 0.5, 9.0), (2.0, 1.0, 9.0), (3.0, 1.0, 9.0)]
    task = plan(shapes=shapes, spacings=spacings)
    assert task["spacing"] == [2.0, 1.0, 9.0]
    assert task["roi_size"] == [56, 40]  # 50, 50 and 225 voxels by 40


def test_a_spacing_that_is_rounded_adds_no_step():
    task = plan(shapes=[(160, 96, 9)], spacings=[(0.70312, 0.50005, 1), (0.70312, 0.50005, 1), (1, 1, 1)])
    assert (task["spacing"], task["roi_size"]) == ([0.703, 0.5, 1.0], [160, 96])


def test_a_larger_slice_gets_a_deeper_network_of_at_most_256_channels():
    small, large = (plan(shapes=[(size, size, 9)])["network_def"] for size in (64, 512))
    assert small["filters"] == [16, 32, 64, 128, 256]
    assert large["filters"] == [16, 32, 64, 128, 256, 256, 256]
    parser = ConfigParser({"in_channels": 4, "num_classes": 3, "network_def": small})
    network = parser.get_parsed_content("network_def")
    assert network(torch.zeros(1, 4, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("size", "spacing", "name", "stride"),
    [
        ((128, 160), (1.0, 1.0), "semicl_monai.networks.StridedDynUNet", [2, 2]),
        ((128, 160), (4.0, 1.0), "semicl_monai.networks.StridedDynUNet", [1, 2]),
        ((127, 160), (1.0, 1.0), "DynUNet", [1, 1]),
    ],
)
def test_the_network_for_large_slices_has_no_level_of_their_resolution(size, spacing, name, stride):
    task = plan(shapes=[(*size, 9)], spacings=[(*spacing, 9.0)])
    network = task["network_def"]
    assert (network["_target_"], network["strides"][0]) == (name, stride)
    parser = ConfigParser({"in_channels": 1, "num_classes": 3, "network_def": network})
    built = parser.get_parsed_content("network_def")
    assert built(torch.zeros(1, 1, *task["roi_size"])).shape == (1, 3, *task["roi_size"])


def test_images_are_zoomed_at_random_where_their_fields_of_view_differ():
    alike, different = [(200, 200, 9)] * 8, [(150, 150, 9)] * 2
    assert "zoom_range" not in plan(shapes=[*alike, (100, 100, 9)])  # one of nine
    assert plan(shapes=alike + different)["zoom_range"] == 0.3
    assert "zoom_range" not in plan(shapes=[(200, 200, z) for z in (5, 20, 80)])  # slices alone count


def test_images_are_rotated_by_90_degrees_where_some_are_upright_and_others_lie():
    lying, upright, square = [(200, 160, 9)] * 19, [(160, 200, 9)], [(200, 190, 9)]
    assert plan(shapes=lying + upright)["rotate90_prob"] == 0.5
    assert "rotate90_prob" not in plan(shapes=lying * 2 + upright)  # one of 39
    assert "rotate90_prob" not in plan(shapes=lying + square)
    assert "rotate90_prob" not in plan(shapes=[*lying, (200, 160, 900)])  # slices alone count
    as_long = {"shapes": [(200, 160, 9), (160, 200, 9)], "spacings": [(1.0, 1.25, 9.0), (1.25, 1.0, 9.0)]}
    assert "rotate90_prob" not in plan(**as_long)


@pytest.mark.parametrize(
    ("axis", "once", "turned"), [(2, [0], [0, 1]), (0, [1], [1, 2]), (1, [0], [0, 2])], ids=["axial", "first", "second"]
)
def test_predictions_are_averaged_over_the_mirror_images_that_training_shows(axis, once, turned):
    def across(edges, thickness):
        return tuple(np.insert(np.array(edges, float), axis, thickness).tolist())

    lying, upright, spacing = across((200, 160), 9), across((160, 200), 9), across((1, 1), 9)
    assert plan(shapes=[lying], spacings=[spacing])["mirror_axes"] == once
    assert plan(shapes=[lying, upright], spacings=[spacing] * 2)["mirror_axes"] == turned
    assert "mirror_axes" not in plan(dims=3, shapes=[lying, upright], spacings=[spacing] * 2)


@pytest.mark.parametrize(("pieces", "labels", "kept"), [(True, 3, True), (True, 2, False), (False, 3, False)])
def test_the_largest_component_is_kept_where_three_labels_or_more_are_all_in_one_piece(pieces, labels, kept):
    task = plan_task(replace(of(foreground=sides(*range(labels))), in_one_piece=pieces), (), {}, 2)
    assert task.get("largest_component", False) is kept


def sides(*means, spread=10.0, channels=1):
    """One array a case: 1000 voxels about a mean."""
    rng = np.random.default_rng(1)
    return [rng.normal(mean, spread, (1000, channels)) for mean in means]


@pytest.mark.parametrize("channels", [["CT"], ["ct"], ["CTA"], ["CT", "CT venous"]])
def test_ct_is_windowed_to_the_percentiles_of_all_foreground(channels):
    foreground = sides(-50.0, 300.0, channels=len(channels))
    task = plan(channels, foreground=foreground)
    ordered = sorted(value for case in foreground for value in case.ravel().tolist())
    window = [percentile(ordered, share) for share in (0.005, 0.995)]
    scaling = task["scaling"]
    assert (scaling["_target_"], scaling["keys"]) == ("ScaleIntensityRanged", "image")
    assert [scaling["a_min"], scaling["a_max"]] == pytest.approx(window, abs=0.0051)
    assert (scaling["b_min"], scaling["b_max"], scaling["clip"]) == (0.0, 1.0, True)
    assert "shift_range" not in task
    assert "noise_std" not in task


def percentile(ordered, share):
    """The value at a share of a sorted list, linear between two."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    return ordered[below] + (place - below) * (ordered[min(below + 1, len(ordered) - 1)] - ordered[below])


@pytest.mark.parametrize("channels", [[], ["MRI"], ["CT", "PET"], ["PET/CT"]])
def test_other_images_become_z_scores_with_augmentation_in_their_unit(channels):
    task = plan(channels)
    assert (task["scaling"]["_target_"], task["scaling"]["channel_wise"]) == ("NormalizeIntensityd", True)
    assert (task["shift_range"], task["noise_std"]) == (0.75, 0.25)


def test_calibrated_images_share_mean_and_standard_deviation_of_the_foreground():
    foreground = [case * [1, 3] + [0, 7] for case in sides(100.0, 105.0, channels=2)]
    scaling = plan(foreground=foreground)["scaling"]
    for channel in range(2):
        values = [float(value) for case in foreground for value in case[:, channel]]
        mean = math.fsum(values) / len(values)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        assert scaling["subtrahend"][channel] == pytest.approx(mean, rel=1e-5)
        assert scaling["divisor"][channel] == pytest.approx(deviation, rel=1e-5)


@pytest.mark.parametrize("means", [(100.0, 200.0), (100.0,)])
def test_images_that_are_not_calibrated_are_scaled_each_by_its_own(means):
    scaling = plan(foreground=sides(*means))["scaling"]
    assert set(scaling) == {"_target_", "keys", "channel_wise"}


def test_a_z_score_is_what_monai_makes_of_the_numbers():
    foreground = sides(100.0, 105.0, channels=2)
    scaling = plan(foreground=foreground)["scaling"]
    scale = ConfigParser({"scaling": scaling}).get_parsed_content("scaling")
    image = np.concatenate(foreground).T.reshape(2, 20, 10, 10).astype(np.float32)
    scaled = np.asarray(scale({"image": image})["image"]).reshape(2, -1)
    np.testing.assert_allclose(scaled.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(1), 1, atol=1e-4)


def classes(values, names=None):
    task = plan(values=values, names=names)
    return task["class_names"], task.get("label_values")


def test_values_from_1_on_are_class_numbers():
    assert classes((1, 2), {2: "b", 1: "a"}) == (["a", "b"], None)
    assert classes((1, 2, 3)) == (["class 1", "class 2", "class 3"], None)


def test_other_values_are_listed_in_their_order_with_their_names():
    assert classes((205, 850, 420), {850: "PA", 205: "Myo", 420: "LA"}) == (["Myo", "LA", "PA"], [205, 420, 850])
    assert classes((10, 20)) == (["class 10", "class 20"], [10, 20])


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        ((1, 2, 4), [1, 2, 4]),
        ((3, 7, 100), [7, 100, 3]),
        ((2, 3), [3, 2]),
        ((1, 3), [1, 3]),
        ((2, 4, 6, 8), [6, 2, 8, 4]),
        ((5,), [5]),
    ],
)
def test_a_value_that_could_be_a_class_number_is_the_one_and_what_loads_labels_agrees(values, ordered):
    names, found = classes(values)
    assert found == ordered
    assert names == [f"class {value}" for value in ordered]
    assert LoadCased("label", num_classes=1 + len(names), label_values=found).label_values == tuple(ordered)


def test_a_class_that_no_label_holds_is_a_class():
    assert classes((2,), {1: "a", 2: "b", 3: "c"}) == (["a", "b", "c"], None)


def test_a_value_without_a_name_is_refused():
    with pytest.raises(InputError, match=r"the labels hold the value 4, but 'labels' .* names only \[1, 2\]"):
        plan(values=(1, 4, 5), names={1: "a", 2: "b"})


def test_a_hundred_classes_are_the_most():
    assert len(plan(values=tuple(range(1, 101)))["class_names"]) == 100
    with pytest.raises(InputError, match="there must be at most 100 classes, got 101"):
        plan(values=tuple(range(1, 102)))


def test_a_value_that_no_prediction_can_be_written_in_is_refused():
    assert plan(values=(65535,))["label_values"] == [65535]
    with pytest.raises(InputError, match="the values of labels must be at most 65535, got 65536"):
        plan(values=(1, 65536))


def test_several_channels_are_written():
    assert plan(in_channels=4)["in_channels"] == 4


@pytest.mark.parametrize(
    ("count", "in_channels", "kept"),
    [
        (4, 1, False),  # 4 images of 256 * 256 * 1024 voxels and their labels, in float32: 2 GiB
        (5, 1, True),
        (2, 3, False),
        (2, 4, True),
    ],
)
def test_more_than_2_gib_of_prepared_volumes_are_kept_on_disk(count, in_channels, kept):
    task = plan(shapes=[(256, 256, 1024)] * count, in_channels=in_channels)
    assert ("cache_dir" in task) == kept
    if kept:
        parser = ConfigParser({"bundle_root": "/bundles/heart_pretraining", "cache_dir": task["cache_dir"]})
        assert parser.get_parsed_content("cache_dir") == "/bundles/heart/cache"


def test_prepared_volumes_have_the_size_they_are_resampled_to():
    shapes = [(256, 256, 512)] * 5
    spacings = [(1.0, 1.0, 2.0)] * 2 + [(1.0, 1.0, 1.0)] * 3
    assert "cache_dir" not in plan(shapes=shapes, spacings=spacings)
    assert "cache_dir" in plan(shapes=shapes, spacings=[(1.0, 1.0, 4.0)] * 2 + spacings[2:])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_of_a_single_slice_is_taken_as_that_slice(axis):
    task = plan(shapes=[np.insert([48, 64], axis, 1)])
    assert task.get("slice_axis", 2) == axis
    assert task["roi_size"] == [48, 64]


def test_ct_of_a_foreground_without_contrast_is_refused():
    with pytest.raises(InputError, match=r"CT must have different intensities in the foreground, got 300\.0 in "):
        plan(["CT"], foreground=[np.full((10, 1), 300.0)] * 2)
