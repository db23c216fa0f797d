from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections import OrderedDict

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_data import write_series

from semicl_monai.utils import (
    InputError,
    digest,
    file_digest,
    image_digest,
    state_digest,
    volume_file_digest,
    voxel_count,
)

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def write(path, voxels=VOXELS, kind=nibabel.Nifti1Image, **header):
    image = kind(voxels, np.eye(4))
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


def oracle(*voxels):
    """Shape, and numbers as float32 in the order that NIfTI has them in: x runs fastest."""
    parts = (str(one.shape).encode() + one.astype("<f4").tobytes(order="F") for one in voxels)
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_digest_is_that_of_the_voxels(tmp_path, kind, name):
    assert image_digest(write(tmp_path / name, kind=kind, descrip="anything")) == oracle(VOXELS)


def test_other_voxels_have_another_digest_and_so_has_another_scaling_of_them(tmp_path):
    other = VOXELS.copy()
    other[1, 2, 3] += 1
    assert image_digest(write(tmp_path / "a.nii.gz", other)) == oracle(other) != oracle(VOXELS)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, ">i2"])
def test_an_image_that_is_saved_in_another_type_is_the_same(tmp_path, kind):
    assert image_digest(write(tmp_path / "a.nii.gz", VOXELS.astype(kind))) == oracle(VOXELS)


def test_axes_of_size_1_behind_the_third_do_not_matter(tmp_path):
    assert image_digest(write(tmp_path / "a.nii.gz", VOXELS[..., None])) == oracle(VOXELS)
    assert image_digest(write(tmp_path / "b.nii.gz", VOXELS[..., None, None])) == oracle(VOXELS)
    two = np.stack([VOXELS, VOXELS], axis=-1)
    assert image_digest(write(tmp_path / "c.nii.gz", two)) == oracle(two)


def test_what_stands_between_header_and_voxels_does_not_matter(tmp_path):
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 3000))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert image_digest(tmp_path / "a.nii.gz") == oracle(VOXELS)


def test_big_endian_headers_are_read(tmp_path):
    header = nibabel.load(write(tmp_path / "b.nii")).header.as_byteswapped(">")
    header["vox_offset"] = 352  # which nibabel sets to 0 as it loads
    voxels = VOXELS.astype(">i2").tobytes(order="F")
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + voxels)
    assert image_digest(tmp_path / "a.nii") == oracle(VOXELS)
    assert voxel_count(tmp_path / "a.nii") == 24


def test_several_files_are_one_image_in_their_order(tmp_path):
    files = [write(tmp_path / f"{number}.nii.gz", VOXELS + number) for number in range(2)]
    assert image_digest(files) == oracle(VOXELS, VOXELS + 1)
    assert image_digest(files[::-1]) == oracle(VOXELS + 1, VOXELS)
    assert voxel_count(files) == 48


def test_of_what_is_no_nifti_the_whole_content_counts(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004")
    assert (
        image_digest(tmp_path / "a.nrrd") == hashlib.sha256(b"NRRD0004").hexdigest() == file_digest(tmp_path / "a.nrrd")
    )
    assert voxel_count(tmp_path / "a.nrrd") is None


def test_a_file_that_has_changed_is_read_again_though_its_size_and_time_are_the_same(tmp_path):
    path = write(tmp_path / "a.nii")
    assert image_digest(path) == oracle(VOXELS)
    stat = path.stat()
    write(tmp_path / "b.nii", VOXELS + 1)
    shutil.copyfile(tmp_path / "b.nii", path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert image_digest(path) == oracle(VOXELS + 1)


def test_a_file_that_stays_is_read_once(tmp_path, monkeypatch):
    first = image_digest(write(tmp_path / "a.nii"))
    (tmp_path / "b.nii").symlink_to(tmp_path / "a.nii")
    monkeypatch.setattr(digest, "_values", None)
    assert image_digest(tmp_path / "b.nii") == first


def _truncated(path):
    path.write_bytes(write(path).read_bytes()[:-9])


def _wrong_checksum(path):
    content = bytearray(gzip.compress(b"\0" * 999))
    content[-8] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncated, _wrong_checksum, lambda path: None, lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, damage):
    damage(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"^image file .*a\.nii\.gz cannot be read: \w.*\.$") as caught:
        image_digest(tmp_path / "a.nii.gz")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    assert file_digest(tmp_path / "nowhere") is None
    assert file_digest(None) is None


def state():
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.rand(2, 3, 4, 4).bfloat16()}


def test_the_digest_of_a_state_is_of_names_dtypes_shapes_and_values():
    tensors = {"b": torch.tensor([1, 2], dtype=torch.int16), "a": torch.tensor(0.5)}
    parts = [b"a\0torch.float32\0()\0", np.float32(0.5).tobytes(), b"b\0torch.int16\0(2,)\0", b"\1\0\2\0"]
    assert state_digest(tensors) == hashlib.sha256(b"".join(parts)).hexdigest()


def test_order_and_memory_format_of_a_state_do_not_matter():
    one = state()
    other = OrderedDict(reversed(list(one.items())))
    other["c"] = other["c"].to(memory_format=torch.channels_last)
    assert not other["c"].is_contiguous()
    assert state_digest(other) == state_digest(one)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(a=s["a"].reshape(3, 2)),
        lambda s: s.update(a=s["a"].double()),
        lambda s: s.update(d=s.pop("a")),
        lambda s: s["a"].view(-1)[5:].add_(1e-6),
        lambda s: s.pop("b"),
    ],
)
def test_a_change_of_a_state_changes_its_digest(change):
    one, other = state(), state()
    other["c"] = one["c"].clone()
    assert state_digest(one) == state_digest(other)
    change(other)
    assert state_digest(one) != state_digest(other)


def test_an_image_has_the_same_digest_in_every_format(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), VOXELS, {"spacings": [1.0, 1, 1]})
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(VOXELS.T)), str(tmp_path / "a.mhd"))
    write_series(tmp_path / "a", VOXELS, np.diag([-1.0, -1, 1, 1]))
    for name in ("a.nrrd", "a.mhd", "a", "a/IM000.dcm"):
        assert image_digest(tmp_path / name) == oracle(VOXELS)
        assert voxel_count(tmp_path / name) == VOXELS.size


def test_the_digest_sees_a_change_of_any_file_of_an_image(tmp_path):
    file = tmp_path / "a.nhdr"
    nrrd.write(str(file), VOXELS, {"spacings": [1.0, 1, 1], "encoding": "raw"})
    before, label = image_digest(file), volume_file_digest(file)
    assert label == hashlib.sha256(file.read_bytes() + (tmp_path / "a.raw").read_bytes()).hexdigest()
    (tmp_path / "a.raw").write_bytes((VOXELS + 1).tobytes(order="F"))
    assert image_digest(file) == oracle(VOXELS + 1) != before
    assert volume_file_digest(file) != label
    (tmp_path / "a.raw").unlink()
    assert volume_file_digest(file) is None
    series = write_series(tmp_path / "a", VOXELS**2, np.diag([-1.0, -1, 1, 1]))
    assert image_digest(series) == oracle(VOXELS**2)
    (series / "IM000.dcm").unlink()
    assert image_digest(series) != oracle(VOXELS**2)


def test_the_digest_of_one_file_is_that_of_its_bytes(tmp_path):
    file = write(tmp_path / "a.nii.gz")
    assert volume_file_digest(file) == file_digest(file)
    assert volume_file_digest(None) is None
