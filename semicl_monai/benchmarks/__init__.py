"""Measurements of an older build and of this one in turn."""

from semicl_monai.benchmarks.builds import Build, checked_out, working_tree
from semicl_monai.benchmarks.comparison import Comparison, compare, table
from semicl_monai.benchmarks.inputs import Inputs
from semicl_monai.benchmarks.machine import describe_machine
from semicl_monai.benchmarks.masks import dice_of_masks
from semicl_monai.benchmarks.measurement import Measurement, Prober
from semicl_monai.benchmarks.rows import ROWS

__all__ = [
    "ROWS",
    "Build",
    "Comparison",
    "Inputs",
    "Measurement",
    "Prober",
    "checked_out",
    "compare",
    "describe_machine",
    "dice_of_masks",
    "table",
    "working_tree",
]
