"""The roles of a backbone's tensors (masked weights, norms, decoder, head), and newly drawn tensors."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from stencilnet.models.checking import check_tensors
from stencilnet.models.unet import UNet

_MASKABLE = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """State-dict keys of a backbone by role, each tuple in network order.

    Attributes:
        masked: Convolution, transposed-convolution and linear weights outside the head, without biases and norms.
        norms: Scales and shifts of normalisation layers outside the head; empty where norms have none.
        decoder: Parameters and buffers of the decoder, biases and norms included.
        parameters: All parameters outside the head except the U-Net's `fixed`: those that training the whole network
            trains.
        buffers: Buffers outside the head (batch-norm statistics).
        head: Keys of the head.
        inert: Those of `parameters` that have no effect: the U-Net's biases before a norm. Empty for other networks.
        levels: Names of the layers at which the backbone calls a tap (`models.columns`): those of the U-Net; empty for
            other networks.
    """

    masked: tuple[str, ...]
    norms: tuple[str, ...]
    decoder: tuple[str, ...]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    head: tuple[str, ...]
    inert: tuple[str, ...]
    levels: tuple[str, ...]


def layout_of(backbone: nn.Module, head: str, decoder: Iterable[str]) -> Layout:
    """Read a backbone's layout.

    Args:
        backbone: Any network.
        head: Name of its last layer, a `torch.nn.Conv2d` or `torch.nn.Linear`.
        decoder: Prefixes of the decoder's keys; may be empty.

    Raises:
        ValueError: If there is no such head, a decoder prefix matches nothing, or two names share a parameter or
            memory.
        TypeError: If the head is not one convolution or linear layer, `decoder` is one string, or a layer is quantised.
    """
    _head_module(backbone, head)
    check_tensors(backbone)
    if isinstance(decoder, str):
        raise TypeError(
            f"Expected `decoder` to be several prefixes, but got the string {decoder!r}. Write ({decoder!r},)."
        )
    prefixes = tuple(decoder)
    trunk = [name for name, _ in backbone.named_parameters() if not name.startswith(f"{head}.")]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in trunk):
            raise ValueError(
                f"Expected the decoder prefix `{prefix}` to name parameters of {type(backbone).__name__}, "
                "but none starts with it. Name its own, or pass `decoder=()` for a backbone without one."
            )
    modules = dict(backbone.named_modules())
    masked = {f"{name}.weight" for name, module in modules.items() if isinstance(module, _MASKABLE)}
    norms = {f"{name}.{leaf}" for name, m in modules.items() if isinstance(m, _NORMS) for leaf in ("weight", "bias")}
    persistent = set(backbone.state_dict())
    unet = backbone if isinstance(backbone, UNet) else None
    fixed, inert, levels = (unet.fixed, unet.inert, unet.levels) if unet else ((), (), ())
    buffers = [n for n, _ in backbone.named_buffers() if n in persistent and not n.startswith(f"{head}.")]
    return Layout(
        masked=tuple(name for name in trunk if name in masked),
        norms=tuple(name for name in trunk if name in norms),
        decoder=tuple(name for name in (*trunk, *buffers) if name.startswith(prefixes)),
        parameters=tuple(name for name in trunk if name not in fixed),
        buffers=tuple(buffers),
        head=tuple(name for name, _ in backbone.named_parameters() if name.startswith(f"{head}.")),
        inert=inert,
        levels=levels,
    )


def fresh_head(backbone: nn.Module, head: str, channels: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a new head of the backbone's kind with the given output channels, by state-dict key.

    The distribution is PyTorch's own for the layer: uniform in +-1/sqrt(fan in).

    Raises:
        ValueError: If `channels` is not positive.
    """
    if channels < 1:
        raise ValueError(f"Expected a head of at least 1 output channel, but got {channels}.")
    layer = _head_module(backbone, head)
    dtype = layer.weight.dtype
    shape = (channels, *layer.weight.shape[1:])
    bound = 1 / sqrt(layer.weight[0].numel())
    tensors = {f"{head}.weight": torch.empty(shape, dtype=dtype).uniform_(-bound, bound, generator=generator)}
    if layer.bias is not None:
        tensors[f"{head}.bias"] = torch.empty(channels, dtype=dtype).uniform_(-bound, bound, generator=generator)
    return tensors


def fresh_weights(backbone: nn.Module, head: str, seed: int) -> dict[str, Tensor]:
    """Draw new weights for the whole backbone except its head, by state-dict key, with each layer's own initialisation.

    Raises:
        TypeError: If a layer with parameters or buffers of its own has no ``reset_parameters``.
    """
    fresh = copy.deepcopy(backbone).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed every accelerator
        for name, module in fresh.named_modules():
            if not [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                continue
            reset = getattr(module, "reset_parameters", None)  # PyTorch's own convention, not on nn.Module's interface
            if reset is None:
                raise TypeError(
                    f"Expected layer `{name}` ({type(module).__name__}) to have `reset_parameters`. Give it one."
                )
            reset()
    return {name: tensor for name, tensor in fresh.state_dict().items() if not name.startswith(f"{head}.")}


def _head_module(backbone: nn.Module, head: str) -> nn.Conv2d | nn.Linear:
    modules = dict(backbone.named_modules())
    if head not in modules:
        raise ValueError(
            f"Expected `head` to name a layer of {type(backbone).__name__}, but got {head!r}. "
            f"Layers: {', '.join(filter(None, modules))}."
        )
    module = modules[head]
    if not isinstance(module, nn.Conv2d | nn.Linear):
        raise TypeError(f"Expected the head `{head}` to be a Conv2d or a Linear, but got {type(module).__name__}.")
    return module
