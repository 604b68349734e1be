"""Loads a bundle once and runs any of its tasks on pictures, from any number of threads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from PIL import Image

from stencilnet.bundle import BundleError, TaskRecord
from stencilnet.kinds.catalog import kind_from_record
from stencilnet.kinds.kind import Kind, LabelKind, PictureKind
from stencilnet.memory import within_memory
from stencilnet.pictures.images import Floats, Source, name_of
from stencilnet.plugins import PluginError
from stencilnet.runtime.answering import Form, Given, Profile, Scale, Size, answer, label_view, prepare, sizing
from stencilnet.runtime.backends import BACKENDS, PRECISIONS, open_backend
from stencilnet.runtime.tiling import Tile, check_tile, forward
from stencilnet.stopping import Stop
from stencilnet.text.shortening import listed

if TYPE_CHECKING:
    from torch import nn

    from stencilnet.pictures.deep import Deep


class Engine:
    """Runs a bundle's tasks. Safe to share between threads: each task runs as a network with the task folded in.

    At most `active` networks are kept, each of the backbone's size. Another task takes the place of the least recently
    used one, and waits while all are running. ONNX Runtime then makes a new session; PyTorch switches the task in
    place, at about the speed of copying the weights.

    Args:
        path: The bundle's folder.
        device: PyTorch's name of the device (``cpu``, ``cuda``, ``cuda:1``, ``mps``); ``cpu`` by default.
        precision: One of `PRECISIONS`. On CUDA, ``float32`` follows PyTorch's TF32 settings, which are not changed.
        backbone: For an architecture that the bundle cannot rebuild, see `stencilnet.models.load`.
        active: Number of tasks kept ready to run; 8 by default.
        tile: ``auto`` runs a picture strip by strip if it does not fit in memory as a whole; the result is the same up
            to rounding. A number: always, in strips of as many rows, at least 16. ``never``: always as a whole. Only
            U-Nets of one column can run in strips, and always in float32.
        backend: One of `BACKENDS`; ``auto`` by default. Outputs of ``onnx`` and ``torch`` differ by less than 1e-3.

    Raises:
        BundleError: If the bundle cannot be opened.
        NotInstalledError: If PyTorch is needed, but not installed (`stencilnet.errors`).
        TooLargeError: If the backbone does not fit in the device's memory.
        ValueError: If `device`, `precision`, `active`, `tile` or `backend` is not valid, this machine has no such
            device, or `backend` cannot run the bundle this way.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        precision: str = "float32",
        *,
        backbone: "nn.Module | None" = None,
        active: int = 8,
        tile: Tile = "auto",
        backend: str = "auto",
    ) -> None:
        for name, value, known in (("precision", precision, PRECISIONS), ("backend", backend, BACKENDS)):
            if value not in known:
                raise ValueError(f"Expected `{name}` to be one of {', '.join(known)}, but got {value!r}.")
        if active < 1:
            raise ValueError(f"Expected `active` to be at least 1, but got {active}.")
        check_tile(tile)
        self._tile = tile
        self._path = Path(path)
        self._backend = within_memory(
            lambda: open_backend(self._path, device, precision, backend=backend, backbone=backbone, active=active),
            f"The backbone of {path}",
            "Choose another device.",
        )
        self._made: dict[str, Kind] = {}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the bundle's tasks, in the order of learning."""
        return self._backend.tasks

    @property
    def backend(self) -> str:
        """The backend in use: ``onnx`` or ``torch``."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """The precision in use: ``float32`` or ``bf16``, followed by ``compiled`` if compiled."""
        return self._backend.precision

    def __contains__(self, task: object) -> bool:
        """Return whether there is such a task; no file is read."""
        return task in self._backend.records

    def record(self, task: str) -> TaskRecord:
        """Return a task's description.

        Raises:
            ValueError: If there is no such task.
        """
        if task not in self._backend.records:
            raise ValueError(f"Expected `task` to be one of {listed(self.tasks) or 'none'}, but got {task!r}.")
        return self._backend.records[task]

    @overload
    def run(
        self,
        image: Source,
        task: str,
        *,
        drawing: bool = False,
        scale: Scale = "trained",
        bits: Literal[8] = 8,
        profile: Profile = "srgb",
    ) -> Image.Image: ...

    @overload
    def run(
        self,
        image: Source,
        task: str,
        *,
        drawing: bool = False,
        scale: Scale = "trained",
        bits: int,
        profile: Profile = "srgb",
    ) -> "Image.Image | Deep": ...

    def run(
        self,
        image: Source,
        task: str,
        *,
        drawing: bool = False,
        scale: Scale = "trained",
        bits: int = 8,
        profile: Profile = "srgb",
    ) -> "Image.Image | Deep":
        """Run a task on one picture of any size.

        Args:
            image: A picture's path, its bytes, a file that is open in binary mode, a Pillow picture, or an RGB array
                ``(H, W, 3)`` uint8 or uint16. All give the same (`stencilnet.pictures.images.read_photo`), except that
                Pillow has no RGB of 16 bits.
            task: Name of the task.
            drawing: Whether the picture is already an edge drawing, for tasks that otherwise make one from a photo.
            scale: The size at which the network sees the picture: by default ``trained``, the size that the task was
                learned at (its `view.resize`, if it had one and its kind allows it; else the picture's own);
                ``native``, the picture's own size; or a factor of it.
            bits: Bits per channel of the answer: 8, the default, or 16 for tasks whose answer is RGB or a gray map
                (depth).
            profile: The answer's colour profile: ``srgb``, the default, or, with 8 bits, ``original``, that of `image`
                if it has one of RGB.

        Returns:
            A picture of the same size: RGB with its colour profile, and with the opacity of `image` if that is
            transparent somewhere (RGBA); or indexed. With 16 bits, 65535 for 1: a gray map has mode ``I;16``; RGB is an
            array, since Pillow has no mode for it: ``(H, W, 3)`` uint16 in sRGB, or ``(H, W, 4)`` with the opacity.

        Raises:
            BundleError: If the task's files are damaged.
            ImageError: If the file or the picture cannot be read.
            TooLargeError: If the picture does not fit in memory. The engine stays usable: a smaller one may fit.
            TypeError: If `image` is no picture.
            ValueError: If there is no such task, it outputs labels, it takes no drawing, or `scale`, `bits` or
                `profile` is wrong. The errors above, except TypeError, are subclasses of ValueError.
        """
        made, name, form = self.picture_task(task), name_of(image), Form(bits=bits, profile=profile)
        form.check(made)
        size = self.sizing(task, scale)
        given = within_memory(lambda: prepare(made, image, size, drawing=drawing), name)
        what = _sized_photo(name, given)
        return within_memory(lambda: answer(made, self._output(given.input, task), given, form, name), what)

    def run_many(
        self, images: Sequence[Source], tasks: Sequence[str], *, scale: Scale = "trained"
    ) -> list[Image.Image]:
        """Run a task on each of several pictures, grouped by task, so that each task is switched in once.

        Pictures run one by one, so every output equals that of `run`, bit for bit, and memory is that of one picture.

        Args:
            images: Pictures of any size, as for `run`.
            tasks: Names of tasks, one per picture.
            scale: As for `run`.

        Returns:
            The pictures, in the order of `images`.

        Raises:
            BundleError, ImageError, TooLargeError: As for `run`.
            ValueError: As for `run`, or if there are not as many tasks as images.
        """
        if len(images) != len(tasks):
            raise ValueError(f"Expected as many tasks as images ({len(images)}), but got {len(tasks)}.")
        places: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            places.setdefault(task, []).append(place)
        for task in places:
            self.sizing(task, scale)  # raises before any task runs
        done = {place: self.run(images[place], task, scale=scale) for task, group in places.items() for place in group}
        return [done[place] for place in range(len(images))]

    def label(self, image: Source, task: str) -> list[tuple[str, float]]:
        """Label one picture of any size, which the network sees as it saw the task's test pictures.

        Args:
            image: A picture, as for `run`.
            task: Name of a classification task.

        Returns:
            Every class and its probability, the most probable first.

        Raises:
            BundleError: If the task's files are damaged.
            ImageError: If the file or the picture cannot be read.
            TooLargeError: If the picture does not fit in memory.
            ValueError: If there is no such task, or it outputs pictures.
        """
        made = self.kind(task)
        if not isinstance(made, LabelKind):
            raise ValueError(f"The task {task!r} ({made.kind}) gives a picture, not a label; use Engine.run.")
        name, (size, crop) = name_of(image), label_view(self.record(task))
        given = within_memory(lambda: prepare(made, image, size, crop=crop).input, name)
        what = _sized(f"The task's input from {name}", given)
        return within_memory(lambda: made.to_label(self._output(given, task)), what, "Free memory, or change device.")

    def forward(self, image: Floats, task: str, *, tile: Tile | None = None, stop: Stop | None = None) -> Floats:
        """Return a task's raw output for one input.

        Args:
            image: ``(3, H, W)`` float32 in [0, 1], as the task's `to_input` makes it. The network sees it as it is, at
                no other scale.
            task: Name of the task.
            tile: As for `Engine`, for this picture alone; by default the engine's.
            stop: A request to end early: between strips, between the graph's nodes with ONNX Runtime, before the
                network with PyTorch. None by default.

        Returns:
            ``(C, H, W)``, or ``(K,)`` for a classification task; float32.

        Raises:
            BundleError: If the task's files are damaged.
            StoppedError: If `stop` was asked for (`stencilnet.stopping`). The engine stays usable.
            TooLargeError: If memory runs out. The engine stays usable.
            ValueError: If there is no such task, `image` has another shape, or `tile` is not valid.
        """
        if tile is not None:
            check_tile(tile)
        given = np.require(image, np.float32, ["C", "W"])
        if given.ndim != 3 or given.shape[0] != 3 or 0 in given.shape:
            raise ValueError(
                f"Expected argument `image` to be one RGB image (3, H, W), but got shape {given.shape}. "
                "Pass the images of a batch one by one."
            )
        return within_memory(lambda: self._output(given, task, tile, stop), _sized("The picture", given))

    def _output(self, image: Floats, task: str, tile: Tile | None = None, stop: Stop | None = None) -> Floats:
        tile = self._tile if tile is None else tile
        return forward(self._backend, image, task, self.kind(task).channels, tile, stop)

    def sizing(self, task: str, scale: Scale) -> Callable[[Size], Size]:
        """Return the function from a picture's size to the one at which a task sees it (`runtime.answering.sizing`).

        Raises:
            BundleError, ValueError: As `picture_task`, or if `scale` is wrong.
        """
        return sizing(self.picture_task(task), self.record(task).recipe, scale)

    def picture_task(self, task: str) -> PictureKind:
        """Return a task that outputs pictures; its weights are not read.

        Raises:
            BundleError: If its record is of another version.
            ValueError: If there is no such task, or it outputs labels.
        """
        found = self.kind(task)
        if not isinstance(found, PictureKind):
            raise ValueError(
                f"The task {task!r} ({found.kind}) gives a label, not a picture. In Python, "
                "`stencilnet.Engine(bundle).label(photo, task=...)` returns it."
            )
        return found

    def kind(self, name: str) -> Kind:
        """Return a task's kind with its settings; its weights are not read.

        Raises:
            BundleError: If its record is damaged or of another version.
            ValueError: If there is no such task.
        """
        if name not in self._made:
            self._made[name] = _task_of(self.record(name), self._path, name)
        return self._made[name]


def _sized(name: str, image: Floats) -> str:
    return f"{name} ({image.shape[-1]}x{image.shape[-2]} pixels)"


def _sized_photo(name: str, given: Given) -> str:
    return f"{name} ({given.photo.rgb.width}x{given.photo.rgb.height} pixels)"


def _task_of(record: TaskRecord, path: Path, name: str) -> Kind:
    file = path / "tasks" / name / "task.json"
    try:
        task = kind_from_record(record.kind, record.settings)
    except PluginError:  # the bundle is not at fault
        raise
    except (ValueError, TypeError) as error:
        expected = "a kind and settings that this stencilnet knows"
        remedy = "Install a newer stencilnet, or learn the task again."
        raise BundleError(file, "a task that cannot be rebuilt", expected, f"this: {error}", remedy) from error
    if task.channels != record.channels:
        expected, got = f"{task.channels} channels by its settings", f"{record.channels}"
        raise BundleError(file, "settings that do not fit the head", expected, got, "Learn the task again.")
    return task
