"""What the tests of other packages share: a config of two tasks, and packages that are found or not."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parent

CONFIG = """
title: Of another package
backbone: {{width: 4}}
trainer: {{device: cpu, precision: float32, evaluate_every: 3, samples: 0}}
pictures: 1
methods: [{{method: {method}}}]
tasks:
  - name: colour
    title: Colour
    task: {{kind: colorization}}
    data: &scenes
      about: embedded scenes
      train: {{kind: scenes, count: 6, size: 32, first: 0}}
      validation: {{kind: scenes, count: 2, size: 32, first: 100}}
      test: {{kind: scenes, count: 2, size: 32, first: 200}}
    view: {{crop: 32, test: crop}}
    recipe: {{steps: 3, batch: 2}}
  - {{{task}, data: *scenes}}
"""


def write_config(folder: Path, *, method: str, task: str) -> str:
    """Write a config of a method and a second task, the latter without braces and data, and return its path."""
    path = folder / "other.yaml"
    path.write_text(CONFIG.format(method=method, task=task))
    return str(path)


@contextmanager
def looked_for_anew(package: str, *registries: Callable[[], Any]) -> Iterator[None]:
    """Look for packages anew, in the test and after it, and forget the modules of one."""
    for registry in registries:
        registry.cache_clear()  # type: ignore[attr-defined]
    yield
    for registry in registries:
        registry.cache_clear()  # type: ignore[attr-defined]
    for module in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[module]


def install_broken(folder: Path, group: str, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package on the path that registers what cannot be used."""
    metadata = folder / "stencilnet_broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stencilnet-broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
    monkeypatch.syspath_prepend(str(folder))
