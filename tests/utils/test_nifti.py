from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.utils import InputError
from semicl_monai.utils.nifti import (
    Space,
    affine_in_mm,
    check_intensities,
    check_replace_nan,
    check_same_space,
    naming,
    nifti_header,
    open_nifti,
    read_voxels,
    whole_numbers,
    without_nan,
)

SFORM = np.array([[-0.9, 0.1, 0, 12.0], [0.1, 0.9, 0, -5.0], [0, 0, 1.2, 4.0], [0, 0, 0, 1]])
QFORM = np.diag([2.0, 3.0, 4.0, 1.0])
SHAPE = (8, 9, 10)


@pytest.fixture
def voxels():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def save(tmp_path, voxels):
    """Write a file whose header says what is asked for, and return it."""

    def write(sform_code=1, qform_code=1, unit="mm", name="a.nii.gz", data=None, **fields):
        data = voxels if data is None else data
        header = nib.Nifti1Header()
        header.set_data_dtype(data.dtype)
        header.set_qform(QFORM, code=1)
        header.set_sform(SFORM, code=1)
        header["sform_code"], header["qform_code"] = sform_code, qform_code
        header.set_xyzt_units(unit)
        for field, value in fields.items():
            header[field] = value
        nib.save(nib.Nifti1Image(data, None, header), tmp_path / name)
        return tmp_path / name

    return write


DEFAULT = nib.affines.from_matvec(np.diag([-2.0, 3.0, 4.0]), [7.0, -12.0, -18.0])  # x flipped, centred


@pytest.mark.parametrize(
    ("sform_code", "qform_code", "wanted"),
    [(1, 1, SFORM), (2, 0, SFORM), (4, 1, SFORM), (0, 1, QFORM), (0, 3, QFORM), (0, 0, DEFAULT)],
)
def test_the_sform_goes_before_the_qform_and_that_before_the_default(save, sform_code, qform_code, wanted):
    np.testing.assert_allclose(affine_in_mm(open_nifti(save(sform_code, qform_code))), wanted, rtol=1e-6)


@pytest.mark.parametrize(("sform_code", "qform_code", "wanted"), [(1, 0, SFORM), (0, 1, QFORM), (0, 0, DEFAULT)])
@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000), ("micron", 0.001), ("mm", 1), ("unknown", 1)])
def test_units_are_converted_to_mm(save, unit, mm, sform_code, qform_code, wanted):
    affine = affine_in_mm(open_nifti(save(sform_code, qform_code, unit)))
    np.testing.assert_allclose(affine[:3], wanted[:3] * mm, rtol=1e-6)
    np.testing.assert_array_equal(affine[3], [0, 0, 0, 1])


@pytest.mark.parametrize("time_unit", ["sec", "msec"])
def test_a_unit_of_time_beside_it_does_not_matter(save, time_unit):
    header = nib.Nifti1Header()
    header.set_xyzt_units("micron", time_unit)
    affine = affine_in_mm(open_nifti(save(xyzt_units=header["xyzt_units"])))
    np.testing.assert_allclose(affine[:3], SFORM[:3] * 0.001, rtol=1e-6)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">f4", np.float64])
def test_voxels_are_those_of_nibabel(save, voxels, name, dtype):
    file = save(name=name, data=(voxels * 20).astype(dtype))
    np.testing.assert_array_equal(read_voxels(open_nifti(file)), np.asanyarray(nib.load(file).dataobj))


def test_scaled_voxels_are_those_of_nibabel(save, voxels):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    file = save()
    nib.save(nib.Nifti1Image(voxels.astype(float), SFORM, header), file)
    np.testing.assert_array_equal(read_voxels(open_nifti(file)), np.asanyarray(nib.load(file).dataobj))


@pytest.mark.parametrize("nifti", [nib.Nifti1Image, nib.Nifti2Image])
def test_both_versions_and_several_members_of_gzip_are_read(tmp_path, voxels, nifti):
    content = nifti(voxels, SFORM).to_bytes()
    file = tmp_path / "a.nii.gz"
    file.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    np.testing.assert_array_equal(read_voxels(open_nifti(file)), voxels)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-8] + bytes([content[-8] ^ 1]) + content[-7:], "CRC check failed"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "Incorrect length of data produced"),
        (lambda content: content[:-8], "ended before the end-of-stream marker"),
        (lambda content: content[: len(content) // 2 + 200], "ended before the end-of-stream marker"),
    ],
)
def test_a_damaged_gzip_stream_is_refused_where_nibabel_reads_all_voxels(save, damage, reason):
    file = save()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=rf"^case a: cannot be read as NIfTI: \w+: .*{reason}"), naming("case a:"):
        read_voxels(open_nifti(file))


def test_bytes_behind_the_voxels_are_compared_too(save):
    file = save()
    content = gzip.compress(gzip.decompress(file.read_bytes()) + bytes(5_000_000))
    file.write_bytes(content)
    assert read_voxels(open_nifti(file)).shape == SHAPE
    file.write_bytes(content[:-8] + bytes(8))
    with pytest.raises(gzip.BadGzipFile, match="CRC check failed"):
        read_voxels(open_nifti(file))


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(("dtype", "kind"), [(np.complex64, "complex64"), (np.complex128, "complex128"), (RGB, "RGB")])
def test_what_is_not_one_real_number_a_voxel_is_refused(save, dtype, kind):
    file = save(data=np.zeros(SHAPE, dtype))
    with pytest.raises(InputError, match=f"^must hold one real number a voxel, got {kind}\\.$"):
        open_nifti(file)


