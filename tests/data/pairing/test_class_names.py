from __future__ import annotations

import pytest

from semicl_monai.data.pairing import names_of_table, parse_class_names, read_name
from semicl_monai.utils import InputError


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("liver,tumour", {1: "liver", 2: "tumour"}),
        ("[liver, 'left kidney']", {1: "liver", 2: "left kidney"}),
        (["liver", "tumour"], {1: "liver", 2: "tumour"}),
        (("liver",), {1: "liver"}),
        ("lv=500, myocardium=205", {500: "lv", 205: "myocardium"}),
        ("tumour=2", {2: "tumour"}),
    ],
)
def test_names_stand_for_1_2_or_for_their_own_values(given, names):
    assert parse_class_names(given) == names


@pytest.mark.parametrize("given", ["", "a,,b", "a,a", "a=0", "a=x", "a=1,b=1", "a,b=1"])
def test_names_that_cannot_be_are_refused(given):
    with pytest.raises(InputError, match=r"class_names must be names that differ, such as 'liver,tumour' or .*, got '"):
        parse_class_names(given)


@pytest.fixture
def label(tmp_path):
    (tmp_path / "derivatives/x/sub-1").mkdir(parents=True)
    return read_name(str(tmp_path / "derivatives/x/sub-1/sub-1_dseg.nii"), "derivatives/x/sub-1/sub-1_dseg.nii")


def test_a_table_of_bids_names_the_classes(label, tmp_path):
    assert names_of_table([label]) == {}
    table = "index\tname\tcolor\n0\tBackground\t#000\n2\tGrey matter\t#111\n1\tWhite matter\t#222\n"
    (tmp_path / "derivatives/x/desc-a_dseg.tsv").write_text(table)
    (tmp_path / "other_dseg.tsv").write_text(table)
    (tmp_path / "derivatives/y_dseg.csv").write_text("")
    (tmp_path.parent / "dseg.tsv").write_text("above the root")
    assert names_of_table([label]) == {1: "White matter", 2: "Grey matter"}


@pytest.mark.parametrize("text", ["", "name\nliver\n", "index\tname\nx\tliver\n", "index\tname\n1\n"])
def test_a_table_of_another_form_is_refused(label, tmp_path, text):
    (tmp_path / "dseg.tsv").write_text(text)
    if text == "":
        assert names_of_table([label]) == {}
        return
    with pytest.raises(
        InputError, match=r"dseg\.tsv must have columns 'index' and 'name': correct it, or give --class"
    ):
        names_of_table([label])


def test_tables_that_differ_are_refused(label, tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}_dseg.tsv").write_text(f"index\tname\n{number}\tliver\n")
    with pytest.raises(InputError, match=r"tables of classes must be equal, got .*1_dseg\.tsv and .*2_dseg\.tsv"):
        names_of_table([label])
