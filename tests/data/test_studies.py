from __future__ import annotations

import json
import logging

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.transforms import Compose

from semicl_monai.data import VolumeDataset, labelled_studies, list_studies, name_cases
from semicl_monai.transforms import LoadCased
from semicl_monai.utils import InputError
from semicl_monai.utils.formats.nrrd_volume import NrrdVolume

NAMES = ["Anterior", "Posterior"]


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MONAI_LABEL_STUDIES", raising=False)


def save(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)


@pytest.fixture
def studies(tmp_path):
    """Links to scans of an archive, three of them labelled; beside the scans lie others, and masks."""
    random = np.random.default_rng(0)
    folder = tmp_path / "studies"
    (folder / "labels/final").mkdir(parents=True)
    (folder / "labels/original").mkdir()
    for number in range(8):
        image, mask = random.integers(0, 2000, (8, 9, 10), np.int16), random.integers(0, 3, (8, 9, 10), np.uint8)
        save(tmp_path / f"archive/{number}/scan.nii.gz", image)
        save(tmp_path / f"archive/{number}/mask.nii.gz", mask)
        if number < 5:
            (folder / f"s{number}.nii.gz").symlink_to(tmp_path / f"archive/{number}/scan.nii.gz")
            save(folder / f"labels/original/s{number}.nii.gz", mask)
        if number < 3:
            save(folder / f"labels/final/s{number}.nii.gz", mask)
    return folder


def handed_over(folder, *names):
    return [
        {"image": str((folder / name).resolve()), "label": str((folder / "labels/final" / name).resolve())}
        for name in names
    ]


@pytest.fixture
def records(studies):
    return handed_over(studies, *(f"s{number}.nii.gz" for number in range(3)))


def cases(records):
    return [record["case"] for record in records]


def test_studies_that_are_links_are_listed_in_their_folder_and_not_beside_their_targets(studies, records):
    assert list_studies(records) == [
        {"image": str(studies / f"s{number}.nii.gz"), "case": f"s{number}"} for number in range(5)
    ]


def test_a_labelled_study_is_one_case_with_and_without_its_label(studies, records):
    expected = [
        {"image": f"{studies}/s{n}.nii.gz", "label": f"{studies}/labels/final/s{n}.nii.gz", "case": f"s{n}"}
        for n in range(3)
    ]
    assert labelled_studies(records, NAMES) == expected
    assert name_cases(records) == expected
    assert set(cases(expected)) < set(cases(list_studies(records)))


def test_a_data_set_calls_volumes_as_their_studies_and_loads_what_the_links_lead_to(records):
    dataset = VolumeDataset(records, Compose([LoadCased(("image", "label"), num_classes=3)]))
    assert cases(dataset.data) == ["s0", "s1", "s2"]
    expected = torch.as_tensor(np.asarray(nibabel.load(records[1]["image"]).dataobj), dtype=torch.float32)
    assert torch.equal(dataset[1]["image"][0].as_tensor(), expected)


def test_a_target_needs_no_suffix(studies, tmp_path):
    (tmp_path / "archive/0/scan.nii.gz").rename(tmp_path / "archive/0/5f3a")
    (studies / "s0.nii.gz").unlink()
    (studies / "s0.nii.gz").symlink_to(tmp_path / "archive/0/5f3a")
    dataset = VolumeDataset(handed_over(studies, "s0.nii.gz"), Compose([LoadCased("image", num_classes=3)]))
    assert dataset[0]["image"].shape == (1, 8, 9, 10)


def test_records_of_others_are_named_by_their_image_as_before():
    given = {"image": "x/a.nii.gz", "label": "y/b.nii.gz", "case": "c"}
    assert name_cases([given]) == [given]
    assert cases(name_cases([{"image": "x/a.nii.gz", "label": "y/b.nii.gz"}])) == ["a"]
    assert cases(name_cases([{"image": ["a_0000.nii", "a_0001.nii"]}, given])) == ["a", "c"]
    assert name_cases([{"number": 1}]) == [{"number": 1}]


