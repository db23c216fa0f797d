from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from semicl_monai.data import MMWHS_CLASSES, MMWHS_VALUES, mmwhs_sections
from semicl_monai.synthetic import make_synthetic_whole_heart, whole_heart
from semicl_monai.utils import InputError

VALUES = dict(zip(MMWHS_CLASSES, MMWHS_VALUES, strict=True))
SMALL = {"num_train": 1, "num_test": 1, "spatial_size": (20, 20, 16)}
MODALITIES = ("ct", "mr")


def digest(root):
    files = sorted(path for path in Path(root).rglob("*.nii.gz"))
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read(record):
    """Return image, label and affine of a case, after a look at what both files must have in common."""
    image, mask = (nib.load(record[key]) for key in ("image", "label"))
    assert image.shape == mask.shape
    assert (image.affine == mask.affine).all()
    return np.asarray(image.dataobj), np.asarray(mask.dataobj), image.affine


def spacing(affine):
    return np.linalg.norm(affine[:3, :3], axis=0)


def touch(first, second):
    return (binary_dilation(first) & second).any()


def counts_below(image, edges):
    return np.searchsorted(np.sort(image, axis=None), edges, side="right")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "deep" / "heart"
    for modality in MODALITIES:
        assert make_synthetic_whole_heart(root, modality, num_train=4, num_test=1) == root
    return root


@pytest.fixture(scope="module")
def volumes(root):
    return {m: [read(record) for record in mmwhs_sections(root, m)["training"]] for m in MODALITIES}


@pytest.fixture(scope="module", params=MODALITIES)
def cases(request, volumes):
    """The labelled cases of one modality, the stray values mended."""
    return [(image, np.where(mask == 421, 420, mask), affine) for image, mask, affine in volumes[request.param]]


def test_both_modalities_lie_beside_each_other_as_the_challenge_has_them(root):
    assert sorted(os.listdir(root)) == sorted(
        f"{m}_{part}" for m in MODALITIES for part in ("train", "test", "synthetic.json")
    )
    for modality in MODALITIES:
        files = sorted(os.listdir(root / f"{modality}_train"))
        assert files[:2] == [f"{modality}_train_1001_image.nii.gz", f"{modality}_train_1001_label.nii.gz"]
        assert os.listdir(root / f"{modality}_test") == [f"{modality}_test_2001_image.nii.gz"]
        sections = mmwhs_sections(root, modality)
        assert [len(sections[part]) for part in ("training", "unlabelled")] == [4, 1]
        assert all("label" in record for record in sections["training"])


def test_a_file_beside_it_says_that_it_is_synthetic_and_how_it_was_made(root):
    content = json.loads((root / "mr_synthetic.json").read_text())
    assert "SYNTHETIC" in content["name"]
    assert "not of any person" in content["description"]
    assert content["labels"]["500"] == "Left ventricle"
    assert content["synthetic"]["spatial_size"] == [64, 64, 48]


def test_images_and_labels_are_int16_of_the_wanted_size_and_every_structure_is_there(cases):
    for image, mask, _ in cases:
        assert (image.dtype, mask.dtype) == (np.int16, np.int16)
        assert image.shape == (64, 64, 48)
        assert set(np.unique(mask)) == {0, *MMWHS_VALUES}


def test_the_heart_is_ten_to_fifteen_per_cent_of_the_volume(cases):
    assert all(0.09 < (mask > 0).mean() < 0.16 for _, mask, _ in cases)


def test_the_left_ventricle_lies_inside_its_myocardium_with_a_way_out_to_atrium_and_aorta(cases):
    for _, mask, _ in cases:
        cavity = mask == VALUES["Left ventricle"]
        shell = mask[binary_dilation(cavity) & ~cavity]
        assert (shell == VALUES["Myocardium"]).mean() > 0.8
        assert {VALUES["Left atrium"], VALUES["Ascending aorta"]} <= set(shell)
        assert VALUES["Right ventricle"] not in shell


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Right ventricle", "Myocardium"),
        ("Right ventricle", "Right atrium"),
        ("Right ventricle", "Pulmonary artery"),
        ("Left atrium", "Right atrium"),
        ("Left atrium", "Myocardium"),
    ],
)
def test_neighbours_touch(cases, first, second):
    assert all(touch(mask == VALUES[first], mask == VALUES[second]) for _, mask, _ in cases)


