from __future__ import annotations

import json

import pytest

from semicl_monai.methods import METHODS, objectives_of
from semicl_monai.study import make_cells, read_variants
from semicl_monai.utils import InputError

COMMON = {
    "pretrain": {"dataset_dir": "data", "validation": "none"},
    "train": {"dataset_dir": "data", "validation": "none"},
    "evaluate": {"dataset_dir": "data"},
}


def cells_of(*names, fractions=(0.05, 0.2), seeds=(0, 1), settings=None):
    variants, _ = read_variants(names, settings)
    return make_cells(variants, fractions, seeds, COMMON)


def chains(cells):
    return [[(step.stage, step.options.get("method")) for step in cell.last.chain()] for cell in cells]


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_the_seed_of_a_run_can_be_that_of_its_split(tmp_path):
    settings = write(tmp_path / "own.json", {"methods": {"long": {"method": "local", "train": {"seed": "split"}}}})
    for cell in cells_of("local", "long", seeds=(0, 3), settings=settings):
        chain = cell.last.chain()
        seeds = {step.stage: step.options.get("seed") for step in chain}
        assert seeds == {
            "pretrain": None,
            "train": cell.split_seed if cell.variant == "long" else None,
            "evaluate": None,
        }


def test_every_method_at_every_amount_on_every_split_once_and_the_first_split_first():
    cells = cells_of("random", "local", "random")
    about = [(cell.split_seed, cell.fraction, cell.variant) for cell in cells]
    assert about == [(s, f, m) for s in (0, 1) for f in (0.05, 0.2) for m in ("random", "local")]


@pytest.mark.parametrize("method", METHODS.names)
def test_a_method_is_pretrained_for_its_objectives_one_after_the_other(method):
    (chain,) = chains(cells_of(method, fractions=[6], seeds=[0]))
    stages = [stage for stage, _ in chain]
    assert stages == ["pretrain"] * len(objectives_of(method)) + ["train", "evaluate"]
    assert chain[-2] == ("train", method)
    done = [objectives_of(by) for stage, by in chain if stage == "pretrain"]
    assert done == [objectives_of(method)[: count + 1] for count in range(len(done))]


def test_a_pretraining_that_sees_no_label_is_shared_by_methods_and_amounts_but_not_by_splits():
    cells = cells_of("simclr", "global", "global_local/block", "global_local/full")
    first = {(cell.split_seed, cell.last.chain()[0].key) for cell in cells}
    assert len(first) == 2
    assert {cell.last.chain()[0].folder for cell in cells} == {f"pretrained/simclr/split_{seed}" for seed in (0, 1)}
    assert all("labelled_fraction" not in cell.last.chain()[0].options for cell in cells)


def test_a_pretraining_that_sees_labels_is_shared_by_none():
    cells = cells_of("local", "local/block", "global_local")
    last = [cell.last.chain()[-3] for cell in cells]
    assert len({step.key for step in last}) == len({step.folder for step in last}) == len(cells)
    assert all(step.options["labelled_fraction"] == cell.fraction for step, cell in zip(last, cells, strict=True))


def test_folders_of_different_steps_of_a_stage_are_different():
    steps = {step.key: step for cell in cells_of(*METHODS.names, "local/block") for step in cell.last.chain()}
    assert len({(step.stage, step.folder) for step in steps.values()}) == len(steps)


def test_a_sampler_is_told_to_the_stages_that_contrast_pixels_and_to_fine_tuning():
    (cell,) = cells_of("global_local/block", fractions=[2], seeds=[0])
    assert [step.options.get("pixel_sampler") for step in cell.last.chain()] == [None, "block", "block", None]


def test_the_settings_explain_names_and_change_all_steps_of_a_stage(tmp_path):
    own = {"method": "local", "pixel_sampler": "full", "pretrain": {"epochs": 3}, "train": {"method": "self_training"}}
    mirrored = {"method": "random", "evaluate": {"mirror_axes": [0]}}
    content = {"stages": {"train": {"epochs": 7}}, "methods": {"ours + long": own, "mirrored": mirrored}}
    variants, stages = read_variants(["ours + long", "random", "mirrored"], write(tmp_path / "s.json", content))
    assert stages == {"train": {"epochs": 7}}
    ours, plain, tta = make_cells(variants, [6], [0], COMMON)
    pretrain, train, _ = ours.last.chain()
    assert (pretrain.options["epochs"], pretrain.options["pixel_sampler"]) == (3, "full")
    assert (train.options["method"], train.options["pixel_sampler"]) == ("self_training", "full")
    assert ours.folder == "ours_+_long/6/split_0"
    assert plain.last.needs.key == tta.last.needs.key  # one training, evaluated twice
    assert plain.last.key != tta.last.key


def test_options_of_its_own_keep_a_pretraining_from_being_shared(tmp_path):
    settings = write(tmp_path / "s.json", {"methods": {"longer": {"method": "simclr", "pretrain": {"epochs": 9}}}})
    longer, plain = cells_of("longer", "simclr", fractions=[2], seeds=[0], settings=settings)
    assert longer.last.chain()[0].folder == "longer/2/split_0/simclr"
    assert longer.last.chain()[0].key != plain.last.chain()[0].key


