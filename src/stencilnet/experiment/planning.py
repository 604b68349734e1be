"""Formats the plan of a run as text and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from stencilnet.evaluation.details import duration
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.experiment.forecast import Forecast, Training
from stencilnet.text.columns import aligned
from stencilnet.text.sizes import mebibytes
from stencilnet.training.timing import StepCost


def describe(forecast: Forecast) -> str:
    """Return the plan as plain text: data, every training, sizes, memory and time."""
    blocks = [
        [f"{forecast.title}: {forecast.network}, seed {forecast.seed}"],
        _aligned(_data(forecast)),
        _aligned(_trainings(forecast.trainings)),
        _aligned(_sizes(forecast)),
        [_total(forecast)],
        _footnotes(forecast),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def as_plain(forecast: Forecast) -> dict[str, Any]:
    """Return the plan as JSON data; sizes in bytes, times in seconds."""
    plain = asdict(forecast)
    for row, training in zip(plain["trainings"], forecast.trainings, strict=True):
        row |= row.pop("stage") | {"seconds": training.seconds}
    plain["methods"] = {name: _kept(forecast.of(name)) for name in _methods(forecast)}
    plain["stored"] = sum(training.stored for training in forecast.trainings)
    plain["seconds"] = sum(training.seconds for training in forecast.trainings)
    return plain


def _methods(forecast: Forecast) -> list[str]:
    names = dict.fromkeys(training.stage.method for training in forecast.trainings)
    return [name for name in names if name != BACKBONE] or [BACKBONE]


def _kept(trainings: Sequence[Training]) -> dict[str, int]:
    """Return the bytes needed to keep every task as it was learned: the paper's model size."""
    if any(training.forgets for training in trainings):
        return {"model_size": sum(training.sizes.snapshot for training in trainings), "snapshots": len(trainings)}
    shared, deltas = trainings[0].sizes.shared, sum(training.sizes.delta for training in trainings)
    return {"model_size": shared + deltas, "shared": shared, "deltas": deltas}


def _data(forecast: Forecast) -> list[tuple[str, ...]]:
    splits = ("train", "validation", "test")
    rows = [(f"  {name}", *(f"{counts[split]:,}" for split in splits)) for name, counts in forecast.data.items()]
    return [("data", *splits), *rows]


def _trainings(trainings: Iterable[Training]) -> list[tuple[str, ...]]:
    head = ("trainings", "from", "steps", "crop", "task's size", "memory", "a step", "training", "checks")
    return [head, *(_training(training) for training in trainings)]


def _training(training: Training) -> tuple[str, ...]:
    stage, cost = training.stage, training.cost
    return (
        f"  {stage.method}/{stage.task}",
        stage.parent or "nothing",
        f"{training.steps} x {training.batch}",
        f"{training.crop} px",
        mebibytes(training.sizes.delta),
        _peak(cost),
        f"{cost.seconds:.2g} s" if cost.seconds < 10 else duration(cost.seconds),
        duration(training.training),
        duration(training.checking),
    )


def _sizes(forecast: Forecast) -> list[tuple[str, ...]]:
    rows = []
    for name in _methods(forecast):
        kept = _kept(forecast.of(name))
        how = (
            f"{kept['snapshots']} snapshots"
            if "snapshots" in kept
            else f"{mebibytes(kept['shared'])} shared + {mebibytes(kept['deltas'])} of {len(forecast.of(name))} tasks"
        )
        rows.append((f"  {name}", mebibytes(kept["model_size"]), how))
    return [("model size", "", ""), *rows]


def _total(forecast: Forecast) -> str:
    rows = forecast.trainings
    peak = max((row.cost for row in rows), key=lambda cost: cost.peak_bytes)
    parts = (
        "1 training" if len(rows) == 1 else f"{len(rows)} trainings",
        duration(sum(row.seconds for row in rows)),
        f"bundles of at most {mebibytes(sum(row.stored for row in rows))} on disk, beside checkpoints and pictures",
        f"{_peak(peak)} of {'GPU ' if forecast.device == 'cuda' else ''}memory",
    )
    return f"total: {'; '.join(parts)}"


def _peak(cost: StepCost) -> str:
    return ("" if cost.peak_measured else "~") + mebibytes(cost.peak_bytes)


def _footnotes(forecast: Forecast) -> list[str]:
    costs = [row.cost for row in forecast.trainings]
    share = "" if forecast.devices == 1 else f", with its share of batches that {forecast.devices} devices divide"
    loading = "in the training process" if not forecast.workers else f"by {forecast.workers} workers"
    notes = [
        f"Measured on one device{share}: {forecast.device}, {forecast.precision}, {forecast.hardware}. Examples are "
        f"loaded {loading}.",
        f"Time: steps x seconds of a measured step (median of {_range(cost.steps for cost in costs)}), plus loading. "
        "Checks are validation and tests, from a measured forward pass; trivial baselines are not included.",
    ]
    if not all(cost.peak_measured for cost in costs):
        notes.append(
            "~ Memory is estimated: weights, gradients, Adam's moments, real masks, and every tensor that a step keeps "
            "for its backward pass; without Python and its libraries."
        )
    if any(cost.images < row.batch // forecast.devices for cost, row in zip(costs, forecast.trainings, strict=True)):
        notes.append("Slow steps were measured on a part of their batch and scaled in proportion.")
    if forecast.devices > 1:
        notes.append("The exchange of gradients between devices is not included.")
    return [*notes, *forecast.notes]


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned(rows, "<" + ">" * (len(rows[0]) - 1))
