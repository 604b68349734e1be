"""The frozen perceptual network of style losses: plain convolutions, ReLUs and poolings, and a name to print."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stencilnet.storage import write_file
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import dumps

_REMEDY = "Delete it: a resumed run creates it again."
_KEY = "perceptual"
"""The only metadata key: safetensors orders several keys at random, and the file's bytes should be stable."""


class PerceptualError(ValueError):
    """A perceptual network is unavailable, unreadable or unusable; the message gives the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """Properties of a perceptual network other than its weights. JSON data.

    Attributes:
        name: Name, printed and stored with every number measured with the network.
        style_layers: Layers whose Gram matrices are the style (``relu1_2``: second convolution of the first block).
        content_layer: Layer whose features are the content.
        pooling: 2x2 pooling between blocks: ``max`` (VGG) or ``average``.
        mean: Subtracted from R, G and B in [0, 1] at the input.
        std: Divides R, G and B after that.
        start: For a stand-in, the content distance of a mid-gray output, averaged over photos, which sets the loss
            weights (see `stencilnet.perceptual.criterion`). None for published weights, for which presets are made.
    """

    name: str
    style_layers: tuple[str, ...]
    content_layer: str
    pooling: Literal["max", "average"] = "max"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    start: float | None = None

    def __post_init__(self) -> None:
        if self.pooling not in ("max", "average"):
            raise PerceptualError(f"Expected `pooling` to be `max` or `average`, but got {self.pooling!r}.")
        if not self.name or not self.style_layers:
            raise PerceptualError("Expected a perceptual network with a `name` and `style_layers`, but one is empty.")
        if self.start is not None and not self.start > 0:
            raise PerceptualError(
                f"Expected `start` to be positive, but got {self.start}: the network does not respond to photos."
            )


class PerceptualNetwork(nn.Module):
    """Blocks of 3x3 convolutions and ReLUs with pooling between them: VGG and similar networks.

    It is frozen, and computes in float32 even under autocast, because a Gram matrix sums thousands of products: bf16
    would keep three digits, and float16 would overflow.

    Args:
        description: The properties of the network.
        convolutions: Weight ``(out, in, 3, 3)`` and bias ``(out,)`` by name ``{block}_{index}``, in order; blocks
            count from 1. They are copied.

    Raises:
        PerceptualError: If a layer of the description is missing, or the convolutions do not fit each other.
    """

    def __init__(self, description: Description, convolutions: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.description = description
        self._names = tuple(convolutions)
        missing = {*description.style_layers, description.content_layer} - {f"relu{name}" for name in self._names}
        if missing:
            raise PerceptualError(
                f"Expected layers {sorted(missing)}, but the network has relu{', relu'.join(self._names)}."
            )
        channels = 3
        for name, (weight, bias) in convolutions.items():
            if weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
                raise PerceptualError(
                    f"Expected conv{name} to take {channels} channels by 3x3, but got a weight of shape "
                    f"{tuple(weight.shape)} and a bias of shape {tuple(bias.shape)}."
                )
            if not (weight.isfinite().all() and bias.isfinite().all()):
                raise PerceptualError(
                    f"Expected conv{name} to be finite, but got NaN or infinity. Get the weights again."
                )
            channels = weight.shape[0]
            self.register_buffer(_buffer(name, "weight"), weight.detach().float().clone())
            self.register_buffer(_buffer(name, "bias"), bias.detach().float().clone())
        self.register_buffer("mean", torch.tensor(description.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(description.std).view(1, 3, 1, 1))
        self.eval()

    @property
    def name(self) -> str:
        """Name, printed and stored with every number measured with the network."""
        return self.description.name

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.get_buffer("mean").device

    def convolutions(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the weights and biases by name, in order; they are not copied."""
        return {n: (self.get_buffer(_buffer(n, "weight")), self.get_buffer(_buffer(n, "bias"))) for n in self._names}

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Return features by layer; layers deeper than the last one requested are not computed.

        Args:
            image: RGB ``(N, 3, H, W)`` in [0, 1] on the network's device, each side at least 8 px for four blocks.
            layers: Names such as ``relu2_2``.

        Returns:
            For each layer ``(N, C, H / 2^(block - 1), W / 2^(block - 1))`` float32.

        Raises:
            PerceptualError: If the image is smaller than one feature of the deepest layer.
        """
        found: dict[str, Tensor] = {}
        block = 1
        with full_precision(image.device):
            x = (image.float() - self.get_buffer("mean")) / self.get_buffer("std")
            for name, (weight, bias) in self.convolutions().items():
                if block_of(name) > block:
                    block = block_of(name)
                    if min(x.shape[-2:]) < 2:
                        raise PerceptualError(
                            f"Expected images of at least {2 ** (block - 1)} px per side, but got "
                            f"{image.shape[-1]}x{image.shape[-2]} px. Use larger images."
                        )
                    x = pool(x, self.description.pooling)
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
                if f"relu{name}" in layers:
                    found[f"relu{name}"] = x
                if len(found) == len(set(layers)):
                    break
        return found


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Disable autocast on devices that support it."""
    kind = device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def block_of(name: str) -> int:
    """Return the block number of a convolution named ``{block}_{index}``."""
    return int(name.partition("_")[0])


def pool(x: Tensor, pooling: str) -> Tensor:
    """Halve ``(N, C, H, W)`` by ``max`` or ``average`` pooling; an odd last row or column is dropped."""
    return F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)


def _buffer(name: str, kind: str) -> str:
    return f"conv{name}_{kind}"  # names of buffers must not contain dots


def save_perceptual(network: PerceptualNetwork, path: Path) -> None:
    """Write a network as plain tensors (safetensors), so that all methods and resumed runs use the same network."""
    tensors = {
        f"conv{name}.{kind}": tensor.cpu().contiguous()
        for name, pair in network.convolutions().items()
        for kind, tensor in zip(("weight", "bias"), pair, strict=True)
    }
    text = dumps({**asdict(network.description), "convolutions": list(network.convolutions())}, sort_keys=True)
    write_file(path, save(tensors, metadata={_KEY: text}))


def load_perceptual(path: Path) -> PerceptualNetwork:
    """Read a network written by `save_perceptual`, bit-equal.

    Raises:
        PerceptualError: If the file does not exist, or is not such a network.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise PerceptualError(f"Expected {path} to be a perceptual network, but got other tensors. {_REMEDY}")
            record = json.loads(text)
            order = record.pop("convolutions")
            pairs = {n: (file.get_tensor(f"conv{n}.weight"), file.get_tensor(f"conv{n}.bias")) for n in order}
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise PerceptualError(f"Cannot read the perceptual network {path}: {error}. {_REMEDY}") from error
    known = {field.name for field in fields(Description)}
    if set(record) != known:
        raise PerceptualError(
            f"Expected {path} to describe {sorted(known)}, but got {brief(sorted(record))}. {_REMEDY}"
        )
    described: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in record.items()}
    return PerceptualNetwork(Description(**described), pairs)
