"""Pair images and labels by the names of their files.

What a name tells is read once (:func:`read_name`). Pairs are then found on words alone (:func:`pair_files`). No image
is opened, and no label, except for headers of DICOM.
"""

from semicl_monai.data.pairing.class_names import names_of_table, parse_class_names
from semicl_monai.data.pairing.data_list import data_list
from semicl_monai.data.pairing.data_set import find_pairs
from semicl_monai.data.pairing.named_file import NamedFile, read_name
from semicl_monai.data.pairing.pairing import PairedCase, Pairing, pair_files
from semicl_monai.data.pairing.report import report_pairs

__all__ = [
    "NamedFile",
    "PairedCase",
    "Pairing",
    "data_list",
    "find_pairs",
    "names_of_table",
    "pair_files",
    "parse_class_names",
    "read_name",
    "report_pairs",
]
