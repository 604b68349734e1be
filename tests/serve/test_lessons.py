"""Lessons without a server: their pictures, their command, and what is said of them."""

import errno
import os
import sys
from pathlib import Path

import pytest

from stencilnet.serve.lessons import FOLDERS, LessonJob, LessonKind, LessonSettings
from stencilnet.serve.limits import Limits
from stencilnet.serve.problems import HttpError
from stencilnet.serve.teaching import Teaching, delete_leftovers

from .conftest import GOLDEN


def settings(kind: LessonKind, **options: object) -> LessonSettings:
    none = {"minutes": 5, "steps": None, "damage": None, "classes": None, "threshold": None}
    return LessonSettings(name="new", kind=kind, **none | options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "query", "words"),
    [
        ("pairs", {"minutes": 0.5}, "--pairs {0}/before {0}/after --minutes 0.5"),
        ("labels", {"classes": "a,b"}, "--labels {0}/images {0}/labels --classes a,b --minutes 5"),
        ("labels", {"threshold": 9, "steps": 4}, "--labels {0}/images {0}/labels --threshold 9 --steps 4"),
        ("style", {"steps": 4}, "--style {0}/painting/picture-00000.jpg --photos {0}/photos --steps 4"),
        ("restore", {"damage": "blur", "steps": 4}, "--restore blur --photos {0}/photos --steps 4"),
    ],
)
def test_the_command_of_each_kind(tmp_path: Path, kind: LessonKind, query: dict, words: str) -> None:
    lesson = LessonJob(settings(kind, **query), tmp_path)
    for folder in FOLDERS[kind]:
        lesson.keep(folder, "any.jpg", b"")
    python, *command = lesson.command(tmp_path / "bundle")
    end = f"--out {tmp_path / 'out'} --events"
    expected = f"-P -m stencilnet teach {tmp_path / 'bundle'} new {words.format(tmp_path / 'pictures')} {end}"
    assert (python, command) == (sys.executable, expected.split())


def test_pictures_of_a_lesson_are_bounded(tmp_path: Path) -> None:
    for limits in (Limits(lesson_pictures=1), Limits(lesson_bytes=1)):
        lesson = LessonJob(settings("restore", damage="noise"), tmp_path / str(limits.lesson_bytes))
        lesson.check("photos", "a.png", limits)
        lesson.keep("photos", "a.png", b"12")
        with pytest.raises(HttpError, match="Expected at most"):
            lesson.check("photos", "b.png", limits)
        files = [file.name for file in lesson.pictures.rglob("*") if file.is_file()]
        assert files == ["picture-00000.png"]


def test_a_lesson_starts_once_and_with_its_pictures(tmp_path: Path) -> None:
    lesson = LessonJob(settings("pairs"), tmp_path)
    with pytest.raises(HttpError, match=r"no pictures for before and after\. Send them first\."):
        lesson.check_complete()
    lesson.change(state="running")
    for check in (lesson.check_complete, lambda: lesson.check("before", "a.png", Limits())):
        with pytest.raises(HttpError, match=r"but this one is running\. Begin a new one\."):
            check()


def test_texts_are_in_the_words_of_the_service(tmp_path: Path) -> None:
    lesson = LessonJob(settings("restore", damage="noise"), tmp_path)
    lesson.keep("photos", "in/a.png", b"1")
    lesson.follow({"event": "plan", "steps": 9, "notes": ["9 steps are few. More --minutes give more steps."]})
    assert lesson.info.notes == ["9 steps are few. More minutes give more steps."]
    text = f"{lesson.pictures}/photos/picture-00000.png is damaged. Pass --minutes 3 or more, or --steps N."
    assert lesson.translated(text) == "photos/in/a.png is damaged. Pass minutes 3 or more, or steps N."


def test_a_picture_that_cannot_be_written_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = LessonJob(settings("restore", damage="noise"), tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(HttpError, match=r"No space left on device\. Free disk space"):
            lesson.keep("photos", "a.png", b"12")
    assert list((lesson.pictures / "photos").iterdir()) == []
    lesson.keep("photos", "a.png", b"12")
    assert lesson.info.pictures == {"photos": 1}


def test_a_lesson_without_space_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    teaching = Teaching(GOLDEN)
    last = teaching.begin(settings("restore", damage="noise"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(HttpError, match="No space left on device") as failure:
        teaching.begin(settings("restore", damage="noise"))
    assert failure.value.status == 507
    assert teaching.lesson is last
    assert list(tmp_path.iterdir()) == [last.folder]


def test_a_service_starts_though_no_temporary_folder_can_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._get_default_tempdir", none)
    delete_leftovers()
    with pytest.raises(HttpError, match=r"Cannot write a temporary folder: No usable .*\. Free disk space") as failure:
        Teaching(GOLDEN).begin(settings("restore", damage="noise"))
    assert failure.value.status == 507
