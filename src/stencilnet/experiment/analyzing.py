"""Analyses a bundle's masks and writes the figures and the table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from stencilnet.analysis.drawing import to_svg
from stencilnet.analysis.masks import Similarity, TaskMasks, overlap, similarity, zero_ratio, zero_ratios
from stencilnet.analysis.plots import zero_ratio_figure
from stencilnet.analysis.sharing import Pair, kappa_layers_figure
from stencilnet.bundle import load
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.models import MultiTaskNet
from stencilnet.models.vgg16 import layer_names
from stencilnet.text.shortening import brief, listed
from stencilnet.text.strict_json import dumps


def analyze_bundle(bundle: Path, out: Path, ceilings: Sequence[Pair] = ()) -> tuple[Path, ...]:
    """Write ``masks.json``, for each task with a mask ``zeros-<task>.svg``, and of several ``kappa-layers.svg``.

    The ratio of 0 is the paper's Figs. 9-14, agreement and kappa its Table 3.

    Args:
        bundle: The bundle.
        out: The folder to write, made if it is not there.
        ceilings: Pairs of its tasks that are one task, learned twice by other seeds: what kappa comes to where masks
            serve the same end. Tasks of one config differ in their seeds by their names.

    Returns:
        The files that were written.

    Raises:
        BundleError: If the bundle is damaged.
        ValueError: If no task of it has a mask, or a ceiling is not one task learned twice.
    """
    net = load(bundle)
    masks = {task: delta.masks for task, delta in net.deltas.items() if delta.masks}
    if not masks:
        raise ValueError(
            f"Expected tasks with masks in {bundle}, but none of {listed(net.tasks) or 'no tasks'} has one. "
            "Learn one by piggyback, with `mask: binary` or `ternary`."
        )
    ordered = tuple(_ceiling(pair, net, masks) for pair in ceilings)
    # the first task may have been removed since; its mask of all ones is still what the others compare with
    first = next((task for task, record in net.records.items() if record.method == BACKBONE), "all ones")
    alike = similarity(first, masks)
    out.mkdir(parents=True, exist_ok=True)
    decoder = [name for name in net.layout.decoder if name in net.layout.masked]
    names = layer_names(net.backbone)
    written = []
    for task, bits in masks.items():
        title = f"Ratio of 0 in the mask of {task}"
        figure = zero_ratio_figure(zero_ratios(bits), zero_ratio(bits), decoder, title, names)
        written.append(_drawn(figure, out / f"zeros-{task}.svg"))
    if len(masks) > 1:
        figure = kappa_layers_figure(alike, ordered, decoder, names)
        written.append(_drawn(figure, out / "kappa-layers.svg"))
    found = {
        "zero_ratio": {task: {"total": zero_ratio(bits), "layers": zero_ratios(bits)} for task, bits in masks.items()},
        "agreement": _pairs(alike.agreement),
        "kappa": _pairs(alike.kappa),
        "kappa_layers": _layers(alike, ordered),
    }
    written.append(out / "masks.json")
    written[-1].write_text(dumps(found, indent=2) + "\n", encoding="utf-8")
    return tuple(written)


def _drawn(figure: Figure, path: Path) -> Path:
    path.write_text(to_svg(figure), encoding="utf-8", newline="\n")
    return path


def _ceiling(pair: Pair, net: MultiTaskNet, masks: Mapping[str, TaskMasks]) -> Pair:
    """Check that two tasks are one, learned twice, and return them in the order of learning."""
    asked = f"the ceiling {','.join(pair)!r}"
    for task in pair:
        if task not in masks:
            got = f"{task!r} has none" if task in net.tasks else f"there is no {task!r}"
            raise ValueError(f"Expected {asked} to name two tasks with masks ({listed(masks)}), but {got}.")
    first, second = sorted(pair, key=list(masks).index)
    unlike = _unlike(net, first, second)
    if unlike:
        raise ValueError(
            f"Expected {asked} to be one task learned twice, but the two differ in {unlike}. "
            "Learn the task again under a second name, with the same settings: its name gives it another seed."
        )
    if overlap(masks[first], masks[second]).agreement == 1:
        raise ValueError(
            f"Expected {asked} to be one task learned twice, but it is one mask. Learn the task again under a second "
            "name, which gives it another seed."
        )
    return first, second


def _unlike(net: MultiTaskNet, first: str, second: str) -> str:
    one, other = net.records[first], net.records[second]
    parts: dict[str, tuple[Any, Any]] = {
        name: (getattr(one, name), getattr(other, name)) for name in ("kind", "method", "settings", "recipe")
    }
    return ", ".join(f"{name} ({brief(a)}, {brief(b)})" for name, (a, b) in parts.items() if a != b)


def _pairs(values: Mapping[Pair, float]) -> list[dict[str, str | float]]:
    return [{"first": first, "second": second, "value": value} for (first, second), value in values.items()]


def _layers(alike: Similarity, ceilings: Collection[Pair]) -> list[dict[str, Any]]:
    """Return kappa by layer, and how far it strays between unrelated masks of the same densities."""
    return [
        {
            "first": first,
            "second": second,
            "ceiling": (first, second) in ceilings,
            "layers": {key: count.kappa for key, count in counts.items()},
            "by_chance": {key: count.kappa_by_chance for key, count in counts.items()},
        }
        for (first, second), counts in alike.layers.items()
    ]
