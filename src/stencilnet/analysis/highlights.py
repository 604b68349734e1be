"""The numbers that a report opens with, each computed from results."""

from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.results import StageResult
from stencilnet.evaluation.tables import MIB, method_title


def highlights(comparison: Comparison, main: str) -> tuple[tuple[str, str], ...]:
    """Return numbers and what they say; those that were not measured are left out.

    Args:
        comparison: The results.
        main: The method they are about.
    """
    stages = comparison.stages(main)
    if main not in comparison.methods or len(stages) < 2:
        return ()
    return (
        *_size(stages, main),
        *_per_task(stages, main),
        *_unchanged(comparison, main),
    )


def _size(stages: tuple[StageResult, ...], main: str) -> list[tuple[str, str]]:
    total = stages[-1].sizes.shared + sum(result.sizes.delta for result in stages)
    apart = sum(result.sizes.snapshot for result in stages)
    if not total:
        return []
    label = f"for {len(stages)} tasks in one network by {method_title(main)}; a network each takes {_bytes(apart)}"
    return [(_bytes(total), label)]


def _per_task(stages: tuple[StageResult, ...], main: str) -> list[tuple[str, str]]:
    added = [result.sizes.delta for result in stages if result.method != BACKBONE]
    largest = max(added)
    if not largest:
        return []
    share = 100 * largest / stages[-1].sizes.snapshot
    return [(_bytes(largest), f"at most for a further task by {method_title(main)}: {share:.1f} % of a network")]


def _unchanged(comparison: Comparison, main: str) -> list[tuple[str, str]]:
    tests = comparison.matrix(main).retests()
    if not tests.count:
        return []
    label = f"of {tests.count} numbers of earlier tasks changed while {method_title(main)} learned later ones"
    if main != "finetune" and "finetune" in comparison.methods:
        moved = comparison.matrix("finetune").retests()
        label += f"; fine-tune changed {moved.changed} of {moved.count}"
    return [(str(tests.changed), label)]


def _bytes(count: int) -> str:
    if count < MIB:
        return f"{count / 1024:.1f} KiB"
    return f"{count / MIB:.2f} MiB" if count < 100 * MIB else f"{count / MIB:.1f} MiB"
