"""Reports of an engine in the log and in TensorBoard, from the first process only."""

from __future__ import annotations

from pathlib import Path

from monai.handlers import StatsHandler, TensorBoardStatsHandler, from_engine

from semicl_monai.handlers.epoch_progress import EpochProgress
from semicl_monai.handlers.handler_group import HandlerGroup
from semicl_monai.utils import is_not_rank0


class MetricReport(HandlerGroup):
    """Show the metrics of an evaluator after each epoch, by MONAI's ``StatsHandler`` and ``TensorBoardStatsHandler``.

    Args:
        log_dir: folder of TensorBoard's files.
    """

    def __init__(self, log_dir: str | Path) -> None:
        if is_not_rank0():  # the handler below creates a file as soon as it is constructed
            super().__init__([])
            return
        board = TensorBoardStatsHandler(log_dir=str(log_dir), iteration_log=False)
        super().__init__([StatsHandler(iteration_log=False), board])


class LossReport(HandlerGroup):
    """Show the loss of a trainer in TensorBoard, by MONAI's ``TensorBoardStatsHandler``, and in a progress bar.

    Args:
        log_dir: folder of TensorBoard's files.
        title: text before the bar.
    """

    def __init__(self, log_dir: str | Path, title: str) -> None:
        if is_not_rank0():
            super().__init__([])
            return
        transform = from_engine(["loss"], first=True)
        board = TensorBoardStatsHandler(log_dir=str(log_dir), tag_name="loss", output_transform=transform)
        super().__init__([board, EpochProgress(title)])
