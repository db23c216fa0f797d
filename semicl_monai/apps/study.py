"""The label-efficiency study: several methods at several amounts of labels, over several splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from semicl_monai.apps.find_bundle import find_bundle
from semicl_monai.study import (
    STAGES,
    Cell,
    Progress,
    Runner,
    check_own_options,
    check_same_study,
    check_unknown_options,
    make_cells,
    read_variants,
    write_results,
)
from semicl_monai.utils import InputError, is_true, one_of
from semicl_monai.utils.lock import locked

ADVICE = {"failed": "give --retry_failed true to run them again", "stopped": "run this again"}


def study(
    dataset_dir: str,
    output_dir: str,
    bundle: str | None = None,
    methods: str | Sequence[str] = ("random", "global_local"),
    fractions: float | Sequence[float] = (0.05, 0.1, 0.2, 1.0),
    split_seeds: int | Sequence[int] = (0, 1, 2, 3),
    workers: int | None = None,
    settings: str | None = None,
    validation: str = "none",
    retry_failed: bool = False,
    **options: Any,
) -> None:
    """Run a grid of methods, amounts of labels and splits through the workflows of a bundle.

    The commands of the bundle pre-train, fine-tune and evaluate each cell in its own folder. The folder gets logs,
    configs, split, weights and the table of cases. Steps that several cells share are run once. Example: all methods
    that begin with global pre-training share it within a split, at every amount of labels.

    After a stop, run the study again: it continues where it was. A step that fails is recorded with its error, and the
    other steps continue. ``cases.csv`` and ``cells.csv`` in ``output_dir`` hold all results so far, of this grid and of
    earlier grids. The command ``report`` reads them.

    Args:
        dataset_dir: folder of the data set.
        output_dir: folder of the study.
        bundle: folder of the bundle, by default ``bundles/hippocampus_mri_segmentation`` beside the package.
        methods: methods, of the package or of ``settings``. A sampler other than the bundle's follows a slash
            (``random,local/block``).
        fractions: fractions (``0.05``), or numbers (``6``), of labelled training volumes.
        split_seeds: seeds of the splits.
        workers: number of steps to run at a time, by default one per GPU, or one.
        settings: a JSON file with options of the stages, and methods of your own: ``{"stages": {"train": {"epochs":
            20}}, "methods": {"long": {"method": "local", "pixel_sampler": "full", "train": {"epochs": 80}}}}``.
        validation: ``none``, so that no label is used beyond the stated amount, or ``best``.
        retry_failed: whether to run failed steps again.
        options: options of all stages, such as ``--device cpu``.

    Raises:
        InputError: When there is no bundle, when a method, a setting or an option is unknown, when ``output_dir`` holds
            runs with other configs or options, or tables that no study wrote, or when another run is using it. Also at
            the end, when a cell has failed or was stopped.
    """
    configs, output = find_bundle(bundle, *STAGES) / "configs", Path(str(output_dir)).expanduser().absolute()
    check_own_options(options, "a study")
    every = {"dataset_dir": str(Path(str(dataset_dir)).expanduser().resolve()), **options}
    chosen_by = {"validation": one_of(validation, ("none", "best"), "validation")}
    variants, stages = read_variants([str(name) for name in _listed(methods)], settings)
    common = {"pretrain": every | chosen_by, "train": every | chosen_by, "evaluate": every}
    common = {stage: {**given, **stages.get(stage, {})} for stage, given in common.items()}
    cells = make_cells(variants, _listed(fractions), _listed(split_seeds), common)
    check_unknown_options(cells, configs)
    devices, again = _devices(options.get("device")), is_true(retry_failed, "retry_failed")
    with locked(output):
        check_same_study(output, configs, common, variants)
        at_a_time = _positive(max(1, len(devices)) if workers is None else workers)
        runner = Runner(configs, output, at_a_time, devices, again)
        progress = Progress(output, cells, runner)
        progress.begin()
        runner.run([cell.last for cell in cells], progress, progress.watch)
        write_results(output, cells, runner)
    _tell_the_end(cells, runner, output)


def _tell_the_end(cells: Sequence[Cell], runner: Runner, output: Path) -> None:
    print(f"All cases, and the cost of each cell: {output / 'cases.csv'}, {output / 'cells.csv'}")
    counts = {state: sum(runner.records[cell.last.key].state == state for cell in cells) for state in ADVICE}
    lines = [f"{n} of {len(cells)} cells have {state}; {ADVICE[state]}" for state, n in counts.items() if n]
    if lines:
        raise InputError(f"{'. '.join(lines)}. See {output / 'cells.csv'}.")


def _positive(workers: Any) -> int:
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InputError(f"workers must be a whole number from 1, got {workers!r}.")
    return workers


def _listed(values: Any) -> list[Any]:
    """Return a list of the values on the command line: a tuple, a text with commas, or a single value."""
    if isinstance(values, str):
        return [value.strip() for value in values.split(",")]
    return list(values) if isinstance(values, Sequence) else [values]


def _devices(device: str | None) -> tuple[str, ...]:
    """Return the GPUs for the workers, or none if the runs use the CPU or one GPU given by its number."""
    if device not in (None, "cuda") or not torch.cuda.is_available():
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",") if visible else map(str, range(torch.cuda.device_count())))
