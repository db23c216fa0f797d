"""Plans for new data: spacing, patch, network and sampling, from the fingerprint of the training images."""

from semicl_monai.planning.contrast import block_edges, grid_strides
from semicl_monai.planning.memory import GIB, training_memory
from semicl_monai.planning.network import filters_of, topology_from
from semicl_monai.planning.patch_size import largest_patch, smaller_patch
from semicl_monai.planning.patches import describe_patches, plan_patches
from semicl_monai.planning.slices import describe_slices, plan_slices, slice_axis, slices_memory
from semicl_monai.planning.target_spacing import spacing_to_resample, target_spacing, thick_axis
from semicl_monai.planning.topology import Topology, topology_of, without_first_level

__all__ = [
    "GIB",
    "Topology",
    "block_edges",
    "describe_patches",
    "describe_slices",
    "filters_of",
    "grid_strides",
    "largest_patch",
    "plan_patches",
    "plan_slices",
    "slice_axis",
    "slices_memory",
    "smaller_patch",
    "spacing_to_resample",
    "target_spacing",
    "thick_axis",
    "topology_from",
    "topology_of",
    "training_memory",
    "without_first_level",
]
