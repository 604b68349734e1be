"""Chooses a config for what folders hold: plain data in, plain data out. No file is read."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from stencilnet.pictures.labels import VOID
from stencilnet.teaching.looking import FolderFacts
from stencilnet.teaching.request import Labels, LessonForm, Request, Restore, Style, TeachError

HELD_SHARE = 0.15
"""Share of the pictures that is held out to choose the best step."""
HELD_MOST = 48
"""Largest number of pictures held out: each is run at every evaluation."""
EVALUATIONS, LEAST_EVALUATIONS = 8, 3
"""Largest and smallest number of evaluations of a training; the best of them is kept."""
EVALUATING = 0.2
"""Share of the time for evaluations, as far as `LEAST_EVALUATIONS` allow."""
PASSES = 200
"""Largest number of passes over the pictures, if these are more than `PASSED` steps."""
PASSED = 1000
LEAST_STEPS = 20
"""Smallest number of steps that is worth a training."""

_WORKING = 256
"""Shorter side, in pixels, to which large photos are shrunk for kinds whose answers are enlarged again."""
_LARGE = 1.5
"""Photos are shrunk if they are larger than this times the side that they would be shrunk to."""
_LEVELS = 16
"""Crops are multiples of it, as the U-Net's four halvings need."""
_ALIKE = 0.5
"""Pairs whose difference is below this share of their spread are learned as a change of the input."""
_MASK = 128
_RARE, _WEIGHT = 0.1, 8.0
"""Two classes of which one covers less than a tenth of the pixels: the weight of that class in the loss, as in the
config `photos`."""
_SHADES = 200
"""Label values from here on are taken for shades of gray; the largest known sets of classes have 182 (COCO-stuff)."""


def choose(request: Request, found: FolderFacts, crop: int) -> dict[str, Any]:
    """Return the config that a request stands for, but for the number of steps, as plain YAML data.

    Learning rates are those that were best on photographs (docs/results/quality.md; for restoration: docs/teach.md).

    Args:
        request: What is asked for.
        found: What its folders hold.
        crop: Side of the crops that the backbone was trained at, in pixels.

    Raises:
        TeachError: If labels are not label maps, or do not fit the classes that were named.
    """
    form = request.form
    styled = isinstance(form, Style)
    task, train = _task(request.name, form, found)
    return {
        "title": f"Teach {request.name}",
        "seed": 0,
        **({"perceptual": {"source": "standin"}} if styled else {}),
        "methods": [{"method": {"kind": "quantized_delta"}}],
        "tasks": [
            {
                "name": request.name,
                "title": request.name,
                "task": task,
                "data": {
                    "about": " and ".join(str(folder) for key, folder in train.items() if key in _FOLDERS),
                    "train": train,
                    "holdout": {"share": held_share(found.count)},
                    **({"drop_gray": True} if task["kind"] == "colorization" else {}),
                },
                "view": _view(form, task, found, crop),
                "recipe": {
                    "batch": 4 if styled else 8,
                    "lr": _rate(task),
                    "schedule": "cosine",
                },
            }
        ],
    }


_FOLDERS = ("folder", "images", "labels", "inputs", "targets")


def held_share(count: int) -> float:
    """Return the share of `count` pictures to hold out: `HELD_SHARE`, or what gives `HELD_MOST` pictures."""
    return HELD_SHARE if HELD_SHARE * count <= HELD_MOST else round(HELD_MOST / count, 6)


def with_steps(config: Mapping[str, Any], steps: int, *, every: int, workers: int = 0) -> dict[str, Any]:
    """Return a config of `choose` with its number of steps, how often to evaluate, and loader processes."""
    (task,) = config["tasks"]
    trainer = {**({"workers": workers} if workers else {}), "evaluate_every": every, "checkpoint_every": every}
    recipe = {"steps": steps, **task["recipe"]}
    head = {key: value for key, value in config.items() if key not in ("methods", "tasks")}
    return {**head, "trainer": trainer, "methods": config["methods"], "tasks": [{**task, "recipe": recipe}]}


def evaluations_within(seconds: float, once: float) -> int:
    """Return the number of evaluations of a training that may take so many seconds, at `once` seconds each."""
    return max(LEAST_EVALUATIONS, min(EVALUATIONS, math.floor(EVALUATING * seconds / once)))


