"""The performance table: every row, its target, and how to measure it."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from benchmarks import bundles, engines, serving, steps, switching, whole
from benchmarks.machine import check_repetitions
from benchmarks.rows import SIZE, WIDTH, BenchRow, Found, NotHereError, Setting, Target

_STEP, _PLAIN, _LAYERS = "mask-training step", "plain fine-tuning step", "step through the original's masked layers"


def _on(
    measure: Callable[[Setting, steps.Shape], Found], shape: Callable[[Setting], steps.Shape]
) -> Callable[[Setting], Found]:
    return lambda setting: measure(setting, shape(setting))


ROWS = (
    BenchRow(
        name="step",
        what=_STEP,
        against=_PLAIN,
        target=Target(most=1.02),
        measure=_on(steps.mask_step, steps.half),
    ),
    BenchRow(
        name="step-original",
        what=_LAYERS,
        against=_PLAIN,
        target=None,
        measure=_on(steps.original_step, steps.half),
    ),
    BenchRow(
        name="step-small",
        what=_STEP,
        against=_PLAIN,
        target=Target(most=1.02),
        measure=_on(steps.mask_step, steps.quarter),
    ),
    BenchRow(
        name="step-small-original",
        what=_LAYERS,
        against=_PLAIN,
        target=None,
        measure=_on(steps.original_step, steps.quarter),
    ),
    BenchRow(
        name="memory",
        what="peak memory of mask training",
        against="peak memory of fine-tuning; the ratio is the difference divided by the weights' bytes",
        target=Target(most=2.05),
        measure=_on(steps.mask_memory, steps.half),
    ),
    BenchRow(
        name="memory-large",
        what="the same with a large batch",
        against="the same",
        target=Target(most=2.05),
        measure=_on(steps.mask_memory, steps.whole),
    ),
    BenchRow(
        name="training",
        what="training with default settings",
        against="eager float32 fine-tuning",
        target=Target(least=2.0),
        cuda=Target(least=5.0),
        measure=steps.default_step,
    ),
    BenchRow(
        name="demo",
        what="a whole training of the demo",
        against="its steps alone",
        target=Target(least=0.9),
        measure=whole.demo_run,
    ),
    BenchRow(
        name="switch",
        what="switch a network's task in place",
        against="copy its weights once",
        target=Target(most=2.0),
        measure=switching.switch_by_copy,
    ),
    BenchRow(
        name="switch-checkpoint",
        what="switch a network's task in place",
        against="load a whole checkpoint from the page cache",
        target=Target(least=5.0),
        measure=switching.switch_by_torch_file,
    ),
    BenchRow(
        name="switch-safetensors",
        what="switch a network's task in place",
        against="the same, mapped from a safetensors file",
        target=None,
        measure=switching.switch_by_safetensors_file,
    ),
    BenchRow(
        name="active",
        what="inference of an active task",
        against="the plain module",
        target=Target(least=0.99, most=1.01),
        measure=switching.active_task,
    ),
    BenchRow(
        name="eight-tasks",
        what="64 images over 8 tasks",
        against="the same images through one task",
        target=Target(least=0.95),
        cuda=Target(least=0.9),
        measure=serving.eight_tasks,
    ),
    BenchRow(
        name="folder",
        what="`stencil run` on a folder",
        against="the network alone",
        target=Target(least=0.9),
        measure=serving.folder,
    ),
    BenchRow(
        name="auto",
        what='inference, `precision="auto"`',
        against="eager float32",
        target=Target(least=1.3),
        cuda=Target(),
        bf16=Target(least=2.8),
        measure=serving.fast_path,
    ),
    BenchRow(
        name="strips",
        what="a picture in strips",
        against="the same picture as a whole",
        target=Target(most=2.0),
        measure=serving.strips,
    ),
    BenchRow(
        name="onnx",
        what="inference of one picture by ONNX Runtime",
        against="eager PyTorch",
        target=Target(least=1.4),
        measure=engines.picture,
    ),
    BenchRow(
        name="onnx-process",
        what="`stencil run` on one photo, the whole process",
        against="the same with `--backend torch`",
        target=Target(least=5.0),
        measure=engines.process,
    ),
    BenchRow(
        name="onnx-switch",
        what="switch to another task by a new session of ONNX Runtime",
        against="0.3 s",
        target=Target(most=1.0),
        measure=engines.switch,
    ),
    BenchRow(
        name="open",
        what="open a bundle of 1,000 tasks",
        against="open a bundle of one; the ratio is the additional seconds",
        target=Target(most=0.2),
        measure=bundles.opening,
    ),
    BenchRow(
        name="add",
        what="add a task to a bundle of 1,000",
        against="add it to a bundle of one",
        target=Target(most=1.1),
        measure=bundles.adding,
    ),
    BenchRow(
        name="remove",
        what="remove a task from a bundle of 1,000",
        against="remove it from a bundle of one",
        target=Target(most=1.1),
        measure=bundles.removing,
    ),
    BenchRow(
        name="disk-half",
        what="a mask on disk, half zeros",
        against="its entropy",
        target=Target(most=1.02),
        measure=partial(bundles.on_disk, zeros=0.5),
    ),
    BenchRow(
        name="disk-tenth",
        what="a mask on disk, a tenth zeros",
        against="its entropy",
        target=Target(most=1.02),
        measure=partial(bundles.on_disk, zeros=0.1),
    ),
)
"""The rows, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A row and its measurements.

    Attributes:
        row: The row.
        found: The measurements; None if the row could not be measured.
        reason: Why the row could not be measured; empty (the default) if it was.
    """

    row: BenchRow
    found: Found | None
    reason: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median ratio reaches the target; None without a number or a target."""
        if self.found is None or self.row.target is None:
            return None
        return self.row.target.met(self.found.ratio.median)


def measure_rows(setting: Setting, only: Sequence[str] = ()) -> Iterator[Result]:
    """Measure rows of the table, one after the other.

    Args:
        setting: The setting to measure with.
        only: Names of rows; empty (the default) for all.

    Raises:
        ValueError: If there are too few repetitions or a row is unknown.
    """
    check_repetitions(setting.repetitions)
    check_rows(only)
    for row in ROWS:
        if only and row.name not in only:
            continue
        setting.say(f"measuring {row.name}: {row.what}, against {row.against}")
        with tempfile.TemporaryDirectory(prefix="bench-", dir=setting.folder) as folder:
            yield _measured(row, replace(setting, folder=Path(folder)))


def check_rows(names: Sequence[str]) -> None:
    """Refuse unknown names of rows.

    Raises:
        ValueError: If a name is unknown.
    """
    known = [row.name for row in ROWS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"Expected rows among {', '.join(known)}, but got {', '.join(unknown)}.")


def _measured(row: BenchRow, setting: Setting) -> Result:
    row = row.on(setting.device)
    try:
        return Result(row=row, found=row.measure(setting))
    except (NotHereError, torch.OutOfMemoryError) as reason:
        return Result(row=row, found=None, reason=str(reason).partition("\n")[0])


__all__ = ["ROWS", "SIZE", "WIDTH", "Result", "check_rows", "measure_rows"]
