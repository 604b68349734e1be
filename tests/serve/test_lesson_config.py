"""The config that a lesson leaves behind, without a training."""

import shutil
from pathlib import Path

import pytest

from stencilnet.serve.lesson_config import keep_config
from stencilnet.serve.lessons import LessonJob, LessonKind

from .test_lessons import settings


def taught(tmp_path: Path, kind: LessonKind = "pairs", **options: object) -> LessonJob:
    """A lesson whose training has left a config."""
    lesson = LessonJob(settings(kind, **options), tmp_path / "lesson")
    (lesson.folder / "out").mkdir()
    places = [f"  {name}: {lesson.pictures / name}\n" for name in lesson.info.pictures]
    (lesson.folder / "out" / "teach.yaml").write_text("".join(places), encoding="utf-8")
    return lesson


def test_a_config_is_kept_where_the_command_keeps_it_and_says_how_to_use_it(tmp_path: Path) -> None:
    bundle = tmp_path / "my bundle"
    kept = keep_config(taught(tmp_path), bundle)
    file = tmp_path / "my bundle.teaching" / "new" / "teach.yaml"
    assert file.read_text() == kept.text
    assert (kept.info.file, kept.info.problem, kept.info.holds) == (str(file), "", ["before", "after"])
    assert kept.info.commands == [f"stencil remove '{bundle}' new", f"stencil add '{bundle}' CONFIG --root FOLDER"]
    head, _, rest = kept.text.partition("\n\n")
    assert rest == "  before: before\n  after: after\n"
    assert all(line.startswith("# ") for line in head.splitlines())
    assert "one folder again, as before and after," in head
    assert all(f"#   {command}\n" in f"{head}\n" for command in kept.info.commands)
    shutil.rmtree(tmp_path / "lesson")
    again = taught(tmp_path)
    (again.folder / "out" / "teach.yaml").write_text("other")
    assert keep_config(again, bundle).text == file.read_text()  # of a task that was removed and taught again


@pytest.mark.parametrize(
    ("sent", "named", "written"),
    [
        ("in/The Scream: new.JPG", "The Scream: new.JPG", '"The Scream: new.JPG"'),
        ('"Größe" #1.png', '"Größe" #1.png', '"\\"Größe\\" #1.png"'),
        ("a\x7f\n- b.png", "picture-00000.png", '"picture-00000.png"'),
    ],
)
def test_a_painting_is_called_as_it_was_sent(tmp_path: Path, sent: str, named: str, written: str) -> None:
    lesson = taught(tmp_path, "style")
    lesson.keep("painting", sent, b"")
    own = f"picture-00000{Path(sent).suffix.lower()}"
    (lesson.folder / "out" / "teach.yaml").write_text(f"style: {own}\nfolder: {lesson.pictures}/photos\n")
    kept = keep_config(lesson, tmp_path / "bundle")
    assert kept.info.holds == [named, "photos"]
    assert kept.text.endswith(f"\n\nstyle: {written}\nfolder: photos\n")


def test_a_config_that_cannot_be_kept_can_be_downloaded_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "bundle.teaching").write_text("no folder")
    kept = keep_config(taught(tmp_path), tmp_path / "bundle")
    assert kept.info.file is None
    assert kept.info.problem.startswith(f"cannot write {tmp_path / 'bundle.teaching' / 'new' / 'teach.yaml'}: ")
    assert "before: before\n" in kept.text


def test_an_interrupted_training_of_the_command_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "bundle.teaching" / "new"
    folder.mkdir(parents=True)
    for name in ("unfinished.json", "teach.yaml"):
        (folder / name).write_text("{}")
    kept = keep_config(taught(tmp_path), tmp_path / "bundle")
    assert (kept.info.file, kept.info.problem) == (
        None, f"{folder} holds an interrupted training of `stencil teach`",
    )  # fmt: skip
    assert (folder / "teach.yaml").read_text() == "{}"
