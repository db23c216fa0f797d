"""Many runs of a bundle: a grid of methods, amounts of labels and splits, and the results of the grid."""

from semicl_monai.study.checks import check_same_study, check_unknown_options
from semicl_monai.study.entries import Entry, read_entries
from semicl_monai.study.figures import save_label_efficiency
from semicl_monai.study.grid import STAGES, Cell, Step, Variant, check_own_options, make_cells, read_variants
from semicl_monai.study.progress import Progress
from semicl_monai.study.report import Table, page, saving_table, score_rows, score_tables
from semicl_monai.study.results import read_cases, read_cells, read_summary, read_table, write_results, write_table
from semicl_monai.study.runner import Record, Runner
from semicl_monai.study.statistics import holm, interval_of, labels_needed, mean_of, p_values

__all__ = [
    "STAGES",
    "Cell",
    "Entry",
    "Progress",
    "Record",
    "Runner",
    "Step",
    "Table",
    "Variant",
    "check_own_options",
    "check_same_study",
    "check_unknown_options",
    "holm",
    "interval_of",
    "labels_needed",
    "make_cells",
    "mean_of",
    "p_values",
    "page",
    "read_cases",
    "read_cells",
    "read_entries",
    "read_summary",
    "read_table",
    "read_variants",
    "save_label_efficiency",
    "saving_table",
    "score_rows",
    "score_tables",
    "write_results",
    "write_table",
]
