"""Where a number comes from: versions, hardware, date, commit."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def provenance(device: str, **more: Any) -> dict[str, Any]:
    """Return what stands beside every number: date, commit, versions, hardware, and whatever is passed in.

    Args:
        device: What the work ran on: ``cpu``, ``cuda`` or ``mps``.
        **more: Further facts; `devices` is how many trained together.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": date, **_machine(), "accelerator": _accelerator(device), **more}


def hardware(facts: Mapping[str, Any]) -> str:
    """Return the hardware of `provenance` in words."""
    devices = facts.get("devices", 1)
    words = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads",
        facts["accelerator"],
        f"{devices} devices" if devices > 1 else "",
    ]
    return ", ".join(word for word in words if word)


@cache
def _machine() -> dict[str, Any]:
    import torch

    return {
        "stencilnet": importlib.metadata.version("stencilnet"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _accelerator(device: str) -> str | None:
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return "Apple GPU (MPS)" if device == "mps" else None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the checkout this package runs from (``+`` if it has changes); None if it is installed."""
    try:
        # A package installed into somebody's own checkout is not tracked there, and their commit is not ours.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    found = subprocess.run(
        ["git", "--no-optional-locks", *words],
        cwd=Path(__file__).resolve().parent,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return found.stdout.strip()
