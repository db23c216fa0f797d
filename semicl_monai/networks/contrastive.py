"""A projection head on a tapped map of an ordinary network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import nn

from semicl_monai.networks.layout import NetworkLayout, layout_of
from semicl_monai.utils import InputError


class _TapReached(Exception):  # noqa: N818  (a signal, not an error)
    """Ends a forward pass at the tapped module."""


class ContrastiveNetwork(nn.Module):
    """Tap a feature map of an encoder-decoder network and project it to embeddings.

    The network itself is not changed. Its state dict keeps its keys, so pre-trained weights load into the plain
    network. The forward pass ends at the tap. Nothing behind the tap is computed or receives a gradient.

    Args:
        network: a ``BasicUNet``, ``DynUNet``, ``SegResNet`` or ``UNet`` of MONAI, or any network with a ``layout``.
        head: callable that builds the projection head from ``in_channels`` and ``spatial_dims``. In a config, it is a
            head with ``"_mode_": "callable"``.
        tap: ``"bottleneck"`` (the deepest encoder map), ``"decoder"`` (the last decoder map) or a number n (the map
            behind the n-th decoder block).
        layout: module names of the network's parts. By default, they follow from the network's class.
        frozen_encoder: whether to freeze the encoder. It then gets no gradient, and its running statistics stay
            unchanged.
        global_head: callable that builds a second head, with the same arguments as ``head``. This head is on the
            deepest encoder map of further images. Both contrasts can then be trained together.

    Raises:
        InputError: When ``tap`` is unknown or greater than the number of decoder blocks. Also when the network has no
            known layout and none was given.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> from semicl_monai.networks import DenseHead
        >>> network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=(8, 8, 8, 8, 8, 8))
        >>> ContrastiveNetwork(network, DenseHead)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 128, 32, 32])
    """

    def __init__(
        self,
        network: nn.Module,
        head: Callable[..., nn.Module],
        tap: str | int = "decoder",
        layout: NetworkLayout | None = None,
        frozen_encoder: bool = False,
        global_head: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.layout = layout_of(network) if layout is None else layout
        self.tap = _module_at(tap, self.layout)
        self.frozen_encoder = frozen_encoder
        self.head = self._on_map(head, self.tap)
        self.global_head = None if global_head is None else self._on_map(global_head, self.layout.bottleneck)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tapped map of ``x`` ``(B, C_in, H, W[, D])``: ``(B, C, H', W'[, D'])``."""
        return self._map_at(self.tap, x)

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> Any:
        """Return the output of the head for the map of ``x`` ``(B, C_in, H, W[, D])``.

        ``others`` are images of any size that pass through the network too. Without a global head, their maps are
        further arguments of the head. With a global head, their deepest encoder maps go to the global head instead. The
        output of the global head is then returned second.
        """
        tapped, *further = self.maps(x, *others)
        if self.global_head is None:
            return self.head(tapped, *further)
        return (self.head(tapped), self.global_head(*further)) if further else self.head(tapped)

    def maps(self, x: torch.Tensor, *others: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps that the heads get in a forward pass."""
        tap = self.tap if self.global_head is None else self.layout.bottleneck
        return [self.features(x), *(self._map_at(tap, other) for other in others)]

    def _map_at(self, tap: str, x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            kept.append(output)
            raise _TapReached

        hook = self.network.get_submodule(tap).register_forward_hook(keep)
        try:
            with self._encoder_as_configured():
                self.network(x)
        except _TapReached:
            return kept[0]
        finally:
            hook.remove()
        raise InputError(f"the forward pass of {type(self.network).__name__} does not call its module '{tap}'.")

    @contextmanager
    def _encoder_as_configured(self) -> Iterator[None]:
        """Freeze the encoder for one forward pass only: another stage may train the same network."""
        if not self.frozen_encoder:
            yield
            return
        parameters = [p for k, p in self.network.named_parameters() if self.layout.is_encoder(k) and p.requires_grad]
        training = [m for k, m in self.network.named_modules() if self.layout.is_encoder(k) and m.training]
        for module in training:
            module.training = False
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for module in training:
                module.training = True
            for parameter in parameters:
                parameter.requires_grad_(True)

    def _on_map(self, head: Callable[..., nn.Module], tap: str) -> nn.Module:
        """Build a head for the channels of a map. A blank image is passed through the network to count them."""
        weight = next(p for p in self.network.parameters() if p.ndim > 2)
        spatial_dims = weight.ndim - 2
        # Large enough for seven halvings in 2-D and five in 3-D: instance norm refuses a map of one pixel.
        blank = weight.new_zeros(1, weight.shape[1], *[256 if spatial_dims == 2 else 64] * spatial_dims)
        with eval_mode(self.network):
            in_channels = self._map_at(tap, blank).shape[1]
        return head(in_channels=in_channels, spatial_dims=spatial_dims).to(weight.device)


def _module_at(tap: str | int, layout: NetworkLayout) -> str:
    if tap in ("bottleneck", "decoder"):
        path: str = getattr(layout, str(tap))
        return path
    blocks = layout.decoder_blocks
    if not isinstance(tap, int) or not 1 <= tap <= len(blocks):
        wanted = f"'bottleneck', 'decoder' or a number of decoder blocks from 1 to {len(blocks)}"
        raise InputError(f"tap must be {wanted}, got '{tap}'.")
    return blocks[tap - 1]
