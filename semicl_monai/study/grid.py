"""The grid of a study: methods, amounts of labels and splits.

Each combination is a cell. A cell is a chain of steps. Cells may share steps.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from semicl_monai.data.split import checked_seed, parse_labelled_fraction
from semicl_monai.methods import METHODS, find_method, stages_of
from semicl_monai.methods.registry import name_of
from semicl_monai.samplers import SAMPLERS
from semicl_monai.utils import InputError, read_json

STAGES = ("pretrain", "train", "evaluate")
SEED_OF_SPLIT = "split"  # in place of a seed: each split has its own
# "last_pretrain" holds options for the last stage of pre-training only, so cells can still share the stage before
OPTIONS_OF_A_METHOD = ("pretrain", "last_pretrain", "train", "evaluate")
OF_A_METHOD = ("method", "pixel_sampler", "sampler", *OPTIONS_OF_A_METHOD)
SET_BY_STUDY = (
    *("method", "labelled_fraction", "split_seed", "pretrained", "weights"),
    *("split_file", "output_dir", "ckpt_dir", "log_dir", "resume"),
)


@dataclass(frozen=True)
class Variant:
    """A method with its settings in a study.

    Args:
        name: a method, a method and its sampler (``local/block``), or a name that the settings define.
        method: method of the pre-training. It is also the method of the fine-tuning unless the ``train`` options give
            another one.
        pixel_sampler: sampler of the contrasted pixels. The default is the sampler of the method.
        options: options of this variant for each stage. ``"last_pretrain"`` holds options for the last stage of
            pre-training only.
    """

    name: str
    method: str
    pixel_sampler: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, stage: str) -> dict[str, Any]:
        """Return the options of this variant for a stage."""
        own = {} if self.pixel_sampler is None or stage == "evaluate" else {"pixel_sampler": self.pixel_sampler}
        return {**own, **self.options.get(stage, {})}


@dataclass(frozen=True)
class Step:
    """One command, which runs a stage of the bundle on the weights of the step before.

    Args:
        stage: stage of the bundle.
        folder: output folder, relative to the folder of the study.
        options: options of the stage, without the output folder and the weights.
        needs: the step that makes the weights for this step.
    """

    stage: str
    folder: str
    options: Mapping[str, Any]
    needs: Step | None = None

    @cached_property
    def key(self) -> str:
        """Digest that identifies the step. Cells share steps with equal keys."""
        content = [self.stage, dict(self.options), self.needs and self.needs.key]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def chain(self) -> list[Step]:
        """Return the steps up to this one, first to last."""
        return [*(self.needs.chain() if self.needs else []), self]


@dataclass(frozen=True)
class Cell:
    """A method at an amount of labels on a split, with the step that makes the result."""

    variant: str
    fraction: float | int
    split_seed: int
    last: Step

    @property
    def folder(self) -> str:
        """Folder of the cell, relative to the folder of the study."""
        return self.last.folder


def read_variants(names: Sequence[str], settings: str | Path | None = None) -> tuple[list[Variant], dict[str, Any]]:
    """Return the methods of a study, and the options that all steps of a stage share, by stage.

    Args:
        names: names of methods, such as ``random`` or ``local/block``, or names defined in ``settings``.
        settings: a JSON file ``{"stages": {"train": {option: value}}, "methods": {name: {"method": ...,
            "pixel_sampler": ..., "pretrain": {option: value}, "last_pretrain": ..., "train": ..., "evaluate": ...}}}``.
            ``"method"`` and ``"pixel_sampler"`` may be left out if the name already gives them, as ``local/block``
            does. An option with the value null is not passed on. The ``"pretrain"`` options apply to all stages of
            pre-training, which are then not shared with other methods. The ``"last_pretrain"`` options apply only to
            the last stage of pre-training.

    Raises:
        InputError: When a name is neither a method nor in ``settings``, cannot be the name of a folder, or has a
            sampler without effect. Also when ``settings`` has another form or holds an option that the study sets.
    """
    content = read_json(Path(settings), "settings") if settings else {}
    _check_known_names(content, ("stages", "methods"), f"{settings}")
    stages, own = content.get("stages", {}), content.get("methods", {})
    _check_known_names(stages, STAGES, f"{settings}: stages")
    _check_is_table(own, f"{settings}: methods")
    for stage, options in stages.items():
        _check_is_table(options, f"{settings}: {stage}")
        check_own_options(options, f"{settings}: {stage}")
    return [_variant(name, own.get(name, {}), settings) for name in dict.fromkeys(names)], stages


def check_own_options(options: Mapping[str, Any], where: str, stage: str | None = None) -> None:
    """Refuse options that the study itself sets for each step.

    Raises:
        InputError: When such an option is in ``options``.
    """
    for name in options:
        if name in SET_BY_STUDY and (name, stage) != ("method", "train"):
            raise InputError(f"{where} may not have {name}, because the study sets it for each run.")


def _check_known_names(content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    _check_is_table(content, where)
    for name in content:
        if name not in known:
            raise InputError(f"{where} may have {', '.join(known)}, got '{name}'.")


def _check_is_table(content: Any, where: str) -> None:
    if not isinstance(content, Mapping):
        raise InputError(f"{where} must be a JSON object, got {content!r}.")


def _variant(name: str, settings: Mapping[str, Any], file: str | Path | None) -> Variant:
    if not re.fullmatch(r"[^\W_][\w+. /-]*", name):
        raise InputError(
            f"the name of a method must begin with a letter or digit, and may have letters, digits, spaces and any of "
            f"_+-./, got '{name}'."
        )
    _check_known_names(settings, OF_A_METHOD, f"{file}: method {name}")
    by_name, _, sampler_by_name = name.partition("/")
    method = str(settings.get("method", by_name))
    find_method(method)
    if name in METHODS and method != name:
        raise InputError(f"{file}: method {name} must have the method of its name, got {method}: give it another name.")
    # the part after the slash is a sampler only if the part before it is the method
    named = (sampler_by_name or None) if method == by_name else None
    sampler = settings.get("pixel_sampler", settings.get("sampler", named))  # sampler is its old name, until 0.2
    options = {stage: settings[stage] for stage in OPTIONS_OF_A_METHOD if stage in settings}
    for stage, own in options.items():
        _check_is_table(own, f"{file}: method {name}: {stage}")
        check_own_options(own, f"{file}: method {name}: {stage}", stage)
    variant = Variant(name, method, sampler, options)
    _check_effect(variant)
    return variant


def _check_effect(variant: Variant) -> None:
    """Refuse settings without effect. They would make one method look like two."""
    for stage in ("pretrain", "last_pretrain"):
        if variant.options.get(stage) and not stages_of(find_method(variant.method)):
            raise InputError(f"method {variant.name} does not pre-train, but has options of {stage}.")
    if variant.pixel_sampler is None:
        return
    SAMPLERS[variant.pixel_sampler]
    used = (variant.method, variant.of("train").get("method", "random"))
    if not any(find_method(method).contrasts_pixels for method in used):
        raise InputError(
            f"method {variant.name} contrasts no pixels, so the sampler {variant.pixel_sampler} has no effect."
        )


def make_cells(
    variants: Sequence[Variant],
    fractions: Sequence[float | int | str],
    split_seeds: Sequence[int],
    common: Mapping[str, Mapping[str, Any]],
) -> list[Cell]:
    """Return the cells of a study, sorted by split.

    All cells of the first split come first, so this split is complete first.

    Args:
        variants: the methods.
        fractions: fractions or numbers of labelled volumes.
        split_seeds: seeds of the splits.
        common: options that all steps of a stage share, by stage.

    Raises:
        InputError: When an amount of labels or a seed is not valid, or two methods would share a folder.
    """
    amounts = {repr(amount): amount for amount in map(parse_labelled_fraction, fractions)}.values()
    cells = [
        Cell(variant.name, amount, seed, _steps(variant, amount, seed, common))
        for seed, amount, variant in product(dict.fromkeys(map(checked_seed, split_seeds)), amounts, variants)
    ]
    _check_folders_differ(cells)
    return cells


def _check_folders_differ(cells: Sequence[Cell]) -> None:
    owners: dict[str, str] = {}
    for cell in cells:
        other = owners.setdefault(cell.folder.casefold(), cell.variant)
        if other != cell.variant:
            raise InputError(
                f"methods '{other}' and '{cell.variant}' would share the folder {cell.folder}: rename one."
            )


def _steps(variant: Variant, fraction: float | int, seed: int, common: Mapping[str, Mapping[str, Any]]) -> Step:
    """Return the last step of a cell. It refers to the steps before it."""
    split, amount = {"split_seed": seed}, {"labelled_fraction": fraction}
    folder = f"{re.sub('[ /]', '_', variant.name)}/{fraction}/split_{seed}"
    step = None
    stages = stages_of(find_method(variant.method))
    for stage in stages:
        # a stage without labels is shared by all amounts of labels, and by all methods that begin with it
        method, shared = name_of(stage), not stage.labels
        own = {**variant.options.get("pretrain", {})} if shared else {**variant.of("pretrain"), **amount}
        own.update(variant.options.get("last_pretrain", {}) if stage is stages[-1] else {})
        where = f"pretrained/{method}/split_{seed}" if shared and not own else f"{folder}/{method}"
        step = Step("pretrain", where, _seeded({**common["pretrain"], **split, **own, "method": method}), step)
    own = {"method": variant.method, **variant.of("train"), **amount}
    step = Step("train", folder, _seeded({**common["train"], **split, **own}), step)
    return Step("evaluate", folder, {**common["evaluate"], **split, **variant.of("evaluate"), **amount}, step)


def _seeded(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a stage, with the number of the split in place of the seed ``"split"``."""
    return {**options, "seed": options["split_seed"]} if options.get("seed") == SEED_OF_SPLIT else options
