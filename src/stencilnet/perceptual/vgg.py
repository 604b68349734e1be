"""VGG networks with ImageNet weights, as perceptual network or initialisation, from torch's cache, file or download."""

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stencilnet.perceptual.criterion import PRESETS
from stencilnet.perceptual.network import Description, PerceptualError, PerceptualNetwork

_URL = "https://download.pytorch.org/models/"
_FILES = {"VGG13": "vgg13-19584684.pth", "VGG16": "vgg16-397923af.pth", "VGG19": "vgg19-dcbb9e9d.pth"}
"""torchvision's names of the ImageNet weights; the name ends in the first digits of the file's SHA-256."""
_DEPTHS = {"VGG13": (2, 2, 2, 2, 2), "VGG16": (2, 2, 3, 3, 3), "VGG19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_GARBAGE = (
    UnpicklingError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
)
"""Exceptions that torch's unpickler raises on bytes that are not a pickle. Their texts do not help, and one advises to
load the file unsafely."""
_CLASSIFIER = {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096)}
"""Fully connected layers except the last, whose size depends on the task."""


def vgg(preset: str = "johnson", weights: str | Path = "cache") -> PerceptualNetwork:
    """Load the network for a preset: VGG16 for ``johnson``, VGG19 for ``gatys``.

    Args:
        preset: A key of `stencilnet.perceptual.criterion.PRESETS`.
        weights: ``cache`` (torch's hub folder, without a download), ``download`` (0.5 GB, into that folder), or a
            state-dict file in torchvision's layout, ``.pth`` or ``.safetensors``, with or without the classifier.

    Raises:
        PerceptualError: If the preset or file does not exist, the download fails, or the file has another layout.
    """
    if preset not in PRESETS:
        raise PerceptualError(f"Expected `preset` to be one of {', '.join(PRESETS)}, but got {preset!r}.")
    wanted = PRESETS[preset]
    architecture = wanted.network
    state, path = _state(architecture, weights, "use a stand-in")
    convolutions = _convolutions(architecture, state, path)
    description = Description(
        name=f"{architecture} ImageNet" if _is_published(architecture, path) else f"{architecture} from {path.name}",
        style_layers=wanted.style_layers,
        content_layer=wanted.content_layer,
    )
    return PerceptualNetwork(description, convolutions)


