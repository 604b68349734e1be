"""Says in plain words what was found, what was chosen and how good the result is; and the same as JSON data."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stencilnet.data.folders import shown
from stencilnet.evaluation.details import duration
from stencilnet.evaluation.render import number_texts
from stencilnet.pictures.labels import VOID
from stencilnet.teaching.planning import Lesson, first_picture
from stencilnet.teaching.request import Labels, Pairs, Restore, Style
from stencilnet.teaching.teaching import Taught
from stencilnet.text.columns import aligned

_FEW = 20
"""Number of pictures below which a task is poorly learned."""
_SHORT = 150
"""Number of steps below which a task is poorly learned."""

_DAMAGE = {
    "noise": "Gaussian noise (sigma 25 of 255)",
    "blur": "Gaussian blur (sigma 1.5 pixels)",
    "downscale": "a third of the resolution",
    "holes": "gray rectangles over a fifth of the picture",
}
_FEEDING = {
    "downscale": "Enlarge a small picture three times first, by bicubic interpolation.",
    "holes": "Paint what is to be filled in gray (128, 128, 128) first.",
}


def describe(lesson: Lesson) -> str:
    """Return what was found and chosen, a line each."""
    recipe = lesson.plan.recipe
    if lesson.found is None or lesson.cost is None or lesson.seconds is None:
        return f"continue  {recipe.steps} steps, as planned in {lesson.path}"
    train, held = lesson.data.train, lesson.data.validation
    rows = [
        ("found", _found(lesson)),
        ("task", _task(lesson)),
        (
            "split",
            f"{len(train)} to learn from; {len(held)} held out to choose the best step and to measure: the last by "
            f"name, from {shown(held.names[:1])} on",
        ),
        ("view", _view(lesson)),
        (
            "training",
            f"{recipe.steps} steps of {recipe.batch} crops, {lesson.cost.seconds:.2g} s each on this machine: about "
            f"{duration(lesson.seconds)}, with {-(-recipe.steps // lesson.experiment.trainer.evaluate_every)} checks",
        ),
        ("method", f"quantised delta: about half a bit per weight; learning rate {recipe.lr:g}"),
        ("folder", f"{lesson.request.folder}: config, curves, sample pictures"),
    ]
    return "\n".join([*aligned(rows, "<<"), *_warnings(lesson)])


def conclude(lesson: Lesson, taught: Taught) -> str:
    """Return how good the learned task is, where everything lies, and how to use it."""
    request, name = lesson.request, lesson.plan.name
    rows = [
        ("added", f"{name}: {taught.bytes:,} bytes, {taught.share:.1%} of the backbone"),
        ("result", _result(lesson, taught)),
        *([] if taught.samples is None else [("pictures", f"{taught.samples} ({', '.join(columns(lesson))})")]),
        ("config", f"{lesson.path}"),
        ("try it", try_command(lesson)),
        ("refine", refine_command(lesson)),
    ]
    feeding = (
        [_FEEDING[request.form.damage]] if isinstance(request.form, Restore) and request.form.damage in _FEEDING else []
    )
    return "\n".join([*aligned(rows, "<<"), *feeding, *_verdict(lesson, taught)])


def as_plain(lesson: Lesson, taught: Taught | None = None) -> dict[str, Any]:
    """Return a lesson, and what came of it, as JSON data; times in seconds, sizes in bytes."""
    plain: dict[str, Any] = {
        "bundle": str(lesson.request.bundle),
        "name": lesson.plan.name,
        "kind": lesson.plan.task.kind,
        "pictures": {"train": len(lesson.data.train), "validation": len(lesson.data.validation)},
        "steps": lesson.plan.recipe.steps,
        "step_seconds": None if lesson.cost is None else lesson.cost.seconds,
        "seconds": lesson.seconds,
        "config": lesson.config,
        "root": str(lesson.root.absolute()),
        "folder": str(lesson.request.folder),
        "notes": [*lesson.notes, *_warnings(lesson)],
    }
    if taught is None:
        return plain
    return plain | {
        "config_file": str(lesson.path),
        "samples": None if taught.samples is None else str(taught.samples),
        "bytes": taught.bytes,
        "metric": taught.metric.name,
        "higher_is_better": taught.metric.higher_is_better,
        "value": taught.value,
        "trivial": lesson.task.trivial,
        "trivial_value": taught.trivial,
        "better": taught.better,
        "selected_step": taught.record.metrics["step"],
        "seconds": taught.record.provenance["seconds"],
        "try": try_command(lesson),
        "refine": refine_command(lesson),
    }


def try_command(lesson: Lesson) -> str:
    """Return the command that runs the task on a picture that was held out."""
    request, picture = lesson.request, first_picture(lesson)
    return _command("run", request.bundle, request.name, picture, "-o", f"{request.name}.png")


def refine_command(lesson: Lesson) -> str:
    """Return the command that learns the task again by its config."""
    root = [] if lesson.root == Path() else ["--root", lesson.root]
    return _command("add", lesson.request.bundle, lesson.path, *root)


def _command(*words: object) -> str:
    return shlex.join(["stencil", *map(str, words)])


def _found(lesson: Lesson) -> str:
    request, found = lesson.request, lesson.found
    assert found is not None, "only a new lesson is described"
    size = f"{found.size[0]}x{found.size[1]} pixels (median)"
    match request.form:
        case Pairs(before=before, after=after):
            return (
                f"{found.count} pairs in {before} and {after}, {size}; they differ by {found.difference:.0f} of 255 "
                "levels on average"
            )
        case Labels(images=images, labels=labels):
            void = found.values.get(VOID, 0) / max(1, sum(found.values.values()))
            ignored = f"; {void:.1%} of the pixels are void" if void and len(found.values) > 2 else ""
            return f"{found.count} photos in {images} with label maps in {labels}, {size}{ignored}"
        case Style(painting=painting, photos=photos):
            return f"{painting}, and {found.count} photos in {photos}, {size}"
        case Restore(photos=photos):
            return f"{found.count} photos in {photos}, {size}"


def _task(lesson: Lesson) -> str:
    request, task = lesson.request, lesson.config["tasks"][0]["task"]
    match request.form:
        case Pairs() if task["kind"] == "colorization":
            return "colorization: the pictures before are gray versions of those after"
        case Pairs() if task["residual"]:
            return "restoration: the pictures of a pair are alike, so the network predicts the change"
        case Pairs():
            return "restoration: the pictures of a pair differ much, so the network predicts the whole picture"
        case Labels():
            weighted = ", the second weighted 8 times, since it is rare" if "class_weights" in task else ""
            return f"segmentation, {len(task['classes'])} classes: {shown(task['classes'])}{weighted}"
        case Style():
            return "style: repaint photos like the painting; a stand-in for VGG measures the losses (`perceptual`)"
        case Restore(damage=damage):
            return f"restoration of {_DAMAGE[damage]}, drawn anew for every crop"


def _view(lesson: Lesson) -> str:
    view = lesson.plan.view
    size = "at their own size" if view.resize is None else f"shrunk to a shorter side of {view.resize} pixels"
    return f"random crops of {view.crop} pixels, half of them mirrored, from pictures {size}"


def _warnings(lesson: Lesson) -> list[str]:
    lines = []
    pictures, steps = len(lesson.data.train), lesson.plan.recipe.steps
    if pictures < _FEW:
        lines.append(f"{pictures} pictures to learn from are few: expect a rough result. Some hundreds are better.")
    if steps < _SHORT:
        lines.append(f"{steps} steps are few: expect a rough result. {_more_steps(lesson)}")
    return lines


def _more_steps(lesson: Lesson) -> str:
    return "More --minutes give more steps." if lesson.request.steps is None else "Pass more --steps."


def _result(lesson: Lesson, taught: Taught) -> str:
    value, trivial = number_texts([taught.value, taught.trivial])
    direction = "higher" if taught.metric.higher_is_better else "lower"
    return (
        f"{taught.metric.name} {value} on {len(lesson.data.validation)} pictures held out, {direction} is better; "
        f"{trivial_words(lesson)} has {trivial}"
    )


_TRIVIAL = {
    "identity": "the unchanged picture",
    "majority": "the most frequent class everywhere",
    "gray": "the gray picture",
}


def trivial_words(lesson: Lesson) -> str:
    """Return in words what a lesson's trivial answer is."""
    return _TRIVIAL.get(lesson.task.trivial, lesson.task.trivial)


def columns(lesson: Lesson) -> Sequence[str]:
    """Return what the columns of a lesson's sample pictures are."""
    return ("input", "output") if isinstance(lesson.request.form, Style) else ("input", "target", "output")


def _verdict(lesson: Lesson, taught: Taught) -> list[str]:
    if taught.better:
        return []
    request = lesson.request
    return [
        f"This is NOT better than {trivial_words(lesson)}: the task has learned "
        "nothing useful. It was added all the same. Look at the pictures, remove it by",
        f"  {_command('remove', request.bundle, request.name)}",
        f"and teach it with more pictures or more --{'minutes' if request.steps is None else 'steps'}.",
    ]
