"""What a network must be like to be a backbone: tensors of its own under names of their own, and one tensor out."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from stencilnet.text.shortening import listed


def check_tensors(backbone: nn.Module) -> None:
    """Refuse a network whose tensors a delta cannot describe.

    Raises:
        ValueError: If two names share a parameter or memory, or a tensor repeats its values in memory.
        TypeError: If a layer is quantised, or keeps anything but plain tensors of a known shape.
    """
    _refuse_tied(backbone)
    state: Mapping[str, object] = backbone.state_dict(keep_vars=True)
    for name, value in state.items():
        _refuse_other(name, value)
    _refuse_shared_memory({name: value for name, value in state.items() if isinstance(value, Tensor)})


def check_forward(backbone: nn.Module, head: str, side: int) -> None:
    """Run a network on random images, and refuse what could not be learned or run later.

    Args:
        backbone: The network, in evaluation mode.
        head: Name of its last layer, a convolution or a linear layer.
        side: Side of the images in pixels.

    Raises:
        ValueError: If the output has other channels than the head, or the network changes its input or its tensors.
        TypeError: If it returns anything but one tensor.
    """
    tensors: dict[str, Tensor] = dict(backbone.state_dict(keep_vars=True))
    device = next(iter(tensors.values())).device
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    given = {"its input": images, **{f"`{name}`": tensor for name, tensor in tensors.items()}}
    versions = {name: tensor._version for name, tensor in given.items()}
    with torch.no_grad():
        output = checked_output(backbone, backbone(images))
    changed = [name for name, tensor in given.items() if tensor._version != versions[name]]
    if changed:
        raise ValueError(
            f"Expected {type(backbone).__name__} to leave its input and its tensors as they are when it runs, but it "
            f"changes {', '.join(changed[:5])} in place, which would change other tasks. Let it work on a copy."
        )
    channels = tensors[f"{head}.weight"].shape[0]
    if output.dim() < 2 or output.shape[0] != 2 or output.shape[1] != channels:
        raise ValueError(
            f"Expected {type(backbone).__name__} to return (N, {channels}, ...), the {channels} channels of its head "
            f"`{head}`, but got {tuple(output.shape)} for 2 images of {side}x{side} px. Name its last layer as `head`."
        )


def checked_output(network: nn.Module, output: object) -> Tensor:
    """Return what a network returned if it is one tensor.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(output, Tensor):
        return output
    names = list(output) if isinstance(output, Mapping) else []
    held = f" with {listed(map(repr, names))}" if names else ""
    part = f"[{names[0]!r}]" if names else "[0]"
    raise TypeError(
        f"Expected {type(network).__name__} to return one tensor (N, C, ...), but got a {type(output).__name__}{held}. "
        f"Wrap it in a module whose forward returns `self.net(images){part}`, or another part that is one."
    )


def _refuse_tied(backbone: nn.Module) -> None:
    names: dict[int, str] = {}
    for name, parameter in backbone.named_parameters(remove_duplicate=False):
        other = names.setdefault(id(parameter), name)
        if other != name:
            raise ValueError(
                f"Expected every parameter of {type(backbone).__name__} to have one name, but `{other}` and `{name}` "
                "are the same. Deltas need unique names: untie them."
            )


def _refuse_other(name: str, value: object) -> None:
    """Refuse what is no plain tensor: layers that are quantised, packed, lazy or spread over devices."""
    plain = type(value) in (Tensor, nn.Parameter, nn.Buffer) or isinstance(value, nn.Buffer)
    if not isinstance(value, Tensor) or not plain:
        got = type(value).__name__
    elif value.is_quantized or (isinstance(value, nn.Parameter) and not value.is_floating_point()):
        got = f"numbers of {value.dtype}"
    else:
        return
    raise TypeError(
        f"Expected `{name}` to be a plain tensor of floats, but got {got}. Deltas change float weights: pass the "
        "network as it was before it was quantised or packed, and after lazy layers have run once. A bundle can store "
        "the backbone in int8 (`stored`)."
    )


def _refuse_shared_memory(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that overlap in memory: a network that is copied or loaded would no longer share them."""
    spans: list[tuple[int, int, str]] = []
    for name, tensor in tensors.items():
        if tensor.device.type != "meta" and tensor.numel():
            reach = sum((side - 1) * abs(stride) for side, stride in zip(tensor.shape, tensor.stride(), strict=True))
            if reach + 1 < tensor.numel():
                raise ValueError(
                    f"Expected `{name}` to have memory for each of its values, but it repeats some (`expand`). "
                    "Give it a tensor of its own: `.clone()`."
                )
            spans.append((tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size(), name))
    spans.sort()
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            first, second = sorted((name, other))
            raise ValueError(
                f"Expected every tensor to have memory of its own, but `{first}` and `{second}` share some: one is a "
                "view of the other. Deltas change each by its name: give each a tensor of its own, `.clone()`."
            )
