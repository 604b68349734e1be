"""Bundles are read, checked, edited and merged where PyTorch cannot be imported."""

import shutil
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"

PROBE = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # importing it is an error from here on
from stencilnet.bundle import add_task, merge, open_bundle, remove_task, sizes, verify
from stencilnet.bundle.summary import summary_text

folder, kinds = Path(sys.argv[1]), set()
for path in sorted(folder.iterdir()):
    bundle = open_bundle(path)
    for name, delta in bundle.deltas.items():
        kinds |= {entry.KIND for entry in delta.entries.values()}
        weights = delta.apply(bundle.shared)
        assert weights.keys() > bundle.shared.keys()
        add_task(path, f"{name}-again", bundle.records[name], delta, shared=bundle.shared)
        remove_task(path, name)
        merge(path, [Path(sys.argv[2]) / path.name / "tasks" / name])
    assert verify(path).ok
    assert sizes(path)["tasks"].keys() == {*bundle.deltas, *(f"{name}-again" for name in bundle.deltas)}
    assert path.name in (path / "README.md").read_text()
    summary_text(path)
print(sorted(kinds))
"""


def test_every_golden_bundle_and_kind_of_entry(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    shutil.copytree(GOLDEN, bundles)
    command = [sys.executable, "-W", "error", "-c", PROBE, str(bundles), str(GOLDEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["affine", "quantized", "replace", "seeded", "select", "sign", "ternary"])
