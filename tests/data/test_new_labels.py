from __future__ import annotations

import json
import warnings

import pytest

from semicl_monai.data import SegmentationDatalist
from semicl_monai.utils import InputError, Provenance, image_digest


def entry(case, label=True):
    return {"image": f"{case}.nii", **({"label": f"{case}_seg.nii"} if label else {})}


@pytest.fixture
def data(tmp_path):
    """Write a data set of empty files: ``data(labelled=..., bare=..., **other lists)``."""

    def write(labelled, bare=(), **lists):
        lists["training"] = [*(entry(case) for case in labelled), *(entry(case, False) for case in bare)]
        for name in [file for entries in lists.values() for e in entries for file in e.values()]:
            (tmp_path / name).touch()
        (tmp_path / "dataset.json").write_text(json.dumps(lists))
        return tmp_path

    return write


def seen(record):
    return {"case": record["case"], "image": image_digest(record["image"]), "patient": record["case"]}


def names(prefix, number):
    return [f"{prefix}{index:02d}" for index in range(number)]


def grown(root, file, **options):
    return SegmentationDatalist(root, split_file=file, add_new_labels="true", **options)


def test_what_is_held_out_stays_and_every_new_label_trains(data, tmp_path):
    root = data(names("a", 10), names("b", 4))
    before = SegmentationDatalist(root, split_seed=2, save_to=tmp_path / "split.json").split
    data([*names("a", 10), "b00", "b01", "n00"], ["b02", "b03", "n01"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        now = grown(root, tmp_path / "split.json", save_to=tmp_path / "new" / "split.json")
    assert (now.split["validation"], now.split["test"]) == (before["validation"], before["test"])
    assert now.split["labelled"] == [*before["labelled"], "b00", "b01", "n00"]
    assert now.split["unlabelled"] == ["b02", "b03", "n01"]
    assert [record["label"] for record in now.labelled[-1:]] == [str(tmp_path / "n00_seg.nii")]
    assert SegmentationDatalist(root, split_file=tmp_path / "new" / "split.json").split == now.split


def test_weights_of_the_earlier_split_may_go_on_and_be_evaluated(data, tmp_path):
    root = data(names("a", 10), ["b00"])
    before = SegmentationDatalist(root, labelled_fraction=3, save_to=tmp_path / "model.json")
    data([*names("a", 10), "b00", "n00"])
    for image in tmp_path.glob("*.nii"):
        image.write_text(image.name)
    known = Provenance(labelled=tuple(map(seen, before.labelled)), unlabelled=tuple(map(seen, before.unlabelled)))
    for evaluated in (None, "test", "validation"):
        now = grown(root, tmp_path / "model.json", provenance=known, evaluated=evaluated)
        assert now.split["labelled"][3:] == ["b00", "n00"]


def test_labels_that_the_earlier_split_hid_on_purpose_stay_hidden(data, tmp_path):
    root = data(names("a", 10), ["b00"])
    before = SegmentationDatalist(root, labelled_fraction=0.5, save_to=tmp_path / "split.json").split
    assert json.loads((tmp_path / "split.json").read_text())["unused_labels"] == before["unlabelled"][:3]
    data([*names("a", 10), "b00"], ["n00"])
    now = grown(root, tmp_path / "split.json", save_to=tmp_path / "again.json")
    assert now.split["labelled"] == [*before["labelled"], "b00"]
    assert now.split["unlabelled"] == [*before["unlabelled"][:3], "n00"]
    # and after the next growth too
    data([*names("a", 10), "b00", "n00"])
    assert grown(root, tmp_path / "again.json").split["unlabelled"] == before["unlabelled"][:3]


@pytest.mark.parametrize(("fraction", "trusted"), [(1.0, True), (0.5, False), (3, False)])
def test_a_file_of_an_earlier_version_is_read_and_nothing_hidden_is_guessed(data, tmp_path, fraction, trusted):
    root, file = data(names("a", 10), ["b00"]), tmp_path / "split.json"
    before = SegmentationDatalist(root, labelled_fraction=fraction, save_to=file).split
    content = json.loads(file.read_text())
    del content["unused_labels"]
    file.write_text(json.dumps(content))
    assert SegmentationDatalist(root, split_file=file).split == before
    data([*names("a", 10), "b00", "n00"])
    if trusted:
        assert grown(root, file).split["labelled"] == [*before["labelled"], "b00", "n00"]
        return
    with pytest.warns(UserWarning, match="does not say which labels were left unused on purpose. .* b00. To use their"):
        assert grown(root, file).split["labelled"] == [*before["labelled"], "n00"]


def test_new_scans_of_a_held_out_patient_are_left_out(data, tmp_path):
    root = data([f"p{n}_1" for n in range(6)])
    before = SegmentationDatalist(root, group_pattern=r"p\d", save_to=tmp_path / "split.json").split
    held_out, trained = (f"{before[part][0][:2]}_2" for part in ("test", "labelled"))
    data([*(f"p{n}_1" for n in range(6)), held_out, trained])
    with pytest.warns(UserWarning, match=f"other scans of their patients are held out: {held_out}"):
        now = grown(root, tmp_path / "split.json", group_pattern=r"p\d").split
    assert now["labelled"] == [*before["labelled"], trained]
    assert held_out not in now["unlabelled"]


def test_new_cases_of_the_data_sets_own_held_out_lists_do_not_train(data, tmp_path):
    root = data(names("a", 6), test=[entry("t0")])
    before = SegmentationDatalist(root, save_to=tmp_path / "split.json").split
    data(names("a", 6), test=[entry("t0"), entry("t1")])
    with pytest.warns(UserWarning, match="the data set holds out these cases and the split_file lacks them: t1"):
        assert grown(root, tmp_path / "split.json").split == before


def test_an_unlabelled_case_that_the_data_set_now_holds_out_gets_no_label(data, tmp_path):
    root = data(names("a", 6), ["b00"])
    before = SegmentationDatalist(root, save_to=tmp_path / "split.json").split
    data(names("a", 6), test=[entry("b00")])
    assert grown(root, tmp_path / "split.json").split == before


def test_fewer_labels_or_a_missing_case_are_one_line(data, tmp_path):
    root, file = data(names("a", 5)), tmp_path / "split.json"
    lost = SegmentationDatalist(root, save_to=file).split["labelled"][0]
    others = [case for case in names("a", 5) if case != lost]
    data(others, [lost])
    with pytest.raises(InputError, match=rf"split_file .*split\.json needs labels of cases that have none: {lost}"):
        grown(root, file)
    data(others)
    with pytest.raises(InputError, match=rf"split_file .* names cases that the datalist does not have: {lost}"):
        grown(root, file)


def test_without_the_option_new_labels_are_not_used_and_that_is_said(data, tmp_path):
    root = data(names("a", 5))
    before = SegmentationDatalist(root, save_to=tmp_path / "split.json").split
    data([*names("a", 5), "n00"])
    with pytest.warns(UserWarning, match="lacks labelled cases; --add_new_labels true trains with them: n00"):
        assert SegmentationDatalist(root, split_file=tmp_path / "split.json").split == before


def test_it_wants_an_earlier_split_and_a_switch(data):
    with pytest.raises(InputError, match="add_new_labels true adds labels to an earlier split: give its file by --sp"):
        SegmentationDatalist(data(names("a", 5)), add_new_labels=True)
    with pytest.raises(InputError, match="add_new_labels must be true or false, got 'yes'"):
        SegmentationDatalist(data(names("a", 5)), add_new_labels="yes")


def test_a_file_whose_unused_labels_are_no_names_is_refused(data, tmp_path):
    root, file = data(names("a", 5)), tmp_path / "split.json"
    SegmentationDatalist(root, save_to=file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "unused_labels": "a00"}))
    with pytest.raises(InputError, match="'unused_labels' must be a list of case names, got a00"):
        grown(root, file)
