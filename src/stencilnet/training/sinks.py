"""Sinks: receivers of a training's values and pictures."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from stencilnet.storage import naming, replacing, write_text
from stencilnet.text.strict_json import dumps

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True, kw_only=True)
class TrainingInfo:
    """What a sink is told about a training.

    Attributes:
        name: Method and task, for display.
        folder: Folder of the training's files.
        first: Number of steps done before: 0, or the step at which a resumed run continues.
        steps: Steps of the whole training.
        headline: Name of the value that selects the step (``validation/mIoU``).
    """

    name: str
    folder: Path
    first: int
    steps: int
    headline: str


class Sink(Protocol):
    """A receiver of values and pictures. Steps count from 1 and are those just done."""

    def start(self, run: TrainingInfo) -> None:
        """Start or resume: values that an interrupted run logged after step `TrainingInfo.first` will be sent again."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Receive the values of a step, by name; the names differ from row to row."""
        ...

    def picture(self, step: int, sheet: Image.Image) -> None:
        """Receive the contact sheet of an evaluation."""
        ...

    def end(self) -> None:
        """Close the sink; also called when training was stopped or failed."""
        ...


class Files:
    """Plain files in the run's folder.

    ``metrics.jsonl`` has one object per row, with its ``step``; ``metrics.csv`` has one line ``step,name,value`` per
    value, since names differ from row to row; ``samples/step-<n>.png`` are contact sheets. Values that are not finite
    are ``inf``, ``-inf`` or ``nan`` in both files, and strings in JSON.
    """

    def __init__(self) -> None:
        self._folder = Path()

    def start(self, run: TrainingInfo) -> None:
        """Delete the rows and pictures after the step at which a resumed run continues."""
        self._folder = run.folder
        run.folder.mkdir(parents=True, exist_ok=True)
        _keep(self._json, lambda line: int(json.loads(line)["step"]) <= run.first)
        _keep(self._csv, lambda line: line.startswith("step,") or int(line.partition(",")[0]) <= run.first)
        if not self._csv.exists():
            _append(self._csv, "step,name,value\n")
        for path in (run.folder / "samples").glob("step-*.png"):
            if int(path.stem.removeprefix("step-")) > run.first:
                path.unlink()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row to both files."""
        _append(self._json, dumps({"step": step, **values}) + "\n")
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows((step, name, repr(value)) for name, value in values.items())
        _append(self._csv, lines.getvalue())

    def picture(self, step: int, sheet: Image.Image) -> None:
        """Write the sheet."""
        folder = self._folder / "samples"
        folder.mkdir(exist_ok=True)
        with replacing(folder / f"step-{step:06d}.png", sync=False) as file:
            sheet.save(file)

    def end(self) -> None:
        """Do nothing: every row is on disk already."""

    @property
    def _json(self) -> Path:
        return self._folder / "metrics.jsonl"

    @property
    def _csv(self) -> Path:
        return self._folder / "metrics.csv"


class TensorBoard:
    """Event files for TensorBoard, in the subfolder ``tensorboard`` of the run's folder."""

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None

    def start(self, run: TrainingInfo) -> None:
        """Open the event file; steps that are logged again replace the old ones.

        Raises:
            ValueError: If TensorBoard is not installed.
        """
        if not tensorboard_installed():
            raise ValueError(
                "Expected TensorBoard for its sink, but it is not installed. Run `pip install tensorboard`."
            )
        from torch.utils.tensorboard import SummaryWriter

        purge = run.first + 1 if run.first else None
        self._writer = SummaryWriter(run.folder / "tensorboard", purge_step=purge)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        assert self._writer is not None, "start comes first"
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, sheet: Image.Image) -> None:
        """Write the sheet as an image."""
        assert self._writer is not None, "start comes first"
        self._writer.add_image("samples", np.asarray(sheet), step, dataformats="HWC")

    def end(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def tensorboard_installed() -> bool:
    """Return whether the `TensorBoard` sink can be used."""
    return find_spec("tensorboard") is not None


def _append(path: Path, text: str) -> None:
    with naming(path), path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def _keep(path: Path, wanted: Callable[[str], bool]) -> None:
    if not path.exists():
        return
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    kept = "".join(line for line in whole if wanted(line))  # drops a last line that a crash cut off
    write_text(path, kept)
