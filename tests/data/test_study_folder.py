from __future__ import annotations

import json
from pathlib import Path

import pytest

from semicl_monai.data import study_folder
from semicl_monai.data.study_folder import find_study_folder
from semicl_monai.utils import InputError


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MONAI_LABEL_STUDIES", raising=False)


@pytest.fixture
def studies(tmp_path):
    """Three studies, two of them labelled, one of these a link to an archive where it has another name."""
    folder, archive = tmp_path / "studies", tmp_path / "archive"
    (folder / "labels/final").mkdir(parents=True)
    archive.mkdir()
    for name in ("scan.nii.gz", "other.nii.gz"):
        (archive / name).touch()
    (folder / "a.nii.gz").symlink_to(archive / "scan.nii.gz")
    (folder / "b.nii.gz").touch()
    (folder / "c.nii").touch()
    for name in "ab":
        (folder / f"labels/final/{name}.nii.gz").touch()
    return folder


def handed_over(folder, *names):
    """The records of some studies as MONAI Label 0.8.5 makes them: all links resolved."""
    return [
        {"image": str((folder / name).resolve()), "label": str((folder / "labels/final" / name).resolve())}
        for name in names
    ]


def write(folder, **content):
    (folder / "datastore_v2.json").write_text(json.dumps(content))


def test_a_study_that_is_a_link_is_called_as_it_is_in_the_folder(studies):
    records = handed_over(studies, "a.nii.gz", "b.nii.gz")
    assert records[0]["image"].endswith("archive/scan.nii.gz")
    found = find_study_folder(records)
    assert found.images == studies
    assert [found.record(record) for record in records] == [
        {"image": f"{studies}/{name}.nii.gz", "label": f"{studies}/labels/final/{name}.nii.gz", "case": name}
        for name in "ab"
    ]


def test_the_datastore_may_name_other_folders(studies):
    (studies / "done").mkdir()
    (studies / "labels/final").rename(studies / "done/final")
    (studies / "b.nii.gz").rename(studies / "done/b.nii.gz")
    write(studies, images_dir="done", labels_dir="done")
    record = {"image": str(studies / "done/b.nii.gz"), "label": str(studies / "done/final/b.nii.gz")}
    assert find_study_folder([record]).record(record) == {**record, "case": "b"}


def test_with_the_folder_that_the_server_was_started_with_labels_may_be_links_too(studies, tmp_path, monkeypatch):
    (tmp_path / "archive/labels").mkdir()
    (studies / "labels/final").rename(tmp_path / "archive/labels/final")
    (studies / "labels/final").symlink_to(tmp_path / "archive/labels/final")
    write(studies)
    records = handed_over(studies, "a.nii.gz")
    assert Path(records[0]["label"]).parent == tmp_path / "archive/labels/final"
    assert find_study_folder(records).images == tmp_path / "archive"  # nothing else can be known
    monkeypatch.setenv("MONAI_LABEL_STUDIES", str(studies))
    assert find_study_folder(records).record(records[0])["case"] == "a"
    assert find_study_folder(records).images == studies


@pytest.mark.parametrize("address", ["http://127.0.0.1:8042/dicom-web", "", "/nowhere"])
def test_a_server_for_dicom_keeps_its_studies_around_the_labels(studies, monkeypatch, address):
    monkeypatch.setenv("MONAI_LABEL_STUDIES", address)
    assert find_study_folder(handed_over(studies, "b.nii.gz")).images == studies


def test_a_relative_folder_gives_absolute_paths(studies, monkeypatch):
    write(studies)
    monkeypatch.chdir(studies.parent)
    monkeypatch.setenv("MONAI_LABEL_STUDIES", "studies")
    assert find_study_folder(handed_over(studies, "b.nii.gz")).images == studies


def test_a_datastore_in_the_working_folder_is_not_that_of_a_server(studies, tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONAI_LABEL_STUDIES", "")
    assert find_study_folder(handed_over(studies, "b.nii.gz")).images == studies


@pytest.mark.parametrize(
    "label", ["labelsTr/a.nii.gz", "final/a.nii.gz", "masks/final/a.nii.gz", "labels/original/a.nii.gz"]
)
def test_ordinary_data_are_no_studies(tmp_path, label):
    file = tmp_path / label
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_study_folder([{"image": str(tmp_path / "a.nii.gz"), "label": str(file)}]) is None


def test_records_without_labels_are_no_studies(studies):
    assert find_study_folder([]) is None
    assert find_study_folder([*handed_over(studies, "a.nii.gz"), {"image": "b.nii.gz"}]) is None
    assert find_study_folder([{"image": "a", "label": [0, 0]}]) is None


def test_what_a_client_said_of_a_label_is_found_by_the_name_of_the_study(studies):
    write(studies, objects={"a": {"labels": {"final": {"info": {"label_info": [1]}}, "original": {"info": {}}}}})
    found = find_study_folder(handed_over(studies, "a.nii.gz"))
    assert found.info("a") == {"label_info": [1]}
    assert found.info("b") == {}


@pytest.mark.parametrize("objects", [None, [], {"a": None}, {"a": {"labels": []}}, {"a": {"labels": {"final": 1}}}])
def test_a_datastore_that_says_nothing_of_a_label_is_as_good_as_none(studies, objects):
    write(studies, objects=objects)
    assert find_study_folder(handed_over(studies, "a.nii.gz")).info("a") == {}


@pytest.mark.parametrize(("text", "wrong"), [("{", "must be a JSON file"), ("[]", "must hold a JSON object")])
def test_a_broken_datastore_is_refused(studies, text, wrong):
    (studies / study_folder.DATASTORE).write_text(text)
    with pytest.raises(InputError, match=rf"the datastore of MONAI Label .*studies/datastore_v2\.json {wrong}"):
        find_study_folder(handed_over(studies, "a.nii.gz"))


def test_data_that_are_not_those_of_the_server_are_no_studies(studies, tmp_path, monkeypatch):
    write(studies)
    monkeypatch.setenv("MONAI_LABEL_STUDIES", str(studies))
    other = tmp_path / "other/labels/final/a.nii.gz"
    other.parent.mkdir(parents=True)
    other.touch()
    assert find_study_folder([{"image": str(tmp_path / "other/a.nii.gz"), "label": str(other)}]) is None


@pytest.mark.parametrize(("listed", "case"), [("a", "a"), ("a.seg", "a.seg")])
def test_a_study_is_called_as_the_server_calls_it(studies, listed, case):
    """By default a server calls ``a.seg.nrrd`` ``a.seg``, unless ``*.seg.nrrd`` is among its endings."""
    label = studies / "labels/final/a.seg.nrrd"
    label.touch()
    ext = label.name.removeprefix(listed)
    write(studies, objects={listed: {"labels": {"final": {"ext": ext, "info": {"params": 1}}}}})
    record = {"image": str(studies / "a.nii.gz"), "label": str(label)}
    found = find_study_folder([record])
    assert found.record(record)["case"] == case
    assert found.info(case) == {"params": 1}


def test_the_endings_of_studies_are_those_that_the_server_lists_and_that_are_read(studies):
    write(studies, objects={name: {"image": {"ext": name}} for name in (".mha", ".png", ".nii", ".dcm")})
    found = find_study_folder(handed_over(studies, "a.nii.gz"))
    assert found.suffixes == (".nii.gz", ".nii", ".nrrd", ".mha")
