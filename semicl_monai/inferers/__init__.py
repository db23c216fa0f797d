from .bfloat16 import Bfloat16Inferer
from .mirrored import MirroredInferer

__all__ = ["Bfloat16Inferer", "MirroredInferer"]
