from .augmenting_loader import AugmentingDataLoader
from .cases_of_rank import CasesOfRank
from .datalist import SegmentationDatalist
from .description import LabelRules, read_description, read_label_rules
from .download import download_decathlon
from .fingerprint import Fingerprint, take_fingerprint
from .foreground import check_annotated, check_foreground
from .images import case_name, list_images
from .label_names import check_label_names
from .mask_layout import MaskLayout, mask_subject
from .mmwhs import MMWHS_CLASSES, MMWHS_VALUES, mmwhs_sections
from .paired_loader import PairedDataLoader, paired_batches
from .patients import propose_pattern
from .prepare import prepare_datasets
from .seeded_sampler import SeededRandomSampler
from .split import make_split
from .studies import labelled_studies, list_studies, name_cases
from .study_list import StudyDataset, StudyList
from .usable_images import UsableImages
from .volume_dataset import VolumeDataset

__all__ = [
    "MMWHS_CLASSES",
    "MMWHS_VALUES",
    "AugmentingDataLoader",
    "CasesOfRank",
    "Fingerprint",
    "LabelRules",
    "MaskLayout",
    "PairedDataLoader",
    "SeededRandomSampler",
    "SegmentationDatalist",
    "StudyDataset",
    "StudyList",
    "UsableImages",
    "VolumeDataset",
    "case_name",
    "check_annotated",
    "check_foreground",
    "check_label_names",
    "download_decathlon",
    "labelled_studies",
    "list_images",
    "list_studies",
    "make_split",
    "mask_subject",
    "mmwhs_sections",
    "name_cases",
    "paired_batches",
    "prepare_datasets",
    "propose_pattern",
    "read_description",
    "read_label_rules",
    "take_fingerprint",
]
