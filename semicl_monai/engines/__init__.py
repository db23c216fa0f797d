from .methods import METHODS, objectives
from .prepare_batch import TwoViewPrepareBatch
from .sampled_loss import SampledLoss

__all__ = ["METHODS", "SampledLoss", "TwoViewPrepareBatch", "objectives"]
