"""The highlights of a report: numbers computed from results."""

from math import isfinite

from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.results import StageResult, TaskCard
from stencilnet.evaluation.tables import method_title
from stencilnet.text.sizes import mebibytes


def highlights(comparison: Comparison, main: str) -> tuple[tuple[str, str], ...]:
    """Return numbers with their labels; numbers that were not measured are left out.

    Args:
        comparison: The results.
        main: Name of the method that the numbers describe.
    """
    stages = comparison.stages(main)
    if main not in comparison.methods or len(stages) < 2:
        return ()
    return (
        *_beside_finetune(comparison, main),
        *_size(stages, main),
        *_per_task(stages, main),
        *_unchanged(comparison, main),
    )


def _beside_finetune(comparison: Comparison, main: str) -> list[tuple[str, str]]:
    """Return a method's gain over fine-tuning, if both were run: the mean over tasks, and the least and greatest."""
    if main == "finetune" or "finetune" not in comparison.methods:
        return []
    gains = {card.title: gain for card in comparison.cards if (gain := _gain(comparison, main, card)) is not None}
    if not gains:
        return []
    bits = _bits(comparison.stages(main))
    cost = "" if bits is None else f", which takes at most {bits:.2f} bits per weight for a task"
    label = (
        f"gain over fine-tuning by {method_title(main)}{cost}: the mean over {', '.join(gains)}, from "
        f"{min(gains.values()):+.1f} to {max(gains.values()):+.1f} %, one seed"
    )
    return [(f"{sum(gains.values()) / len(gains):+.1f} %", label)]


def _gain(comparison: Comparison, main: str, card: TaskCard) -> float | None:
    """Return the gain of a task's headline metric over fine-tuning in percent; None if it is undefined."""
    metric = card.metrics[0]
    found = [comparison.find(method, card.name) for method in (main, "finetune")]
    if any(result is None or result.method == BACKBONE for result in found):
        return None
    ours, tuned = (result.metrics[card.name][metric.name] for result in found if result is not None)
    if not (isfinite(ours) and isfinite(tuned)) or tuned <= 0:
        return None
    return 100 * (ours - tuned) / tuned * (1 if metric.higher_is_better else -1)


def _bits(stages: tuple[StageResult, ...]) -> float | None:
    """Return the largest number of bits per network weight that a further task takes on disk."""
    found = [
        8 * result.stored / (result.sizes.snapshot / 4)
        for result in stages
        if result.method != BACKBONE and result.stored is not None and result.sizes.snapshot
    ]
    return max(found, default=None)


def _size(stages: tuple[StageResult, ...], main: str) -> list[tuple[str, str]]:
    total = stages[-1].sizes.shared + sum(result.sizes.delta for result in stages)
    apart = sum(result.sizes.snapshot for result in stages)
    if not total:
        return []
    label = (
        f"for {len(stages)} tasks in one network by {method_title(main)}; one network per task takes {mebibytes(apart)}"
    )
    return [(mebibytes(total), label)]


def _per_task(stages: tuple[StageResult, ...], main: str) -> list[tuple[str, str]]:
    added = [result.sizes.delta for result in stages if result.method != BACKBONE]
    largest = max(added)
    if not largest:
        return []
    share = 100 * largest / stages[-1].sizes.snapshot
    return [(mebibytes(largest), f"at most for a further task by {method_title(main)}: {share:.1f} % of a network")]


def _unchanged(comparison: Comparison, main: str) -> list[tuple[str, str]]:
    tests = comparison.matrix(main).retests()
    if not tests.count:
        return []
    label = f"of {tests.count} numbers of earlier tasks changed while {method_title(main)} learned later ones"
    if main != "finetune" and "finetune" in comparison.methods:
        moved = comparison.matrix("finetune").retests()
        label += f"; fine-tune changed {moved.changed} of {moved.count}"
    return [(str(tests.changed), label)]
