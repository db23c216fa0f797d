from .bfloat16 import Bfloat16Inferer
from .foreground import ForegroundInferer
from .mirrored import MirroredInferer

__all__ = ["Bfloat16Inferer", "ForegroundInferer", "MirroredInferer"]
