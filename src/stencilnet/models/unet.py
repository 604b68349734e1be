"""The paper's U-Net, pinned by the sizes in its Table 2 (56.4 MB whole, 20.5 MB decoder, 1.8 MB per mask)."""

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.bundle.architecture import Norm
from stencilnet.models.columns import Tap
from stencilnet.models.padding import crop, pad

DECODER = ("up6", "conv6", "up7", "conv7", "up8", "conv8", "up9", "conv9")
"""Prefixes of the decoder's state-dict keys."""

LEVELS = ("conv2_1", "conv3_1", "conv4_1", "conv5_1", "conv6_1", "conv7_1", "conv8_1", "conv9_1")
"""The first layer of every level except the first level, whose input is the picture itself."""

_DECODER_NORMS = ("norm6", "norm7", "norm8", "norm9")


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)


class UNet(nn.Module):
    """Encoder of five levels, decoder of four, skips by concatenation, instance normalisation before every ReLU.

    At width 64 it is the only U-Net found that gives all three sizes of the paper's Table 2. State-dict keys
    (``conv1_1`` ... ``conv9_2``, ``up6`` ... ``up9``, ``head``) are part of the public surface.

    Args:
        width: Channels of the first level; the paper's is 64.
        channels: Output channels of the head.
        norm: ``instance``, the paper's and the default, has no weights. ``affine`` adds a scale and a shift per channel
            (``norm1_1`` ... ``norm9_2``; initially 1 and 0), of which tasks may have their own: 31 KiB at width 64.
            ``own`` adds them only as tasks' own: training of shared weights leaves them unchanged, so that the shared
            network is the paper's.
            No choice has running statistics: training and evaluation give the same, at any batch size.

    Raises:
        ValueError: If `width` or `channels` is not positive, or `norm` is unknown.
    """

    def __init__(self, width: int = 64, channels: int = 81, norm: Norm = "instance") -> None:
        super().__init__()
        if width < 1 or channels < 1:
            raise ValueError(f"Expected `width` and `channels` to be at least 1, but got {width} and {channels}.")
        if norm not in get_args(Norm):
            raise ValueError(f"Expected `norm` to be one of {', '.join(get_args(Norm))}, but got {norm!r}.")
        self.width = width
        self.norm: Norm = norm
        w1, w2, w4, w8 = width, 2 * width, 4 * width, 8 * width
        self.conv1_1, self.norm1_1 = _conv(3, w1), self._norm(w1)
        self.conv1_2, self.norm1_2 = _conv(w1, w1), self._norm(w1)
        self.conv2_1, self.norm2_1 = _conv(w1, w2), self._norm(w2)
        self.conv2_2, self.norm2_2 = _conv(w2, w2), self._norm(w2)
        self.conv3_1, self.norm3_1 = _conv(w2, w4), self._norm(w4)
        self.conv3_2, self.norm3_2 = _conv(w4, w4), self._norm(w4)
        self.conv4_1, self.norm4_1 = _conv(w4, w8), self._norm(w8)
        self.conv4_2, self.norm4_2 = _conv(w8, w8), self._norm(w8)
        self.conv5_1, self.norm5_1 = _conv(w8, w8), self._norm(w8)
        self.conv5_2, self.norm5_2 = _conv(w8, w8), self._norm(w8)
        self.up6, self.conv6_1, self.norm6_1 = _up(w8), _conv(2 * w8, w4), self._norm(w4)
        self.conv6_2, self.norm6_2 = _conv(w4, w4), self._norm(w4)
        self.up7, self.conv7_1, self.norm7_1 = _up(w4), _conv(2 * w4, w2), self._norm(w2)
        self.conv7_2, self.norm7_2 = _conv(w2, w2), self._norm(w2)
        self.up8, self.conv8_1, self.norm8_1 = _up(w2), _conv(2 * w2, w1), self._norm(w1)
        self.conv8_2, self.norm8_2 = _conv(w1, w1), self._norm(w1)
        self.up9, self.conv9_1, self.norm9_1 = _up(w1), _conv(2 * w1, w1), self._norm(w1)
        self.conv9_2, self.norm9_2 = _conv(w1, w1), self._norm(w1)
        self.head = nn.Conv2d(w1, channels, kernel_size=1)

    @property
    def decoder(self) -> tuple[str, ...]:
        """Prefixes of this network's decoder, including norms if they are trained with it."""
        return (*DECODER, *_DECODER_NORMS) if self.norm == "affine" else DECODER

    @property
    def fixed(self) -> tuple[str, ...]:
        """Keys of parameters that are trained only as a task's own."""
        names = [name for name, _ in self.named_parameters() if name.startswith("norm")]
        return tuple(names) if self.norm == "own" else ()

    @property
    def inert(self) -> tuple[str, ...]:
        """Keys of biases that have no effect, since the norm after them removes any constant."""
        return tuple(name for name, _ in self.named_parameters() if name.startswith("conv") and name.endswith("bias"))

    @property
    def levels(self) -> tuple[str, ...]:
        """Layers at which `forward` calls a tap."""
        return LEVELS

    def _norm(self, channels: int) -> nn.InstanceNorm2d:
        return nn.InstanceNorm2d(channels, affine=self.norm != "instance")

    def forward(self, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Run the network.

        Args:
            x: Images ``(N, 3, H, W)`` in [0, 1], any H and W.
            tap: Called at every level of `LEVELS`, for progressive networks (`columns`); none by default.

        Returns:
            Raw outputs ``(N, channels, H, W)``, without activation.
        """
        height, width = x.shape[2:]
        *skips, x = self.encode(pad(x), tap)
        for level, skip in zip("6789", reversed(skips), strict=True):
            x = self._level(level, torch.cat([skip, self.get_submodule(f"up{level}")(x)], dim=1), tap)
        return crop(self.head(x), height, width)

    def encode(self, x: Tensor, tap: Tap | None = None) -> list[Tensor]:
        """Return the features of the five encoder levels, finest first, each ``(N, channels, H / 2^k, W / 2^k)``.

        Args:
            x: Images ``(N, 3, H, W)`` in [0, 1]; sides are multiples of 16, at least 32 (see `padding.pad`).
            tap: As for `forward`.
        """
        features = [self._level("1", x, None)]
        for level in "2345":
            features.append(self._level(level, F.max_pool2d(features[-1], 2), tap))
        return features

    def _level(self, level: str, x: Tensor, tap: Tap | None) -> Tensor:
        """Run two convolutions, each with its norm and ReLU; the tap is called at the first."""
        layer = f"conv{level}_1"
        out = self.get_submodule(layer)(x)
        x = F.relu(self.get_submodule(f"norm{level}_1")(out if tap is None else tap(layer, x, out)))
        return F.relu(self.get_submodule(f"norm{level}_2")(self.get_submodule(f"conv{level}_2")(x)))
