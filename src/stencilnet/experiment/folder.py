"""The layout of a run folder: all of its paths, in one place."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stencilnet.config.reading import to_plain
from stencilnet.config.schema import Experiment
from stencilnet.errors import UsageError
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.storage import write_text
from stencilnet.text.shortening import listed
from stencilnet.text.strict_json import dumps, loads
from stencilnet.training.distributed import Group
from stencilnet.training.settings import Settings, resolve

HOW = frozenset({"trainer.workers", "trainer.cache", "trainer.accumulate", "trainer.compile"})
"""Settings that a resumed run may change: the result has the same bytes, or, with another `accumulate` or `compile`,
differs by rounding."""

_WEIGHTS = frozenset({"perceptual.weights", "backbone.weights"})
_PUBLISHED = ("cache", "download")
"""Values of these settings that stand for the same file, whose hash is in its name; `download` may fetch it."""


COUNTS = "counts"
"""The folder of counts, which may exist before the run does."""


class RunError(UsageError):
    """A run folder that cannot be used as requested."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    Attributes:
        path: The folder.
        main: Name of the method whose bundle is the run's main bundle.
    """

    path: Path
    main: str

    @property
    def config(self) -> Path:
        """The resolved config; a resumed run must have the same."""
        return self.path / "config.json"

    @property
    def resolved(self) -> Path:
        """Settings that the config leaves to the machine, as the first training resolved them."""
        return self.path / "resolved.json"

    @property
    def backbone(self) -> Path:
        """Bundle that holds the first task alone, from which every method starts."""
        return self.path / BACKBONE / "bundle"

    @property
    def perceptual(self) -> Path:
        """The stand-in for the perceptual network of style losses, the same for every method."""
        return self.path / "perceptual.safetensors"

    def stage(self, method: str, task: str) -> Path:
        """Folder of one training: checkpoints, curves, sample pictures, result."""
        return self.path / method / task

    def result(self, method: str, task: str) -> Path:
        """Result of one training, from which the tables are made; written last, so it exists once the stage is done."""
        return self.stage(method, task) / "result.json"

    def bundle(self, method: str, task: str, *, moves_shared: bool) -> Path:
        """Bundle with a stage's state: one growing bundle, or one per stage if the shared weights move."""
        if moves_shared:
            return self.stage(method, task) / "bundle"
        return self.path / "bundle" if method == self.main else self.path / method / "bundle"

    def memory(self, method: str, task: str) -> Path:
        """Tensors that a method stores after a stage for training later tasks; no bundle has them."""
        return self.stage(method, task) / "memory.safetensors"

    def gray(self, task: str) -> Path:
        """Cache of which photos of a task's data are gray."""
        return self.path / "gray" / f"{task}.json"

    def counts(self, task: str) -> Path:
        """Counts of the classes in a task's data."""
        return self.path / COUNTS / f"{task}.json"

    def withdraw(self) -> None:
        """Give up a folder in which nothing was trained yet, so that a corrected config can use it."""
        if self.path.is_dir() and {path.name for path in _shown(self.path)} <= {self.config.name, COUNTS}:
            self.config.unlink(missing_ok=True)

    def pictures(self, task: str) -> Path:
        """Folder of a task's test pictures: input, target, each method's output."""
        return self.path / "pictures" / task


def claim(folder: RunFolder, experiment: Experiment, *, resume: bool) -> None:
    """Create the run folder, or check that its run can be resumed.

    Raises:
        RunError: If it holds a run and `resume` is false, a run of another config, or other files.
    """
    mine = to_plain(experiment)
    if not folder.config.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        if any(path.name != COUNTS for path in _shown(folder.path)):
            raise RunError(f"{folder.path} is not empty and holds no run. Choose another --out.")
        write_text(folder.config, dumps(mine, indent=2, sort_keys=True) + "\n")
        return
    if not resume:
        raise RunError(f"{folder.path} already holds a run. Pass --resume to continue it, or choose another --out.")
    try:
        theirs = loads(folder.config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(
            f"{folder.config} is damaged ({error}). Restore it (`stencil config show CONFIG --json` prints it), "
            "or choose another --out."
        ) from error
    changed = sorted(set(_differences(loads(dumps(mine)), theirs, "")) - HOW)
    if changed:
        raise RunError(
            f"{folder.path} holds a run of another config; it differs in "
            f"{listed(changed, 6)}. Choose another --out, or the old config."
        )


def _shown(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def settle(folder: RunFolder, trainer: Settings, group: Group) -> Settings:
    """Resolve the precision ``auto``: the first training of a run chooses it and stores it in the run folder.

    All later trainings use the same precision, also after a resume or on other machines.

    Raises:
        RunError: If the stored file is damaged.
    """
    if trainer.precision != "auto":
        return trainer
    if not folder.resolved.exists():
        found = resolve(trainer, group)
        kept = {"precision": found.precision, "device": found.device, "threads": found.threads, "torch": found.version}
        write_text(folder.resolved, dumps(kept, indent=2, sort_keys=True) + "\n")
    try:
        return replace(trainer, precision=loads(folder.resolved.read_text(encoding="utf-8"))["precision"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.resolved} is damaged ({error}). Write the precision that the run started with into it, "
            '{"precision": "float32"} or "bf16", or delete the file to have it chosen again.'
        ) from error


def _differences(mine: Any, theirs: Any, path: str) -> list[str]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = mine.keys() | theirs.keys()
        return [d for key in keys for d in _differences(mine.get(key), theirs.get(key), f"{path}.{key}".strip("."))]
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        pairs = enumerate(zip(mine, theirs, strict=True))
        return [d for position, (a, b) in pairs for d in _differences(a, b, f"{path}.{position}")]
    if path in _WEIGHTS and mine in _PUBLISHED and theirs in _PUBLISHED:
        return []
    return [] if mine == theirs else [path]
