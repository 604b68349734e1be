"""The memory that is free for a picture: the machine's, and what control groups leave of it."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stencilnet.memory import available_memory

FREE = 6000 * 1024


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, FREE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, FREE),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max",
                "sys/fs/cgroup/a/b/memory.current": "100",
                "sys/fs/cgroup/a/memory.max": "5000",
                "sys/fs/cgroup/a/memory.current": "4000",
                "sys/fs/cgroup/a/memory.stat": "anon 9\ninactive_file 500\n",
            },
            1500,
        ),
        (
            {  # in a container: the path is the host's
                "proc/self/cgroup": "3:cpuset:/\n4:memory:/host/a\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "5100",
            },
            0,
        ),
    ],
)
def test_the_least_that_any_limit_leaves(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))
    assert available_memory(tmp_path) == expected


def test_this_machine_has_memory() -> None:
    assert 2**20 < available_memory() < 2**50
