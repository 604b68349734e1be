"""The architectures that bundles know, and the weights that a bundle's backbone has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from stencilnet.bundle.deltas import Reference
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import BACKBONE, BundleError, restore, sha256_of
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.tensors import decode_tensors
from stencilnet.delta import Spec
from stencilnet.delta.rounding import whole
from stencilnet.delta.spec import Array

UNET, VGG = "stencilnet.UNet", "stencilnet.VGG16"
"""Public names of the architectures that a bundle can rebuild by itself. Their modules may move."""

Norm = Literal["instance", "affine", "own"]
"""Normalisations of the U-Net."""

_HEAD_DTYPES = ("float64", "float32", "float16", "bfloat16")


def check_arguments(config: BundleConfig, file: Path) -> None:
    """Refuse a config whose architecture cannot be rebuilt from its arguments.

    Args:
        config: The config.
        file: Its file, for error messages.

    Raises:
        BundleError: If the architecture is unknown, or its arguments are wrong.
    """
    if config.architecture not in (UNET, VGG):
        what = "a backbone that cannot be rebuilt from the bundle alone"
        remedy = "Build it and pass it as `backbone=`."
        raise BundleError(file, what, f"the architecture {UNET} or {VGG}", config.architecture, remedy)
    got = f"{config.arguments}"
    if config.architecture == VGG:
        if config.arguments != {}:
            raise BundleError(file, "not the arguments of a VGG16", "none ({})", got, restore(file))
        return
    arguments = dict(config.arguments or {})
    width, norm = arguments.get("width"), arguments.get("norm", "instance")
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 1 << 16:
        raise BundleError(file, "not the arguments of a U-Net", "a width of 1 to 65536", got, restore(file))
    if norm not in get_args(Norm):
        expected = f"a norm of {', '.join(get_args(Norm))}"
        raise BundleError(file, "not the arguments of a U-Net", expected, got, restore(file))


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
