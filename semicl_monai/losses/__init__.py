from semicl_monai.utils import Registry

from .logsumexp import logsumexp_over_keys
from .nt_xent import NTXentLoss
from .supcon import SupConLoss

LOSSES = Registry("loss", "Contrastive losses: embeddings and targets in, a scalar out.")
LOSSES.add("supcon", "Supervised contrast: embeddings of equal class attract each other.", SupConLoss)
LOSSES.add("nt_xent", "Self-supervised contrast: the two views of an image attract each other.", NTXentLoss)

__all__ = ["LOSSES", "NTXentLoss", "SupConLoss", "logsumexp_over_keys"]
