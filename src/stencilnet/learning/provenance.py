"""The provenance of results: versions, hardware, date, commit."""

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
    """Return the facts recorded with every result: date, commit, versions, hardware, and those passed in.

    Args:
        device: The device that was used: ``cpu``, ``cuda`` or ``mps``.
        **more: Further facts, such as `devices`, the number of devices that trained together.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": date, **_machine(), "accelerator": _accelerator(device), **more}


def hardware(facts: Mapping[str, Any]) -> str:
    """Return a one-line description of the hardware in the facts of `provenance`."""
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
    """Return the commit of this package's checkout, with ``+`` if it has changes; None for an installed package."""
    try:
        # A package that is installed inside another checkout is not tracked there, and that commit is not ours.
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