def test_options_of_the_last_pretraining_leave_the_first_one_shared(tmp_path):
    own = {"method": "global_local", "pixel_sampler": "full", "last_pretrain": {"batch_size": 1}}
    settings = write(tmp_path / "s.json", {"methods": {"every pixel": own}})
    every, plain = (
        cell.last.chain()
        for cell in cells_of("every pixel", "global_local", fractions=[2], seeds=[0], settings=settings)
    )
    assert every[0].key == plain[0].key
    assert [step.options.get("batch_size") for step in every] == [None, 1, None, None]
    assert every[1].folder == "every_pixel/2/split_0/global_local"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epochs": 3}, r"s\.json may have stages, methods, got 'epochs'"),
        ({"stages": {"trian": {}}}, r"s\.json: stages may have pretrain, train, evaluate, got 'trian'"),
        (
            {"methods": {"a": {"epochs": 3}}},
            r"method a may have method, pixel_sampler, sampler, pretrain, last_pretrain, train, evaluate, got 'epochs'",
        ),
        ({"methods": {"a": {}}}, "unknown method 'a'"),
        (
            {"stages": {"evaluate": {"weights": "x.pt"}}},
            r"s\.json: evaluate may not have weights, because the study sets",
        ),
        (
            {"methods": {"a": {"method": "local", "pretrain": {"method": "pcl"}}}},
            "a: pretrain may not have method, because",
        ),
        (
            {"methods": {"a": {"method": "local", "last_pretrain": {"method": "pcl"}}}},
            "a: last_pretrain may not have method, because",
        ),
        ({"stages": {"train": {"method": "local_pseudo"}}}, r"s\.json: train may not have method, because the study"),
        ({"methods": {"a": {"method": ["local"]}}}, r"unknown method '\['local'\]'"),
        ({"stages": []}, r"s\.json: stages must be a JSON object, got \[\]"),
        ({"stages": {"train": None}}, r"s\.json: train must be a JSON object, got None"),
        ({"methods": {"a": None}}, r"s\.json: method a must be a JSON object, got None"),
        ({"methods": ["a"]}, r"s\.json: methods must be a JSON object, got \['a'\]"),
        ({"methods": {"a": {"method": "random", "train": 5}}}, r"method a: train must be a JSON object, got 5"),
        (
            {"methods": {"a": {"method": "random", "pretrain": {"epochs": 3}}}},
            "method a does not pre-train, but has options of pretrain",
        ),
        (
            {"methods": {"a": {"method": "mixup", "last_pretrain": {"epochs": 3}}}},
            "method a does not pre-train, but has options of last_pretrain",
        ),
        ({"methods": {"a": {"method": "locl"}}}, "unknown method 'locl', did you mean 'local'"),
        (
            {"methods": {"a": {"method": "local", "sampler": "blok"}}},
            "unknown sampler 'blok', did you mean 'block'",
        ),
    ],
)
def test_what_the_settings_cannot_say_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_variants(["a"], write(tmp_path / "s.json", content))


def test_a_name_that_is_a_method_need_not_say_so(tmp_path):
    content = {"methods": {"local": {"train": {"epochs": 9}}, "local/block": {"train": {"epochs": 9}}}}
    variants, _ = read_variants(["local", "local/block"], write(tmp_path / "s.json", content))
    assert [(variant.method, variant.pixel_sampler) for variant in variants] == [("local", None), ("local", "block")]
    assert variants[0].of("train") == {"epochs": 9}


def test_a_name_of_ones_own_may_have_a_slash(tmp_path):
    content = {"methods": {"ours/long": {"method": "local"}, "local/full": {"method": "local"}}}
    variants, _ = read_variants(["ours/long", "local/full"], write(tmp_path / "s.json", content))
    assert [(variant.method, variant.pixel_sampler) for variant in variants] == [("local", None), ("local", "full")]


def test_two_methods_do_not_share_a_folder(tmp_path):
    settings = write(tmp_path / "s.json", {"methods": {"local_block": {"method": "local", "sampler": "full"}}})
    with pytest.raises(
        InputError, match="'local/block' and 'local_block' would share the folder local_block/2/split_0"
    ):
        cells_of("local/block", "local_block", fractions=[2], seeds=[0], settings=settings)


def test_equal_amounts_and_splits_are_one_but_one_volume_is_not_all():
    cells = cells_of("random", fractions=[0.1, "0.10", 1, 1.0], seeds=[0, 0])
    assert [cell.fraction for cell in cells] == [0.1, 1, 1.0]


@pytest.mark.parametrize("seed", ["0-3", 1.5, -1, True, "../../x"])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(InputError, match=r"split_seed must be a whole number from 0 to 2\*\*32 - 1, got "):
        cells_of("random", seeds=[0, seed])


def test_a_sampler_may_be_that_of_fine_tuning_alone(tmp_path):
    content = {"methods": {"a": {"method": "simclr", "pixel_sampler": "block", "train": {"method": "local_pseudo"}}}}
    (variant,), _ = read_variants(["a"], write(tmp_path / "s.json", content))
    assert variant.of("train")["pixel_sampler"] == "block"


def test_an_amount_of_labels_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"labelled_fraction must be a fraction above 0\.0 and up to 1\.0"):
        cells_of("random", fractions=[1.5])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("locl", "unknown method 'locl'"),
        ("local/blok", "unknown sampler"),
        ("../local", "the name of a method must begin with a letter or digit"),
        ("_local", "the name of a method must begin with a letter or digit"),
        (
            "a, b",
            "the name of a method must begin with a letter or digit, and may have letters, digits, spaces and any of",
        ),
        ("simclr/block", "method simclr/block contrasts no pixels, so the sampler block has no effect"),
        ("mean_teacher/full", "method mean_teacher/full contrasts no pixels, so the sampler full has no effect"),
    ],
)
def test_an_unknown_name_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        read_variants([name])


def test_the_name_of_a_method_cannot_be_given_to_another(tmp_path):
    settings = write(tmp_path / "s.json", {"methods": {"random": {"method": "local"}}})
    with pytest.raises(
        InputError, match="method random must have the method of its name, got local: give it another name"
    ):
        cells_of("random", settings=settings)
