from semicl_monai.utils import Registry

from .load_case import LoadCased
from .rand_slices import RandSlicesd
from .two_view import TwoViewd

TRANSFORMS = Registry("transform", "Dictionary transforms.")
TRANSFORMS.add("load_case", "Load image and label of a case and refuse what no network should see.", LoadCased)
TRANSFORMS.add("rand_slices", "Draw slices of a volume, a share of them with foreground.", RandSlicesd)
TRANSFORMS.add("two_view", "Two random views of a sample.", TwoViewd)

__all__ = ["TRANSFORMS", "LoadCased", "RandSlicesd", "TwoViewd"]
