from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Spacingd

from semicl_monai.transforms import TRANSFORMS, SafeSpacingd
from semicl_monai.utils import InputError

OBLIQUE = nib.affines.from_matvec(np.array([[-0.9, 0.2, 0.1], [0.2, 0.95, -0.1], [0.1, 0.1, 2.5]]), [-12.0, 7.5, 3.25])
PIXDIM = (1.5, 1.25, 2.0)


@pytest.fixture
def sample():
    """An oblique image with its label map, and entries such as MONAI Label's beside them."""
    generator = torch.Generator().manual_seed(0)
    meta = {"filename_or_obj": "a.nii.gz"}  # for a NIfTI file, MONAI looks for metadata in the sample
    image = MetaTensor(torch.rand(1, 9, 11, 7, generator=generator), affine=torch.as_tensor(OBLIQUE), meta=meta)
    label = MetaTensor((image.as_tensor() > 0.5).float(), affine=torch.as_tensor(OBLIQUE), meta=meta)
    return {"image": image, "label": label, "image_path": "a.nii.gz", "label_weight": 0.5, "case": "a", 7: None}


def bare(sample):
    return {key: sample[key] for key in ("image", "label")}


def both(**options):
    options = {"keys": ("image", "label"), "pixdim": PIXDIM, "mode": ("bilinear", "nearest"), **options}
    return SafeSpacingd(**options), Spacingd(**options)


def assert_equal(one, other):
    assert torch.equal(one.as_tensor(), other.as_tensor())
    assert torch.equal(one.affine, other.affine)


def test_it_resamples_like_monai_and_keeps_what_else_the_sample_holds(sample):
    safe, plain = both()
    result, wanted = safe(sample), plain(bare(sample))
    for key in ("image", "label"):
        assert_equal(result[key], wanted[key])
    assert result["image"].pixdim.tolist() == pytest.approx(PIXDIM)
    assert {key: result[key] for key in sample if key not in bare(sample)} == {
        key: sample[key] for key in sample if key not in bare(sample)
    }


def test_the_inverse_is_that_of_monai_and_keeps_what_else_the_sample_holds(sample):
    safe, plain = both()
    result, wanted = safe.inverse(safe(sample)), plain.inverse(plain(bare(sample)))
    for key in ("image", "label"):
        assert_equal(result[key], wanted[key])
        assert result[key].shape == sample[key].shape
    assert (result["image_path"], result["label_weight"]) == ("a.nii.gz", 0.5)


def test_metadata_beside_the_image_is_brought_up_to_date_as_monai_does(sample):
    safe, plain = both(keys="image", mode="bilinear")
    result = safe({"image": sample["image"], "image_meta_dict": {}, "image_path": "a.nii.gz"})
    wanted = plain({"image": sample["image"], "image_meta_dict": {}})
    assert torch.equal(result["image_meta_dict"]["affine"], wanted["image_meta_dict"]["affine"])


def test_inside_compose_a_prediction_is_brought_back_to_shape_and_affine_of_the_image(sample):
    preprocessing = Compose([Orientationd("image", axcodes="RAS", labels=None), SafeSpacingd("image", pixdim=PIXDIM)])
    sample["image"].applied_operations.clear()
    prepared = preprocessing(sample)
    prepared["pred"] = MetaTensor(prepared["image"].as_tensor().clone())
    pred = Invertd("pred", preprocessing, "image", nearest_interp=False)(prepared)["pred"]
    assert pred.shape == sample["image"].shape
    np.testing.assert_allclose(pred.affine, OBLIQUE, atol=1e-6)


def test_a_missing_key_is_refused_unless_allowed(sample):
    del sample["label"]
    with pytest.raises(KeyError, match="label"):
        both()[0](sample)
    assert set(both(allow_missing_keys=True)[0](sample)) == set(sample)


@pytest.mark.parametrize(
    "pixdim", [1.5, (1.5, 1.5), (1.5, 1.5, 1.5, 1.5), (1.5, 0, 1.5), (1.5, -1, 1.5), (1.5, "a", 1.5), (1.5, None, 1.5)]
)
def test_a_voxel_size_that_is_none_is_refused(pixdim):
    with pytest.raises(InputError, match="pixdim must be three positive numbers") as raised:
        SafeSpacingd("image", pixdim=pixdim)
    assert str(pixdim) in str(raised.value)


@pytest.mark.parametrize("pixdim", [(1, np.nan, 1), (1, np.inf, 1), None, {}])
def test_so_is_what_is_no_number(pixdim):
    with pytest.raises(InputError, match="pixdim must be three positive numbers"):
        SafeSpacingd("image", pixdim=pixdim)


def test_it_builds_from_a_config(sample):
    config = {
        "imports": ["$import torch"],
        "resample": {
            "_target_": "semicl_monai.transforms.SafeSpacingd",
            "keys": ["image"],
            "pixdim": list(PIXDIM),
            "dtype": "$torch.float32",
        },
    }
    result = ConfigParser(config).get_parsed_content("resample")(sample)["image"]
    torch.testing.assert_close(result.as_tensor(), both()[0](sample)["image"].as_tensor(), atol=1e-4, rtol=0)
    assert isinstance(TRANSFORMS.build("safe_spacing", keys="image", pixdim=PIXDIM), SafeSpacingd)
