"""Style transfer: repaints photos in the style of one image."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from stencilnet.kinds.style import StyleKind
from stencilnet.perceptual.criterion import LEAST_STYLE, PRESETS, Criterion
from stencilnet.perceptual.network import PerceptualError, PerceptualNetwork
from stencilnet.tasks.checks import photo_of, unit
from stencilnet.tasks.metrics import SSIM, MeanOverImages, ssim
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample
from stencilnet.text.fields import Rule

TOTAL, CONTENT, STYLE = "total_loss", "content_loss", "style_loss"
_LEAST_SHARE = 1e-4
"""Distance of the identity baseline from 0 and 1, where the logit is infinite; less than half a level."""


@dataclass(frozen=True, kw_only=True)
class StyleTransfer(StyleKind, Plain):
    """Repaints photos in one style (the paper, Table 1, Tasks 4 and 5; Johnson et al. 2016).

    A sigmoid of the output is RGB, in losses and pictures. The content image is the input. Losses and metrics need
    `bind` first; running a trained task does not.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    criterion: Criterion | None = field(default=None, init=False, repr=False, compare=False)
    """Set by `bind`; not a setting."""

    def _rules(self) -> list[Rule]:
        size, presets = self.style_size, ", ".join(PRESETS)
        return [
            *super()._rules(),
            ("style_size", size >= LEAST_STYLE, f"to be at least {LEAST_STYLE}, but got {size}"),
            ("preset", self.preset in PRESETS, f"to be one of {presets}, but got {self.preset!r}"),
        ]

    def bind(self, perceptual: PerceptualNetwork, style_image: Tensor) -> "StyleTransfer":
        """Return a copy of this task that is bound to a network and a style image.

        It keeps a copy of the network, which is moved to the device of its inputs.

        Args:
            perceptual: The perceptual network.
            style_image: RGB ``(3, H, W)`` in [0, 1], each side at least 32 px.

        Raises:
            PerceptualError: If the network does not match the preset, or the style image is invalid.
        """
        preset = PRESETS[self.preset]
        bound = replace(self)
        criterion = Criterion(
            deepcopy(perceptual),
            style_image,
            preset,
            preset.content_weight if self.content_weight is None else self.content_weight,
            preset.style_weight if self.style_weight is None else self.style_weight,
        )
        object.__setattr__(bound, "criterion", criterion)  # not an argument of __init__, or configs would have it
        return bound

    @property
    def bound_to(self) -> str | None:
        """Name of the perceptual network; None before `bind`."""
        return None if self.criterion is None else self.criterion.network.name

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Total, content and style loss, and SSIM to the photo; `scores` also returns each layer's style loss."""
        through = self.bound_to or "not bound yet"
        note = f"perceptual network: {through}; preset {self.preset}; not comparable across networks or presets"
        return (
            Metric(name=TOTAL, higher_is_better=False, note=f"content + style, weighted; {note}"),
            Metric(name=CONTENT, higher_is_better=False, note=f"weighted; {note}"),
            Metric(name=STYLE, higher_is_better=False, note=f"weighted, sum over layers; {note}"),
            Metric(name="SSIM", higher_is_better=True, note=f"to the photo; {SSIM.note}; {note}"),
        )

    @property
    def trivial(self) -> str:
        """The unchanged photo."""
        return "identity"

    @classmethod
    def recipe(cls) -> Recipe:
        """Adam 1e-3, batch 4, constant schedule (Johnson et al. 2016)."""
        return Recipe(batch=4, lr=1e-3, schedule="constant")

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) uint8.

        Raises:
            ValueError: If the example's image is not uint8 RGB.
        """
        return {"input": photo_of(example)}

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` in [0, 1]."""
        return {"input": unit(sample["input"])}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Weighted content and style loss, and total variation if `smoothness` is set; means over the batch.

        Raises:
            PerceptualError: If the task is not bound.
        """
        losses = {name: values.mean() for name, values in self._losses(output, sample).items()}
        content = losses.pop("content")
        terms = {"content": content, "style": torch.stack(list(losses.values())).sum()}
        if self.smoothness:
            terms["variation"] = self.smoothness * _variation(output.float().sigmoid())
        return terms

    def scores(self) -> MeanOverImages:
        """Return new accumulators.

        Raises:
            PerceptualError: If the task is not bound.
        """
        self._bound()
        return MeanOverImages(self._measure)

    def baseline(self, training: Iterable[Sample]) -> Predictor:  # noqa: ARG002
        """Predict the logit of the photo, so the picture is the unchanged photo."""
        return lambda sample: sample["input"].clamp(_LEAST_SHARE, 1 - _LEAST_SHARE).logit()

    def target_image(self, sample: Sample) -> None:
        """Return None: there is no ground truth."""

    def _bound(self) -> Criterion:
        if self.criterion is None:
            raise PerceptualError(
                f"Expected the style task `{self.style}` to be bound before its losses are used. "
                "Call `task = task.bind(perceptual_network, style_image)`."
            )
        return self.criterion

    def _losses(self, output: Tensor, sample: Sample) -> dict[str, Tensor]:
        criterion = self._bound()
        if criterion.network.device != output.device:
            criterion.to(output.device)
        losses: dict[str, Tensor] = criterion(output.float().sigmoid(), sample["input"])
        return losses

    def _measure(self, output: Tensor, sample: Sample) -> dict[str, Tensor]:
        losses = self._losses(output, sample)
        content = losses.pop("content")
        style = torch.stack(list(losses.values())).sum(dim=0)
        return {
            TOTAL: content + style,
            CONTENT: content,
            STYLE: style,
            "SSIM": ssim(output.float().sigmoid(), sample["input"]),
            **{f"style_{name}": values for name, values in losses.items()},
        }


def _variation(image: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels of ``(N, 3, H, W)``, vertical plus horizontal."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return down + (image[..., 1:] - image[..., :-1]).abs().mean()
