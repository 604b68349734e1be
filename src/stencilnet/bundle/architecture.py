"""The architectures that bundles know, and the weights that a bundle's backbone has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from stencilnet.bundle.deltas import Reference
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import BACKBONE, GRAPH, BundleError, restore, sha256_of
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.tensors import decode_tensors
from stencilnet.delta import Spec
from stencilnet.delta.rounding import whole
from stencilnet.delta.spec import Array

UNET, VGG = "stencilnet.UNet", "stencilnet.VGG16"
"""Public names of the architectures that a bundle can rebuild by itself. Their modules may move."""

Norm = Literal["instance", "affine", "own"]
"""Normalisations of the U-Net."""

KNOWN = (UNET, VGG)
"""The architectures that a bundle can rebuild; each can be written as an ONNX graph, too (`stencilnet.graphs`)."""

VGG_LEAST = 32
"""Least side of a VGG16's image in pixels: five poolings reduce it to one pixel."""

VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's R, G and B in [0, 1], as used to train torchvision's weights."""

_HEAD_DTYPES = ("float64", "float32", "float16", "bfloat16")


def graph_file(root: Path, config: BundleConfig) -> Path | None:
    """Return the file of a bundle's graph; None if there is none, or the architecture is known, which needs none."""
    file = root / GRAPH
    return file if config.architecture not in KNOWN and file.exists() else None


def check_arguments(config: BundleConfig, file: Path) -> None:
    """Refuse a config whose architecture cannot be rebuilt from its arguments.

    Args:
        config: The config.
        file: Its file, for error messages.

    Raises:
        BundleError: If the architecture is unknown, or its arguments are wrong.
    """
    if config.architecture not in KNOWN:
        what = "a backbone that cannot be rebuilt from the bundle alone"
        remedy = "Build it and pass it as `backbone=`, or write its graph once: stencil export BUNDLE --graph ..."
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


def check_vgg_sides(height: int, width: int) -> None:
    """Refuse images that are too small for a VGG16.

    Raises:
        ValueError: If a side is less than 32 pixels.
    """
    if min(height, width) < VGG_LEAST:
        raise ValueError(
            f"Expected images of at least {VGG_LEAST}x{VGG_LEAST} px for VGG16, but got {width}x{height} px. "
            "Use larger ones."
        )


def check_weights(expected: Mapping[str, object], stored: Mapping[str, object], file: Path) -> None:
    """Refuse stored weights that do not fit a backbone.

    Args:
        expected: Specs of the backbone's weights by key.
        stored: Specs of the stored ones.
        file: Their file, for error messages.

    Raises:
        BundleError: If a weight is missing, foreign, or of another shape or dtype.
    """
    for name in sorted({*expected, *stored}):
        if expected.get(name) != stored.get(name):
            wanted, got = f"{expected.get(name, 'none')}", f"{stored.get(name, 'none')}"
            remedy = "Pass the same backbone that the bundle was saved with, as `backbone=`, or an intact bundle."
            raise BundleError(file, f"the weight `{name}` does not fit the backbone", wanted, got, remedy)


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
