from semicl_monai.utils import Registry

from .contrastive import ContrastiveNetwork
from .heads import DenseHead, GlobalHead, JigsawHead, LinearHead
from .layout import NetworkLayout, layout_of
from .local_pseudo import LocalPseudo
from .mean_teacher import MeanTeacher
from .memory_format import ChannelsLastInstanceNorm, channels_last
from .pretrained import (
    find_pretrained,
    from_scratch,
    initial_network,
    load_network,
    load_pretrained,
    read_state_dict,
    without_deep_supervision,
)
from .record import checksum, record_file, record_of
from .self_training import SelfTraining

HEADS = Registry("head", "Projection heads for contrastive pre-training.")
HEADS.add("global_pool", "Global average pooling and a two-layer perceptron: one embedding an image.", GlobalHead)
HEADS.add("linear", "Global average pooling and a linear layer: logits of an image.", LinearHead)
HEADS.add("jigsaw", "Embeddings of an image and of its shuffled patches.", JigsawHead)
HEADS.add("dense", "Two 1x1 convolutions: one embedding a pixel.", DenseHead)

__all__ = [
    "HEADS",
    "ChannelsLastInstanceNorm",
    "ContrastiveNetwork",
    "DenseHead",
    "GlobalHead",
    "JigsawHead",
    "LinearHead",
    "LocalPseudo",
    "MeanTeacher",
    "NetworkLayout",
    "SelfTraining",
    "channels_last",
    "checksum",
    "find_pretrained",
    "from_scratch",
    "initial_network",
    "layout_of",
    "load_network",
    "load_pretrained",
    "read_state_dict",
    "record_file",
    "record_of",
    "without_deep_supervision",
]
