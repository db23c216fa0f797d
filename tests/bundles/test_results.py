"""The results that are committed beside a bundle, and the settings that made them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from monai.bundle import ConfigParser

from semicl_monai.study import make_cells, mean_of, read_entries, read_variants, saving_table, score_rows, score_tables
from semicl_monai.utils import markdown_table, method_options, read_json

BUNDLES = Path(__file__).parents[2] / "bundles"
SETTINGS = sorted(BUNDLES.glob("*/docs/results/**/settings.json"))
HIPPOCAMPUS = BUNDLES / "hippocampus_mri_segmentation" / "docs"
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
    readme = (HIPPOCAMPUS / "README.md").read_text(encoding="utf-8")
    entries = read_entries(HIPPOCAMPUS / "results")
    for shown in [*score_tables(entries), saving_table(entries, "random")]:
        assert shown.markdown() in readme


def test_the_readme_shows_the_means_of_the_results():
    readme = (BUNDLES.parent / "README.md").read_text(encoding="utf-8").replace("**", "")
    means = defaultdict(dict)
    for entry in read_entries(HIPPOCAMPUS / "results"):
        means[entry.method][entry.fraction] = f"{mean_of(entry.dice):.3f}"
    for method, by_fraction in means.items():
        assert f"| `{method}` | {by_fraction['0.05']} | {by_fraction.get('0.2', '')} |" in readme


@pytest.mark.parametrize("results", ["results/tuning", "results/paper"])
def test_the_readme_of_the_bundle_shows_the_report_of_what_was_tried_and_of_the_network_of_the_paper(results):
    readme = (HIPPOCAMPUS / "README.md").read_text(encoding="utf-8")
    for shown in score_tables(read_entries(HIPPOCAMPUS / results)):
        assert shown.markdown().partition("\n\n")[2] in readme


def test_the_commands_of_the_readme_of_the_bundle_run_every_method_that_was_tried():
    readme = (HIPPOCAMPUS / "README.md").read_text(encoding="utf-8")
    lines = [line.partition(" --methods ")[2] for line in readme.splitlines() if line.startswith("$STUDY ")]
    asked = {name for line in lines for name in line.partition(" --")[0].strip('" ').split(",")}
    assert asked >= {cell["method"] for cell in table(HIPPOCAMPUS / "results" / "tuning" / "cells.csv")}


def test_the_readme_of_the_bundle_shows_the_pretext_scores_of_the_network_of_the_paper():
    scores = table(HIPPOCAMPUS / "results" / "paper" / "pretext.csv")
    rows = [[f"`{row['method']}`", *(f"{float(row[key]):.2f}" for key in ("pretext", "chance"))] for row in scores]
    shown = markdown_table(["method", "pretext score", "random guess"], rows)
    assert shown in (HIPPOCAMPUS / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_range_of_the_network_of_the_paper():
    means = {entry.method: f"{mean_of(entry.dice):.3f}" for entry in read_entries(HIPPOCAMPUS / "results" / "paper")}
    readme = " ".join((BUNDLES.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"have a mean Dice of {min(means.values())} to {max(means.values())}." in readme
    assert f"The network from scratch has {means['random']}. Each is one run" in readme


def test_the_study_of_the_network_of_the_paper_takes_as_long_as_its_steps_say():
    steps = {step.key: step for cell in cells_of_the_paper() for step in cell.last.chain()}.values()
    seconds = defaultdict(list)
    for row in table(HIPPOCAMPUS / "results" / "paper" / "steps.csv"):
        for kind in ((row["stage"], row["method"]), row["stage"]):
            seconds[kind].append(float(row["seconds"]))
    taken = [mean(seconds.get((step.stage, step.options.get("method")), seconds[step.stage])) for step in steps]
    readme = " ".join((HIPPOCAMPUS / "README.md").read_text(encoding="utf-8").split())
    assert f"has 184 cells. It takes about {sum(taken) / 11 / 60:.0f} minutes" in readme


def cells_of_the_paper():
    """The cells of the two commands that the bundle's README has for the network of the paper."""
    pretrained = "random,rotation,pirl,simclr,chaitanya_global_local,pcl,local,global_local,joint,mixup"
    grids = ((pretrained, (0.05, 0.1, 0.2, 1.0)), ("mean_teacher,tcsm", (0.05, 0.1, 0.2)))
    nothing = {"pretrain": {}, "train": {}, "evaluate": {}}
    variants = [(read_variants(names.split(","))[0], amounts) for names, amounts in grids]
    cells = [cell for methods, amounts in variants for cell in make_cells(methods, amounts, range(4), nothing)]
    assert len(cells) == 184
    return cells
