"""The control groups (containers, batch systems) that this process is in, by Linux's files."""

from collections.abc import Iterator
from pathlib import Path


def group_folders(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of all groups above them, of version 1 and 2.

    In a container, a group's path is often that of the host and does not exist; the container's own group is then the
    top folder, which is always among them.

    Args:
        controller: ``cpu`` or ``memory``.
        root: Where ``proc`` and ``sys`` are.
    """
    for line in text_of(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        place = Path(path.lstrip("/"))
        for group in (place, *place.parents):
            yield root / "sys/fs/cgroup" / (controller if controllers else "") / group


def text_of(file: Path) -> str:
    """Return a file's text without surrounding blanks; nothing if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
