"""Writes table2.md: the paper's Table 2 with a run's values beside it, or with `-` where there is no run.

python docs/results/table2.py [RUN-FOLDER]
"""

import sys
from pathlib import Path

from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.published import table2_beside_ours
from stencilnet.evaluation.render import to_markdown
from stencilnet.evaluation.results import read_result

HEAD = """# The paper's Table 2, and ours

Ours: `stencil compare paper/compare --root data`, then `python docs/results/table2.py runs/compare`. A run's own report
has the same table.

"""

found = sorted(Path(sys.argv[1]).glob("*/*/result.json")) if len(sys.argv) > 1 else []
table = table2_beside_ours(Comparison.of([read_result(path) for path in found]))
Path(__file__).with_name("table2.md").write_text(HEAD + to_markdown(table), encoding="utf-8")
