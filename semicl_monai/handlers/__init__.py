from .best_metric import BestMetric
from .case_metrics import CaseMetrics, case_metrics, mean_with_interval
from .embedding_plot import EmbeddingPlot
from .epoch_progress import EpochProgress
from .model_saver import ModelSaver
from .overlay_writer import OverlayWriter
from .resume import ResumeCheckpoint, set_aside
from .run_options import RunOptions
from .seed_epoch import SeedEpoch

__all__ = [
    "BestMetric",
    "CaseMetrics",
    "EmbeddingPlot",
    "EpochProgress",
    "ModelSaver",
    "OverlayWriter",
    "ResumeCheckpoint",
    "RunOptions",
    "SeedEpoch",
    "case_metrics",
    "mean_with_interval",
    "set_aside",
]
