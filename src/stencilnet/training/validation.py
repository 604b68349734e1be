"""One pass over validation data: the task's scores, and a contact sheet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from stencilnet.pictures.images import to_picture
from stencilnet.tasks.task import PictureTask, Sample
from stencilnet.training.sampling import batched
from stencilnet.training.step import Learner, forward

CELL = 192
GAP = 2


class Stopped(Exception):  # noqa: N818 -- not an error: the stop was requested
    """A stop was requested; raised between two batches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """The result of a pass.

    Attributes:
        scores: The task's metrics by name.
        sheet: Input, target (if the task has one) and output of the first examples, one row each; None if no examples
            were requested or the task makes no pictures.
    """

    scores: dict[str, float]
    sheet: Image.Image | None


def validate(learner: Learner, samples: Iterable[Sample], *, shown: int, stop: Callable[[], bool]) -> Validation:
    """Score the network in its current state; leaves the backbone in evaluation mode.

    Args:
        learner: What is trained.
        samples: Unbatched, compact validation samples.
        shown: Number of examples in the sheet.
        stop: Called before each batch; return True to stop.

    Raises:
        Stopped: If `stop` returns true.
    """
    learner.backbone.eval()
    scores = learner.task.scores()
    rows: list[list[Image.Image]] = []
    with torch.no_grad():
        weights = learner.trainable.weights()
        for batch in batched(iter(samples), _at_once(learner)):
            if stop():
                raise Stopped
            batch = learner.task.prepare({name: tensor.to(learner.resolved.device) for name, tensor in batch.items()})
            output = forward(learner, weights, batch["input"])
            scores.update(output, batch)
            if isinstance(learner.task, PictureTask):
                rows += _rows(learner.task, output, batch, shown - len(rows))
    return Validation(scores=scores.compute(), sheet=contact_sheet(rows) if rows else None)


def _at_once(learner: Learner) -> int:
    """Return how many examples a training step holds at once on this device; validation crops have the same size."""
    return max(1, learner.recipe.batch // (learner.resolved.settings.accumulate * learner.group.size))


def _rows(task: PictureTask, output: Tensor, batch: Sample, count: int) -> list[list[Image.Image]]:
    rows = []
    for position in range(min(count, len(output))):
        sample = {name: tensor[position].cpu() for name, tensor in batch.items()}
        target = task.target_image(sample)
        rows.append(
            [
                to_picture(sample["input"].numpy()),
                *([] if target is None else [target]),
                task.to_image(output[position].float().cpu().numpy(), sample["input"].numpy()),
            ]
        )
    return rows


def contact_sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Lay out rows of pictures on a white sheet; pictures larger than `CELL` pixels are shrunk to that."""
    cells = [[_thumbnail(picture) for picture in row] for row in rows]
    width = max(cell.width for row in cells for cell in row)
    height = max(cell.height for row in cells for cell in row)
    columns = max(len(row) for row in cells)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, len(cells) * (height + GAP) - GAP), "white")
    for down, row in enumerate(cells):
        for across, cell in enumerate(row):
            sheet.paste(cell, (across * (width + GAP), down * (height + GAP)))
    return sheet


def _thumbnail(picture: Image.Image) -> Image.Image:
    copy = picture.convert("RGB")
    copy.thumbnail((CELL, CELL))
    return copy
