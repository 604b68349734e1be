"""One picture through one or more tasks: it is checked before it is decoded, and decoded once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from PIL import Image

from stencilnet.bundle import BundleError
from stencilnet.bundle.format import RemovedError
from stencilnet.kinds.kind import Kind, LabelKind, PictureKind
from stencilnet.memory import TooLargeError, within_memory
from stencilnet.pictures.images import ImageError, Photo, TooManyPixelsError, open_checked, read_photo
from stencilnet.runtime import Engine
from stencilnet.runtime.answering import Scale, Size, answer, check_drawing, given_of, label_view, sizing
from stencilnet.runtime.tiling import Tile
from stencilnet.serve.media import JSON, PICTURES, encoded
from stencilnet.serve.problems import HttpError
from stencilnet.stopping import Stop
from stencilnet.text.shortening import brief, listed
from stencilnet.text.strict_json import dumps

_LISTED = "those of GET /v1/tasks"
_SMALLER = "Make it smaller, choose a smaller `scale`"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a request's tasks run; the names are those of the query.

    Attributes:
        scale: As for `Engine.run`.
        tile: As for `Engine`.
        drawing: Whether the picture is a drawing already.
        keep_metadata: Whether answers keep the picture's metadata (`stencilnet.pictures.metadata`).
        form: The format of pictures, one of `stencilnet.serve.media.PICTURES`.
    """

    scale: Scale = "trained"
    tile: Tile = "auto"
    drawing: bool = False
    keep_metadata: bool = False
    form: str = "png"


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """One task that is to run.

    Attributes:
        task: Its name.
        kind: Its kind.
        size: The function from a picture's size to the network's.
        crop: Side of the centre crop that the network sees; None for the whole picture.
    """

    task: str
    kind: Kind
    size: Callable[[Size], Size]
    crop: int | None = None

    @property
    def labels(self) -> bool:
        """Whether its answer is a label, not a picture."""
        return isinstance(self.kind, LabelKind)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a request asks for, checked.

    Attributes:
        engine: The engine, as it was when the request came.
        steps: The tasks.
        options: How they run.
        max_pixels: Pixels of a picture, at most.
    """

    engine: Engine
    steps: tuple[PlannedTask, ...]
    options: Options
    max_pixels: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A task's answer.

    Attributes:
        task: The task's name.
        media: Its media type.
        suffix: Its suffix as a file, without a dot.
        body: Its bytes.
        seconds: How long it took, from the decoded picture to the encoded answer.
    """

    task: str
    media: str
    suffix: str
    body: bytes
    seconds: float

    @property
    def name(self) -> str:
        """Its name as a file."""
        return f"{self.task}.{self.suffix}"


def planned(engine: Engine, tasks: tuple[str, ...], options: Options, max_pixels: int) -> Plan:
    """Check what a request asks for, before its picture is looked at.

    Raises:
        HttpError: If there is no such task, it is damaged, or it cannot run this way.
    """
    steps = tuple(_planned_task(engine, task, options) for task in dict.fromkeys(tasks))
    return Plan(engine=engine, steps=steps, options=options, max_pixels=max_pixels)


def _planned_task(engine: Engine, task: str, options: Options) -> PlannedTask:
    if task not in engine:
        raise _unknown(engine, task)
    try:
        record, kind = engine.record(task), engine.kind(task)
    except RemovedError as error:
        raise _not_among(_LISTED, task) from error
    except ValueError as error:  # a damaged task, or one of a package that is not installed
        raise HttpError(500, str(error)) from error
    try:
        if options.drawing:
            check_drawing(kind)
        if isinstance(kind, PictureKind):
            return PlannedTask(task=task, kind=kind, size=sizing(kind, record.recipe, options.scale))
    except ValueError as error:
        raise HttpError(422, str(error)) from error
    if options.scale != "trained":
        raise HttpError(
            422, f"Expected no `scale` for the task {task!r}, which gives a label, but got {options.scale}."
        )
    size, crop = label_view(record)
    return PlannedTask(task=task, kind=kind, size=size, crop=crop)


def _unknown(engine: Engine, task: str) -> HttpError:
    try:
        known = listed(engine.tasks) or "none"
    except BundleError:  # a damaged task; all names are needed in their order
        known = _LISTED
    return _not_among(known, task)


def _not_among(known: str, task: str) -> HttpError:
    return HttpError(404, f"Expected a task among {known}, but got {brief(task)}.")


def answers(plan: Plan, data: bytes, stop: Stop) -> Iterator[Answer]:
    """Yield the answer of each task to a picture's bytes.

    Args:
        plan: What to do.
        data: The picture's file.
        stop: A request to end early.

    Raises:
        HttpError: If the picture cannot be read, is too large, or a task is damaged or has been removed.
        StoppedError: If `stop` was asked for.
    """
    try:
        photo = within_memory(partial(_decoded, plan, data), "The picture")
        for step in plan.steps:
            stop.check()
            yield within_memory(partial(_answer, plan, step, photo, stop), "The picture")
    except (TooManyPixelsError, TooLargeError) as error:
        raise HttpError(413, str(error)) from error
    except ImageError as error:
        raise HttpError(422, str(error)) from error
    except BundleError as error:
        raise HttpError(500, str(error)) from error


def _decoded(plan: Plan, data: bytes) -> Photo:
    with open_checked(data) as opened:
        check_pixels(opened.size, plan.max_pixels, "as it is", _SMALLER)
        for step in plan.steps:
            check_pixels(step.size(opened.size), plan.max_pixels, f"for the network of {step.task!r}", _SMALLER)
    return read_photo(data, metadata=plan.options.keep_metadata, deep=True)


def check_pixels(size: Size, most: int, where: str, remedy: str) -> None:
    """Check a picture's size.

    Args:
        size: Its size.
        most: Most pixels.
        where: Where it has this size.
        remedy: What makes it smaller; the begin of a sentence.

    Raises:
        HttpError: If it has more than `most` pixels.
    """
    width, height = size
    if width * height > most:
        raise HttpError(
            413,
            f"Expected a picture of at most {most} pixels, but got {width}x{height} pixels {where}. "
            f"{remedy}, or start the server with a larger --max-pixels.",
        )


def _answer(plan: Plan, step: PlannedTask, photo: Photo, stop: Stop) -> Answer:
    options, kind, began = plan.options, step.kind, time.monotonic()
    given = given_of(kind, photo, step.size, crop=step.crop, drawing=options.drawing)
    try:
        output = plan.engine.forward(given.input, step.task, tile=options.tile, stop=stop)
    except RemovedError as error:  # while the request waited
        raise _not_among(_LISTED, step.task) from error
    if isinstance(kind, LabelKind):
        labels = [{"label": label, "probability": probability} for label, probability in kind.to_label(output)]
        media, suffix, body = JSON, "json", dumps({"labels": labels}).encode()
    else:
        assert isinstance(kind, PictureKind)  # a kind is one of the two
        media, suffix = PICTURES[options.form], options.form
        made = answer(kind, output, given)
        assert isinstance(made, Image.Image)  # of 8 bits
        body = encoded(made, options.form, photo.exif)
    return Answer(task=step.task, media=media, suffix=suffix, body=body, seconds=time.monotonic() - began)