@pytest.mark.parametrize("name", MMWHS_CLASSES)
def test_each_structure_is_in_one_piece(cases, name):
    for _, mask, _ in cases:
        sizes = np.bincount(label(mask == VALUES[name], np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() > 0.98 * sizes.sum()


def test_the_right_ventricle_is_a_crescent(cases):
    for _, mask, affine in cases:
        right, wall = (
            np.argwhere(mask == VALUES[name]) @ affine[:3, :3].T for name in ("Right ventricle", "Myocardium")
        )
        towards = right.mean(axis=0) - wall.mean(axis=0)
        along, across = (np.linalg.svd(right - right.mean(axis=0), full_matrices=False)[2][i] for i in (0, 2))
        assert abs(across @ towards) > abs(along @ towards)  # thin from the wall outwards, long beside it


def test_structures_lie_where_a_body_has_them(cases):
    for _, mask, affine in cases:
        middle = {n: (affine[:3, :3] @ np.argwhere(mask == v).mean(axis=0)) for n, v in VALUES.items()}  # R, A, S
        assert middle["Right atrium"][0] > middle["Left atrium"][0]
        assert middle["Right ventricle"][1] > middle["Left ventricle"][1] > middle["Left atrium"][1]
        for artery in ("Ascending aorta", "Pulmonary artery"):
            assert middle[artery][2] > max(middle["Left ventricle"][2], middle["Right ventricle"][2])


def test_slices_are_farther_apart_than_voxels_and_the_field_of_view_is_that_of_a_chest(cases):
    for _, mask, affine in cases:
        right, front, between = spacing(affine)
        assert right == pytest.approx(front)
        assert 1.5 <= between / right <= 3
        assert 200 <= right * mask.shape[0] <= 240


def test_no_axis_is_parallel_to_the_bodys_but_none_is_far_from_it(cases):
    for _, _, affine in cases:
        largest = np.abs(affine[:3, :3] / spacing(affine)).max(axis=0)
        assert (largest < 0.9999).all()
        assert (largest > 0.96).all()


def test_no_two_cases_are_alike_not_even_one_to_train_and_one_to_test_with(root):
    voxels = [nib.load(file).header.get_zooms() for file in root.rglob("*_image.nii.gz")]
    assert len(set(voxels)) == len(voxels) == 10


def test_ct_is_axial_and_mr_is_not_and_the_orientation_differs_from_case_to_case(volumes):
    codes = {m: ["".join(nib.aff2axcodes(affine)) for _, _, affine in volumes[m]] for m in MODALITIES}
    assert all(code[2] in "SI" for code in codes["ct"])
    assert all(code[2] not in "SI" for code in codes["mr"])
    assert all(len(set(found)) == len(found) for found in codes.values())


def test_ct_is_in_hounsfield_units(volumes):
    for image, mask, _ in volumes["ct"]:
        blood = [np.median(image[mask == VALUES[n]]) for n in MMWHS_CLASSES if n != "Myocardium"]
        assert 235 < min(blood) < max(blood) < 515
        assert 60 < np.median(image[mask == VALUES["Myocardium"]]) < 150
        assert -1024 <= image.min() < -850
        assert ((image > -900) & (image < -650)).mean() > 0.1  # lung
        assert image[mask == 0].max() > 600  # bone


def test_mr_is_in_units_that_differ_by_a_factor_and_has_a_bias_field(volumes):
    levels = [np.median(image[mask == VALUES["Left ventricle"]]) for image, mask, _ in volumes["mr"]]
    assert all(image.min() >= 0 for image, _, _ in volumes["mr"])
    assert max(levels) > 2 * min(levels)
    for image, mask, _ in volumes["mr"]:
        blood, wall = (np.median(image[mask == VALUES[name]]) for name in ("Left ventricle", "Myocardium"))
        assert 0.3 < wall / blood < 0.8


def test_no_range_of_intensities_finds_a_structure(cases):
    best = {name: [] for name in MMWHS_CLASSES}
    for image, mask, _ in cases:
        edges = np.linspace(image.min() - 1, image.max(), 400)
        below = counts_below(image, edges)
        for name, value in VALUES.items():
            inside = counts_below(image[mask == value], edges)
            shared, found = (total - total[:, None] for total in (inside, below))  # by lowest and highest intensity
            best[name].append((2 * shared / (inside[-1] + found.clip(min=0))).max())
    assert all(np.max(dice) < 0.5 for dice in best.values()), best


def test_exactly_one_case_has_a_few_voxels_of_421_at_the_edge_of_the_left_atrium(volumes):
    for found in volumes.values():
        counts = [(mask == 421).sum() for _, mask, _ in found]
        assert 0 < counts[0] <= 20
        assert counts[1:] == [0, 0, 0]
        mask = found[0][1]
        assert touch(mask == 421, mask == 420)
        assert touch(mask == 421, (mask != 420) & (mask != 421))


def test_the_stray_value_may_be_left_out_and_is_all_that_changes(tmp_path):
    with_it, without = (
        make_synthetic_whole_heart(tmp_path / str(stray), stray=stray, **SMALL) for stray in ("true", "false")
    )
    first, second = (read(mmwhs_sections(folder, "ct")["training"][0]) for folder in (with_it, without))
    assert (first[0] == second[0]).all()
    assert (np.where(first[1] == 421, 420, first[1]) == second[1]).all()
    assert 421 not in second[1]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path, modality):
    first, second, third = (
        digest(make_synthetic_whole_heart(tmp_path / str(number), modality, seed=seed, **SMALL))
        for number, seed in enumerate((5, 5, 6))
    )
    assert first == second
    assert not set(first.values()) & set(third.values())


def test_a_larger_data_set_begins_with_the_cases_of_the_smaller(tmp_path):
    small = digest(make_synthetic_whole_heart(tmp_path / "small", **SMALL))
    large = digest(make_synthetic_whole_heart(tmp_path / "large", **SMALL | {"num_train": 3, "num_test": 2}))
    assert len(small) == 3
    assert small.items() <= large.items()


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_number_of_slices_worked_on_at_once_changes_nothing(tmp_path, monkeypatch, modality):
    whole = read(
        mmwhs_sections(make_synthetic_whole_heart(tmp_path / "whole", modality, **SMALL), modality)["training"][0]
    )
    monkeypatch.setattr("semicl_monai.synthetic.heart_case.VOXELS_AT_ONCE", 1200)
    parts = read(
        mmwhs_sections(make_synthetic_whole_heart(tmp_path / "parts", modality, **SMALL), modality)["training"][0]
    )
    assert np.abs(whole[0] - parts[0]).max() <= 1  # rounding
    assert (whole[1] == parts[1]).all()


def test_a_complete_modality_of_the_same_settings_is_used_again(root, monkeypatch):
    monkeypatch.setattr(whole_heart, "_write", lambda *_: pytest.fail("written again"))
    assert make_synthetic_whole_heart(str(root), "MR", num_train=4, num_test=1) == root


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(whole_heart, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_synthetic_whole_heart(tmp_path, **SMALL)
    assert os.listdir(tmp_path) == []


def test_what_another_process_has_made_meanwhile_is_used(tmp_path, monkeypatch):
    write = whole_heart._write

    def write_later(draft, settings):
        monkeypatch.setattr(whole_heart, "_write", write)
        make_synthetic_whole_heart(tmp_path, **SMALL)
        write(draft, settings)

    monkeypatch.setattr(whole_heart, "_write", write_later)
    make_synthetic_whole_heart(tmp_path, **SMALL)
    assert len(digest(tmp_path)) == 3
    assert sorted(os.listdir(tmp_path)) == ["ct_synthetic.json", "ct_test", "ct_train"]


def test_other_settings_or_a_missing_file_are_refused_and_the_other_modality_is_not_touched(tmp_path):
    for modality in MODALITIES:
        make_synthetic_whole_heart(tmp_path, modality, **SMALL)
    before = digest(tmp_path)
    with pytest.raises(InputError, match="must be new, empty or hold only synthetic volumes, those of ct made with"):
        make_synthetic_whole_heart(tmp_path, "ct", seed=1, **SMALL)
    assert digest(tmp_path) == before
    (tmp_path / "ct_train" / "ct_train_1001_label.nii.gz").unlink()
    with pytest.raises(InputError, match="must be new, empty"):
        make_synthetic_whole_heart(tmp_path, "ct", **SMALL)
    make_synthetic_whole_heart(tmp_path, "mr", **SMALL)


@pytest.mark.parametrize("name", ["ct_train", "CT_TRAIN", "mr_train", "ct_synthetic.json", "notes.txt"])
def test_somebody_elses_data_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"must be new, empty or .* got {name}"):
        make_synthetic_whole_heart(tmp_path, **SMALL)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("place", ["file", "file/data"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"root .*file must be a folder, got a file|cannot be written to .*file/data"):
        make_synthetic_whole_heart(tmp_path / place, **SMALL)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("modality", "us", "modality must be one of ct, mr, got 'us'"),
        ("num_train", 0, "num_train must be a whole number from 1, got 0"),
        ("num_test", True, "num_test must be a whole number from 0, got True"),
        ("seed", -1, "seed must be a whole number from 0, got -1"),
        ("spatial_size", (64, 64), "spatial_size must be three whole numbers from 16"),
        ("spatial_size", (64, 64, 8), "spatial_size must be three whole numbers from 16"),
        ("stray", "maybe", "stray must be true or false, got 'maybe'"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, option, value, message):
    with pytest.raises(InputError, match=message):
        make_synthetic_whole_heart(tmp_path, **{option: value})


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_smallest_size_still_has_every_structure(tmp_path, modality):
    make_synthetic_whole_heart(tmp_path, modality, num_train=8, num_test=0, spatial_size=(16, 16, 16))
    for record in mmwhs_sections(tmp_path, modality)["training"]:
        assert set(np.unique(read(record)[1])) >= {0, *MMWHS_VALUES}
