"""The argument BUNDLE of verbs, a folder or `sample` for the bundle that ships with the package, and what runs it."""

import os
from pathlib import Path
from typing import Any

import click

from stencilnet.bundle.sample import sample

SAMPLE = "sample"
"""Name of the shipped bundle; a folder of this name in the working directory goes before it."""


class BundleFolder(click.Path):
    """Folder of a bundle.

    Args:
        changed: Whether the verb changes the bundle, which the shipped one refuses.
    """

    def __init__(self, *, changed: bool = False) -> None:
        super().__init__(path_type=Path, exists=True, file_okay=False)
        self._changed = changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder as a path."""
        named = str(value) == SAMPLE and not Path(SAMPLE).is_dir()
        folder = Path(os.fsdecode(super().convert(sample() if named else value, param, ctx)))
        if self._changed and (problem := unchangeable(folder)):
            self.fail(problem, param, ctx)
        return folder


def unchangeable(folder: Path) -> str:
    """Return why a bundle is not changed, or an empty text."""
    if folder.resolve() != sample().resolve():
        return ""
    return (
        f"the bundle `sample` is part of the installation and is not changed. Change a copy: cp -r '{folder}' my-sample"
    )


backend_option = click.option(
    "--backend",
    type=click.Choice(["auto", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help="ONNX Runtime or PyTorch; auto: ONNX Runtime where it can run BUNDLE.",
)
