"""The results that are committed beside a bundle, and the settings that made them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from monai.bundle import ConfigParser

from semicl_monai.study import make_cells, mean_of, read_entries, read_variants, saving_table, score_rows, score_tables
from semicl_monai.utils import method_options, read_json

BUNDLES = Path(__file__).parents[2] / "bundles"
SETTINGS = sorted(BUNDLES.glob("*/docs/results/**/settings.json"))
STUDIES = sorted(file.parent for file in BUNDLES.glob("*/docs/results/**/cells.csv"))


def name(path):
    return str(path.relative_to(BUNDLES))


def table(file):
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("file", SETTINGS, ids=name)
def test_the_settings_change_options_that_the_bundle_has(file):
    bundle = BUNDLES / file.relative_to(BUNDLES).parts[0]
    variants, stages = read_variants(read_json(file, "settings").get("methods", []), file)
    for stages_of_it in (stages, *(variant.options for variant in variants)):
        for stage, options in stages_of_it.items():
            parser = ConfigParser()
            parser.read_config(bundle / "configs" / f"{stage.removeprefix('last_')}.json")
            for option in options:
                # a component may be given an argument that its config leaves at its default
                place = option.rpartition("::")[0] or option
                of_method = method_options(stage.removeprefix("last_"))
                assert place in parser or option in of_method, (
                    f"{file} changes {option} of {stage}, which the bundle does not have"
                )


@pytest.mark.parametrize("folder", STUDIES, ids=name)
def test_each_result_is_of_a_method_that_can_be_run_again_and_has_all_its_cases(folder):
    cells, cases = table(folder / "cells.csv"), table(folder / "cases.csv")
    read_variants([cell["method"] for cell in cells], folder / "settings.json")  # refuses unknown names
    about = ("method", "labelled_fraction", "split_seed")
    rows = defaultdict(set)
    for row in cases:
        rows[tuple(row[key] for key in about)].add((row["case"], row["class"]))
    done = [tuple(cell[key] for key in about) for cell in cells if cell["state"] == "done"]
    assert sorted(done) == sorted(rows)
    assert {len(rows[cell]) for cell in done} == {2 * 40}


@pytest.mark.parametrize("folder", STUDIES, ids=name)
def test_the_report_of_the_results_equals_an_independent_recount(folder):
    recount = defaultdict(lambda: defaultdict(list))
    for row in table(folder / "cases.csv"):
        recount[row["method"], row["labelled_fraction"], row["class"]][row["split_seed"]].append(float(row["dice"]))
    rows = [row for row in score_rows(read_entries(folder)) if row["metric"] == "dice" and row["class"] != "mean"]
    assert {(row["method"], row["labelled_fraction"], row["class"]) for row in rows} == set(recount)
    for row in rows:
        splits = recount[row["method"], row["labelled_fraction"], row["class"]]
        # the report rounds to four digits
        assert float(row["mean"]) == pytest.approx(mean(map(mean, splits.values())), abs=6e-5)


def test_the_readme_of_the_bundle_shows_the_report_of_the_results():
    bundle = BUNDLES / "hippocampus_mri_segmentation" / "docs"
    readme = (bundle / "README.md").read_text(encoding="utf-8")
    entries = read_entries(bundle / "results")
    for shown in [*score_tables(entries), saving_table(entries, "random")]:
        assert shown.markdown() in readme


def test_the_readme_shows_the_means_of_the_results():
    readme = (BUNDLES.parent / "README.md").read_text(encoding="utf-8")
    means = defaultdict(dict)
    for entry in read_entries(BUNDLES / "hippocampus_mri_segmentation" / "docs" / "results"):
        means[entry.method][entry.fraction] = f"{mean_of(entry.dice):.3f}"
    for method, by_fraction in means.items():
        line = f"| `{method}` | {by_fraction['0.05']} | {by_fraction.get('0.2', '')} |"
        assert line in readme.replace("**", "")
    of_the_paper = read_entries(BUNDLES / "hippocampus_mri_segmentation" / "docs" / "results" / "paper")
    means = {entry.method: f"{mean_of(entry.dice):.3f}" for entry in of_the_paper}
    shown = f"mean Dice of {min(means.values())} to {max(means.values())} on split seed 0"
    assert f"{shown} with 6 labelled volumes, and the network from scratch {means['random']}." in " ".join(
        readme.split()
    )


def test_the_readme_of_the_bundle_shows_each_run_of_the_tuning():
    docs = BUNDLES / "hippocampus_mri_segmentation" / "docs"
    _, _, tried = (docs / "README.md").read_text(encoding="utf-8").partition("### What was tried")
    runs = [run for row in re.findall(r"^\|.* 0\..*\|$", tried, flags=re.MULTILINE) for run in runs_of(row)]
    dice = defaultdict(lambda: defaultdict(list))
    for row in table(docs / "results" / "tuning" / "cases.csv"):
        dice[row["method"], row["labelled_fraction"]][row["split_seed"]].append(float(row["dice"]))
    means = [(mean(seeds["10"]), mean(seeds["11"])) for seeds in dice.values()]
    assert sorted(runs) == sorted((f"{one:.3f}, {other:.3f}", f"{mean((one, other)):.3f}") for one, other in means)
    commands = re.findall(r'^\$STUDY [\d.]+ --methods "?([^"\n]+)"?$', tried, flags=re.MULTILINE)
    assert {name for names in commands for name in names.split(",")} >= {method for method, _ in dice}


def runs_of(row):
    """The Dice on both splits, and their mean, of each run in a row of the table."""
    *_, pairs, means = row.replace("*", "").strip("| ").split(" | ")
    return zip(pairs.split("; "), means.split("; "), strict=True)


def test_the_network_of_the_paper_is_shown_by_its_report_and_its_study_takes_as_long_as_its_steps_say():
    docs = BUNDLES / "hippocampus_mri_segmentation" / "docs"
    readme = (docs / "README.md").read_text(encoding="utf-8")
    for shown in score_tables(read_entries(docs / "results" / "paper")):
        assert shown.markdown() in readme
    for row in table(docs / "results" / "paper" / "pretext.csv"):
        assert f"`{row['method']}` {float(row['pretext']):.2f} ({float(row['chance']):.2f})" in " ".join(readme.split())
    steps = {step.key: step for cell in cells_of_the_paper() for step in cell.last.chain()}.values()
    seconds = defaultdict(list)
    for row in table(docs / "results" / "paper" / "steps.csv"):
        for kind in ((row["stage"], row["method"]), row["stage"]):
            seconds[kind].append(float(row["seconds"]))
    taken = [mean(seconds.get((step.stage, step.options.get("method")), seconds[step.stage])) for step in steps]
    assert f"184 cells, takes about {sum(taken) / 11 / 60:.0f} minutes" in " ".join(readme.split())


def cells_of_the_paper():
    """The cells of the two commands that the bundle's README has for the network of the paper."""
    pretrained = "random,rotation,pirl,simclr,chaitanya_global_local,pcl,local,global_local,joint,mixup"
    grids = ((pretrained, (0.05, 0.1, 0.2, 1.0)), ("mean_teacher,tcsm", (0.05, 0.1, 0.2)))
    nothing = {"pretrain": {}, "train": {}, "evaluate": {}}
    variants = [(read_variants(names.split(","))[0], amounts) for names, amounts in grids]
    cells = [cell for methods, amounts in variants for cell in make_cells(methods, amounts, range(4), nothing)]
    assert len(cells) == 184
    return cells
