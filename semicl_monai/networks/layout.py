"""Module names of the parts of MONAI's encoder-decoder networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from torch import nn

from semicl_monai.utils import InputError, did_you_mean

_GIVEN = "network_layout"  # the attribute of a network that holds its own layout


@dataclass(frozen=True)
class NetworkLayout:
    """Module names of the parts of an encoder-decoder network, as ``network.named_modules()`` has them.

    Args:
        encoder: prefixes of the encoder's parameters, the bottleneck included.
        bottleneck: module whose output is the deepest encoder map.
        decoder_blocks: modules whose outputs are the decoder maps, from the deepest to the last. The last decoder map
            is the classifier's input.
        classifier: prefixes of the parameters that turn the last decoder map into classes.
        upsamplers: for each decoder block, the module before it that enlarges the deeper map. Empty when the blocks do
            so themselves.

    Raises:
        InputError: When a text is given instead of a list.
    """

    encoder: tuple[str, ...]
    bottleneck: str
    decoder_blocks: tuple[str, ...]
    classifier: tuple[str, ...]
    upsamplers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("encoder", "decoder_blocks", "classifier", "upsamplers"):
            value = getattr(self, field)
            if isinstance(value, str):
                raise InputError(f"network_layout: {field} must be a list of names, got the text '{value}'.")
            object.__setattr__(self, field, tuple(value))  # a config has lists

    @property
    def decoder(self) -> str:
        """The module whose output is the last decoder map."""
        return self.decoder_blocks[-1]

    def is_encoder(self, key: str) -> bool:
        """Whether the parameter called ``key`` belongs to the encoder."""
        return _has_prefix(key, self.encoder)

    def is_decoder(self, key: str, num_blocks: int | None = None) -> bool:
        """Whether the parameter called ``key`` belongs to the decoder, or to its ``num_blocks`` deepest blocks."""
        return _has_prefix(key, self.decoder_blocks[:num_blocks] + self.upsamplers[:num_blocks])

    def is_classifier(self, key: str) -> bool:
        """Whether the parameter called ``key`` belongs to the classifier."""
        return _has_prefix(key, self.classifier)


def layout_of(network: nn.Module) -> NetworkLayout:
    """Return the layout of a network: the one set by :func:`set_layout`, or the one of its class.

    Known classes are ``BasicUNet``, ``DynUNet``, ``SegResNet`` and ``UNet``.

    Raises:
        InputError: When the network is of another class and no layout was set.
    """
    given: NetworkLayout | None = getattr(network, _GIVEN, None)
    if given is not None:
        return given
    for cls, layout in _LAYOUTS.items():
        if isinstance(network, cls):
            return layout(network)
    known = ", ".join(cls.__name__ for cls in _LAYOUTS)
    raise InputError(
        f"network {type(network).__name__} has no known layout; known: {known}; give network_layout for others."
    )


def set_layout(network: nn.Module, layout: NetworkLayout) -> None:
    """Set the layout of a network, which its copies keep.

    Args:
        network: any encoder-decoder network.
        layout: its layout.

    Raises:
        InputError: When a part is missing, when the layout names a module that the network does not have, or when a
            parameter of the network is in none of the parts.
    """
    modules, kind = {name for name, _ in network.named_modules()}, type(network).__name__
    for field, value in vars(layout).items():
        if not value and field != "upsamplers":
            raise InputError(f"network_layout: {field} must be modules of {kind}, got none.")
        for name in [value] if isinstance(value, str) else value:
            if name not in modules:
                hint = did_you_mean(name, modules)
                raise InputError(f"network_layout: {field} must be modules of {kind}, got '{name}'{hint}.")
    parts = (layout.is_encoder, layout.is_decoder, layout.is_classifier)
    left = [name for name, _ in network.named_parameters() if not any(is_part(name) for is_part in parts)]
    if left:
        raise InputError(f"network_layout: every parameter of {kind} must be in a part, '{left[0]}' is in none.")
    setattr(network, _GIVEN, layout)


def _has_prefix(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _basic_unet(network: nn.Module) -> NetworkLayout:
    encoder = ("conv_0", "down_1", "down_2", "down_3", "down_4")
    return NetworkLayout(encoder, "down_4", ("upcat_4", "upcat_3", "upcat_2", "upcat_1"), ("final_conv",))


def _dyn_unet(network: DynUNet) -> NetworkLayout:
    encoder, classifier = ("input_block", "downsamples", "bottleneck"), ("output_block", "deep_supervision_heads")
    return NetworkLayout(encoder, "bottleneck", _numbered("upsamples", network.upsamples), classifier)


def _seg_res_net(network: SegResNet) -> NetworkLayout:
    bottleneck = _numbered("down_layers", network.down_layers)[-1]
    blocks, upsamplers = _numbered("up_layers", network.up_layers), _numbered("up_samples", network.up_samples)
    return NetworkLayout(("convInit", "down_layers"), bottleneck, blocks, ("conv_final",), upsamplers)


def _unet(network: UNet) -> NetworkLayout:
    # UNet nests one skip connection in another; its last map before the classes is half the image's size.
    encoder, blocks, inside = ["model.0"], ["model.1"], "model.1.submodule"
    while isinstance(network.get_submodule(inside), nn.Sequential) and _has_skip(network.get_submodule(inside)):
        encoder.append(f"{inside}.0")
        blocks.insert(0, f"{inside}.1")
        inside = f"{inside}.1.submodule"
    # The innermost skip connection joins two encoder maps. No part of the decoder comes before it.
    return NetworkLayout((*encoder, inside), inside, tuple(blocks[1:] or blocks), ("model.2",))


def _numbered(name: str, modules: nn.ModuleList) -> tuple[str, ...]:
    return tuple(f"{name}.{i}" for i in range(len(modules)))


def _has_skip(block: nn.Module) -> bool:
    children = dict(block.named_children())
    return "1" in children and hasattr(children["1"], "submodule")


_LAYOUTS: dict[type[nn.Module], Callable[..., NetworkLayout]] = {
    BasicUNet: _basic_unet,
    DynUNet: _dyn_unet,
    SegResNet: _seg_res_net,
    UNet: _unet,
}
