from __future__ import annotations

import re

import pytest

from semicl_monai.apps.find_bundle import BUNDLES, VOLUMES, find_bundle
from semicl_monai.utils import InputError


def test_without_a_folder_it_is_the_default_of_this_repository():
    assert find_bundle(None, "train") == BUNDLES / "hippocampus_mri_segmentation"
    assert find_bundle(None, "train", default=VOLUMES) == BUNDLES / "hippocampus_mri_3d_segmentation"


def test_the_first_config_file_that_is_missing_is_named(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/pretrain.json").touch()
    assert find_bundle(str(tmp_path), "pretrain") == tmp_path.resolve()
    line = f"no bundle at {tmp_path.resolve()}, train.json is missing: run from a clone of the repository, or give "
    with pytest.raises(InputError, match=f"^{re.escape(line)}--bundle\\.$"):
        find_bundle(str(tmp_path), "pretrain", "train", "evaluate")
