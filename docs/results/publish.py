"""Writes a finished run's report without its contact sheets: the photographs in those are others' to publish.

python docs/results/publish.py photos runs/photos docs/results/photos COMMAND-THAT-MADE-IT
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from stencilnet.analysis.report import write_report
from stencilnet.analysis.sections import compose
from stencilnet.config.reading import read_config, to_plain
from stencilnet.experiment.reporting import material
from stencilnet.experiment.run import Run, Session

PUBLISHED = ("photos",)
"""Configs whose runs have a page here."""


def plan() -> list[dict[str, Any]]:
    """Return the configs of the published runs."""
    return [{"config": to_plain(read_config(name))} for name in PUBLISHED]


def publish(config: str, source: Path, target: Path, command: str) -> None:
    """Write the page of a run.

    Args:
        config: Of the run.
        source: The run folder.
        target: The page's folder.
        command: What made the run.
    """
    if not (source / "config.json").exists():
        sys.exit(f"Expected a finished run in {source}, but it has no config.json. Give its run folder.")
    run = Run(read_config(config), Session(out=source, root=Path(), resume=True, command=command))
    write_report(compose(dataclasses.replace(material(run), sheets={})), target)
    (target / "report.md").rename(target / "README.md")
    (target / "report.html").unlink()


if __name__ == "__main__":
    publish(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), " ".join(sys.argv[4:]))
