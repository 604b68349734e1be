"""Files come whole or not at all, and one module alone writes them."""

import ast
import os
import stat
from pathlib import Path

import pytest

import stencilnet
from stencilnet.storage import (
    NEW,
    check_writable,
    discard_unfinished,
    remove_folder,
    replacing,
    write_file,
    write_folder,
    write_text,
)

SOURCE = Path(stencilnet.__file__).parent
OTHERS = {
    "datasets/fetching/download.py",  # a file that grows over several calls
    "datasets/fetching/unpack.py",  # moves what an archive held
    "datasets/replicas/make.py",  # draws a folder aside, then moves it
}


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_old_content_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.bin"
    write_file(place, b"old")
    with replacing(place) as file:
        file.write(b"new and longer")
        assert place.read_bytes() == b"old"
    assert place.read_bytes() == b"new and longer"
    assert entries(tmp_path) == {"a.bin"}


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, error: type[BaseException]) -> None:
    place = tmp_path / "a.bin"
    write_file(place, b"old")

    def fail() -> None:
        with replacing(place) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert place.read_bytes() == b"old"
    assert entries(tmp_path) == {"a.bin"}


def test_what_grows_is_hidden_and_has_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.png") as file:
        name = Path(file.name).name
    assert name.startswith(NEW)
    assert name.endswith(".png")


def test_the_disk_is_told_before_and_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(handle: int) -> None:
        state = os.fstat(handle)
        steps.append("folder" if stat.S_ISDIR(state.st_mode) else f"file of {state.st_size}")
        sync(handle)

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_file(tmp_path / "a.bin", b"12345")
    assert steps == ["file of 5", "rename", "folder"]
    steps.clear()
    write_file(tmp_path / "a.bin", b"12345", sync=False)
    assert steps == ["rename"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_are_a_new_files_and_a_link_is_replaced(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"another's")
    (tmp_path / "folder").mkdir()
    place = tmp_path / "folder" / "a.bin"
    place.symlink_to(outside)
    before = os.umask(0o027)
    try:
        write_file(place, b"ours")
    finally:
        os.umask(before)
    assert not place.is_symlink()
    assert outside.read_bytes() == b"another's"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640


def test_text_is_utf8_and_never_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\n\udce9\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n\\udce9\n".encode()


def test_a_crashs_leftovers_can_be_discarded(tmp_path: Path) -> None:
    for name in (f"{NEW}1234.pt", f"{NEW}5678", "kept"):
        (tmp_path / name).write_bytes(b"x")
    discard_unfinished(tmp_path)
    assert entries(tmp_path) == {"kept"}


def writes(call: ast.AST) -> bool:
    """Whether a call is `path.write_text`, `path.write_bytes`, or one of `os` that puts a file in place."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="replace" | "rename" | "fsync")):
            return True
        case ast.Call(func=ast.Attribute(attr="write_text" | "write_bytes")):
            return True
    return False


@pytest.mark.parametrize("call", ["os.replace(a, b)", "os.fsync(1)", "path.write_text(x)", "(a / b).write_bytes(x)"])
def test_a_write_is_found(call: str) -> None:
    assert any(map(writes, ast.walk(ast.parse(call))))


def test_one_module_alone_writes_files() -> None:
    elsewhere = [
        f"{path.relative_to(SOURCE)}:{call.lineno}"
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).as_posix() not in {"storage.py", *OTHERS}
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and writes(call)
    ]
    assert not elsewhere


def test_a_failing_write_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_errors_name_what_was_to_be_written_and_no_hidden_name(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "a"
    for act in (lambda: write_file(missing, b""), lambda: write_folder(missing, {}), lambda: remove_folder(missing)):
        with pytest.raises(FileNotFoundError) as caught:
            act()
        assert (caught.value.filename, caught.value.filename2) == (str(missing), None)
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as taken:
        write_file(tmp_path / "taken", b"")
    assert (taken.value.filename, taken.value.filename2) == (str(tmp_path / "taken"), None)
    with pytest.raises(FileNotFoundError) as caught:
        check_writable(missing)
    assert caught.value.filename == str(missing)