def test_a_file_without_voxels_is_refused(save):
    with pytest.raises(InputError, match=r"^must have voxels, got the shape \(4, 0, 5\)\.$"):
        open_nifti(save(data=np.zeros((4, 0, 5), np.float32)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"srow_z": [0, 0, 0, 1]}, r"must have a spacing above 0, got \[.* 0\. *\]\."),
        ({"srow_y": [0, 0, 0, 1]}, r"must have an affine with an inverse, got axes that lie in a plane\."),
        ({"srow_y": [-0.9, 0.1, 0, 1]}, r"must have an affine with an inverse, got axes that lie in a plane\."),
        ({"srow_x": [np.nan, 0, 0, 1]}, r"must have an affine of finite numbers, got NaN or infinity\."),
        ({"srow_x": [1, 0, 0, np.inf]}, r"must have an affine of finite numbers, got NaN or infinity\."),
    ],
)
def test_an_affine_without_inverse_is_refused(save, fields, message):
    with pytest.raises(InputError, match=f"^{message}"):
        open_nifti(save(**fields))


def test_what_is_not_used_may_be_broken(save):
    file = save(sform_code=1, qform_code=1, quatern_b=1, quatern_c=1)  # no rotation
    np.testing.assert_allclose(affine_in_mm(open_nifti(file)), SFORM, rtol=1e-6)
    with (
        pytest.raises(InputError, match=r"^case a: cannot be read as NIfTI: ValueError: w2 should be"),
        naming("case a:"),
    ):
        open_nifti(save(sform_code=0, qform_code=1, quatern_b=1, quatern_c=1))


@pytest.mark.parametrize("angle", [0, 20, 80])
def test_a_sheared_affine_has_an_inverse(save, angle):
    shear = SFORM.copy()
    shear[:3, 2] += 1.2 * np.tan(np.deg2rad(angle)) * np.array([0, 1, 0])
    rows = dict(zip(("srow_x", "srow_y", "srow_z"), shear, strict=False))
    np.testing.assert_allclose(affine_in_mm(open_nifti(save(**rows))), shear, rtol=1e-5)


def test_values_are_whole_to_within_a_thousandth():
    given = np.array([0.9999999, 1.00001526, 2.0009, 2.0011, -1e-4, 0.5, np.nan, np.inf], np.float32)
    np.testing.assert_array_equal(whole_numbers(given), np.array([1, 1, 2, 2.0011, 0, 0.5, np.nan, np.inf], np.float32))
    assert whole_numbers(given).dtype == np.float32
    whole = np.array([3, 250], np.uint8)
    assert whole_numbers(whole) is whole


def test_nan_alone_is_replaced():
    given = np.array([np.nan, 1, np.inf], np.float32)
    np.testing.assert_array_equal(without_nan(given, 0), [0, 1, np.inf])
    np.testing.assert_array_equal(without_nan(given, -1000.5), [-1000.5, 1, np.inf])
    assert without_nan(given, None) is given
    assert without_nan(given, 0).dtype == np.float32


@pytest.mark.parametrize("value", ["0", True, np.nan, np.inf, [0]])
def test_what_replaces_nan_is_a_finite_number(value):
    assert check_replace_nan(None) is None
    assert check_replace_nan(-1.5) == -1.5
    with pytest.raises(InputError, match="replace_nan must be a finite number, got "):
        check_replace_nan(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"got NaN or infinity in 2 voxel\(s\); --replace_nan 0 replaces NaN by 0\.$"),
        (np.inf, r"got NaN or infinity in 2 voxel\(s\)\.$"),
        (-np.inf, r"got NaN or infinity in 2 voxel\(s\)\.$"),
    ],
)
def test_intensities_are_finite(voxels, value, message):
    check_intensities(voxels)
    voxels[0, 0, :2] = value
    with pytest.raises(InputError, match=f"^must hold finite numbers, {message}"):
        check_intensities(voxels)


def space_of(file):
    image = open_nifti(file)
    return Space(image.shape, affine_in_mm(image), image.header, file.name)


def test_where_affines_differ_the_headers_tell_why(save):
    both = space_of(save(name="both.nii"))
    one = space_of(save(qform_code=0, name="one.nii"))
    none = space_of(save(sform_code=0, qform_code=0, name="none.nii"))
    check_same_space(both, one)
    with pytest.raises(InputError, match=r"^must have the same affine to within 0\.001, got a difference of") as raised:
        check_same_space(both, none)
    assert str(raised.value).endswith(
        "; in both.nii the sform and the qform differ, and the sform is used"
        "; none.nii gives no space (sform_code and qform_code are 0), so a default is used."
    )
    with pytest.raises(InputError, match=r"got a difference of 1\.$"):
        check_same_space(one, Space(SHAPE, SFORM + np.eye(4)[:, [3, 0, 1, 2]]))
    broken = space_of(save(quatern_b=1, quatern_c=1, name="broken.nii"))
    with pytest.raises(InputError, match=r"in broken\.nii the sform and the qform differ, and the sform is used\.$"):
        check_same_space(Space(SHAPE, QFORM), broken)


def test_a_header_is_made_of_metadata_that_are_complete(save):
    header = open_nifti(save(unit="micron", qform_code=4)).header
    made = nifti_header(dict(header))
    for field in ("sform_code", "srow_x", "srow_z", "qform_code", "quatern_c", "qoffset_y", "xyzt_units"):
        np.testing.assert_array_equal(made[field], header[field])
    np.testing.assert_array_equal(made["pixdim"][:4], header["pixdim"][:4])
    assert nifti_header({name: value for name, value in header.items() if name != "xyzt_units"}) is None