def vgg_convolutions(architecture: str, weights: str | Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Load a VGG's convolutions to initialise a network: weight and bias by name ``{block}_{index}``, in order.

    Args:
        architecture: ``VGG13``, ``VGG16`` or ``VGG19``.
        weights: As in `vgg`.

    Raises:
        PerceptualError: If the file does not exist, the download fails, or the file has another layout.
    """
    state, path = _state(architecture, weights, "start from random weights")
    return _convolutions(architecture, state, path)


def vgg_trunk(architecture: str, weights: str | Path) -> dict[str, Tensor]:
    """Load a VGG without its last layer, by torchvision's state-dict keys.

    Args:
        architecture: ``VGG13``, ``VGG16`` or ``VGG19``.
        weights: As in `vgg`; a file must include the classifier.

    Raises:
        PerceptualError: If the file does not exist, the download fails, or the file has another layout.
    """
    state, path = _state(architecture, weights, "start from random weights")
    whole = "with its classifier"
    _convolutions(architecture, state, path, whole)
    expected: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in _CLASSIFIER.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in _CLASSIFIER.items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items() if name in expected}
    _check_layout(architecture, found, expected, path, whole)
    used = {name: tensor for name, tensor in state.items() if name.startswith("features.") or name in expected}
    _check_dtypes(architecture, used, path)
    return used


def _state(architecture: str, weights: str | Path, otherwise: str) -> tuple[dict[str, Tensor], Path]:
    """Return the state dict that `weights` names, and its file."""
    cached = _cached(architecture)
    if weights == "download":
        _download(architecture, cached, otherwise)
    path = cached if weights in ("cache", "download") else Path(weights)
    return _read(architecture, path, otherwise), path


def is_cached(architecture: str) -> bool:
    """Return whether torch's cache has the weights of ``VGG13``, ``VGG16`` or ``VGG19``."""
    return _cached(architecture).is_file()


def _cached(architecture: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _FILES[architecture]


def _download(architecture: str, path: Path, otherwise: str) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    url = _URL + path.name
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_digits(architecture), progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise PerceptualError(
            f"Cannot download the weights of {architecture} from {url}: {error}. Without a network, copy the file "
            f"here and give its path, or {otherwise}."
        ) from error


def _digits(architecture: str) -> str:
    return Path(_FILES[architecture]).stem.partition("-")[2]


def _is_published(architecture: str, path: Path) -> bool:
    """Return whether a file is torchvision's own, whatever its name: the network's name is stored with every number."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(_digits(architecture))


def _read(architecture: str, path: Path, otherwise: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise PerceptualError(
            f"Expected the weights of {architecture} at {path}, but there is no such file. "
            f"Use `download`, give the path of a file, or {otherwise}."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _GARBAGE as error:
        raise PerceptualError(
            f"Cannot read the weights of {architecture} from {path}: it is damaged, or contains more than tensors. "
            "Copy or download the file again."
        ) from error
    except (OSError, RuntimeError, SafetensorError, EOFError) as error:
        raise PerceptualError(
            f"Cannot read the weights of {architecture} from {path}: {str(error) or type(error).__name__}. "
            "Copy or download the file again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise PerceptualError(
            f"Expected {path} to hold a state dict (names to tensors), but got another object. "
            "Save `model.state_dict()`."
        )
    return state


def _convolutions(
    architecture: str, state: dict[str, Tensor], path: Path, whole: str = "or of its `features`"
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the convolutions in torchvision's ``features.{i}``, whose shapes must all match the architecture."""
    expected = _layout(architecture)
    found = {f"features.{name}" if name[:1].isdigit() else name: tensor for name, tensor in state.items()}
    features = {name: tensor for name, tensor in found.items() if name.startswith("features.")}
    shapes = {name: tuple(tensor.shape) for name, tensor in features.items()}
    wanted = {
        f"features.{index}.{kind}": shape if kind == "weight" else shape[:1]
        for index, shape in expected.values()
        for kind in ("weight", "bias")
    }
    _check_layout(architecture, shapes, wanted, path, whole)
    _check_dtypes(architecture, features, path)
    return {
        name: (features[f"features.{index}.weight"], features[f"features.{index}.bias"])
        for name, (index, _) in expected.items()
    }


def _check_layout(
    architecture: str,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    path: Path,
    whole: str,
) -> None:
    if found == expected:
        return
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))[:3]
    told = ", ".join(f"{n} {expected.get(n, 'absent')} (got {found.get(n, 'none')})" for n in wrong)
    raise PerceptualError(
        f"Expected {path} to have the layout of torchvision's {architecture}: {told}. "
        f"Give the state dict of torchvision.models.{architecture.lower()}, {whole}."
    )


def _check_dtypes(architecture: str, used: Mapping[str, Tensor], path: Path) -> None:
    wrong = [f"{name} {tensor.dtype}" for name, tensor in sorted(used.items()) if not tensor.is_floating_point()][:3]
    if wrong:
        raise PerceptualError(
            f"Expected {path} to hold floating-point weights, but got {', '.join(wrong)}. "
            f"Give the unquantised state dict of torchvision.models.{architecture.lower()}."
        )


def _layout(architecture: str) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Return each convolution's position in ``features`` (ReLUs and poolings count too) and its weight shape."""
    layout: dict[str, tuple[int, tuple[int, ...]]] = {}
    position, channels = 0, 3
    for block, (depth, width) in enumerate(zip(_DEPTHS[architecture], _WIDTHS, strict=True), start=1):
        for index in range(1, depth + 1):
            layout[f"{block}_{index}"] = position, (width, channels, 3, 3)
            position, channels = position + 2, width
        position += 1
    return layout
