"""`verify` says everything that is wrong, not only the first, and tells damage from leftovers."""

from collections.abc import Callable
from pathlib import Path

from stencilnet.bundle import verify


def test_every_file_of_a_whole_bundle_is_checked(bundle: Path) -> None:
    report = verify(bundle)
    assert report.ok
    assert report.findings == ()
    files = {str(file) for file in bundle.rglob("*") if file.is_file() and file.name != "README.md"}
    assert set(report.checked) == files


def test_all_damage_is_found_at_once(bundle: Path) -> None:
    for file in (bundle / "model.safetensors", *bundle.glob("tasks/colour/delta-*")):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    (bundle / "tasks/shapes/task.json").write_text("{}")
    report = verify(bundle)
    assert not report.ok
    assert [(Path(f.file).name.partition("-")[0], f.what) for f in report.findings] == [
        ("model.safetensors", "not the backbone that the bundle was written with"),
        ("delta", "changed since it was written"),
        ("task.json", "not a file of this format"),
    ]
    assert set(report.checked) == {str(bundle / "config.json"), str(bundle / "tasks/colour/task.json")}


def test_tasks_are_checked_even_without_a_config(bundle: Path) -> None:
    (bundle / "config.json").write_text("{}")
    (file,) = bundle.glob("tasks/colour/delta-*")
    file.write_bytes(b"x")
    assert [f.what for f in verify(bundle).findings] == ["not a file of this format", "changed since it was written"]


def test_findings_read_like_the_errors(bundle: Path) -> None:
    (file,) = bundle.glob("tasks/colour/delta-*")
    file.unlink()
    (finding,) = verify(bundle).findings
    assert str(finding) == (
        f"{file}: missing. Expected a file, but got none. "
        "Copy the task's folder here again from an intact copy, or remove the task."
    )
    assert (finding.file, finding.expected, finding.got, finding.leftover) == (str(file), "a file", "none", False)


def test_leftovers_are_named_and_do_no_harm(bundle: Path) -> None:
    (bundle / ".new-1").write_bytes(b"x")
    for folder in (".new-x-1", ".gone-y-2", "empty"):
        (bundle / "tasks" / folder).mkdir()
    (bundle / "tasks/colour/delta-0000000000000000.safetensors").write_bytes(b"x")
    (bundle / "tasks/colour/.new-2").write_bytes(b"x")
    report = verify(bundle)
    assert report.ok
    assert {finding.file.removeprefix(f"{bundle}/") for finding in report.findings} == {
        ".new-1",
        "tasks/.new-x-1",
        "tasks/.gone-y-2",
        "tasks/empty",
        "tasks/colour/delta-0000000000000000.safetensors",
        "tasks/colour/.new-2",
    }
    assert all(finding.leftover and finding.remedy == "It may be deleted." for finding in report.findings)


def test_the_card_and_files_of_others_are_no_business_of_it(
    bundle: Path, file_bytes: Callable[[Path], dict[str, bytes]]
) -> None:
    (bundle / "README.md").write_text("edited")
    (bundle / ".gitattributes").write_text("x")
    (bundle / "tasks/colour/notes.txt").write_text("x")
    before = file_bytes(bundle)
    assert verify(bundle).findings == ()
    assert file_bytes(bundle) == before
