"""Writes a finished run's report without its contact sheets: the photographs in those are others' to publish.

python docs/results/publish.py photos runs/photos docs/results/photos COMMAND-THAT-MADE-IT
"""

import dataclasses
import sys
from pathlib import Path

from stencilnet.analysis.report import write_report
from stencilnet.analysis.sections import compose
from stencilnet.experiment.reading import read_config
from stencilnet.experiment.reporting import material
from stencilnet.experiment.run import Run, Session

config, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if not (source / "config.json").exists():
    sys.exit(f"{source} holds no run.")
command = " ".join(sys.argv[4:])
run = Run(read_config(config), Session(out=source, root=Path(), resume=True, command=command))
report = compose(dataclasses.replace(material(run), sheets={}))
write_report(report, target)
(target / "report.md").rename(target / "README.md")
(target / "report.html").unlink()
