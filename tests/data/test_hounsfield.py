from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.data.hounsfield import looks_like_ct


@pytest.mark.parametrize(
    ("values", "looks"),
    [
        ([-1024, 0, 3071], True),
        ([-1000, 40, 60], True),
        ([0, 40, 4095], False),  # MR
        ([-1000.5, 0, 40.25], False),  # resampled, or no CT
        ([-2, 0, 3], False),  # z-scores
    ],
)
def test_ct_has_whole_numbers_and_those_of_air(tmp_path, values, looks):
    file = str(tmp_path / "a.nii")
    nib.save(nib.Nifti1Image(np.array(values, np.float32).reshape(1, 1, 3), np.eye(4)), file)
    assert looks_like_ct({"image": file}) is looks
    assert not looks_like_ct({"image": [file, file]})
