"""Where a number comes from: versions, hardware, date, commit."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any


def provenance(**more: Any) -> dict[str, Any]:
    """Return what stands beside every number: date, commit, versions, hardware, and whatever is passed in."""
    return {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **_machine(), **more}


@cache
def _machine() -> dict[str, Any]:
    import torch

    return {
        "stencilnet": importlib.metadata.version("stencilnet"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the checkout this package runs from (``+`` if it has changes); None if it is installed."""
    source = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
