"""Supervised local contrastive pre-training for label-efficient medical image segmentation, as MONAI components."""

__version__ = "0.1.0"
