from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.data import NibabelReader
from monai.transforms import LoadImage

from semicl_monai.transforms import NiftiReader
from semicl_monai.utils import InputError

AFFINE = np.array([[-0.9766, 0, 0, 120], [0, 0.9766, 0, -95], [0, 0, 1.2, 40], [0, 0, 0, 1.0]])


@pytest.fixture
def save(tmp_path):
    def write(name="a.nii.gz", shape=(5, 6, 7), **fields):
        volume = nib.Nifti1Image(np.random.default_rng(0).normal(size=shape).astype(np.float32), AFFINE)
        for field, value in fields.items():
            volume.header[field] = value
        nib.save(nib.Nifti1Image(volume.dataobj, None, volume.header), tmp_path / name)
        return str(tmp_path / name)

    return write


def load(file, reader=NiftiReader):
    return LoadImage(reader, ensure_channel_first=True)(file)


@pytest.mark.parametrize("error", [2e-5, 0.0034])
def test_a_rounded_spacing_does_not_bring_an_empty_qform_in_place_of_the_sform(save, error):
    pixdim = [1, 0.9766 + error, 0.9766 + error, 1.2, 1, 1, 1, 1]
    file = save(qform_code=0, quatern_b=0, quatern_c=0, quatern_d=0, qoffset_x=0, qoffset_y=0, pixdim=pixdim)
    np.testing.assert_allclose(load(file).affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(load(file).meta["original_affine"], AFFINE, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 2)])
def test_a_plain_file_is_read_as_monai_reads_it(save, shape):
    file = save(shape=shape)
    ours, theirs = load(file), load(file, NibabelReader)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert set(ours.meta) == set(theirs.meta)
    assert tuple(ours.meta["spatial_shape"]) == tuple(theirs.meta["spatial_shape"])


def test_several_files_are_stacked(save):
    files = [save("a.nii"), save("b.nii.gz")]
    np.testing.assert_array_equal(LoadImage(NiftiReader)(files), LoadImage(NibabelReader)(files))


def test_micrometres_are_converted(save):
    file = save(xyzt_units=3)
    np.testing.assert_allclose(load(file).affine[:3], AFFINE[:3] / 1000, atol=1e-5)


def test_what_cannot_be_used_is_refused(save):
    with pytest.raises(InputError, match="must have a spacing above 0"):
        LoadImage()(save(srow_z=[0, 0, 0, 0]), reader=NiftiReader())


def test_it_builds_from_a_config(save):
    config = {"reader": {"_target_": "semicl_monai.transforms.NiftiReader"}}
    assert ConfigParser(config).get_parsed_content("reader").read(save()).shape == (5, 6, 7)
