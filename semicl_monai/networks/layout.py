"""Where an encoder-decoder network of MONAI keeps its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from torch import nn

from semicl_monai.utils import InputError


@dataclass(frozen=True)
class NetworkLayout:
    """Module names of the parts of an encoder-decoder network.

    Args:
        encoder: prefixes of the encoder's parameters, the bottleneck included.
        bottleneck: module whose output is the deepest encoder map.
        decoder: module whose output is the last decoder map, the classifier's input.
        classifier: prefixes of the parameters that turn the last decoder map into classes.
    """

    encoder: tuple[str, ...]
    bottleneck: str
    decoder: str
    classifier: tuple[str, ...]

    def is_encoder(self, key: str) -> bool:
        """Whether the parameter called ``key`` belongs to the encoder."""
        return _has_prefix(key, self.encoder)

    def is_classifier(self, key: str) -> bool:
        """Whether the parameter called ``key`` belongs to the classifier."""
        return _has_prefix(key, self.classifier)


def layout_of(network: nn.Module) -> NetworkLayout:
    """Return the layout of a ``BasicUNet``, ``DynUNet``, ``SegResNet`` or ``UNet``.

    Raises:
        InputError: When the network is of another class; give ``layout`` explicitly then.
    """
    for cls, layout in _LAYOUTS.items():
        if isinstance(network, cls):
            return layout(network)
    known = ", ".join(cls.__name__ for cls in _LAYOUTS)
    raise InputError(f"network {type(network).__name__} has no known layout; known: {known}, or pass a NetworkLayout.")


def _has_prefix(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _basic_unet(network: nn.Module) -> NetworkLayout:
    encoder = ("conv_0", "down_1", "down_2", "down_3", "down_4")
    return NetworkLayout(encoder, bottleneck="down_4", decoder="upcat_1", classifier=("final_conv",))


def _dyn_unet(network: DynUNet) -> NetworkLayout:
    encoder = ("input_block", "downsamples", "bottleneck")
    return NetworkLayout(encoder, "bottleneck", f"upsamples.{len(network.upsamples) - 1}", ("output_block",))


def _seg_res_net(network: SegResNet) -> NetworkLayout:
    bottleneck = f"down_layers.{len(network.down_layers) - 1}"
    decoder = f"up_layers.{len(network.up_layers) - 1}"
    return NetworkLayout(("convInit", "down_layers"), bottleneck, decoder, ("conv_final",))


def _unet(network: UNet) -> NetworkLayout:
    # UNet nests one skip connection in another; its last map before the classes is half the image's size.
    encoder, block = ["model.0"], "model.1.submodule"
    while isinstance(network.get_submodule(block), nn.Sequential) and _has_skip(network.get_submodule(block)):
        encoder.append(f"{block}.0")
        block = f"{block}.1.submodule"
    return NetworkLayout((*encoder, block), bottleneck=block, decoder="model.1", classifier=("model.2",))


def _has_skip(block: nn.Module) -> bool:
    children = dict(block.named_children())
    return "1" in children and hasattr(children["1"], "submodule")


_LAYOUTS: dict[type[nn.Module], Callable[..., NetworkLayout]] = {
    BasicUNet: _basic_unet,
    DynUNet: _dyn_unet,
    SegResNet: _seg_res_net,
    UNet: _unet,
}
