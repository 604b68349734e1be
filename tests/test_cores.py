"""Threads by what this process may use."""

from pathlib import Path

import pytest

from stencilnet.cores import cores, quota, threads

QUOTA, PERIOD = "cpu/x/cpu.cfs_quota_us", "cpu/x/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 2),
        ("0::/elsewhere\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 1 << 16),
        ("4:cpu,cpuacct:/x\n2:memory:/\n", {QUOTA: "300000", PERIOD: "100000"}, 3),
        ("4:cpu,cpuacct:/x\n", {QUOTA: "-1", PERIOD: "100000"}, 1 << 16),
        ("", {}, 1 << 16),
    ],
)
def test_the_quota_of_control_groups(tmp_path: Path, membership: str, files: dict[str, str], expected: int) -> None:
    found = {"proc/self/cgroup": membership} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in found.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota(tmp_path) == expected


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("4,2", 4), ("", None), ("many", None), ("0", None)])
def test_threads_are_those_asked_for_or_all_cores(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads() == (expected or cores())
