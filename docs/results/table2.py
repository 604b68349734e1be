"""Writes table2.md: the paper's Table 2 with a run's values beside it, or with `-` where there is no run.

python docs/results/table2.py [RUN-FOLDER]
"""

import sys
from pathlib import Path
from typing import Any

from stencilnet.config.reading import read_config, to_plain
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.published import table2_beside_ours
from stencilnet.evaluation.render import to_markdown
from stencilnet.evaluation.results import read_result

HEAD = """# The paper's Table 2, and ours

Ours: `stencil compare paper/compare --root data`, then `python docs/results/table2.py runs/compare`. A run's own report
has the same table.

"""

CONFIG = "paper/compare"


def plan() -> list[dict[str, Any]]:
    """Return the config of the run whose values stand beside the paper's."""
    return [{"config": to_plain(read_config(CONFIG))}]


def made(run: Path | None = None) -> dict[Path, str]:
    """Return the table, with the values of a run folder where one is given."""
    found = [] if run is None else sorted(run.glob("*/*/result.json"))
    table = table2_beside_ours(Comparison.of([read_result(path) for path in found]))
    return {Path(__file__).with_name("table2.md"): HEAD + to_markdown(table)}


def main() -> None:
    """Write the table."""
    for path, text in made(Path(sys.argv[1]) if len(sys.argv) > 1 else None).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
