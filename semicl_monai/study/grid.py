"""The grid of a study: methods, amounts of labels and splits, as steps that several cells may share."""

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
# "last_pretrain" holds options of the last stage of pre-training only. The stage before it can still be shared.
OPTIONS_OF_A_METHOD = ("pretrain", "last_pretrain", "train", "evaluate")
OF_A_METHOD = ("method", "pixel_sampler", "sampler", *OPTIONS_OF_A_METHOD)
SET_BY_STUDY = (
    *("method", "labelled_fraction", "split_seed", "pretrained", "weights"),
    *("split_file", "output_dir", "ckpt_dir", "log_dir", "resume"),
)


@dataclass(frozen=True)
class Variant:
    """A method with the sampler and the options that it has in a study.

    Args:
        name: a method, a method and its sampler (``local/block``), or any name defined in the settings.
        method: the method of pre-training. It is also that of fine-tuning, unless the options of ``train`` name another
            one.
        pixel_sampler: sampler of the contrasted pixels, if it is not the default of the method.
        options: its own options of each stage, and of its last stage of pre-training (``"last_pretrain"``).
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
    """One command: a stage of the bundle that starts from the weights of an earlier step.

    Args:
        stage: stage of the bundle.
        folder: folder that it writes to, relative to the folder of the study.
        options: all its options except the folder and the weights.
        needs: the step whose weights it starts from.
    """

    stage: str
    folder: str
    options: Mapping[str, Any]
    needs: Step | None = None

    @cached_property
    def key(self) -> str:
        """Key that identifies the step. Steps of two cells with the same key are one step."""
        content = [self.stage, dict(self.options), self.needs and self.needs.key]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def chain(self) -> list[Step]:
        """Return the steps up to this one, first to last."""
        return [*(self.needs.chain() if self.needs else []), self]


@dataclass(frozen=True)
class Cell:
    """A method at an amount of labels on a split, and the step that gives its result."""

    variant: str
    fraction: float | int
    split_seed: int
    last: Step

    @property
    def folder(self) -> str:
        """Its folder, relative to the folder of the study."""
        return self.last.folder


def read_variants(names: Sequence[str], settings: str | Path | None = None) -> tuple[list[Variant], dict[str, Any]]:
    """Return the methods of a study, and the options of all its steps, by stage.

    Args:
        names: methods, such as ``random`` or ``local/block``, or names in ``settings``.
        settings: a JSON file ``{"stages": {"train": {option: value}}, "methods": {name: {"method": ...,
            "pixel_sampler": ..., "pretrain": {option: value}, "last_pretrain": ..., "train": ..., "evaluate": ...}}}``.
            If the name is a method, or a method and its sampler, ``"method"`` and ``"pixel_sampler"`` may be left out.
            Options that are null are not passed on. Options of ``"pretrain"`` apply to all stages of pre-training.
            These stages are then not shared with other methods. Options of ``"last_pretrain"`` apply to the last stage
            only.

    Raises:
        InputError: When a name is neither a method nor in ``settings``, cannot name a folder, or has a sampler that
            would not be used. Also when ``settings`` has an unknown entry or an option that the study sets itself.
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
    """Refuse options that the study sets for each step itself.

    Raises:
        InputError: When ``options`` has such an option.
    """
    for name in options:
        if name in SET_BY_STUDY and (name, stage) != ("method", "train"):
            raise InputError(f"{where} may not have {name}, which the study sets for each run.")


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
            f"the name of a method must begin with a letter or digit, followed by letters, digits, spaces or any of "
            f"_+-./, got '{name}'."
        )
    _check_known_names(settings, OF_A_METHOD, f"{file}: method {name}")
    by_name, _, sampler_by_name = name.partition("/")
    method = str(settings.get("method", by_name))
    find_method(method)
    if name in METHODS and method != name:
        raise InputError(f"{file}: method {name} must have the method of its name, got {method}: give it another name.")
    # in a name that does not begin with the method, a slash does not mark a sampler
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
    """Refuse options and samplers without effect: with them, one method would look like two."""
    for stage in ("pretrain", "last_pretrain"):
        if variant.options.get(stage) and not stages_of(find_method(variant.method)):
            raise InputError(f"method {variant.name} does not pre-train, but has options of {stage}.")
    if variant.pixel_sampler is None:
        return
    SAMPLERS[variant.pixel_sampler]
    used = (variant.method, variant.of("train").get("method", "random"))
    if not any(find_method(method).contrasts_pixels for method in used):
        raise InputError(
            f"method {variant.name} contrasts no pixels, so the sampler {variant.pixel_sampler} would have no effect."
        )


def make_cells(
    variants: Sequence[Variant],
    fractions: Sequence[float | int | str],
    split_seeds: Sequence[int],
    common: Mapping[str, Mapping[str, Any]],
) -> list[Cell]:
    """Return the cells of a study, sorted by split first. The first split is therefore completed first.

    Args:
        variants: the methods.
        fractions: fractions, or numbers, of labelled volumes.
        split_seeds: seeds of the splits.
        common: options of all steps of a stage, by stage.

    Raises:
        InputError: When an amount of labels or the seed of a split is invalid, or two methods would share a folder.
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
        # a stage that sees no label is the same at every amount of labels, and for all methods that begin with it
        method, shared = name_of(stage), not stage.labels
        own = {**variant.options.get("pretrain", {})} if shared else {**variant.of("pretrain"), **amount}
        own.update(variant.options.get("last_pretrain", {}) if stage is stages[-1] else {})
        where = f"pretrained/{method}/split_{seed}" if shared and not own else f"{folder}/{method}"
        step = Step("pretrain", where, {**common["pretrain"], **split, **own, "method": method}, step)
    own = {"method": variant.method, **variant.of("train"), **amount}
    step = Step("train", folder, {**common["train"], **split, **own}, step)
    return Step("evaluate", folder, {**common["evaluate"], **split, **variant.of("evaluate"), **amount}, step)
