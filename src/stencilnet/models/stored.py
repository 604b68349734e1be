"""Networks as bundles: saved, loaded, and their backbones described and rebuilt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stencilnet.bundle import Bundle, BundleConfig, BundleError, open_bundle, save_bundle
from stencilnet.bundle.architecture import UNET, VGG, check_arguments, check_weights
from stencilnet.bundle.format import BACKBONE, CONFIG, sha256_of
from stencilnet.bundle.schema import HeadTensor
from stencilnet.bundle.tensors import encode_backbone
from stencilnet.delta import Spec
from stencilnet.delta.spec import Array
from stencilnet.masks import arrays_of, specs_of, tensors_of
from stencilnet.masks.arrays import dtype_name
from stencilnet.models.layout import layout_of
from stencilnet.models.multitask import MultiTaskNet
from stencilnet.models.unet import UNet
from stencilnet.models.vgg16 import VGG16


def save(net: MultiTaskNet, path: str | Path) -> None:
    """Write a network and its tasks as a bundle.

    A new bundle is written atomically: after a crash it is complete or absent. To an existing bundle of the same
    backbone, missing tasks are added, each atomically. Nothing is ever overwritten or removed: if existing content
    differs, this is an error before anything is written.

    Args:
        net: The network. Every task needs a record. Of a backbone of your own class only the weights are saved; pass
            the backbone to `load`.
        path: The bundle's folder, created if it does not exist.

    Raises:
        BundleError: If a task has no record or no valid name, or `path` holds anything but a bundle of this network.
        DeltaError: If a task does not fit the network.
        ValueError: If `MultiTaskNet.stored` names a rounded form, but the weights have not been rounded to it.
    """
    shared = arrays_of(net.state.shared)
    backbone = encode_backbone(shared, net.stored)
    config = describe(net, sha256_of(backbone))
    save_bundle(path, Bundle(config=config, shared=shared, deltas=net.deltas, records=net.records), backbone)


def load(path: str | Path, *, backbone: nn.Module | None = None) -> MultiTaskNet:
    """Open a bundle as a network. A task's record and delta are read, and their hashes checked, at their first use.

    Thus a damaged task does not prevent using the others. The order of learning (`MultiTaskNet.tasks`) needs all
    records, which are read and checked at its first use.

    Args:
        path: The bundle's folder.
        backbone: A network of the saved class, built with the same arguments; needed unless the bundle can rebuild its
            architecture. It is not copied, and the bundle's weights overwrite its own.

    Returns:
        The network, on the CPU (or where `backbone` is), its tasks in the order of learning.

    Raises:
        BundleError: If there is no bundle, its config or backbone is damaged, or `backbone` does not fit; later, if a
            task is damaged, belongs to another backbone, or was removed. The message names the file and the remedy.
    """
    root, stored = Path(path), open_bundle(path)
    config = stored.config
    if backbone is None:
        backbone = rebuild(config, stored.shared, root)
    else:
        fill(config, stored.shared, root, backbone)
    return MultiTaskNet(
        backbone,
        head=config.head,
        decoder=config.decoder,
        deltas=stored.deltas,
        records=stored.records,
        stored=config.stored,
    )


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


def rebuild(config: BundleConfig, shared: Mapping[str, Array], root: Path) -> nn.Module:
    """Build the bundle's backbone; its head, which no task uses, has one channel of zeros.

    Raises:
        BundleError: If the architecture is unknown, or the weights do not fit it.
    """
    check_arguments(config, root / CONFIG)
    with torch.device("meta"):  # draws nothing from the global generator, and allocates nothing yet
        backbone = _built(config)
    head = _check(config, backbone, shared, root)
    zeros = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in head.items()}
    backbone.load_state_dict({**tensors_of(shared), **zeros}, assign=True)
    return backbone


def _built(config: BundleConfig) -> nn.Module:
    """Build a known architecture from its arguments, which have been checked."""
    if config.architecture == VGG:
        return VGG16(channels=1)
    arguments = dict(config.arguments or {})
    return UNet(width=arguments["width"], channels=1, norm=arguments.get("norm", "instance"))


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
    check_weights(specs_of(own), {name: Spec.of(array) for name, array in shared.items()}, root / BACKBONE)
    specs = {name: _head_tensor(tensor) for name, tensor in head.items()}
    check_weights(specs, config.head_tensors, root / CONFIG)
    return head


def _head_tensor(tensor: Tensor) -> HeadTensor:
    return HeadTensor(dtype=dtype_name(tensor.dtype), shape=tuple(tensor.shape[1:]))
