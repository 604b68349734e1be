"""What a person asks for: a task's name, the folders to learn it from, and how long that may take."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from stencilnet.errors import UsageError

Damages = Literal["noise", "blur", "downscale", "holes"]


class TeachError(UsageError):
    """A request that cannot be met; nothing was trained. The message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Learn to turn the pictures of one folder into those of another.

    Attributes:
        before: The folder of inputs.
        after: The folder of targets, with the same names and sizes.
    """

    form: ClassVar[str] = "pairs"
    before: Path
    after: Path


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Learn to label every pixel.

    Attributes:
        images: The folder of photos.
        labels: The folder of label maps, with the same names and sizes.
        classes: Names of the classes in the order of their indices. Default: made up.
        threshold: If set, labels are gray maps, and class 1 is where their value (0-255) is at least this.
    """

    form: ClassVar[str] = "labels"
    images: Path
    labels: Path
    classes: tuple[str, ...] = ()
    threshold: int | None = None


@dataclass(frozen=True, kw_only=True)
class Style:
    """Learn to repaint photos in the style of a painting.

    Attributes:
        painting: The painting's file.
        photos: The folder of photos.
    """

    form: ClassVar[str] = "style"
    painting: Path
    photos: Path


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Learn to undo a damage that is made on clean photos.

    Attributes:
        damage: The kind of damage, one of `stencilnet.data.damage`.
        photos: The folder of clean photos.
    """

    form: ClassVar[str] = "restore"
    damage: Damages
    photos: Path


LessonForm = Pairs | Labels | Style | Restore
"""What to learn from."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for. Relative paths are relative to the working directory of whoever asks.

    Attributes:
        bundle: The bundle that the task is added to.
        name: The task's name in it.
        form: What to learn from.
        minutes: Time for the training, in minutes; it decides the number of steps.
        steps: Number of steps. Default: as many as `minutes` allow.
        out: Folder of the config, curves and sample pictures. Default: ``<bundle>.teaching/<name>``, beside the bundle.
    """

    bundle: Path
    name: str
    form: LessonForm
    minutes: float = 5.0
    steps: int | None = None
    out: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of the config, curves and sample pictures."""
        bundle = self.bundle.resolve()
        return self.out or bundle.with_name(f"{bundle.name}.teaching") / self.name

    def plain(self) -> dict[str, Any]:
        """Return as JSON data what must be equal for an interrupted training to be continued."""
        values = {key: _plain(value) for key, value in asdict(self.form).items()}
        time = {"minutes": self.minutes} if self.steps is None else {"steps": self.steps}
        return {"name": self.name, "form": self.form.form, **values, **time}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value
