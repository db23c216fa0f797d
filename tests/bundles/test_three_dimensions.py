"""What is special to volumes cut into 3-D patches; methods and stages are tested with those of the 2-D bundle."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from semicl_monai.engines import SampledLoss
from semicl_monai.transforms import RandWarpd
from semicl_monai.utils import find_input_error

pytestmark = pytest.mark.parametrize("bundle", ["hippocampus_mri_3d_segmentation"], indirect=True)


@pytest.fixture(autouse=True)
def _leave_no_seed():
    yield
    set_determinism(None)


@pytest.mark.parametrize("sampler", ["stride", "block", "full", "balanced"])
def test_voxels_are_contrasted_with_every_sampler(run_stage, tmp_path, sampler):
    run_stage("pretrain", method="local", pixel_sampler=sampler)
    run_stage("train", method="local_pseudo", pixel_sampler=sampler, validation="none")
    options = json.loads((tmp_path / "eval/train/options.json").read_text())
    assert (options["method"], options["pixel_sampler"]) == ("local_pseudo", sampler)


@pytest.mark.parametrize(("stage", "method"), [("pretrain", "local"), ("train", "local_pseudo")])
def test_blocks_are_cubes_of_eight_voxels(workflow, stage, method):
    built = workflow(stage, method=method, pixel_sampler="block")
    built.initialize()
    assert sampler_of(built).block_size == 8


def test_patches_of_one_partition_attract_each_other(workflow):
    built = workflow("pretrain", method="chaitanya_global", samples_per_volume=4, roi_size=[16, 16, 16])
    built.initialize()
    samples = built.parser.get_parsed_content("train::dataset")[0]
    places = [int(4 * sample["place"][1] // sample["num_places"][1]) for sample in samples]
    assert places == [0, 1, 2, 3]  # along the axis of the slices, which is the long one of the hippocampus


def test_the_patches_of_training_are_centred_at_foreground_and_augmented_without_an_empty_border(workflow):
    built = workflow("train", pretrained="none", foreground_share=1.0)
    built.initialize()
    samples = [sample for record in range(2) for sample in built.parser.get_parsed_content("train::dataset")[record]]
    assert {tuple(sample["image"].shape) for sample in samples} == {(1, 16, 24, 16)}
    assert all((sample["label"] > 0).any() for sample in samples)


def test_masks_of_volumes_smaller_and_larger_than_a_patch_have_the_grid_of_their_image(run_stage, tmp_path, weights):
    folder = tmp_path / "images"
    folder.mkdir()
    affine = np.array([[-1.2, 0, 0, 9], [0, 1, 0.1, -5], [0, -0.1, 2, 30], [0, 0, 0, 1.0]])
    for name, shape in {"small": (9, 30, 11), "large": (50, 40, 37)}.items():
        nib.save(nib.Nifti1Image(np.random.default_rng(0).random(shape, np.float32), affine), folder / f"{name}.nii.gz")
    run_stage("inference", dataset_dir=str(folder), weights=str(weights), mirror_axes=[0, 2])
    for name in ("small", "large"):
        image, mask = (
            nib.load(path / f"{name}{end}.nii.gz")
            for path, end in ((folder, ""), (tmp_path / "eval/predictions", "_seg"))
        )
        assert mask.shape == image.shape
        assert np.allclose(mask.affine, image.affine, atol=1e-5)


@pytest.mark.parametrize(("options", "wanted"), [({}, "self_training"), ({"labelled_fraction": 1.0}, "random")])
def test_the_recipe_learns_from_the_unlabelled_volumes_unless_there_are_none(run_stage, tmp_path, options, wanted):
    run_stage("pretrain")
    run_stage("train", validation="none", **options)
    assert json.loads((tmp_path / "eval/train/options.json").read_text())["fine_tuning"] == wanted


def test_the_corners_of_a_volume_larger_than_a_patch_are_trained_on(workflow, dataset_dir, tmp_path):
    folder = shutil.copytree(dataset_dir, tmp_path / "corners")
    corner = np.zeros((60, 70, 60), np.uint8)
    corner[:2, -2:, :2] = 1
    for number, case in enumerate((folder / "labelsTr").glob("*.nii.gz")):
        image = corner.copy()
        image[30, 30, 10 + number] = 1  # one image in two parts is refused
        for part, voxels in (("labelsTr", corner), ("imagesTr", image)):
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / part / case.name)
    built = workflow("train", pretrained="none", foreground_share=1.0, dataset_dir=str(folder))
    built.initialize()
    dataset = built.parser.get_parsed_content("train::dataset")
    seen = sum(bool((sample["label"] > 0).any()) for _ in range(20) for sample in dataset[0])
    assert seen > 10  # of 40: they are at the corner of their patch, of which a rotation shows half


def test_validation_slides_over_volumes_without_the_border_of_training(workflow):
    roi_size = [32, 40, 24]  # no volume is larger
    built = workflow("train", pretrained="none", roi_size=roi_size)
    built.initialize()
    parser, seen = built.parser, []
    infer, dataset = (parser.get_parsed_content(f"validate::{name}") for name in ("inferer", "dataset"))
    for record, sample in zip(dataset.data, dataset, strict=True):
        image = sample["image"][None]
        assert sample["image"].shape == sample["label"].shape == (1, *nib.load(record["image"]).shape)
        assert infer(image, lambda x: seen.append(x) or torch.cat([x, x, x], dim=1)).shape[2:] == image.shape[2:]
    assert [window.shape for window in seen] == [(1, 1, *roi_size)] * len(dataset)
    assert {sample["image"].shape for sample in parser.get_parsed_content("train::dataset")[0]} == {(1, *roi_size)}


def test_the_windows_of_fast_inference_overlap_around_foreground_only(workflow):
    image = torch.zeros(1, 1, 80, 96, 64)
    image[..., 30:40, 40:50, 20:30] = 1
    for stage in ("inference", "evaluate"):
        masks, seen = [], {True: 0, False: 0}
        for fast in seen:

            def network(x, fast=fast, seen=seen):
                seen[fast] += len(x)
                return torch.cat([0.5 - x, x - 0.5, -x - 9], dim=1) * 9

            built = workflow(stage, fast_inference=fast)
            masks.append(built.parser.get_parsed_content("inferer")(image, network).argmax(1))
        assert torch.equal(masks[0], image[0] > 0.5)
        assert torch.equal(masks[0], masks[1])
        # half a window is a step of 8, 12 and 8 voxels: 9 x 7 x 7 windows, of which 5 x 4 x 4 cover the image
        assert seen[False] == 9 * 7 * 7
        assert 5 * 4 * 4 < seen[True] < 0.4 * seen[False]


def test_deformation_can_be_left_out_of_labelled_and_unlabelled_patches(workflow):
    built = workflow("train", method="self_training", pretrained="none", elastic_prob=0, elastic_range=0.1)
    built.initialize()
    warp = built.parser.get_parsed_content("method_def").strong_transforms()[0]
    (deform,) = (
        transform
        for transform in built.parser.get_parsed_content("train::preprocessing").flatten().transforms
        if isinstance(transform, RandWarpd)
    )
    assert (warp.deform_prob, warp.deform) == (deform.warp.deform_prob, deform.warp.deform) == (0, 0.1)


def test_a_run_is_not_resumed_with_another_deformation_or_depth_of_supervision(run_stage):
    run_stage("train", pretrained="none", validation="none")
    for option, before, now in (("elastic_prob", "0.3", 0), ("deep_supervision", "True", False)):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            run_stage("train", pretrained="none", validation="none", resume=True, **{option: now})
        assert f"the run was started with {option} {before}, not {now}" in str(find_input_error(caught.value))


@pytest.mark.parametrize("deep", [True, False, "true", "false"])
def test_deep_supervision_trains_heads_that_inference_does_not_have_and_can_be_left_out(run_stage, tmp_path, deep):
    run_stage("pretrain", method="global_local")
    for method in ("global_local", "self_training", "local_pseudo", "mixup"):
        built = run_stage("train", method=method, validation="none", deep_supervision=deep)
        network = built.parser.get_parsed_content("final_network")
        heads = {key for key in network.state_dict() if "deep_supervision_heads" in key or "super_head" in key}
        saved = torch.load(tmp_path / "models/model.pt", weights_only=True)
        assert bool(heads) == (str(deep).lower() == "true")
        assert saved.keys() == network.state_dict().keys() - heads
    run_stage("evaluate", num_overlays=0)


def test_the_default_is_deep_supervision(config):
    assert ConfigParser.load_config_file(config("train"))["deep_supervision"] is True


def test_training_goes_on_from_weights_without_the_heads_of_deep_supervision(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none")
    first = tmp_path / "models/model.pt"
    run_stage("train", pretrained=str(first), validation="none", output_dir=str(tmp_path / "on"))
    assert torch.load(tmp_path / "on/models/model.pt", weights_only=True).keys() == torch.load(first).keys()


@pytest.mark.parametrize("method", ["global_local", "self_training", "local_pseudo", "tcsm"])
def test_it_trains_in_bfloat16(run_stage, tmp_path, method):
    # PyTorch 2.13 reads memory that nothing was written to where a map is less than three voxels long: Bfloat16Inferer
    options = {"bfloat16": True, "roi_size": [24, 24, 16]}
    run_stage("pretrain", method=method, **options)
    run_stage("train", method=method, validation="best", val_interval=1, **options)
    state = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in state.values())
    run_stage("evaluate", num_overlays=0, **options)


def test_mirroring_changes_no_grid_and_little_else(run_stage, tmp_path):
    run_stage("train", pretrained="none", validation="none")
    for axes in ([], [0]):
        run_stage("evaluate", mirror_axes=axes, num_overlays=0, log_dir=str(tmp_path / f"mirrored_{len(axes)}"))
    tables = [(tmp_path / f"mirrored_{count}" / "cases.csv").read_text() for count in (0, 1)]
    assert tables[0] != tables[1]


def test_an_axis_that_is_none_is_refused(run_stage, weights):
    with pytest.raises(RuntimeError) as caught:
        run_stage("evaluate", weights=str(weights), mirror_axes=[3])
    assert "mirror_axes must be axes 0, 1 or 2, each at most once, got [3]" in str(find_input_error(caught.value))


def sampler_of(built):
    """The sampler of the pixels that a run contrasts."""
    return next(m.sampler for m in built.parser.get_parsed_content("loss").modules() if isinstance(m, SampledLoss))
