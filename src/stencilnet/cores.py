"""How many processor cores this process may use."""

import os
import sys
from math import ceil
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def threads() -> int:
    """Return the number of threads for a network: ``OMP_NUM_THREADS`` if it is set, as for PyTorch, else `cores`."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and by its control group's quota."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    return max(1, min(len(os.sched_getaffinity(0)), quota(Path("/proc/self/cgroup"), _CGROUPS)))


def quota(membership: Path, groups: Path) -> int:
    """Return the processor time that control groups grant, in whole cores; a large number if they set no limit.

    Args:
        membership: A file like ``/proc/self/cgroup``.
        groups: The folder where the groups are mounted: version 2, or version 1 with ``cpu`` as a folder in it.
    """
    granted = float(1 << 16)
    for line in _text(membership).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        place = Path(path.lstrip("/"))
        for group in (place, *place.parents):  # in a container, the path may be one of the host's
            granted = min(granted, _granted(groups / ("cpu" if controllers else "") / group))
    return ceil(granted)


def _granted(group: Path) -> float:
    limit, _, period = _text(group / "cpu.max").strip().partition(" ")
    if not limit:
        limit, period = (_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    numbers = limit.isdecimal() and period.isdecimal() and int(period)  # "max" and "-1" set no limit
    return int(limit) / int(period) if numbers else float("inf")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
