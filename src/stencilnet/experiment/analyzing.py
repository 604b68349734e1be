"""Analyses the masks and codes of a bundle's tasks, and writes figures and a table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from stencilnet.analysis.drawing import to_svg
from stencilnet.analysis.masks import (
    Similarity,
    TaskCodes,
    by_kind,
    overlap,
    similarity,
    zero_ratio,
    zero_ratios,
)
from stencilnet.analysis.plots import zero_ratio_figure
from stencilnet.analysis.sharing import Pair, kappa_layers_figure
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.wording import wording_of
from stencilnet.models import MultiTaskNet, load
from stencilnet.models.vgg16 import layer_names
from stencilnet.storage import write_text
from stencilnet.text.shortening import brief, listed
from stencilnet.text.strict_json import dumps


def analyze_bundle(bundle: Path, out: Path, ceilings: Sequence[Pair] = ()) -> tuple[Path, ...]:
    """Write ``masks.json``, a ``zeros-<task>.svg`` for each task with a mask or codes, and figures of kappa by layer.

    The ratio of 0 is that of the paper's Figs. 9-14; agreement and kappa are those of its Table 3. Only tasks of the
    same kind are compared: masks with masks, quantised changes with quantised changes. The figure of kappa is
    ``kappa-layers.svg`` if all tasks are of one kind, else ``kappa-layers-<kind>.svg`` per kind of several tasks.

    Args:
        bundle: The bundle.
        out: The output folder, created if missing.
        ceilings: Pairs of tasks that are the same task, learned twice with different seeds: an upper reference of
            kappa. The seed of a config's task depends on its name.

    Returns:
        The files that were written.

    Raises:
        BundleError: If the bundle is damaged.
        ValueError: If no task has a mask or codes, or a ceiling is not one task learned twice.
    """
    net = load(bundle)
    codes: dict[str, TaskCodes] = {task: own for task, delta in net.deltas.items() if (own := delta.weight_codes)}
    if not codes:
        raise ValueError(
            f"Expected tasks with masks or codes in {bundle}, but it has none (tasks: {listed(net.tasks) or 'none'}). "
            "Learn one by piggyback, or by quantized_delta over the backbone."
        )
    ordered = tuple(_ceiling(pair, net, codes) for pair in ceilings)
    kinds = by_kind(codes)
    alike = [similarity(_first(net, kind), group) for kind, group in kinds.items()]
    out.mkdir(parents=True, exist_ok=True)
    decoder = [name for name in net.layout.decoder if name in net.layout.masked]
    names = layer_names(net.backbone)
    ratios = {task: (zero_ratio(own), zero_ratios(own)) for task, own in codes.items()}
    words = {task: wording_of(kind).one for kind, group in kinds.items() for task in group}
    written = []
    for task, (overall, layers) in ratios.items():
        figure = zero_ratio_figure(layers, overall, decoder, f"Ratio of 0 in the {words[task]} of {task}", names)
        written.append(_drawn(figure, out / f"zeros-{task}.svg"))
    for found in alike:
        if found.layers:
            name = "kappa-layers.svg" if len(alike) == 1 else f"kappa-layers-{found.kind}.svg"
            written.append(_drawn(kappa_layers_figure(found, _of(found, ordered), decoder, names), out / name))
    table = {
        "kinds": {task: kind for kind, group in kinds.items() for task in group},
        "zero_ratio": {task: {"total": overall, "layers": layers} for task, (overall, layers) in ratios.items()},
        "agreement": [row for found in alike for row in _pairs(found.agreement)],
        "kappa": [row for found in alike for row in _pairs(found.kappa)],
        "kappa_layers": [row for found in alike for row in _layers(found, ordered)],
    }
    written.append(out / "masks.json")
    write_text(written[-1], dumps(table, indent=2) + "\n", sync=False)
    return tuple(written)


def _first(net: MultiTaskNet, kind: str) -> str:
    """Return the name of the task that trained the shared weights; without one, a phrase for unchanged weights."""
    trained = (
        task for task, record in net.records.items() if record.method == BACKBONE and not net.deltas[task].weight_codes
    )
    return next(trained, wording_of(kind).constant)


def _of(alike: Similarity, ceilings: Collection[Pair]) -> list[Pair]:
    return [pair for pair in ceilings if pair in alike.layers]


def _drawn(figure: Figure, path: Path) -> Path:
    write_text(path, to_svg(figure), sync=False)
    return path


def _ceiling(pair: Pair, net: MultiTaskNet, codes: Mapping[str, TaskCodes]) -> Pair:
    """Check that two tasks are the same task, learned twice, and return them in the order of learning."""
    asked = f"the ceiling {','.join(pair)!r}"
    for task in pair:
        if task not in codes:
            got = f"{task!r} has none" if task in net.tasks else f"there is no {task!r}"
            raise ValueError(f"Expected {asked} to name two tasks with masks or codes ({listed(codes)}), but {got}.")
    first, second = sorted(pair, key=list(codes).index)
    unlike = _unlike(net, first, second)
    if unlike:
        raise ValueError(
            f"Expected {asked} to be one task learned twice, but the two differ in {unlike}. "
            "Learn the task again under a second name, which gives it another seed, with the same settings."
        )
    if overlap(codes[first], codes[second]).agreement == 1:
        raise ValueError(
            f"Expected {asked} to be one task learned twice, but the masks or codes are identical. "
            "Learn the task again under a second name, which gives it another seed."
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
    """Return kappa by layer, and its spread between unrelated masks or codes of the same counts."""
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
