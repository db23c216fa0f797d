from semicl_monai.utils import Registry

from .balanced import BalancedSampler
from .block import BlockSampler
from .full import FullSampler
from .pixel import PixelSampler
from .region import RegionSampler
from .stride import StrideSampler

SAMPLERS = Registry("sampler", "Which pixels are contrasted with which.")
SAMPLERS.add("stride", "Every s-th pixel in each axis, one group.", StrideSampler)
SAMPLERS.add("block", "All pixels, one group per block position.", BlockSampler)
SAMPLERS.add("full", "All pixels, one group.", FullSampler)
SAMPLERS.add("balanced", "Up to num_per_class random pixels of each class, one group.", BalancedSampler)

__all__ = [
    "SAMPLERS",
    "BalancedSampler",
    "BlockSampler",
    "FullSampler",
    "PixelSampler",
    "RegionSampler",
    "StrideSampler",
]
