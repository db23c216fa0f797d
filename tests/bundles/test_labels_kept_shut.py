"""Labels that a stage must not see are unreadable here, and the stage runs all the same."""

from __future__ import annotations

import shutil

import pytest

from semicl_monai.data import SegmentationDatalist
from semicl_monai.utils import find_input_error


@pytest.fixture
def shut(dataset_dir, tmp_path):
    """Copy the data set and make the labels of some parts of its split unreadable."""

    def copy(*parts):
        folder = tmp_path / "data"
        shutil.copytree(dataset_dir, folder)
        datalist = SegmentationDatalist(folder, labelled_fraction=2)
        for part in parts:
            for case in datalist.split[part]:
                (folder / "labelsTr" / f"{case}.nii.gz").write_bytes(b"not to be read")
        return str(folder)

    return copy


@pytest.mark.parametrize("method", ["global_local", "joint"])
def test_pretraining_without_validation_reads_no_label_but_the_labelled_ones(run_stage, shut, method):
    data = shut("unlabelled", "validation", "test")
    run_stage("pretrain", method=method, validation="none", dataset_dir=data)


def test_pretraining_with_validation_reads_no_unlabelled_or_test_label(run_stage, shut):
    run_stage("pretrain", method="global_local", dataset_dir=shut("unlabelled", "test"))


@pytest.mark.parametrize("method", ["rotation", "pirl", "simclr", "chaitanya_global_local", "pcl"])
def test_self_supervised_pretraining_reads_no_label_at_all(run_stage, shut, method):
    run_stage("pretrain", method=method, dataset_dir=shut("labelled", "unlabelled", "validation", "test"))


@pytest.mark.parametrize("method", ["mean_teacher", "tcsm"])
def test_semi_supervised_training_reads_no_unlabelled_label(run_stage, shut, method):
    data = shut("unlabelled", "validation", "test")
    run_stage("train", method=method, pretrained="none", validation="none", dataset_dir=data)


def test_fine_tuning_without_validation_reads_no_label_but_the_labelled_ones(run_stage, shut):
    data = shut("unlabelled", "validation", "test")
    run_stage("train", pretrained="none", validation="none", dataset_dir=data)


def test_fine_tuning_with_validation_reads_no_unlabelled_or_test_label(run_stage, shut):
    run_stage("train", pretrained="none", val_interval=1, dataset_dir=shut("unlabelled", "test"))


def test_a_label_that_is_read_and_unreadable_is_an_error(run_stage, shut):
    with pytest.raises(RuntimeError) as caught:
        run_stage("train", pretrained="none", validation="none", dataset_dir=shut("labelled"))
    assert "cannot be read as NIfTI" in str(find_input_error(caught.value))