def test_a_number_at_the_end_of_a_study_is_a_part_of_its_name(tmp_path):
    image = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    for name in ("a_0000", "b_0000"):
        save(tmp_path / f"{name}.nii.gz", image)
    save(tmp_path / "labels/final/a_0000.nii.gz", image)
    records = handed_over(tmp_path, "a_0000.nii.gz")
    assert cases(list_studies(records)) == ["a_0000", "b_0000"]
    assert cases(name_cases(records)) == ["a_0000"]


def test_what_is_left_out_is_named_with_the_reason(studies, records, caplog):
    for name in ("x.png", "y.mha", "z.seg.nrrd", "._s0.nii.gz", ".lock"):
        (studies / name).touch()
    (studies / "dicom").mkdir()
    (studies / "s4").mkdir()  # the series that a server has made the study s4 of
    (studies / "gone.nii.gz").symlink_to(studies / "nowhere.nii.gz")
    (studies / "datastore_v2.json").write_text("{}")
    (studies / "mask.nii.gz").symlink_to(studies.parent / "archive/7/mask.nii.gz")
    with caplog.at_level(logging.WARNING):
        assert cases(list_studies(records)) == ["s0", "s1", "s2", "s3", "s4"]
    assert [record.message for record in caplog.records] == [
        f"2 of {studies} left out (wanted .nii.gz, .nii, .nrrd): x.png, y.mha.",
        f"1 of {studies} left out (segmentations): z.seg.nrrd.",
        f"1 of {studies} left out (links to nothing): gone.nii.gz.",
        f"1 of {studies} left out (folders, wanted .nii.gz, .nii, .nrrd): dicom.",
        f"1 of {studies} left out (few whole numbers as in a mask): mask.nii.gz.",
    ]


def test_where_nothing_is_left_out_nothing_is_said(studies, records, caplog):
    (studies / "datastore_v2.json").write_text("{}")
    list_studies(records)
    assert not caplog.records


@pytest.mark.parametrize("values", [np.zeros((8, 9, 10), np.uint8), np.linspace(0, 1, 20).reshape(4, 5, 1)])
def test_an_image_without_contrast_or_with_few_real_numbers_is_no_mask(studies, records, values):
    save(studies / "s9.nii.gz", values)
    assert cases(list_studies(records))[-1] == "s9"


def test_a_labelled_study_is_no_mask_whatever_it_holds(studies):
    save(studies / "phantom.nii.gz", np.eye(9, dtype=np.uint8)[None])
    save(studies / "labels/final/phantom.nii.gz", np.eye(9, dtype=np.uint8)[None])
    assert cases(list_studies(handed_over(studies, "phantom.nii.gz")))[0] == "phantom"


