from .heart import make_synthetic_whole_heart
from .hippocampus import make_synthetic_hippocampus

__all__ = ["make_synthetic_hippocampus", "make_synthetic_whole_heart"]
