"""A loss of the annotated voxels alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import check_regions, region_maps


class AnnotatedLoss(_Loss):
    """Compute a loss on the annotated voxels of a batch; voxels with a label below 0 count nowhere.

    If all voxels are annotated, the loss gets the batch unchanged. Otherwise it gets the annotated voxels of all images
    as one image with one spatial axis. The loss must therefore not depend on the places of voxels, nor on the image
    that a voxel is in: give Dice losses ``batch=True``. MONAI 1.6.1's ``DiceCELoss`` has no ``ignore_index``, and its
    ``MaskedLoss`` sets logits to zero, which still counts in a softmax.

    Without an annotated voxel the loss is zero, with a zero gradient.

    Args:
        loss: loss of predictions and label maps.
        regions: class numbers of each region, see :func:`semicl_monai.utils.region_maps`. The loss then gets a map of
            each region ``(B, R, ...)`` in place of the label map. By default it gets the label map.

    Raises:
        InputError: When ``regions`` are not lists of class numbers.

    Example:
        >>> import torch
        >>> input, target = torch.tensor([[[2.0, 3.0, 9.0]]]), torch.tensor([[[1.0, 1.0, -1.0]]])
        >>> AnnotatedLoss(torch.nn.MSELoss())(input, target)
        tensor(2.5000)
    """

    def __init__(
        self, loss: Callable[[Tensor, Tensor], Tensor], regions: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        check_regions(regions)
        self.loss, self.regions = loss, regions

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``input`` ``(B, C, H, W[, D])`` for label maps ``target`` ``(B, 1, H, W[, D])``."""
        known = (target >= 0).squeeze(1)
        if not known.any():
            return (0 * input).sum()
        if not known.all():
            input, target = (maps.movedim(1, -1)[known].T[None] for maps in (input, target))
        return self.loss(input, target if self.regions is None else region_maps(target, self.regions))
