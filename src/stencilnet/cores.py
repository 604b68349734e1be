"""How many processor cores this process may use."""

import os
import sys
from math import ceil
from pathlib import Path

from stencilnet.control_groups import group_folders, text_of

_UNLIMITED = float(1 << 16)


def threads() -> int:
    """Return the number of threads for a network: ``OMP_NUM_THREADS`` if it is set, as for PyTorch, else `cores`."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and by its control groups' quota."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    return max(1, min(len(os.sched_getaffinity(0)), quota()))


def quota(root: Path = Path("/")) -> int:
    """Return the processor time that control groups grant, in whole cores; a large number if they set no limit.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    return ceil(min((_granted(group) for group in group_folders("cpu", root)), default=_UNLIMITED))


def _granted(group: Path) -> float:
    """Return what one control group grants, in cores."""
    limit, _, period = text_of(group / "cpu.max").partition(" ")
    if not limit:
        limit, period = (text_of(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    numbers = limit.isdecimal() and period.isdecimal() and int(period)  # "max" and "-1" set no limit
    return int(limit) / int(period) if numbers else _UNLIMITED
