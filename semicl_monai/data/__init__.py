from .datalist import SegmentationDatalist
from .download import download_decathlon
from .images import case_name, list_images
from .paired_loader import PairedDataLoader
from .split import make_split
from .synthetic import make_synthetic_hippocampus
from .volume_dataset import VolumeDataset

__all__ = [
    "PairedDataLoader",
    "SegmentationDatalist",
    "VolumeDataset",
    "case_name",
    "download_decathlon",
    "list_images",
    "make_split",
    "make_synthetic_hippocampus",
]
