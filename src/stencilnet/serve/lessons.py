"""A lesson: what a new task is to be learned from, the pictures that were sent for it, and how far its learning is."""

import asyncio
import re
import secrets
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from stencilnet.pictures.formats import read_suffixes
from stencilnet.serve.limits import Limits
from stencilnet.serve.problems import ErrorBody, HttpError
from stencilnet.storage import write_file
from stencilnet.text.shortening import brief

LessonKind = Literal["pairs", "labels", "style", "restore"]
LessonState = Literal["collecting", "running", "done", "failed", "cancelled"]
FolderName = Literal["before", "after", "images", "labels", "painting", "photos"]
Damage = Literal["noise", "blur", "downscale", "holes"]

FOLDERS: Mapping[LessonKind, tuple[FolderName, ...]] = {
    "pairs": ("before", "after"),
    "labels": ("images", "labels"),
    "style": ("painting", "photos"),
    "restore": ("photos",),
}
"""The folders that a lesson of each kind takes pictures for, in the order of the options of `stencil teach`."""

_MATCHED = ("pairs", "labels")
"""Kinds whose pictures belong together by their names, whatever the suffix."""


@dataclass(frozen=True, kw_only=True)
class LessonSettings:
    """What is to be learned; the words are those of `stencil teach`."""

    name: str
    kind: LessonKind
    minutes: float
    steps: int | None
    damage: Damage | None
    classes: str | None
    threshold: int | None

    def check(self) -> None:
        """Check that options fit the kind.

        Raises:
            HttpError: If they do not.
        """
        if (self.damage is not None) != (self.kind == "restore"):
            got = "none" if self.damage is None else f"one for `{self.kind}`"
            raise HttpError(422, f"Expected `damage` for `restore` alone, but got {got}. Correct the parameters.")
        if self.kind != "labels" and (self.classes, self.threshold) != (None, None):
            raise HttpError(
                422,
                f"Expected `classes` and `threshold` for `labels` alone, but got one for `{self.kind}`. Omit it.",
            )

    def options(self, folder: Path) -> list[str]:
        """Return the options of `stencil teach`, with pictures in the folders that lie in `folder`."""
        places = [str(folder / each) for each in FOLDERS[self.kind]]
        if self.kind == "style":
            (painting,) = (folder / "painting").iterdir()
            places[0] = str(painting)
        head, rest = (places, []) if self.kind in _MATCHED else (places[:-1], ["--photos", places[-1]])
        return [
            f"--{self.kind}",
            *([self.damage] if self.damage else []),
            *head,
            *rest,
            *(["--classes", self.classes] if self.classes else []),
            *(["--threshold", str(self.threshold)] if self.threshold else []),
            *(["--steps", str(self.steps)] if self.steps else ["--minutes", str(self.minutes)]),
        ]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How good the task is on pictures that were held out.

    Attributes:
        metric: The metric's name.
        higher_is_better: Whether a higher value is better.
        trivial: What the trivial answer is, in words.
        trivial_value: The metric of the trivial answer; None if there is none.
        value: The task's: the last that was measured, and that of the chosen step once it is done; None before the
            first.
    """

    metric: str
    higher_is_better: bool
    trivial: str
    trivial_value: float | None
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class LessonConfig:
    """How to refine a task that was taught, by its config.

    Attributes:
        file: The config's file on the service's machine; None if it could not be kept.
        problem: Why not; empty if it is kept.
        holds: The folders, and the painting's file, that FOLDER of `commands` has to hold: the pictures, as they were
            sent.
        commands: The commands that learn the task again; CONFIG and FOLDER stand for paths of the user's own.
    """

    file: str | None
    problem: str
    holds: list[str]
    commands: list[str]


@dataclass(frozen=True, kw_only=True)
class LessonInfo:
    """A lesson's state.

    Attributes:
        id: Its name in paths.
        name: Name of the task.
        kind: What it is learned from.
        state: It collects pictures, runs, and ends in one of the three others.
        pictures: Number of pictures by folder.
        doing: What is done, in words; empty once steps are made.
        notes: Remarks on the pictures and the time, a sentence each.
        step: Steps that are done.
        steps: All steps; 0 until it is known.
        seconds_left: Expected seconds until the last step; None until it is known.
        measure: How good it is; None before the first step.
        samples: The step of the latest sample pictures; None if there are none.
        columns: What the sample pictures show, from left to right.
        better: Whether it is better than the trivial answer; None until it is done.
        config: Its config, once it is done.
        error: Why it failed, if it did.
    """

    id: str
    name: str
    kind: LessonKind
    state: LessonState = "collecting"
    pictures: dict[FolderName, int] = field(default_factory=dict)
    doing: str = ""
    notes: list[str] = field(default_factory=list)
    step: int = 0
    steps: int = 0
    seconds_left: int | None = None
    measure: Measure | None = None
    samples: int | None = None
    columns: list[str] = field(default_factory=list)
    better: bool | None = None
    config: LessonConfig | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, kw_only=True)
class Painting:
    """The file of a style's painting.

    Attributes:
        sent: Its name as it was sent, without folders.
        kept: The service's own name.
    """

    sent: str
    kept: str


class LessonJob:
    """A lesson. All of it is for the event loop's thread.

    Args:
        settings: What is to be learned.
        folder: A folder of its own, which exists and is empty.

    Attributes:
        info: Its state as plain data.
        painting: The painting of a style; None until it is kept.
        config: The text of its config; None until it is done.
        next_change: Set at the next change, and then replaced.
    """

    def __init__(self, settings: LessonSettings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.painting: Painting | None = None
        self.config: str | None = None
        self.next_change = asyncio.Event()
        self.info = LessonInfo(
            id=secrets.token_urlsafe(16),
            name=settings.name,
            kind=settings.kind,
            pictures=dict.fromkeys(FOLDERS[settings.kind], 0),
        )
        self._numbers: dict[str, int] = {}
        self._kept: set[tuple[str, str]] = set()
        self._bytes = 0
        for each in FOLDERS[settings.kind]:
            (self.pictures / each).mkdir(parents=True)

    @property
    def state(self) -> LessonState:
        """Its state in one word."""
        return self.info.state

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def pictures(self) -> Path:
        """The folder of the pictures' folders."""
        return self.folder / "pictures"

    def command(self, bundle: Path) -> list[str]:
        """Return the command that learns the task into a bundle."""
        program = [sys.executable, "-P", "-m", "stencilnet", "teach", str(bundle.resolve()), self.settings.name]
        return [*program, *self.settings.options(self.pictures), "--out", str(self.folder / "out"), "--events"]

    def change(self, **values: Any) -> None:
        """Change the state, and wake those who wait for it; nothing changes once the lesson has ended."""
        if self.ended:
            return
        self.info = replace(self.info, **values)
        self.next_change.set()
        self.next_change = asyncio.Event()

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take note of an event of `stencil teach --events`."""
        changes = _changes(self.info, event)
        if "notes" in changes:
            changes["notes"] = [self.translated(note) for note in changes["notes"]]
        self.change(**changes)

    def samples(self, step: int) -> Path:
        """Return the file of a step's sample pictures, which may not be there."""
        return self.folder / "out" / "samples" / f"step-{step:06d}.png"

    def check(self, folder: FolderName, name: str, limits: Limits) -> None:
        """Check that a picture has a place, before it is received.

        Raises:
            HttpError: If pictures are not collected any more, there is no such folder, it has a picture of this name,
                the name is none of a picture, or there are too many.
        """
        self._check_collecting()
        if folder not in self.info.pictures:
            raise HttpError(404, f"Expected a folder among {', '.join(self.info.pictures)}, but got {folder!r}.")
        if PurePosixPath(name).suffix.lower() not in read_suffixes():
            raise HttpError(
                422, f"Expected a picture's name, such as a.png, but got {brief(name)}. Save it as PNG or JPEG."
            )
        if (folder, self._key(name)) in self._kept:
            raise HttpError(422, f"Expected pictures of different names, but got {brief(name)} twice. Rename one.")
        if folder == "painting" and self.info.pictures[folder]:
            raise HttpError(422, "Expected one painting, but got a second one. Send one.")
        if len(self._kept) >= limits.lesson_pictures or self._bytes >= limits.lesson_bytes:
            raise HttpError(
                413,
                f"Expected at most {limits.lesson_pictures} pictures of {limits.lesson_bytes >> 20} MiB together, but "
                "got more. Send fewer or smaller ones, or use the command `stencil teach`.",
            )

    def keep(self, folder: FolderName, name: str, data: bytes) -> None:
        """Keep a picture that was checked, under a name of the service's own.

        Raises:
            HttpError: If it cannot be written.
        """
        key = self._key(name)
        number = self._numbers.setdefault(key, len(self._numbers))
        file = self.pictures / folder / f"picture-{number:05d}{PurePosixPath(name).suffix.lower()}"
        try:
            write_file(file, data, sync=False)
        except OSError as error:
            raise unwritable(error, file) from error
        if folder == "painting":
            self.painting = Painting(sent=PurePosixPath(name).name, kept=file.name)
        self._kept.add((folder, key))
        self._bytes += len(data)
        self.change(pictures={**self.info.pictures, folder: self.info.pictures[folder] + 1})

    def check_complete(self) -> None:
        """Check that the lesson can start.

        Raises:
            HttpError: If it has started already, or a folder is empty.
        """
        self._check_collecting()
        if empty := [folder for folder, count in self.info.pictures.items() if not count]:
            got = f"no pictures for {' and '.join(empty)}"
            raise HttpError(409, f"Expected a lesson with all of its pictures, but got {got}. Send them first.")

    def translated(self, text: str) -> str:
        """Return a text of `stencil teach` with the names that pictures were sent by, and parameters for options."""
        names = {number: name for name, number in self._numbers.items()}

        def sent(match: re.Match[str]) -> str:
            stem, number = PurePosixPath(names.get(int(match[1]), match[0])), match[2] or ""
            return f"{stem if self.settings.kind in _MATCHED else stem.with_suffix('')}{number}"

        named = re.sub(r"picture-(\d{5})(\.\w+)?", sent, text.replace(f"{self.pictures}/", ""))
        return re.sub(r"--(minutes|steps|classes|threshold)\b", r"\1", named)

    def _check_collecting(self) -> None:
        if self.state != "collecting":
            raise HttpError(
                409, f"Expected a lesson that collects pictures, but this one is {self.state}. Begin a new one."
            )

    def _key(self, name: str) -> str:
        """Return what a picture is known by: pictures that belong together have the same."""
        path = PurePosixPath(unicodedata.normalize("NFC", name))
        return str(path.with_suffix("") if self.settings.kind in _MATCHED else path)


def unwritable(error: OSError, place: object) -> HttpError:
    """Return the error of a file or folder that cannot be written."""
    remedy = "Free disk space, or set TMPDIR to another folder and start the server again."
    return HttpError(507, f"Cannot write {place}: {error.strerror}. {remedy}")


def _changes(info: LessonInfo, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes in a lesson's state by an event."""
    measure = info.measure
    match event["event"]:
        case "note":
            return {"doing": event["text"]}
        case "plan":
            return {"steps": event["steps"], "notes": event["notes"], "doing": "measuring the trivial answer"}
        case "start":
            keys = ("metric", "higher_is_better", "trivial", "trivial_value")
            return {"step": event["step"], "doing": "", "measure": Measure(**{key: event[key] for key in keys})}
        case "step":
            assert measure is not None, "start comes first"
            left = {"step": event["step"], "seconds_left": event["seconds_left"]}
            return {**left, "measure": replace(measure, value=event["value"])} if "value" in event else left
        case "samples":
            return {"samples": event["step"], "columns": event["columns"]}
        case "result":
            assert measure is not None, "start comes first"
            chosen = replace(measure, value=event["value"])
            return {"better": event["better"], "samples": event["selected_step"], "measure": chosen}
    return {}
