from .hippocampus import make_synthetic_hippocampus
from .whole_heart import make_synthetic_whole_heart

__all__ = ["make_synthetic_hippocampus", "make_synthetic_whole_heart"]
