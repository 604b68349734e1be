"""Edge drawings to photos with a conditional GAN (the paper, Task 6; pix2pix, Isola et al. 2017)."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.edges2photo import Edges2PhotoKind
from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import examples_in, photo_of, refuse_missing_critic, target_of, unit
from stencilnet.tasks.critic import FIELDS, PatchCritic, critic_loss, fooling_loss
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.metrics import MSE, SSIM, MeanOverImages, mse, ssim
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample
from stencilnet.tasks.ycbcr import luma, thrice
from stencilnet.text.fields import Rule

_NEARLY_ONE = 1 - 1e-6
"""tanh reaches its ends only at infinity."""


@dataclass(frozen=True, kw_only=True)
class Edges2Photo(Edges2PhotoKind):
    """Generates a photo from its edges: GAN + 100 L1. The tanh of the output is RGB in [-1, 1].

    An example with a target is a pair: its image is the drawing, used unchanged, and its target the photo. In an
    example without a target the image is the photo; its edges are drawn in black on white, one pixel wide.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    l1_weight: float = 100.0
    """Weight of the L1 term on [-1, 1]; the GAN term has weight 1 (Isola et al. 2017, Sec. 4.2)."""

    critic_layers: int = 3
    """Size of the critic's patches: 1, 2 or 3 for 16, 34 or 70 px. The original uses 70 px on images of 256 px."""

    critic_width: int = 64
    """Channels of the critic's first layer; 64 in the original."""

    def _rules(self) -> list[Rule]:
        least, most = min(FIELDS), max(FIELDS)
        return [
            *super()._rules(),
            ("l1_weight", 0 <= self.l1_weight < inf, f"to be finite and at least 0, but got {self.l1_weight}"),
            ("critic_layers", self.critic_layers in FIELDS, f"to be {least} to {most}, but got {self.critic_layers}"),
            ("critic_width", self.critic_width >= 1, f"to be at least 1, but got {self.critic_width}"),
        ]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean squared error and structural similarity to the photo."""
        return MSE, SSIM

    @property
    def trivial(self) -> str:
        """The mean colour of the training photos."""
        return "mean colour"

    @classmethod
    def recipe(cls) -> Recipe:
        """Adam 2e-4, betas (0.5, 0.999), batch 4, linear decay in the second half (Isola et al. 2017)."""
        return Recipe(batch=4, lr=2e-4, betas=(0.5, 0.999), schedule="linear")

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input``, detected edges (1, H, W) or the pair's drawing (3, H, W), and ``target``, the photo.

        Both are uint8.

        Raises:
            ValueError: If an image is not uint8 RGB, or the images of a pair differ in size.
        """
        image = photo_of(example)
        if example.target is None:
            drawing = self.drawing_of(unit(image).numpy())
            return {"input": (255 * torch.from_numpy(drawing)).to(torch.uint8), "target": image}
        return {"input": image, "target": target_of(example)}

    def inventory(self) -> Inventory:
        """Drawings with lines: blank drawings give the network no information."""
        return Inventory(
            unit="drawings",
            things=("lines",),
            enough="drawings with lines",
            some="drawings with lines",
            rest="blank",
            remedy="Lower `edge_high` and `edge_low` until edges are found, or use pairs of drawing and photo.",
        )

    def count(self, example: Example) -> Tensor:
        """Return (1, 0) for a drawing with lines, (0, 1) for a blank one."""
        drawing = self.sample(example)["input"]
        blank = bool((drawing == drawing.flatten()[0]).all())
        return torch.tensor([not blank, blank], dtype=torch.int64)

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input``, the drawing as three equal channels, and ``target``, the photo: (3, H, W) in [0, 1]."""
        drawing = unit(sample["input"])
        gray = drawing if drawing.shape[-3] == 1 else luma(drawing)
        return {"input": thrice(gray), "target": unit(sample["target"])}

    def weight(self, sample: Sample) -> Tensor:
        """Return the number of examples."""
        return examples_in(sample)

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Generator loss, and `l1_weight` times the L1 distance on [-1, 1].

        Raises:
            TypeError: If `critic` is None.
        """
        if critic is None:
            refuse_missing_critic(self.kind)
        output = output.float()
        distance = F.l1_loss(output.tanh(), 2 * sample["target"] - 1)
        fake = critic(sample["input"], _rgb(output))
        return {"gan": fooling_loss(fake), "l1": self.l1_weight * distance}

    def critic(self) -> PatchCritic:
        """Return a new critic; its weights are drawn from PyTorch's global random generator."""
        return PatchCritic(layers=self.critic_layers, width=self.critic_width)

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        """(real + fake) / 2, in one forward pass: instance normalisation treats each image separately."""
        judged = torch.cat([sample["target"], _rgb(output)])
        real, fake = critic(torch.cat([sample["input"], sample["input"]]), judged).chunk(2)
        return critic_loss(real, fake)

    def scores(self) -> MeanOverImages:
        """Return new accumulators."""
        return MeanOverImages(_measure)

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Predict the mean colour of the training photos at every pixel.

        Raises:
            ValueError: If there are no training samples.
        """
        total, pixels = torch.zeros(3, dtype=torch.float64), 0
        for sample in training:
            photo = sample["target"]
            total += photo.sum(dim=(1, 2), dtype=torch.float64).cpu()
            pixels += photo[0].numel()
        if pixels == 0:
            raise ValueError("Expected training samples to find their mean colour, but got none.")
        raw = torch.atanh((2 * total / pixels - 1).clamp(-_NEARLY_ONE, _NEARLY_ONE)).float().view(1, 3, 1, 1)
        return lambda sample: raw.to(sample["input"].device).expand_as(sample["input"])

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true photo."""
        return to_picture(sample["target"].numpy())


def _rgb(output: Tensor) -> Tensor:
    """Convert raw outputs to RGB in [0, 1]."""
    return (output.float().tanh() + 1) / 2


def _measure(output: Tensor, sample: Sample) -> dict[str, Tensor]:
    photo, target = _rgb(output), sample["target"]
    return {"MSE": mse(photo, target), "SSIM": ssim(photo, target)}
