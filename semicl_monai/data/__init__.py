from .augmenting_loader import AugmentingDataLoader
from .cases_of_rank import CasesOfRank
from .datalist import SegmentationDatalist
from .description import read_description
from .download import download_decathlon
from .fingerprint import Fingerprint, take_fingerprint
from .images import case_name, list_images, studies_beside
from .mmwhs import MMWHS_CLASSES, MMWHS_VALUES, mmwhs_sections
from .paired_loader import PairedDataLoader
from .patients import propose_pattern
from .seeded_sampler import SeededRandomSampler
from .split import make_split
from .synthetic import make_synthetic_hippocampus
from .synthetic_heart import make_synthetic_whole_heart
from .volume_dataset import VolumeDataset

__all__ = [
    "MMWHS_CLASSES",
    "MMWHS_VALUES",
    "AugmentingDataLoader",
    "CasesOfRank",
    "Fingerprint",
    "PairedDataLoader",
    "SeededRandomSampler",
    "SegmentationDatalist",
    "VolumeDataset",
    "case_name",
    "download_decathlon",
    "list_images",
    "make_split",
    "make_synthetic_hippocampus",
    "make_synthetic_whole_heart",
    "mmwhs_sections",
    "propose_pattern",
    "read_description",
    "studies_beside",
    "take_fingerprint",
]
