from .best_metric import BestMetric
from .chance_warning import ChanceWarning
from .consistency_ramp_up import ConsistencyRampUp
from .current_model import start_from_newer, without_loaders
from .embedding_plot import EmbeddingPlot
from .epoch_progress import EpochProgress
from .handler_group import HandlerGroup
from .metrics import CaseMetrics, case_metrics, mean_with_interval
from .model_saver import ModelSaver
from .model_savers import ModelSavers
from .non_finite_check import NonFiniteCheck
from .overlay_writer import OverlayWriter
from .pretext_metric import PretextMetric
from .reports import LossReport, MetricReport
from .resume import ResumeCheckpoint, set_aside
from .run_options import RunOptions
from .run_provenance import RunProvenance
from .seed_epoch import SeedEpoch
from .snapshot_keeper import SnapshotKeeper
from .teacher_ema import TeacherEMA

__all__ = [
    "BestMetric",
    "CaseMetrics",
    "ChanceWarning",
    "ConsistencyRampUp",
    "EmbeddingPlot",
    "EpochProgress",
    "HandlerGroup",
    "LossReport",
    "MetricReport",
    "ModelSaver",
    "ModelSavers",
    "NonFiniteCheck",
    "OverlayWriter",
    "PretextMetric",
    "ResumeCheckpoint",
    "RunOptions",
    "RunProvenance",
    "SeedEpoch",
    "SnapshotKeeper",
    "TeacherEMA",
    "case_metrics",
    "mean_with_interval",
    "set_aside",
    "start_from_newer",
    "without_loaders",
]
