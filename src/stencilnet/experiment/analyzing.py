"""Analyses a bundle's masks and writes the figures and the table."""

import json
from collections.abc import Mapping
from pathlib import Path

from stencilnet.analysis.drawing import to_svg
from stencilnet.analysis.masks import similarity, zero_ratio, zero_ratios
from stencilnet.analysis.plots import zero_ratio_figure
from stencilnet.bundle import load
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.models.vgg16 import layer_names


def analyze_bundle(bundle: Path, out: Path) -> tuple[Path, ...]:
    """Write ``masks.json`` and, for each task with a mask, ``zeros-<task>.svg`` (the paper, Figs. 9-14 and Table 3).

    Args:
        bundle: The bundle.
        out: The folder to write, made if it is not there.

    Returns:
        The files that were written.

    Raises:
        BundleError: If the bundle is damaged.
        ValueError: If no task of it has a mask.
    """
    net = load(bundle)
    masks = {task: delta.masks for task, delta in net.deltas.items() if delta.masks}
    if not masks:
        raise ValueError(
            f"Expected tasks with masks in {bundle}, but none of {', '.join(net.tasks) or 'no tasks'} has one. "
            "Learn one by piggyback, with `mask: binary` or `ternary`."
        )
    out.mkdir(parents=True, exist_ok=True)
    decoder = [name for name in net.layout.decoder if name in net.layout.masked]
    names = layer_names(net.backbone)
    written = []
    for task, bits in masks.items():
        title = f"Ratio of 0 in the mask of {task}"
        figure = zero_ratio_figure(zero_ratios(bits), zero_ratio(bits), decoder, title, names)
        written.append(out / f"zeros-{task}.svg")
        written[-1].write_text(to_svg(figure), encoding="utf-8", newline="\n")
    # the first task may have been removed since; its mask of all ones is still what the others compare with
    first = next((task for task, record in net.records.items() if record.method == BACKBONE), "all ones")
    alike = similarity(first, masks)
    found = {
        "zero_ratio": {task: {"total": zero_ratio(bits), "layers": zero_ratios(bits)} for task, bits in masks.items()},
        "agreement": _pairs(alike.agreement),
        "kappa": _pairs(alike.kappa),
    }
    written.append(out / "masks.json")
    written[-1].write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return tuple(written)


def _pairs(values: Mapping[tuple[str, str], float]) -> list[dict[str, str | float]]:
    return [{"first": first, "second": second, "value": value} for (first, second), value in values.items()]
