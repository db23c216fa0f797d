"""What a study runs: methods at several amounts of labels, over several splits, as steps that cells share."""

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
# "last_pretrain" are options of the last stage of pre-training alone, so that the one before it stays shared
OPTIONS_OF_A_METHOD = ("pretrain", "last_pretrain", "train", "evaluate")
OF_A_METHOD = ("method", "pixel_sampler", "sampler", *OPTIONS_OF_A_METHOD)
SET_BY_STUDY = (
    *("method", "labelled_fraction", "split_seed", "pretrained", "weights"),
    *("split_file", "output_dir", "ckpt_dir", "log_dir", "resume"),
)


@dataclass(frozen=True)
class Variant:
    """A method as it takes part in a study.

    Args:
        name: a method, a method and its sampler (``local/block``), or any name that the settings explain.
        method: what it pre-trains by; also how it is fine-tuned, unless its options of ``train`` say otherwise.
        pixel_sampler: of the pixels that are contrasted, if not that of the method.
        options: its own options of each stage, and of the last of its stages of pre-training (``"last_pretrain"``).
    """

    name: str
    method: str
    pixel_sampler: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, stage: str) -> dict[str, Any]:
        """Return its options of a stage."""
        own = {} if self.pixel_sampler is None or stage == "evaluate" else {"pixel_sampler": self.pixel_sampler}
        return {**own, **self.options.get(stage, {})}


@dataclass(frozen=True)
class Step:
    """One command: a stage of the bundle, on the weights of the step before.

    Args:
        stage: of the bundle.
        folder: where it writes to, relative to that of the study.
        options: all that it is given, but for the folder and the weights.
        needs: the step whose weights it starts from.
    """

    stage: str
    folder: str
    options: Mapping[str, Any]
    needs: Step | None = None

    @cached_property
    def key(self) -> str:
        """What tells it from any other: equal steps of two cells are one."""
        content = [self.stage, dict(self.options), self.needs and self.needs.key]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def chain(self) -> list[Step]:
        """Return the steps up to this one, first to last."""
        return [*(self.needs.chain() if self.needs else []), self]


@dataclass(frozen=True)
class Cell:
    """A method at an amount of labels on a split, and the step its result comes from."""

    variant: str
    fraction: float | int
    split_seed: int
    last: Step

    @property
    def folder(self) -> str:
        """Its folder, relative to that of the study."""
        return self.last.folder


def read_variants(names: Sequence[str], settings: str | Path | None = None) -> tuple[list[Variant], dict[str, Any]]:
    """Return the methods of a study, and the options of all of its steps, by stage.

    Args:
        names: methods, such as ``random``, ``local/block``, or of ``settings``.
        settings: a JSON file ``{"stages": {"train": {option: value}}, "methods": {name: {"method": ...,
            "pixel_sampler": ..., "pretrain": {option: value}, "last_pretrain": ..., "train": ..., "evaluate": ...}}}``.
            A name that is a method, or a method and its sampler, need not say so again. An option that is null is not
            given. Options of ``"pretrain"`` are of all stages of pre-training, which then are not shared with other
            methods; those of ``"last_pretrain"`` of the last one alone.

    Raises:
        InputError: When a name is neither a method nor in ``settings``, cannot name a folder, or has a sampler that
            samples nothing, or ``settings`` holds anything else, or an option that the study gives itself.
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
    """Refuse options that a study gives to each step itself.

    Raises:
        InputError: When one is among ``options``.
    """
    for name in options:
        if name in SET_BY_STUDY and (name, stage) != ("method", "train"):
            raise InputError(f"{where} may not have {name}, which the study gives to each run itself.")


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
            f"the name of a method begins with a letter or digit, and has those, spaces and any of _+-./, got '{name}'."
        )
    _check_known_names(settings, OF_A_METHOD, f"{file}: method {name}")
    by_name, _, sampler_by_name = name.partition("/")
    method = str(settings.get("method", by_name))
    find_method(method)
    if name in METHODS and method != name:
        raise InputError(f"{file}: method {name} must be what its name says, got {method}: give it another name.")
    # a name that only happens to have a slash says nothing of a sampler
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
    """Refuse what would make one method look like two."""
    for stage in ("pretrain", "last_pretrain"):
        if variant.options.get(stage) and not stages_of(find_method(variant.method)):
            raise InputError(f"method {variant.name} does not pre-train, but has options of {stage}.")
    if variant.pixel_sampler is None:
        return
    SAMPLERS[variant.pixel_sampler]
    used = (variant.method, variant.of("train").get("method", "random"))
    if not any(find_method(method).contrasts_pixels for method in used):
        raise InputError(
            f"method {variant.name} contrasts no pixels that the sampler {variant.pixel_sampler} would take."
        )


def make_cells(
    variants: Sequence[Variant],
    fractions: Sequence[float | int | str],
    split_seeds: Sequence[int],
    common: Mapping[str, Mapping[str, Any]],
) -> list[Cell]:
    """Return the cells of a study, the splits outermost, so that the first of them is whole first.

    Args:
        variants: the methods.
        fractions: fractions, or numbers, of labelled volumes.
        split_seeds: of the splits.
        common: options that all steps of a stage have, by stage.

    Raises:
        InputError: When an amount of labels or the seed of a split is none, or two methods would share a folder.
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
    """The last of the steps of a cell, from which the others follow."""
    split, amount = {"split_seed": seed}, {"labelled_fraction": fraction}
    folder = f"{re.sub('[ /]', '_', variant.name)}/{fraction}/split_{seed}"
    step = None
    stages = stages_of(find_method(variant.method))
    for stage in stages:
        # what sees no label is the same at any amount of labels, and for all methods that begin with it
        method, shared = name_of(stage), not stage.labels
        own = {**variant.options.get("pretrain", {})} if shared else {**variant.of("pretrain"), **amount}
        own.update(variant.options.get("last_pretrain", {}) if stage is stages[-1] else {})
        where = f"pretrained/{method}/split_{seed}" if shared and not own else f"{folder}/{method}"
        step = Step("pretrain", where, {**common["pretrain"], **split, **own, "method": method}, step)
    own = {"method": variant.method, **variant.of("train"), **amount}
    step = Step("train", folder, {**common["train"], **split, **own}, step)
    return Step("evaluate", folder, {**common["evaluate"], **split, **variant.of("evaluate"), **amount}, step)
