"""Converts a backbone to its description in ``config.json``, and back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from stencilnet.bundle.deltas import Reference
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import BACKBONE, CONFIG, BundleError, restore, sha256_of
from stencilnet.bundle.schema import BundleConfig, HeadTensor
from stencilnet.bundle.tensors import decode_tensors
from stencilnet.delta import Spec
from stencilnet.delta.rounding import whole
from stencilnet.delta.spec import Array
from stencilnet.masks import specs_of, tensors_of
from stencilnet.masks.arrays import dtype_name
from stencilnet.models import VGG16, MultiTaskNet, UNet, layout_of
from stencilnet.models.unet import Norm

UNET, VGG = "stencilnet.UNet", "stencilnet.VGG16"
"""Public names of the architectures that a bundle can rebuild by itself. Their modules may move."""

_HEAD_DTYPES = ("float64", "float32", "float16", "bfloat16")


def describe(net: MultiTaskNet, backbone: str) -> BundleConfig:
    """Return the config of a network whose backbone's file has the SHA-256 `backbone`."""
    own = net.backbone.state_dict()
    return BundleConfig(
        architecture=class_path(net.backbone),
        arguments=_arguments(net.backbone),
        head=net.head,
        head_tensors={name: _head_tensor(own[name]) for name in net.layout.head},
        decoder=net.decoder,
        backbone=backbone,
        stored=net.stored,
    )


def class_path(backbone: nn.Module) -> str:
    """Return the name of a backbone's class in bundles."""
    kind = type(backbone)
    return {UNet: UNET, VGG16: VGG}.get(kind, f"{kind.__module__}.{kind.__qualname__}")


def _arguments(backbone: nn.Module) -> dict[str, Any] | None:
    """Return the arguments to build a known backbone, or None for another class, also if it is derived from one."""
    if type(backbone) is UNet:
        return {"width": backbone.width} | ({} if backbone.norm == "instance" else {"norm": backbone.norm})
    return {} if type(backbone) is VGG16 else None


def reference_of(config: BundleConfig, shared: Mapping[str, Array], file: Path) -> Reference:
    """Return the reference that every delta of a bundle must fit.

    Raises:
        BundleError: If the config names a dtype that a head cannot have.
    """
    for spec in config.head_tensors.values():
        if spec.dtype not in _HEAD_DTYPES:
            expected = f"one of {list(_HEAD_DTYPES)}"
            raise BundleError(file, "not a dtype of a head", expected, f"{spec.dtype!r}", restore(file))
    return Reference(
        shared={name: Spec.of(array) for name, array in shared.items()},
        head={name: Spec(spec.dtype, (1, *spec.shape)) for name, spec in config.head_tensors.items()},
    )


def read_backbone(root: Path, config: BundleConfig) -> dict[str, Array]:
    """Return the backbone's shared weights after checking the file against the recorded hash.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    file = root / BACKBONE
    data = read_file(root, file)
    actual = sha256_of(data)
    if actual != config.backbone:
        what = "not the backbone that the bundle was written with"
        raise BundleError(file, what, f"SHA-256 {config.backbone}", actual, restore(file))
    tensors = decode_tensors(data, file)
    try:
        return whole(tensors) if config.stored != "float32" else tensors
    except ValueError as error:
        expected = f"weights stored as {config.stored}"
        raise BundleError(file, "not a backbone's weights", expected, f"this: {error}", restore(file)) from error


def rebuild(config: BundleConfig, shared: Mapping[str, Array], root: Path) -> nn.Module:
    """Build the bundle's backbone; its head, which no task uses, has one channel of zeros.

    Raises:
        BundleError: If the architecture is unknown, or the weights do not fit it.
    """
    file = root / CONFIG
    builders: Mapping[str, Callable[[BundleConfig, Path], nn.Module]] = {UNET: _unet, VGG: _vgg16}
    if config.architecture not in builders:
        what = "a backbone that cannot be rebuilt from the bundle alone"
        remedy = "Build it and pass it as `backbone=`."
        raise BundleError(file, what, f"the architecture {' or '.join(builders)}", config.architecture, remedy)
    with torch.device("meta"):  # draws nothing from the global generator, and allocates nothing yet
        backbone = builders[config.architecture](config, file)
    head = _check(config, backbone, shared, root)
    zeros = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in head.items()}
    backbone.load_state_dict({**tensors_of(shared), **zeros}, assign=True)
    return backbone


def _unet(config: BundleConfig, file: Path) -> nn.Module:
    arguments = dict(config.arguments or {})
    width, norm = arguments.get("width"), arguments.get("norm", "instance")
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 1 << 16:
        got = f"{config.arguments}"
        raise BundleError(file, "not the arguments of a U-Net", "a width of 1 to 65536", got, restore(file))
    if norm not in get_args(Norm):
        expected, got = f"a norm of {', '.join(get_args(Norm))}", f"{config.arguments}"
        raise BundleError(file, "not the arguments of a U-Net", expected, got, restore(file))
    return UNet(width=width, channels=1, norm=norm)


def _vgg16(config: BundleConfig, file: Path) -> nn.Module:
    if config.arguments != {}:
        raise BundleError(file, "not the arguments of a VGG16", "none ({})", f"{config.arguments}", restore(file))
    return VGG16(channels=1)


def fill(config: BundleConfig, shared: Mapping[str, Array], root: Path, backbone: nn.Module) -> None:
    """Copy the bundle's weights into a backbone that the caller built; its head is not changed.

    Raises:
        BundleError: If it is of another class, or the weights do not fit it.
    """
    expected, got = config.architecture, class_path(backbone)
    if "__main__" in (expected.partition(".")[0], got.partition(".")[0]):
        # A class of a script is in `__main__` when the script saves, and in a module when another script loads.
        expected, got = expected.rpartition(".")[2], got.rpartition(".")[2]
    if expected != got:
        remedy = "Pass a backbone of that class."
        raise BundleError(root / CONFIG, "another architecture", config.architecture, class_path(backbone), remedy)
    _check(config, backbone, shared, root)
    backbone.load_state_dict(tensors_of(shared), strict=False)


def _check(config: BundleConfig, backbone: nn.Module, shared: Mapping[str, Array], root: Path) -> dict[str, Tensor]:
    """Check names, shapes and types of all weights; return the backbone's own head."""
    try:
        head_names = layout_of(backbone, config.head, config.decoder).head
    except (ValueError, TypeError) as error:
        expected = f"the head {config.head!r} and the decoder {config.decoder}"
        remedy = "Pass the backbone that the bundle was saved with."
        raise BundleError(root / CONFIG, "another architecture", expected, f"this: {error}", remedy) from error
    own = backbone.state_dict()
    head = {name: own.pop(name) for name in head_names}
    _compare(specs_of(own), {name: Spec.of(array) for name, array in shared.items()}, root / BACKBONE)
    specs = {name: _head_tensor(tensor) for name, tensor in head.items()}
    _compare(specs, config.head_tensors, root / CONFIG)
    return head


def _compare(own: Mapping[str, object], stored: Mapping[str, object], file: Path) -> None:
    for name in sorted({*own, *stored}):
        if own.get(name) != stored.get(name):
            expected, got = f"{own.get(name, 'none')}", f"{stored.get(name, 'none')}"
            remedy = "Pass the same backbone that the bundle was saved with, as `backbone=`, or an intact bundle."
            raise BundleError(file, f"the weight `{name}` does not fit the backbone", expected, got, remedy)


def _head_tensor(tensor: Tensor) -> HeadTensor:
    return HeadTensor(dtype=dtype_name(tensor.dtype), shape=tuple(tensor.shape[1:]))
