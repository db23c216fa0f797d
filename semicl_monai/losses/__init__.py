from semicl_monai.utils import Registry

from .annotated import AnnotatedLoss
from .consistency import ConsistencyLoss
from .deep_supervision import StackedDeepSupervisionLoss
from .global_batch import GlobalBatchLoss
from .joint_contrast import JointContrastLoss
from .local_pseudo import LocalPseudoLoss
from .local_self_training import LocalSelfTrainingLoss
from .logsumexp import logsumexp_over_keys, sum_of_logsumexp_over_keys
from .memory_bank import MemoryBank
from .mixup import MixupLoss
from .nt_xent import NTXentLoss
from .pair_contrast import PairContrastLoss
from .partition_contrast import PartitionContrastLoss
from .pirl import PIRLLoss
from .places import Places
from .position_contrast import PositionContrastLoss
from .prototype_contrast import PrototypeContrast
from .pseudo_label import PseudoLabelLoss
from .remembered_contrast import RememberedContrast
from .supcon import SupConLoss
from .two_view import TwoViewLoss

LOSSES = Registry("loss", "Contrastive losses: embeddings and targets in, a scalar out.")
LOSSES.add("supcon", "Supervised contrast: embeddings of equal class attract each other.", SupConLoss)
LOSSES.add("prototypes", "Embeddings are pulled to the moving average of their class.", PrototypeContrast)
LOSSES.add("nt_xent", "Self-supervised contrast: the two views of an image attract each other.", NTXentLoss)
LOSSES.add("partition_contrast", "Slices of one partition attract each other across volumes.", PartitionContrastLoss)
LOSSES.add("position_contrast", "Slices at about the same relative position attract each other.", PositionContrastLoss)
LOSSES.add("pirl", "Image and transformed image resemble the image's memory.", PIRLLoss)

__all__ = [
    "LOSSES",
    "AnnotatedLoss",
    "ConsistencyLoss",
    "GlobalBatchLoss",
    "JointContrastLoss",
    "LocalPseudoLoss",
    "LocalSelfTrainingLoss",
    "MemoryBank",
    "MixupLoss",
    "NTXentLoss",
    "PIRLLoss",
    "PairContrastLoss",
    "PartitionContrastLoss",
    "Places",
    "PositionContrastLoss",
    "PrototypeContrast",
    "PseudoLabelLoss",
    "RememberedContrast",
    "StackedDeepSupervisionLoss",
    "SupConLoss",
    "TwoViewLoss",
    "logsumexp_over_keys",
    "sum_of_logsumexp_over_keys",
]
