"""Loads a bundle once and runs any of its tasks on pictures, from any number of threads."""

import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from stencilnet.bundle import BundleError, load
from stencilnet.models import MultiTaskNet, TaskRecord
from stencilnet.tasks.catalog import task_from_record
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.images import read_image
from stencilnet.tasks.task import LabelTask, PictureTask, Task

PRECISIONS = ("float32", "bf16")
"""Number formats of the forward pass. ``float32`` is exact; ``bf16`` is autocast: close, and slow on many CPUs."""


DEVICES = ("cpu", "cuda", "mps")
"""Types of devices that tasks run on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    task: Task
    module: nn.Module


class Engine:
    """Runs a bundle's tasks. Safe to share between threads: every task runs on a plain module of its own.

    A task is folded into its module at its first use and kept, which costs the memory of one backbone a task.

    Args:
        path: The bundle's folder.
        device: Where to run, as PyTorch names it (``cpu``, ``cuda``, ``cuda:1``, ``mps``).
        precision: One of `PRECISIONS`. On CUDA, ``float32`` goes by PyTorch's own TF32 settings, which this leaves be.
        backbone: For a bundle over another architecture than `UNet`, see `stencilnet.bundle.load`.

    Raises:
        BundleError: If the bundle cannot be opened.
        ValueError: If `device` or `precision` is not known, or this machine has no such device.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        precision: str = "float32",
        *,
        backbone: nn.Module | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"Expected `precision` to be one of {', '.join(PRECISIONS)}, but got {precision!r}.")
        self._device = _open_device(device)
        self._path = Path(path)
        self._precision = precision
        self._net: MultiTaskNet = load(path, backbone=backbone)
        self._ready: dict[str, _Ready] = {}
        self._lock = threading.Lock()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the bundle's tasks, in the order of learning."""
        return self._net.tasks

    def record(self, task: str) -> TaskRecord:
        """Return what a task is.

        Raises:
            ValueError: If there is no such task.
        """
        if task not in self._net.records:
            raise ValueError(f"Expected `task` to be one of {', '.join(self.tasks) or 'none'}, but got {task!r}.")
        return self._net.records[task]

    def run(self, image: Image.Image | str | Path, task: str, *, drawing: bool = False) -> Image.Image:
        """Run a task on one picture of any size.

        Args:
            image: An RGB picture, or the file of one.
            task: Name of the task.
            drawing: Whether the picture is an edge drawing already, for tasks that else make one of a photo.

        Returns:
            A picture of the same size, RGB or indexed.

        Raises:
            BundleError: If the task's files are damaged.
            ImageError: If the file cannot be read as a picture.
            ValueError: If there is no such task, it gives labels, the picture is not RGB, or the task takes no drawing.
        """
        made = self.picture_task(task)
        ready = self._prepare(task)
        picture = image if isinstance(image, Image.Image) else read_image(Path(image))
        tensor = _drawing_input(made, picture) if drawing else made.to_input(picture)
        return made.to_image(self._forward(ready.module, tensor), tensor)

    def label(self, image: Image.Image | str | Path, task: str) -> list[tuple[str, float]]:
        """Label one picture of any size.

        Args:
            image: An RGB picture, or the file of one.
            task: Name of a classification task.

        Returns:
            Every class and its probability, the likeliest first.

        Raises:
            BundleError: If the task's files are damaged.
            ImageError: If the file cannot be read as a picture.
            ValueError: If there is no such task, it gives pictures, or the picture is not RGB.
        """
        ready = self._prepare(task)
        if not isinstance(ready.task, LabelTask):
            raise ValueError(f"The task {task!r} ({ready.task.kind}) gives a picture, not a label; use Engine.run.")
        picture = image if isinstance(image, Image.Image) else read_image(Path(image))
        return ready.task.to_label(self._forward(ready.module, ready.task.to_input(picture)))

    def picture_task(self, task: str) -> PictureTask:
        """Return a task that makes pictures; its weights are not read.

        Raises:
            BundleError: If its record is of another version.
            ValueError: If there is no such task, or it gives labels.
        """
        found = self._ready[task].task if task in self._ready else _task_of(self.record(task), self._path, task)
        if not isinstance(found, PictureTask):
            raise ValueError(
                f"The task {task!r} ({found.kind}) gives a label, not a picture. In Python, "
                "`stencilnet.Engine(bundle).label(photo, task=...)` returns it."
            )
        return found

    def _forward(self, module: nn.Module, tensor: Tensor) -> Tensor:
        bf16 = self._precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
            output: Tensor = module(tensor.unsqueeze(0).to(self._device))
        return output[0].float().cpu()

    def _prepare(self, name: str) -> _Ready:
        if name not in self._ready:
            record = self.record(name)
            with self._lock:  # materialising shares one network; the plain modules that come out of it do not
                if name not in self._ready:
                    module = self._net.materialize(name).to(self._device)
                    self._ready[name] = _Ready(task=_task_of(record, self._path, name), module=module)
        return self._ready[name]


def _open_device(name: str) -> torch.device:
    remedy = "Use 'cpu', which every machine has."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"Expected `device` to be a device of PyTorch, but got {name!r}: {error}. {remedy}") from error
    if device.type not in DEVICES:
        raise ValueError(f"Expected `device` to be one of {', '.join(DEVICES)}, but got {name!r}. {remedy}")
    try:
        torch.ones(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # builds without CUDA raise AssertionError
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"Expected `device` to be one that PyTorch can use here, but got {name!r}: {reason}. {remedy}"
        ) from error
    return device


def _task_of(record: TaskRecord, path: Path, name: str) -> Task:
    file = path / "tasks" / name / "task.json"
    try:
        task = task_from_record(record.kind, record.settings)
    except (ValueError, TypeError) as error:
        expected = "a kind and settings that this stencilnet knows"
        remedy = "Install a newer stencilnet, or learn the task anew."
        raise BundleError(file, "a task that cannot be rebuilt", expected, f"this: {error}", remedy) from error
    if task.channels != record.channels:
        expected, got = f"{task.channels} channels by its settings", f"{record.channels}"
        raise BundleError(file, "settings that do not fit the head", expected, got, "Learn the task anew.")
    return task


def _drawing_input(task: Task, picture: Image.Image) -> Tensor:
    if not isinstance(task, Edges2Photo):
        raise ValueError(f"Expected a task that takes drawings (edges2photo), but got a {task.kind} task.")
    return task.drawing_to_input(picture)
