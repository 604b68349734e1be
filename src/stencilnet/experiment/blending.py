"""Interpolates between the real masks of two tasks of a run; measures and shows the networks in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stencilnet.analysis.drawing import to_svg
from stencilnet.analysis.sharing import blend_figure, blend_names
from stencilnet.bundle.format import BACKBONE
from stencilnet.config.reading import read_config
from stencilnet.data.sources import spread
from stencilnet.delta import TaskDelta
from stencilnet.evaluation.render import number_texts
from stencilnet.evaluation.tables import metric_title
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.experiment.testing import Tester
from stencilnet.learning.learn import fresh_of, task_seed
from stencilnet.masks import RealTask, between
from stencilnet.methods import Masking
from stencilnet.models import MultiTaskNet, load
from stencilnet.pictures.grids import Sheet, contact_sheet
from stencilnet.pictures.images import read_image, to_picture
from stencilnet.storage import replacing, write_text
from stencilnet.tasks.style import STYLE
from stencilnet.tasks.task import Metric, PictureTask
from stencilnet.text.shortening import listed
from stencilnet.text.strict_json import dumps
from stencilnet.training.checkpoint import load as load_checkpoint
from stencilnet.training.checkpoint import progress_of, put_back


@dataclass(frozen=True, kw_only=True)
class Position:
    """A measured position between two tasks.

    Attributes:
        share: Share of the second task, from 0 to 1.
        changed: Share of masked weights whose bit differs from the first task's.
        values: By task, its metrics on its own test examples.
    """

    share: float
    changed: float
    values: Mapping[str, Mapping[str, float]]


def open_run(folder: Path, session: Session) -> Run:
    """Open a run folder with its own config.

    Args:
        folder: The run folder.
        session: Gives the root folder of its data.

    Raises:
        RunError: If the folder holds no run.
        ConfigError: If its config cannot be read.
    """
    config = folder / "config.json"
    if not config.exists():
        raise RunError(f"Expected a run folder, but {folder} has no config.json. `stencil train` creates run folders.")
    if (folder / BACKBONE).exists():
        raise RunError(
            f"Expected a run folder, but {folder} is a bundle. Give the folder that `stencil train` wrote it in."
        )
    return Run(read_config(str(config)), replace(session, out=folder, resume=True))


def real_task(run: Run, name: str) -> RealTask:
    """Return the real masks of a task of a run, before thresholding.

    They are read from the checkpoint of its training, with 4 bytes per weight; bundles do not store them.

    Args:
        run: The run.
        name: Name of a task, learned by the run's first method of kind piggyback.

    Raises:
        RunError: If that method has not learned the task, or its checkpoint is missing or of another training.
    """
    found = next(((p.name, p.method) for p in run.experiment.methods if isinstance(p.method, Masking)), None)
    if found is None:
        raise RunError(f"Expected a run with the method piggyback, but {run.folder.path} has none.")
    label, method = found
    bundle = run.folder.bundle(label, name, moves_shared=False)
    net = load(bundle) if bundle.exists() else None
    learned = [] if net is None else [t for t, record in net.records.items() if record.method == method.name]
    if net is None or name not in learned:
        raise RunError(
            f"Expected a task that {run.folder.path} has learned by piggyback "
            f"({listed(learned) or 'none so far'}), but got {name!r}."
        )
    path = run.folder.stage(label, name) / "fit-0" / "checkpoint.pt"
    if not path.exists():
        raise RunError(
            f"Expected the real mask of {name!r} in {path}, but the file does not exist. Binary masks cannot be "
            "interpolated: learn the tasks again, and keep the run folder."
        )
    fresh = fresh_of(net, run.experiment.plan(name).task, task_seed(run.experiment.seed, name))
    masks, best = method.trainable(net.state, name, fresh), progress_of(load_checkpoint(path)).best
    assert best is not None, "a task that is in the bundle was selected"
    put_back(masks, best.tensors)
    real = masks.real()
    if not _same(real.delta(), net.deltas[name]):
        raise RunError(f"{path} is of another training of {name!r} than the task in {bundle}. Learn the task again.")
    return real


def _same(one: TaskDelta, other: TaskDelta) -> bool:
    parts, others = ({k: e.tensors() for k, e in delta.entries.items()} for delta in (one, other))
    return parts.keys() == others.keys() and all(
        np.array_equal(array, others[key][part]) for key, own in parts.items() for part, array in own.items()
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Slider:
    """Two tasks of a run, and every network between them.

    Attributes:
        run: The run.
        first: Name of the task at share 0.
        second: Name of the task at share 1.
        ends: The real masks of both.
        backbone: The network that they were learned over.
    """

    run: Run
    first: str
    second: str
    ends: tuple[RealTask, RealTask]
    backbone: MultiTaskNet

    @classmethod
    def between(cls, run: Run, first: str, second: str) -> "Slider":
        """Open two tasks of a run.

        Raises:
            RunError: As from `real_task`; also if both are the same task, or not of one kind that outputs pictures.
            ValueError: If the shapes of their tensors differ.
        """
        if first == second:
            raise RunError(f"Expected two different tasks to interpolate between, but got {first!r} twice.")
        ends = real_task(run, first), real_task(run, second)
        kinds = [run.experiment.plan(name).task for name in (first, second)]
        if kinds[0].kind != kinds[1].kind or not isinstance(kinds[0], PictureTask):
            raise RunError(
                f"Expected two tasks of the same kind, one that outputs pictures, but {first!r} is {kinds[0].kind} and "
                f"{second!r} is {kinds[1].kind}."
            )
        between(*ends, 0.5)  # raises for unfit tensors before anything is measured
        return cls(run=run, first=first, second=second, ends=ends, backbone=load(run.folder.backbone))

    def delta(self, share: float) -> TaskDelta:
        """Return the delta at a share of the second task, from 0 to 1."""
        return between(*self.ends, share).delta()

    def measure(self, share: float) -> Position:
        """Measure the network at a share by the metrics of both tasks, each on its own test examples."""
        delta, bits = self.delta(share), self.delta(0).masks
        differing = sum(int(np.count_nonzero(mask.unpack() != bits[key].unpack())) for key, mask in delta.masks.items())
        net = self._net(delta)
        return Position(
            share=share,
            changed=differing / sum(mask.numel for mask in bits.values()),
            values={t: self._tester.measure(t, self._tester.network(net, t)) for t in (self.first, self.second)},
        )

    def pictures(self, share: float, inputs: Sequence[Tensor]) -> list[Image.Image]:
        """Return the output pictures of the network at a share for inputs ``(3, H, W)`` in [0, 1]."""
        nearer = self.first if share < 0.5 else self.second
        predict, task = self._tester.network(self._net(self.delta(share)), nearer), self.run.tasks[nearer]
        assert isinstance(task, PictureTask), "`between` has checked it"
        with torch.no_grad():
            outputs = [predict({"input": image.unsqueeze(0)})[0].float().cpu().numpy() for image in inputs]
        return [task.to_image(output, image.numpy()) for output, image in zip(outputs, inputs, strict=True)]

    def inputs(self, photos: Sequence[Path]) -> list[Tensor]:
        """Return photos as inputs of the first task; without photos, a few of its test examples, spread over the split.

        Raises:
            ImageError: If a photo cannot be read.
        """
        task = self.run.tasks[self.first]
        if photos:
            return [torch.from_numpy(task.to_input(read_image(photo))) for photo in photos]
        samples = self._tester.samples(self.first)
        positions = spread(max(1, self.run.experiment.pictures), len(samples))
        return [task.prepare(samples[position])["input"] for position in positions]

    def metric(self) -> Metric:
        """Return the metric to plot: the style loss, or for other kinds the headline metric."""
        metrics = self.run.tasks[self.first].metrics
        return next((metric for metric in metrics if metric.name == STYLE), metrics[0])

    def _net(self, delta: TaskDelta) -> MultiTaskNet:
        state = replace(self.backbone.state, deltas={self.first: delta, self.second: delta})
        return self.backbone.with_state(state, {})

    @property
    def _tester(self) -> Tester:
        run = self.run
        return Tester(experiment=run.experiment, tasks=run.tasks, data=run.data, root=run.session.root)


def write_blend(slider: Slider, out: Path, photos: Sequence[Path] = (), steps: int = 7) -> tuple[Path, ...]:
    """Write ``strip.png``, ``blend.svg`` and ``blend.json``: pictures, the plotted metric, and all numbers of a slider.

    Args:
        slider: The slider.
        out: The output folder, created if missing.
        photos: Photos for the strip. Default: test examples.
        steps: Number of positions, both ends included; at least 2.

    Returns:
        The files.

    Raises:
        ImageError: If a photo cannot be read.
        ValueError: If `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"Expected argument `steps` to be at least 2, for both ends, but got {steps}.")
    shares = [place / (steps - 1) for place in range(steps)]
    inputs = slider.inputs(photos)
    positions = []
    for share in shares:
        slider.run.session.announce(f"{slider.first} to {slider.second}: {share:.2f}")
        positions.append(slider.measure(share))
    out.mkdir(parents=True, exist_ok=True)
    names, metric = (slider.first, slider.second), slider.metric()
    lines = {name: [position.values[name][metric.name] for position in positions] for name in names}
    files = out / "strip.png", out / "blend.svg", out / "blend.json"
    with replacing(files[0], sync=False) as file:
        contact_sheet(_sheet(slider, shares, inputs, lines, metric)).save(file, optimize=True)
    write_text(files[1], to_svg(blend_figure(shares, lines, metric_title(metric))), sync=False)
    write_text(files[2], dumps(_plain(slider, positions, lines, metric), indent=2) + "\n", sync=False)
    return files


def _sheet(
    slider: Slider, shares: list[float], inputs: list[Tensor], lines: dict[str, list[float]], metric: Metric
) -> Sheet:
    columns = [slider.pictures(share, inputs) for share in shares]
    texts = [number_texts(values) for values in lines.values()]
    return Sheet(
        columns=("photo", *blend_names(shares, slider.first, slider.second)),
        rows=tuple(zip([to_picture(image.numpy()) for image in inputs], *columns, strict=True)),
        feet=(
            (metric.name.replace("_", " "), *(f"to {name}" for name in lines)),  # PIL's font has no arrows
            *(("", *pair) for pair in zip(*texts, strict=True)),
        ),
    )


def _plain(slider: Slider, positions: list[Position], lines: dict[str, list[float]], metric: Metric) -> dict[str, Any]:
    first, second = lines.values()
    return {
        "first": slider.first,
        "second": slider.second,
        "metric": metric.name,
        "monotone": {
            slider.first: worsens(first, higher_is_better=metric.higher_is_better),
            slider.second: worsens(second[::-1], higher_is_better=metric.higher_is_better),
        },
        "positions": [vars(position) for position in positions],
    }


def worsens(values: Sequence[float], *, higher_is_better: bool) -> bool:
    """Return whether each value is worse than the one before."""
    return all(after < before if higher_is_better else after > before for before, after in pairwise(values))
