from __future__ import annotations

import builtins

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dicom_data import write_multi_frame, write_series
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd
from nibabel.affines import apply_affine, from_matvec
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from semicl_monai.transforms import LoadCased, SafeSpacingd
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume, stored_files
from semicl_monai.utils.nifti import naming

TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
TURN *= np.sign(np.linalg.det(TURN))  # slices follow the normal
AFFINE = np.diag([-1, -1, 1, 1]) @ from_matvec(TURN * [0.9, 1.1, 2.5], [-12.0, 7, 33])
VOXELS = np.random.default_rng(0).integers(-99, 999, (5, 6, 7))


def seen_by_itk(folder, index=(1, 2, 3)):
    """Place of a voxel in RAS+, and the voxels, as SimpleITK reads them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1], sitk.GetArrayFromImage(image).T


def refuse(folder, message, **options):
    with pytest.raises(InputError, match=message), naming(f"case a: image file {folder}", "DICOM"):
        open_volume(folder, **options).read()


def test_an_oblique_series_is_read_as_simpleitk_reads_it_whatever_its_file_names_and_numbers(tmp_path):
    folder = write_series(tmp_path, VOXELS, AFFINE, slopes=range(1, 8), intercept=-10)
    volume, (place, voxels) = open_volume(folder), seen_by_itk(folder)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(apply_affine(volume.affine, (1, 2, 3)), place, atol=1e-5)
    np.testing.assert_array_equal(volume.read(), voxels)
    np.testing.assert_array_equal(volume.read(), VOXELS * np.arange(1, 8) - 10)


def test_slices_against_the_normal_are_sorted_along_it(tmp_path):
    flipped = AFFINE @ from_matvec(np.diag([1, 1, -1]), [0, 0, 6])
    folder = write_series(tmp_path, VOXELS[:, :, ::-1], flipped)
    np.testing.assert_allclose(open_volume(folder).affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(open_volume(folder).read(), VOXELS)


@pytest.mark.parametrize("low", [-99, 0])
def test_signed_and_unsigned_values_and_monochrome1_keep_their_values(tmp_path, low):
    voxels = VOXELS.clip(low)
    plain = write_series(tmp_path / "plain", voxels, AFFINE)
    np.testing.assert_array_equal(open_volume(plain).read(), seen_by_itk(plain)[1])
    shown_inverted = write_series(tmp_path / "inverted", voxels, AFFINE, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(open_volume(shown_inverted).read(), voxels)


def test_any_file_stands_for_its_series_in_a_folder_of_several(tmp_path):
    write_series(tmp_path, VOXELS, AFFINE, SeriesNumber=1)
    for file in tmp_path.iterdir():
        file.rename(file.with_suffix(""))  # files of DICOM often have no ending
    write_series(tmp_path, VOXELS[:, :, :4] + 1, AFFINE, SeriesNumber=2)
    np.testing.assert_array_equal(open_volume(tmp_path / "IM003").read(), VOXELS)
    assert open_volume(tmp_path / "IM003.dcm").shape == (5, 6, 4)
    assert len(stored_files(tmp_path / "IM003")) == 7
    refuse(tmp_path, r"must be the folder of one DICOM series, got 2: name one file of the series .* IM000, IM000\.dcm")


def test_a_folder_without_images_is_refused(tmp_path):
    refuse(tmp_path, r"case a: image file .* must be the folder of a DICOM series, got no DICOM file")
    write_series(tmp_path, VOXELS, AFFINE, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    refuse(tmp_path, r"must be the folder of a DICOM series, got 7 localizer\(s\)")
    refuse(tmp_path / "IM000.dcm", r"must be an image of a DICOM series, got localizer\(s\)")


def tilted():
    affine = AFFINE.copy()
    affine[:3, 2] += 0.8 * affine[:3, 1]
    return affine


def test_gantry_tilt_is_kept_as_a_shear(tmp_path):
    volume = open_volume(write_series(tmp_path, VOXELS, tilted()))
    np.testing.assert_allclose(volume.affine, tilted(), atol=1e-5)


def test_resampling_takes_a_shear_out_and_puts_it_back():
    # intensities that are linear in mm have the same value at the same place in every grid
    place = apply_affine(tilted(), np.moveaxis(np.indices((20, 20, 16)), 0, -1))
    image = MetaTensor(torch.as_tensor(place @ [0.3, -0.2, 0.5])[None].float(), affine=torch.as_tensor(tilted()))
    prepare = Compose([Orientationd("image", "RAS", labels=None), SafeSpacingd("image", (1.2, 1.2, 1.2))])
    even = prepare({"image": image})["image"]
    grid = np.moveaxis(np.indices(even.shape[1:]), 0, -1)
    axes = even.affine.numpy()[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3) * 1.44, atol=1e-6)
    at = apply_affine(even.affine.numpy(), grid)
    inside = apply_affine(np.linalg.inv(tilted()), at)
    inside = ((inside > 0) & (inside < np.array(image.shape[1:]) - 1)).all(-1)
    assert inside.sum() > 1000
    np.testing.assert_allclose(even[0].numpy()[inside], (at @ [0.3, -0.2, 0.5])[inside], atol=1e-3)
    back = Invertd("image", prepare, "image")({"image": even})["image"]
    assert back.shape == image.shape
    np.testing.assert_allclose(back.affine, tilted(), atol=1e-6)


GAP = (
    r"case a: image file .* must have slices at even distances, got 2 uneven distance\(s\), the first of 5 mm between "
    r"IM\d+\.dcm at [-\d.]+ mm and IM\d+\.dcm at [-\d.]+ mm, wanted 2\.5 mm; --allow_gaps true interpolates them\."
)


def test_missing_slices_are_refused_and_named(tmp_path):
    refuse(write_series(tmp_path, VOXELS, AFFINE, skip=(1, 4)), GAP)


def test_missing_slices_are_interpolated_where_that_is_allowed(tmp_path, caplog):
    volume = open_volume(write_series(tmp_path, VOXELS, AFFINE, skip=(1, 4)), allow_gaps=True)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    wanted = VOXELS.astype(np.float32)
    for missing in (1, 4):
        wanted[:, :, missing] = wanted[:, :, [missing - 1, missing + 1]].mean(-1)
    np.testing.assert_allclose(volume.read(), wanted, atol=1e-3)
    assert caplog.messages == []
    volume.tell()
    open_volume(volume.file, allow_gaps=True).tell()
    (line,) = caplog.messages
    assert "2 uneven distance(s), the first of 5 mm" in line
    assert line.endswith("interpolated to 7 slices.")


def test_slices_at_any_distances_become_an_even_grid(tmp_path):
    heights = np.array([0, 1, 2, 3, 4.4, 6])
    ramp = np.broadcast_to(heights * 100, (4, 4, 6)).round().astype(int)

    def position(number):
        return [0, 0, heights[number]]

    folder = write_series(tmp_path, ramp, np.diag([-1.0, -1, 1, 1]), ImagePositionPatient=position)
    refuse(folder, r"2 uneven distance\(s\), the first of 1\.4 mm")
    volume = open_volume(folder, allow_gaps=True)
    np.testing.assert_allclose(volume.read()[0, 0], [0, 100, 200, 300, 400, 500, 600], atol=0.1)
    mask = np.broadcast_to(np.arange(7), (4, 4, 7))
    assert volume.on_slices(mask)[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 6]


def test_distances_that_are_only_rounded_are_even(tmp_path):
    def position(number):
        return [0, 0, round(0.7 * number + 0.004 * (number % 2), 3)]

    folder = write_series(tmp_path, VOXELS, np.diag([-1.0, -1, 0.7, 1]), ImagePositionPatient=position)
    np.testing.assert_allclose(open_volume(folder).affine[2, 2], 0.7, atol=0.001)


def test_two_slices_at_one_place_are_refused_with_what_differs(tmp_path):
    uid = generate_uid()
    write_series(tmp_path, VOXELS, AFFINE, uid=uid, EchoTime=2)
    for file in tmp_path.iterdir():
        file.rename(file.with_name(f"first_{file.name}"))
    write_series(tmp_path, VOXELS, AFFINE, uid=uid, EchoTime=5)
    refuse(tmp_path, r"must have one slice at each place, got 7 place\(s\) with two, the first at .* \(EchoTime \d")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": lambda number: [1 + (number > 3), 1]}, "must have slices of one size"),
        (
            {"ImageOrientationPatient": lambda number: [1, 0, 0, 0, 1, 0] if number > 3 else [0, 1, 0, 0, 0, 1]},
            "must have parallel slices, got another orientation in",
        ),
        (
            {"ImagePositionPatient": lambda n: [3 * (n == 2), 0, n], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            r"must have slices in one straight stack, got IM\d+\.dcm shifted by 3 mm",
        ),
        ({"ModalityLUTSequence": [pydicom.Dataset()]}, "must give a slope and an intercept, got a modality LUT in IM"),
        ({"PixelData": bytes(10)}, r"holds IM\d+\.dcm, whose pixels cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_stack_of_slices_is_refused_with_its_file(tmp_path, tags, message):
    refuse(write_series(tmp_path, VOXELS, AFFINE, **tags), message)


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    folder = write_series(tmp_path / "a", VOXELS[:, :, :1], AFFINE)
    np.testing.assert_allclose(open_volume(folder).affine, AFFINE, atol=1e-5)
    refuse(write_series(tmp_path / "b", VOXELS[:, :, :1], AFFINE, SliceThickness=None), "one that gives its thickness")


def test_a_multi_frame_image_is_read_by_its_frames(tmp_path):
    file = write_multi_frame(tmp_path / "a.dcm", VOXELS, AFFINE, order=[3, 0, 6, 1, 2, 5, 4])
    volume = open_volume(file)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(volume.read(), VOXELS * 2 - 5)
    np.testing.assert_array_equal(open_volume(tmp_path).read(), volume.read())


def test_each_frame_of_an_enhanced_mr_has_its_own_slope(tmp_path):
    slopes = [1, 2, 0.5, 4, 3, 1.5, 1]
    file = write_multi_frame(tmp_path / "a.dcm", VOXELS, AFFINE, order=[3, 0, 6, 1, 2, 5, 4], slopes=slopes)
    volume = open_volume(file)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(volume.read(), VOXELS * slopes)


def test_run_length_encoding_is_read(tmp_path):
    folder = write_series(tmp_path, VOXELS, AFFINE)
    for file in folder.iterdir():
        content = pydicom.dcmread(file)
        content.compress(RLELossless)
        content.save_as(file)
    np.testing.assert_array_equal(open_volume(folder).read(), VOXELS)


def test_compression_without_a_decoder_is_refused_with_what_to_install(tmp_path):
    folder = write_series(tmp_path, VOXELS, AFFINE)
    for file in folder.iterdir():
        content = pydicom.dcmread(file)
        content.file_meta.TransferSyntaxUID = JPEG2000Lossless
        content.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        content["PixelData"].is_undefined_length = True
        content.save_as(file)
    refuse(folder, r"holds IM\d+\.dcm, compressed as JPEG 2000 .*: pip install pylibjpeg")


def test_without_pydicom_the_error_says_what_to_install(tmp_path, monkeypatch):
    folder, load = write_series(tmp_path, VOXELS, AFFINE), builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pydicom"):
            raise ImportError
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"case a: .* is DICOM, which needs pydicom: pip install pydicom highdicom"):
        LoadCased("image", 2)({"image": str(folder), "case": "a"})


def test_several_series_are_the_channels_of_an_image(tmp_path):
    files = [str(write_series(tmp_path / name, VOXELS + add, AFFINE)) for name, add in (("t1", 0), ("t2", 5))]
    image = LoadCased("image", 2, in_channels=2)({"image": files, "case": "a"})["image"]
    np.testing.assert_array_equal(image[1], VOXELS + 5)
