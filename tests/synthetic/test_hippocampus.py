from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from semicl_monai.data import SegmentationDatalist
from semicl_monai.synthetic import hippocampus, make_synthetic_hippocampus
from semicl_monai.utils import InputError


def digest(root):
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read(root, entry):
    return tuple(np.asarray(nib.load(root / entry[key]).dataobj) for key in ("image", "label"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_synthetic_hippocampus(tmp_path_factory.mktemp("data") / "deep" / "synthetic", num_cases=6, num_test=1)


@pytest.fixture(scope="module")
def volumes(root):
    return [read(root, entry) for entry in json.loads((root / "dataset.json").read_text())["training"]]


def test_it_is_laid_out_like_a_decathlon_task(root):
    content = json.loads((root / "dataset.json").read_text())
    assert "SYNTHETIC" in content["name"]
    assert content["modality"] == {"0": "MRI"}
    assert content["labels"] == {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert (content["numTraining"], content["numTest"]) == (len(content["training"]), len(content["test"])) == (6, 1)
    assert content["training"][0] == {
        "image": "./imagesTr/synthetic_000.nii.gz",
        "label": "./labelsTr/synthetic_000.nii.gz",
    }
    assert content["test"] == ["./imagesTs/synthetic_006.nii.gz"]
    assert all((root / path).is_file() for path in content["test"])
    assert len(SegmentationDatalist(root).training) == 4


def test_images_are_float32_and_labels_uint8_of_the_same_shape(volumes):
    for image, mask in volumes:
        assert (image.dtype, mask.dtype) == (np.float32, np.uint8)
        assert image.shape == mask.shape
        assert np.isfinite(image).all()
        assert set(np.unique(mask)) == {0, 1, 2}


def test_sizes_differ_by_a_few_voxels(volumes):
    shapes = np.array([image.shape for image, _ in volumes])
    assert len(np.unique(shapes, axis=0)) > 1
    assert np.abs(shapes - (36, 50, 34)).max() <= 3


def test_about_five_per_cent_is_foreground(volumes):
    for _, mask in volumes:
        assert 0.03 < (mask > 0).mean() < 0.08


def test_the_two_structures_are_each_in_one_piece_and_touch(volumes):
    for _, mask in volumes:
        assert [label(mask == part)[1] for part in (1, 2)] == [1, 1]
        assert (binary_dilation(mask == 1) & (mask == 2)).any()


def test_the_anterior_bulb_lies_in_front_of_the_tail_and_is_larger(volumes):
    for _, mask in volumes:
        assert np.argwhere(mask == 1)[:, 1].mean() > np.argwhere(mask == 2)[:, 1].mean()
        assert (mask == 1).sum() > (mask == 2).sum()


def test_no_range_of_intensities_finds_the_foreground(volumes):
    best = []
    for image, mask in volumes:
        levels = np.quantile(image, np.linspace(0, 1, 30))
        guesses = [(image >= low) & (image <= high) for low in levels for high in levels[-4:]]
        best.append(max(2 * (guess & (mask > 0)).sum() / (guess.sum() + (mask > 0).sum()) for guess in guesses))
    assert np.mean(best) < 0.6


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    first, second, third = (
        digest(make_synthetic_hippocampus(tmp_path / str(number), num_cases=2, num_test=1, seed=seed))
        for number, seed in enumerate((5, 5, 6))
    )
    assert first == second
    assert not set(first.values()) & set(third.values())


def test_a_larger_data_set_begins_with_the_cases_of_the_smaller(root, tmp_path):
    small = digest(make_synthetic_hippocampus(tmp_path / "small", num_cases=2, num_test=0))
    large = digest(root)
    assert all(large[file] == small[file] for file in small if file.endswith(".nii.gz"))


def test_a_complete_data_set_of_the_same_settings_is_used_again(root, monkeypatch):
    monkeypatch.setattr(hippocampus, "_write", lambda *_: pytest.fail("written again"))
    assert make_synthetic_hippocampus(str(root), num_cases=6, num_test=1) == root


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hippocampus, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_synthetic_hippocampus(tmp_path / "data")
    assert os.listdir(tmp_path) == []


def test_an_empty_folder_may_be_written(tmp_path):
    assert (make_synthetic_hippocampus(tmp_path, num_cases=1, num_test=0) / "dataset.json").is_file()


def test_a_folder_of_other_settings_or_with_a_file_missing_is_refused(tmp_path):
    root = make_synthetic_hippocampus(tmp_path / "data", num_cases=1, num_test=0)
    with pytest.raises(InputError, match="must be new, empty or a synthetic data set with the same settings"):
        make_synthetic_hippocampus(root, num_cases=1, num_test=0, seed=1)
    (root / "labelsTr" / "synthetic_000.nii.gz").unlink()
    with pytest.raises(InputError, match="must be new, empty"):
        make_synthetic_hippocampus(root, num_cases=1, num_test=0)


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"training": [1], "test": []}'])
def test_somebody_elses_data_is_refused_and_left_alone(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="must be new, empty"):
        make_synthetic_hippocampus(tmp_path)
    assert (tmp_path / "dataset.json").read_text() == text


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to .*file/data"):
        make_synthetic_hippocampus(tmp_path / "file" / "data", num_cases=1)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("num_cases", 0, "num_cases must be a whole number from 1, got 0"),
        ("num_test", -1, "num_test must be a whole number from 0, got -1"),
        ("seed", 0.5, r"seed must be a whole number from 0, got 0\.5"),
        ("spatial_size", (36, 50), "spatial_size must be three whole numbers from 16"),
        ("spatial_size", (36, 50, 8), "spatial_size must be three whole numbers from 16"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, option, value, message):
    with pytest.raises(InputError, match=message):
        make_synthetic_hippocampus(tmp_path, **{option: value})


def test_the_smallest_size_still_has_both_structures(tmp_path):
    root = make_synthetic_hippocampus(tmp_path, num_cases=10, num_test=0, spatial_size=(16, 16, 16))
    for entry in json.loads((root / "dataset.json").read_text())["training"]:
        assert set(np.unique(read(root, entry)[1])) == {0, 1, 2}
