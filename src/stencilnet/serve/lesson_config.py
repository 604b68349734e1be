"""The config that a lesson stands for: it stays when the pictures are deleted, so that the task can be refined."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from stencilnet.serve.lessons import FOLDERS, LessonConfig, LessonJob
from stencilnet.storage import write_text
from stencilnet.text.escaping import one_line
from stencilnet.text.strict_json import dumps

_CONFIG, _UNFINISHED = "teach.yaml", "unfinished.json"
"""Names of `stencil teach`: of the config, and of what it needs beside it to continue an interrupted training."""


@dataclass(frozen=True, kw_only=True)
class KeptConfig:
    """A config, and where it is kept.

    Attributes:
        text: The config, whose paths are relative to a folder with the pictures as they were sent.
        info: How to refine the task by it.
    """

    text: str
    info: LessonConfig


def keep_config(lesson: LessonJob, bundle: Path) -> KeptConfig:
    """Keep the config of a lesson that is done where `stencil teach` keeps it; if that fails, the result says so.

    Args:
        lesson: The lesson.
        bundle: The bundle's folder.

    Raises:
        OSError: If the training has left none.
    """
    bundle = bundle.resolve()
    name = lesson.settings.name
    commands = [
        shlex.join(["stencil", "remove", str(bundle), name]),
        f"{shlex.join(['stencil', 'add', str(bundle)])} CONFIG --root FOLDER",
    ]
    holds = [_sent(lesson) if folder == "painting" else folder for folder in FOLDERS[lesson.settings.kind]]
    text = _head(name, holds, commands) + _relative((lesson.folder / "out" / _CONFIG).read_text("utf-8"), lesson)
    folder = bundle.with_name(f"{bundle.name}.teaching") / name
    problem = _keep(folder, text)
    file = None if problem else str(folder / _CONFIG)
    return KeptConfig(text=text, info=LessonConfig(file=file, problem=problem, holds=holds, commands=commands))


def _head(name: str, holds: list[str], commands: list[str]) -> str:
    """Return the comment that says how to use the config."""
    lines = [
        f"The task {name}, as it was taught on the page of `stencil serve`; its pictures were deleted.",
        f"To refine it, change this config, put the pictures into one folder again, as {' and '.join(holds)},",
        "remove the task or change its name, and run, with your paths for CONFIG (this file) and FOLDER:",
        *(f"  {command}" for command in commands),
    ]
    return "".join(f"# {one_line(line)}\n" for line in lines) + "\n"


def _relative(text: str, lesson: LessonJob) -> str:
    """Return a config with the pictures as they were sent, in the place of the service's own files."""
    text = text.replace(f"{lesson.pictures}/", "")
    if lesson.painting is None:
        return text
    quoted = dumps(_sent(lesson), ensure_ascii=False)  # a YAML string, whatever it holds
    return text.replace(f"style: {lesson.painting.kept}\n", f"style: {quoted}\n")


def _sent(lesson: LessonJob) -> str:
    """Return the name of the painting's file, as it was sent if that can be shown."""
    assert lesson.painting is not None, "a style has one"
    return lesson.painting.sent if lesson.painting.sent.isprintable() else lesson.painting.kept


def _keep(folder: Path, text: str) -> str:
    """Write the config, and return why it cannot be written, if it cannot."""
    if (folder / _UNFINISHED).exists():
        return f"{folder} holds an interrupted training of `stencil teach`"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / _CONFIG, text)
    except OSError as error:
        return f"cannot write {folder / _CONFIG}: {error.strerror}"
    return ""
