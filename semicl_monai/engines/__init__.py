from .cosine_cycles import CosineCycles
from .jigsaw import JigsawPrepareBatch
from .metadata import run_without_metadata
from .methods import METHODS, Method, contrasts_pixels, fine_tuning, method_of_run, objectives
from .mixup import MixupPrepareBatch
from .parameters import parameter_groups
from .prepare_batch import TwoViewPrepareBatch
from .pretext import (
    PixelNeighbours,
    PlaceNeighbours,
    RegionRetrieval,
    agreement,
    consistency,
    jigsaw_retrieval,
    rotation_accuracy,
    view_retrieval,
)
from .rotation import RotationPrepareBatch
from .sampled_loss import SampledLoss
from .semi_supervised import SemiSupervisedPrepareBatch
from .targets import image_number, place_in_volume

__all__ = [
    "METHODS",
    "CosineCycles",
    "JigsawPrepareBatch",
    "Method",
    "MixupPrepareBatch",
    "PixelNeighbours",
    "PlaceNeighbours",
    "RegionRetrieval",
    "RotationPrepareBatch",
    "SampledLoss",
    "SemiSupervisedPrepareBatch",
    "TwoViewPrepareBatch",
    "agreement",
    "consistency",
    "contrasts_pixels",
    "fine_tuning",
    "image_number",
    "jigsaw_retrieval",
    "method_of_run",
    "objectives",
    "parameter_groups",
    "place_in_volume",
    "rotation_accuracy",
    "run_without_metadata",
    "view_retrieval",
]
