from __future__ import annotations

import json
from pathlib import Path

import pytest

from semicl_monai.data import SegmentationDatalist, propose_pattern
from semicl_monai.utils import InputError

PATTERN = r"(patient\d+)_"


def scans(*patients, frames=2):
    return [f"patient{number:03d}_frame{frame:02d}" for number in patients for frame in range(1, frames + 1)]


def entry(case, label=True, **other):
    return {"image": f"{case}.nii", **({"label": f"{case}_seg.nii"} if label else {}), **other}


@pytest.fixture
def read(tmp_path):
    """Write a datalist and its files, all empty, and split it."""

    def read(lists, **options):
        for name in [name for entries in lists.values() for e in entries for name in (e["image"], e.get("label"))]:
            if name:
                (tmp_path / name).touch()
        (tmp_path / "dataset.json").write_text(json.dumps(lists))
        return SegmentationDatalist(tmp_path, **options)

    return read


def patients(cases):
    return {case.split("_")[0] for case in cases}


def test_no_patient_is_on_two_sides_and_all_scans_of_one_are_labelled_or_none(read):
    lists = {"training": [entry(case) for case in scans(*range(10))]}
    for seed in range(4):
        split = read(lists, group_pattern=PATTERN, split_seed=seed, labelled_fraction=0.5).split
        of_parts = [patients(cases) for cases in split.values()]
        assert [len(part) for part in of_parts] == [3, 3, 2, 2]
        assert len(set.union(*of_parts)) == 10
        assert [len(cases) for cases in split.values()] == [6, 6, 4, 4]
    by_volume = read(lists, split_seed=3).split
    assert patients(by_volume["test"]) & patients(by_volume["labelled"])


def test_a_count_is_of_patients_and_the_subsets_are_nested(read):
    lists = {"training": [entry(case) for case in scans(*range(10))]}
    one, three = (read(lists, group_pattern=PATTERN, labelled_fraction=count).split for count in (1, 3))
    assert (len(one["labelled"]), len(three["labelled"])) == (2, 6)
    assert three["labelled"][:2] == one["labelled"]
    assert one["test"] == three["test"]
    with pytest.raises(InputError, match="asks for 7 patients, but there are 6 training patients"):
        read(lists, group_pattern=PATTERN, labelled_fraction=7)


def test_where_each_case_is_a_patient_the_split_is_the_same_whatever_the_patients_are_called(read):
    lists = {"training": [entry(f"case_{number:02d}") for number in range(12)]}
    # in the order of their names the patients come otherwise than the cases: 0, 1, 11, ...
    named = {"training": [{**e, "patient": str(97 * n % 12)} for n, e in enumerate(lists["training"])]}
    plain = read(lists, split_seed=3).split
    assert read(named, split_seed=3).split == plain
    assert read(lists, split_seed=3, group_pattern=r"\d+").split == plain


def test_records_carry_their_patient_on_and_only_where_one_is_known(read):
    lists = {"training": [*(entry(case) for case in scans(1, 2, 3, 4)), entry("solo", patient=7), entry("bare", False)]}
    datalist = read(lists)
    of = {r["case"]: r["patient"] for r in datalist.training + datalist.validation + datalist.test}
    assert (of["solo"], of["bare"], of["patient001_frame01"]) == ("7", "bare", "patient001_frame01")
    assert {"image", "case", "patient"} == set(datalist.validation_images[0])
    datalist = read({"training": [entry(case) for case in scans(1, 2, 3, 4)]}, group_pattern=PATTERN)
    assert all(r["case"].startswith(f"{r['patient']}_") for r in datalist.labelled)
    assert "patient" not in read({"training": [entry(case) for case in scans(1, 2, 3, 4)]}).labelled[0]


def test_a_patient_of_an_entry_goes_before_the_expression_and_need_not_match_it(read):
    lists = {"training": [*(entry(case) for case in scans(1, 2, 3)), entry("other", patient="patient001")]}
    split = read(lists, group_pattern=PATTERN).split
    (part,) = (part for part, cases in split.items() if "other" in cases)
    assert {"patient001_frame01", "patient001_frame02"} < set(split[part])


def test_unlabelled_scans_of_a_held_out_patient_are_left_out_with_a_warning(read):
    lists = {"training": [entry(case, case.endswith("1")) for case in scans(*range(6))]}
    held_out = read({"training": lists["training"][::2]}, group_pattern=PATTERN).split
    lost = sorted(case.replace("01", "02") for part in ("validation", "test") for case in held_out[part])
    with pytest.warns(UserWarning, match="Left out of training, as other scans of their patients are held out: pat"):
        split = read(lists, group_pattern=PATTERN).split
    assert sorted(scans(*range(6))) == sorted([*lost, *(case for cases in split.values() for case in cases)])
    assert not patients(split["unlabelled"]) & patients(split["test"] + split["validation"])


@pytest.mark.parametrize(
    ("one", "other"), [("training", "test"), ("unlabelled", "test"), ("training", "validation"), ("validation", "test")]
)
def test_own_lists_with_a_patient_on_two_sides_are_refused(read, one, other):
    lists = {"training": [entry(case) for case in scans(1, 2, 3, 4)], "unlabelled": [], "validation": [], "test": []}
    lists[one].append(entry("patient009_frame01", one != "unlabelled"))
    lists[other].append(entry("patient009_frame02"))
    side = "training" if one == "unlabelled" else one
    wanted = rf"got patient009 in {side} \(patient009_frame01\) and in {other} \(patient009_frame02\)"
    with pytest.raises(InputError, match=rf"dataset\.json: a patient must be on one side of the split, {wanted}"):
        read(lists, group_pattern=PATTERN)
    read(lists)  # nobody has said that these are one patient