def steps_within(seconds: float, cost: Callable[[int], float], *, pictures: int, batch: int) -> int:
    """Return the number of steps that fit in a time, but at most `PASSES` passes over the pictures (or `PASSED` steps).

    Args:
        seconds: The time.
        cost: Returns the seconds of a training of so many steps; it never falls.
        pictures: Number of pictures to learn from.
        batch: Pictures per step.

    Raises:
        TeachError: If fewer than `LEAST_STEPS` steps fit.
    """
    low, high = 0, max(PASSED, math.ceil(PASSES * pictures / batch)) + 1  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= seconds else (low, middle)
    if low < LEAST_STEPS:
        raise TeachError(
            f"Only {low} steps fit in {seconds / 60:.3g} minutes on this machine, and fewer than {LEAST_STEPS} teach "
            f"nothing. Pass --minutes {math.ceil(cost(10 * LEAST_STEPS) / 60)} or more, or --steps N."
        )
    return low


def _task(name: str, form: LessonForm, found: FolderFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sections `task` and `data.train`."""
    if isinstance(form, Labels):
        return _labels(name, form, found)
    if isinstance(form, Style):
        style = {"kind": "style", "style": form.painting.name, "style_size": _WORKING}
        return {**style, "style_weight": 2e10, "smoothness": 0.3}, _images(form.photos)
    if isinstance(form, Restore):
        return {"kind": "restoration", "residual": True}, _images(form.photos)
    if found.gray:
        return {"kind": "colorization"}, _images(form.after)
    train = {"kind": "pairs", "inputs": str(form.before.absolute()), "targets": str(form.after.absolute())}
    return {"kind": "restoration", "residual": found.difference < _ALIKE * found.spread}, train


def _rate(task: Mapping[str, Any]) -> float:
    if task.get("residual"):
        return 8e-3
    return 2e-3 if task["kind"] in ("segmentation", "colorization") else 4e-3


def _images(folder: Any) -> dict[str, Any]:
    return {"kind": "images", "folder": str(folder.absolute())}


def _labels(name: str, form: Labels, found: FolderFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    source: dict[str, Any] = {
        "kind": "labelled",
        "images": str(form.images.absolute()),
        "labels": str(form.labels.absolute()),
    }
    known = {value: count for value, count in found.values.items() if value != VOID}
    threshold, pixels = form.threshold, known
    if threshold is None and set(found.values) == {0, VOID}:  # a mask of black and white
        threshold, pixels = _MASK, {0: found.values[0], 1: found.values[VOID]}
    if threshold is not None:
        source |= {"threshold": threshold}
    count = 2 if threshold is not None else max(known, default=0) + 1
    classes = form.classes or _names(name, form, known, count, mask=threshold is not None)
    if count > len(classes) or (threshold is not None and len(classes) != 2):
        raise TeachError(
            f"Expected a name for each of the {count} classes in {form.labels}, whose label values go up to "
            f"{max(known, default=0)}, but --classes names {len(classes)}. Name all classes, in the order of their "
            "indices from 0."
        )
    total = sum(pixels.values())
    rare = len(classes) == 2 and 0 < pixels.get(1, 0) < _RARE * total
    task: dict[str, Any] = {"kind": "segmentation", "classes": list(classes)}
    return {**task, **({"class_weights": [1.0, _WEIGHT]} if rare else {})}, source


def _names(name: str, form: Labels, known: Mapping[int, int], count: int, *, mask: bool) -> tuple[str, ...]:
    """Return names for classes that nobody has named."""
    if mask:
        return "background", name
    if count > _SHADES or (count > 32 and count > 4 * len(known)):
        raise TeachError(
            f"Expected label maps with one class index per pixel (0, 1, 2, ...) in {form.labels}, but got "
            f"{len(known)} values up to {count - 1}, which look like shades of gray. If they are gray masks, pass "
            "--threshold 128 (or another value, from which on a pixel counts as marked). If they are class indices, "
            "pass the classes' names by --classes."
        )
    if count < 2:
        raise TeachError(
            f"Expected labels of at least two classes in {form.labels}, but every labelled pixel has the value 0"
            f"{'' if known else ' or 255 (void)'}. Correct the folder, or the label maps."
        )
    return tuple(f"class {index}" for index in range(count))


def _view(form: LessonForm, task: Mapping[str, Any], found: FolderFacts, crop: int) -> dict[str, Any]:
    """Return the section `view`: crops as large as the backbone's, if the pictures are."""
    shrunk = max(_WORKING, 2 * crop)
    shrinks = task["kind"] != "restoration" and found.shorter > _LARGE * shrunk  # it runs at a photo's own size
    shorter = shrunk if shrinks else found.shorter
    return {
        "crop": max(_LEVELS, min(crop, shorter) // _LEVELS * _LEVELS),
        **({"resize": shrunk} if shrinks else {}),
        **({"scale": [0.75, 1.25]} if task["kind"] in ("segmentation", "colorization") else {}),
        **({"damage": {"kind": form.damage}} if isinstance(form, Restore) else {}),
    }
