from semicl_monai.utils import Registry

from .channels_last_norm import ChannelsLastInstanceNorm
from .contrastive import ContrastiveNetwork
from .cross_teaching import CrossTeaching
from .distribution_alignment import DistributionAlignment
from .heads import DenseHead, GlobalHead, JigsawHead, LinearHead
from .layout import NetworkLayout, layout_of, set_layout
from .local_pseudo import LocalPseudo
from .mean_teacher import MeanTeacher
from .memory_format import channels_last
from .pretrained import (
    find_pretrained,
    from_scratch,
    initial_network,
    load_network,
    load_pretrained,
)
from .projected_map import ProjectedMap
from .provenance import made_by, read_provenance, require_provenance
from .self_training import SelfTraining
from .snapshots import Snapshots
from .strided_dyn_unet import StridedDynUNet
from .weights_file import StateDict, check_finite, find_state_dict, read_state_dict, without_deep_supervision

HEADS = Registry("head", "Projection heads for contrastive pre-training.")
HEADS.add("global_pool", "Global average pooling and a two-layer perceptron: one embedding per image.", GlobalHead)
HEADS.add("linear", "Global average pooling and a linear layer: logits of an image.", LinearHead)
HEADS.add("jigsaw", "Embeddings of an image and of its shuffled patches.", JigsawHead)
HEADS.add("dense", "Two 1x1 convolutions: one embedding per pixel.", DenseHead)

__all__ = [
    "HEADS",
    "ChannelsLastInstanceNorm",
    "ContrastiveNetwork",
    "CrossTeaching",
    "DenseHead",
    "DistributionAlignment",
    "GlobalHead",
    "JigsawHead",
    "LinearHead",
    "LocalPseudo",
    "MeanTeacher",
    "NetworkLayout",
    "ProjectedMap",
    "SelfTraining",
    "Snapshots",
    "StateDict",
    "StridedDynUNet",
    "channels_last",
    "check_finite",
    "find_pretrained",
    "find_state_dict",
    "from_scratch",
    "initial_network",
    "layout_of",
    "load_network",
    "load_pretrained",
    "made_by",
    "read_provenance",
    "read_state_dict",
    "require_provenance",
    "set_layout",
    "without_deep_supervision",
]