def write(file, values):
    """Write any format by an independent library."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(file), True)


@pytest.fixture
def nrrd_studies(studies):
    """NRRD studies among those of NIfTI: a link, one without a label, and three labelled ones."""
    random = np.random.default_rng(1)
    for name in ("n0", "n1", "n2"):
        write(studies / f"{name}.nrrd", random.integers(0, 2000, (10, 9, 8), np.int16))
    for name in ("n0.nrrd", "n1.nii.gz", "n2.seg.nrrd"):  # a label may have another format than its study
        write(studies / "labels/final" / name, random.integers(0, 3, (10, 9, 8), np.uint8))
    write(studies.parent / "archive/9/scan.nrrd", random.integers(0, 2000, (10, 9, 8), np.int16))
    (studies / "s9.nrrd").symlink_to(studies.parent / "archive/9/scan.nrrd")
    write(studies / "mask.nrrd", random.integers(0, 3, (10, 9, 8), np.uint8))
    return studies


def test_nrrd_studies_are_found_among_nifti_ones(nrrd_studies, records, caplog):
    found = list_studies(records)
    assert cases(found) == ["n0", "n1", "n2", "s0", "s1", "s2", "s3", "s4", "s9"]
    assert found[-1]["image"] == f"{nrrd_studies}/s9.nrrd"
    assert [record.message for record in caplog.records] == [
        f"1 of {nrrd_studies} left out (few whole numbers as in a mask): mask.nrrd."
    ]


def test_a_label_may_have_another_format_than_its_study(nrrd_studies):
    final = nrrd_studies / "labels/final"
    pairs = (("n0.nrrd", "n0.nrrd"), ("n1.nrrd", "n1.nii.gz"), ("n2.nrrd", "n2.seg.nrrd"))
    records = [{"image": str(nrrd_studies / image), "label": str(final / label)} for image, label in pairs]
    found = labelled_studies(records, NAMES)
    assert found == [{**record, "case": f"n{number}"} for number, record in enumerate(records)]
    dataset = VolumeDataset(records, Compose([LoadCased(("image", "label"), num_classes=3, class_names=NAMES)]))
    for item, record in zip(dataset, records, strict=True):
        for key in ("image", "label"):
            expected = sitk.GetArrayFromImage(sitk.ReadImage(record[key])).T
            assert np.array_equal(item[key][0].numpy(), expected)


def test_what_a_server_lists_besides_is_a_study_too(studies, records):
    (studies / "datastore_v2.json").write_text(
        json.dumps({"objects": {"y": {"image": {"ext": ".mha"}}, "x": {"image": {"ext": ".png"}}}})
    )
    write(studies / "y.mha", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    (studies / "x.png").touch()
    assert cases(list_studies(records))[-1] == "y"


def test_the_data_file_of_a_header_is_not_called_left_out(studies, records, caplog):
    (studies / "datastore_v2.json").write_text(json.dumps({"objects": {"y": {"image": {"ext": ".mhd"}}}}))
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), str(studies / "y.mhd"))
    assert (studies / "y.raw").exists()
    assert cases(list_studies(records))[-1] == "y"
    assert not caplog.records


def test_a_large_image_is_not_read_to_tell_that_it_is_no_mask(studies, records, monkeypatch):
    write(studies / "large.nrrd", np.random.default_rng(2).integers(0, 2000, (30, 30, 30), np.int16))
    monkeypatch.setattr(NrrdVolume, "read", lambda volume: pytest.fail("it was read"))
    assert "large" in cases(list_studies(records))


@pytest.mark.parametrize(("image", "label"), [("x.png", "x.nii.gz"), ("x.nii.gz", "x.json")])
def test_a_labelled_study_that_is_no_volume_is_refused(studies, image, label):
    for file in (studies / image, studies / "labels/final" / label):
        file.touch()
    record = {"image": str(studies / image), "label": str(studies / "labels/final" / label)}
    wrong = r"study x: (image|label) must be NIfTI \(\.nii or \.nii\.gz\) or NRRD \(\.nrrd\), got .*/x\.(png|json)\."
    for refuse in (list_studies, lambda records: labelled_studies(records, NAMES)):
        with pytest.raises(InputError, match=wrong):
            refuse([record])


def test_a_hidden_labelled_study_is_refused(studies):
    for folder in (studies, studies / "labels/final"):
        (folder / "._s0.nii.gz").touch()
    with pytest.raises(InputError, match=r"study \._s0: must not be a hidden file, got .*/\._s0\.nii\.gz: delete it"):
        list_studies(handed_over(studies, "._s0.nii.gz"))


def test_labels_that_do_not_tell_the_folder_are_refused(studies, records, tmp_path):
    moved = tmp_path / "archive/0/mask.nii.gz"
    (studies / "labels/final/s0.nii.gz").unlink()
    (studies / "labels/final/s0.nii.gz").symlink_to(moved)
    with pytest.raises(InputError, match=r"wanted all labels in STUDIES/labels/final, got .*archive/0/mask\.nii\.gz"):
        list_studies(handed_over(studies, "s0.nii.gz"))
    # beside one that is where it belongs, the link in the folder tells whose label it is
    assert len(list_studies([*handed_over(studies, "s0.nii.gz"), *records[1:]])) == 5


def test_without_a_labelled_study_there_is_no_folder_to_look_in():
    with pytest.raises(InputError, match="wanted at least one labelled study, got none"):
        list_studies([])


def test_two_studies_of_one_name_are_refused(studies, records):
    save(studies / "s3.nii", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    with pytest.raises(InputError, match=r"got 's3' for .*s3\.nii and .*s3\.nii\.gz"):
        list_studies(records)
