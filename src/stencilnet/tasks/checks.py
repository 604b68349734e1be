"""Checks of examples that all task kinds share."""

from typing import NoReturn

import torch
from torch import Tensor

from stencilnet.tasks.task import Example, Sample


def refuse_missing_critic(kind: str) -> NoReturn:
    """Report that the loss of an adversarial task was called without a critic.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        f"Expected a critic for the loss of the task kind `{kind}`, but got None. Pass one made by `critic()`."
    )


def unit(image: Tensor) -> Tensor:
    """Convert uint8 levels ``(..., H, W)`` to float32 in [0, 1]."""
    return image.float() / 255


def examples_in(sample: Sample) -> Tensor:
    """Return the number of examples in a prepared batch as a scalar: the weight of a loss that is their mean."""
    images = sample["input"]
    return images.new_tensor(float(len(images)))


def photo_of(example: Example) -> Tensor:
    """Return an example's image, ``(3, H, W)`` uint8.

    Raises:
        ValueError: If it is not a uint8 RGB image.
    """
    return _checked(example.name, "image", example.image)


def target_of(example: Example) -> Tensor:
    """Return the target image of a pair, ``(3, H, W)`` uint8.

    Raises:
        ValueError: If it is missing, is not a uint8 RGB image, or differs from the image in size.
    """
    if example.target is None:
        raise ValueError(
            f"Example `{example.name}`: expected a pair of images, but it has no target. "
            "Use data with targets (source `pairs` or `side_by_side`)."
        )
    target = _checked(example.name, "target", example.target)
    _same_size(example, "target", target)
    return target


def label_of(example: Example) -> Tensor:
    """Return an example's labels, ``(H, W)`` uint8.

    Raises:
        ValueError: If they are missing, are not uint8 indices, or differ from the image in size.
    """
    label = indices_of(example)
    _same_size(example, "label", label)
    return label


def indices_of(example: Example) -> Tensor:
    """Return an example's labels, ``(H, W)`` uint8, whatever the size of its image.

    Raises:
        ValueError: If they are missing, or are not uint8 indices.
    """
    label = example.label
    if label is None:
        raise ValueError(
            f"Example `{example.name}`: expected labels, but it has none. Use labelled data (source `labelled`)."
        )
    if label.dtype != torch.uint8 or label.dim() != 2:
        raise ValueError(
            f"Example `{example.name}`: expected its labels to be uint8 class indices (H, W), "
            f"but got {label.dtype} of shape {tuple(label.shape)}. Read them as indices, not as RGB."
        )
    return label


def _checked(name: str, part: str, image: Tensor) -> Tensor:
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(
            f"Example `{name}`: expected its {part} to be uint8 RGB (3, H, W), "
            f"but got {image.dtype} of shape {tuple(image.shape)}. "
            "Make it by `to_array(upright_rgb(picture))` of stencilnet.pictures.images, and torch.from_numpy."
        )
    return image


def _same_size(example: Example, part: str, other: Tensor) -> None:
    height, width = example.image.shape[-2:]
    if other.shape[-2:] != (height, width):
        raise ValueError(
            f"Example `{example.name}`: expected its {part} to be as large as its image, {width}x{height} px, "
            f"but got {other.shape[-1]}x{other.shape[-2]} px. Pair each image with its own {part}."
        )