def test_a_split_file_tells_the_expression_it_was_made_with(read, tmp_path):
    lists = {"training": [entry(case) for case in scans(*range(10))]}
    first = read(lists, group_pattern=PATTERN, save_to=tmp_path / "split.json").split
    patient = first["test"][0].split("_")[0]
    lists["training"].append(entry(f"{patient}_frame99"))
    grown = {"split_file": tmp_path / "split.json", "add_new_labels": True, "save_to": tmp_path / "grown.json"}
    for file in ("split.json", "grown.json"):
        with pytest.warns(UserWarning, match=f"other scans of their patients are held out: {patient}_frame99"):
            assert read(lists, **{**grown, "split_file": tmp_path / file}).split == first
    assert f"{patient}_frame99" in read(lists, **grown, group_pattern="none").split["labelled"]


def test_a_split_file_with_a_patient_on_two_sides_is_refused(read, tmp_path):
    lists = {"training": [entry(case) for case in scans(1, 2, 3)]}
    split = {"labelled": scans(1), "unlabelled": [], "validation": scans(2)[:1], "test": [scans(2)[1], *scans(3)]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match=r"split_file .*: a patient must .* got patient002 in validation .* in test"):
        read(lists, group_pattern=PATTERN, split_file=tmp_path / "split.json")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(patient", r"must be a regular expression, got '\(patient': missing \)"),
        (7, "must be a regular expression, got 7, which is no text"),
        (r"^case_(\d+)", r"must find a patient in every case name, got none in patient001_frame01, .* and 3 more"),
        (r"(x*)", r"must find a patient in every case name, got none in patient001_frame01"),
    ],
)
def test_an_expression_that_finds_no_patients_is_refused(read, pattern, message):
    with pytest.raises(InputError, match=f"group_pattern .*{message}"):
        read({"training": [entry(case) for case in scans(1, 2, 3, 4)]}, group_pattern=pattern)


@pytest.mark.parametrize("nothing", [None, "none", "None", ""])
def test_none_is_no_expression(read, nothing):
    assert "patient" not in read({"training": [entry(c) for c in scans(1, 2, 3)]}, group_pattern=nothing).labelled[0]


@pytest.mark.parametrize("patient", ["", True, ["a"], 1.5])
def test_a_patient_without_a_name_is_refused(read, patient):
    with pytest.raises(InputError, match="entry 1 of 'training': 'patient' must be a name or a number, got "):
        read({"training": [entry("a", patient=patient)]})


@pytest.mark.parametrize(
    ("cases", "patient"),
    [
        (scans(1, 2, 3), "patient001"),
        ([f"sub-{n:02d}_ses-{s}_T1w" for n in range(4) for s in (1, 2)], "sub-00"),
        ([f"ADNI3_sub-{n:02d}_ses-{s}" for n in range(4) for s in (1, 2)], "ADNI3_sub-00"),
        (["patient001", *scans(2, 3)], "patient001"),
    ],
)
def test_a_stem_that_ends_in_a_digit_is_proposed_as_the_patient(read, cases, patient):
    pattern = propose_pattern(cases)
    first, *_ = read({"unlabelled": [entry(c, False) for c in cases], "training": [entry("0", patient="0")]},
                     group_pattern=pattern, validation="none").unlabelled  # fmt: skip
    assert first["patient"] == patient


@pytest.mark.parametrize(
    "name",
    ["hippocampus_{:03d}", "BRATS_{:03d}", "ct_train_{}", "BraTS20_Training_{:03d}", "case_{:05d}", "{}", "p{}_x_{}"],
)
def test_numbered_cases_are_no_patients(name):
    assert propose_pattern([name.format(number, number) for number in range(1001, 1021)]) is None


def test_hospitals_of_many_cases_are_no_patients():
    assert propose_pattern([f"site{site}_{number:03d}" for site in range(4) for number in range(30)]) is None


def test_the_acdc_lists_go_by_patient(request):
    folder = Path(__file__).parents[3] / "shared" / "data" / "ACDC"
    if not (folder / "all_patients.json").is_file():
        pytest.skip(f"no ACDC lists at {folder}")
    content = json.loads((folder / "all_patients.json").read_text())
    cases = [Path(e["image"]).name.removesuffix(".nii.gz") for e in content["training"]]
    pattern = propose_pattern(cases)
    datalist = SegmentationDatalist(folder, "all_patients.json", labelled_fraction=3, group_pattern=pattern)
    assert [len(part) for part in datalist.split.values()] == [6, 134, 10, 10]
    assert len(patients(datalist.split["labelled"])) == 3


def test_blanks_around_a_patient_are_no_part_of_its_name(read):
    lists = read({"training": [entry(f"c{n}", patient=("P" + str(n // 2) + " " * (n % 2))) for n in range(10)]})
    assert {record["patient"] for record in lists.labelled} == {record["patient"].strip() for record in lists.labelled}
    assert len(lists.test) == len(lists.validation) == 2


def test_one_label_for_two_patients_is_refused_and_for_scans_of_one_patient_it_is_not(read):
    scans = [entry(f"c{number}", patient=str(number)) for number in range(5)]
    scans.append({**scans[0], "image": "d.nii"})
    assert len(read({"training": scans}).split["labelled"]) >= 3
    scans[-1]["patient"] = "another"
    with pytest.raises(
        InputError, match=r"case d: each patient must have its own label, but .*c0_seg\.nii is also the label of c0"
    ):
        read({"training": scans})
