from semicl_monai.utils import Registry

from .fill_unannotated import FillUnannotatedd
from .invert_argmax import InvertArgmaxd
from .keep_main_component import KeepMainComponentd
from .load_case import LoadCased
from .mask_writer import MaskWriter
from .nifti_reader import NiftiReader
from .nifti_writer import NiftiWriter
from .rand_copy_paste import RandCopyPaste
from .rand_cut_mix import RandCutMix
from .rand_jigsaw import RandJigsawd
from .rand_partition_patches import RandPartitionPatchesd
from .rand_partition_slices import RandPartitionSlicesd
from .rand_patches import RandPatchesd
from .rand_slices import RandSlicesd
from .rand_symmetry import RandSymmetry
from .rand_warp import RandWarp
from .rand_warpd import RandWarpd
from .safe_spacing import SafeSpacingd
from .scored_maps import ScoredMapsd
from .strong_views import StrongViewsd
from .two_view import TwoViewd
from .volume_reader import VolumeReader

TRANSFORMS = Registry("transform", "Dictionary transforms.")
TRANSFORMS.add("load_case", "Load image and label of a case and refuse unusable ones.", LoadCased)
TRANSFORMS.add("safe_spacing", "Resample the volumes of a sample, whatever other entries it holds.", SafeSpacingd)
TRANSFORMS.add("invert_argmax", "Turn class scores into a label map in the image's grid.", InvertArgmaxd)
TRANSFORMS.add(
    "keep_main_component", "Keep the connected component in which all classes are large.", KeepMainComponentd
)
TRANSFORMS.add("rand_slices", "Draw slices of a volume, a share of them with foreground.", RandSlicesd)
TRANSFORMS.add("rand_partition_slices", "Draw slices from every partition of a volume.", RandPartitionSlicesd)
TRANSFORMS.add("rand_patches", "Draw 3-D patches of a volume, a share of them centred on foreground.", RandPatchesd)
TRANSFORMS.add("rand_partition_patches", "Draw 3-D patches from every partition of a volume.", RandPartitionPatchesd)
TRANSFORMS.add("rand_warp", "Flip, rotate, scale, shear, shift and deform a sample in one resampling.", RandWarpd)
TRANSFORMS.add("rand_jigsaw", "Add the shuffled grid patches of an image.", RandJigsawd)
TRANSFORMS.add("scored_maps", "Maps of classes or regions for the Dice score, without voxels to ignore.", ScoredMapsd)
TRANSFORMS.add("strong_views", "Views of an image that differ in intensity, as channels.", StrongViewsd)
TRANSFORMS.add("two_view", "Two random views of a sample.", TwoViewd)

__all__ = [
    "TRANSFORMS",
    "FillUnannotatedd",
    "InvertArgmaxd",
    "KeepMainComponentd",
    "LoadCased",
    "MaskWriter",
    "NiftiReader",
    "NiftiWriter",
    "RandCopyPaste",
    "RandCutMix",
    "RandJigsawd",
    "RandPartitionPatchesd",
    "RandPartitionSlicesd",
    "RandPatchesd",
    "RandSlicesd",
    "RandSymmetry",
    "RandWarp",
    "RandWarpd",
    "SafeSpacingd",
    "ScoredMapsd",
    "StrongViewsd",
    "TwoViewd",
    "VolumeReader",
]
