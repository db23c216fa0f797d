from .cosine_cycles import CosineCycles
from .jigsaw import JigsawPrepareBatch
from .metadata import run_without_metadata
from .mixup import MixupPrepareBatch
from .prepare_batch import TwoViewPrepareBatch
from .pretext import (
    PixelNeighbours,
    PlaceNeighbours,
    RegionRetrieval,
    agreement,
    consistency,
    jigsaw_retrieval,
    region_agreement,
    rotation_accuracy,
    view_retrieval,
)
from .rotation import RotationPrepareBatch
from .sampled_loss import SampledLoss
from .semi_supervised import SemiSupervisedPrepareBatch
from .targets import image_number, place_in_volume

__all__ = [
    "CosineCycles",
    "JigsawPrepareBatch",
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
    "image_number",
    "jigsaw_retrieval",
    "place_in_volume",
    "region_agreement",
    "rotation_accuracy",
    "run_without_metadata",
    "view_retrieval",
]
