"""Writes and finds test pictures: input and target of a few examples, and every method's output for them."""

from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from stencilnet.pictures.images import to_picture
from stencilnet.storage import replacing
from stencilnet.tasks.task import PictureTask, Predictor, Task

INPUT, TARGET = "input", "target"


def save_pictures(
    folder: Path,
    label: str,
    predict: Predictor,
    task: Task,
    samples: "Dataset[dict[str, Tensor]]",
    positions: list[int],
) -> None:
    """Write the output picture ``<position>-<label>.png`` of each position, and, once, its input and target.

    Does nothing for a task without output pictures (classification).
    """
    if not isinstance(task, PictureTask):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for position in positions:
        sample = task.prepare(samples[position])
        if not _path(folder, position, INPUT).exists():
            target = task.target_image(sample)
            if target is not None:
                _write(target, _path(folder, position, TARGET))
            _write(to_picture(sample["input"].numpy()), _path(folder, position, INPUT))
        batch = {name: tensor.unsqueeze(0) for name, tensor in sample.items()}
        output = predict(batch)[0].float().cpu().numpy()
        _write(task.to_image(output, sample["input"].numpy()), _path(folder, position, label))


def saved(folder: Path, label: str) -> dict[int, Path]:
    """Return the paths of a label's pictures by position."""
    found = ((path.name.partition("-"), path) for path in sorted(folder.glob(f"*-{label}.png")))
    return {int(position): path for (position, _, rest), path in found if rest == f"{label}.png"}


def _write(picture: Image.Image, path: Path) -> None:
    with replacing(path) as file:  # an interrupted run must not leave half a picture
        picture.save(file, format="PNG")


def _path(folder: Path, position: int, label: str) -> Path:
    return folder / f"{position:05d}-{label}.png"
