"""A bundle at a glance, also a damaged one."""

import json
import shutil
from pathlib import Path

from stencilnet.bundle import verify
from stencilnet.bundle.summary import summary, summary_text

GOLDEN = Path(__file__).parent / "golden" / "v1"


def test_every_task_with_its_bytes_on_disk() -> None:
    found = summary(GOLDEN)
    assert json.loads(json.dumps(found)) == found
    for name, task in found["tasks"].items():
        files = [path for path in (GOLDEN / "tasks" / name).iterdir() if path.is_file()]
        assert task["bytes"] == sum(path.stat().st_size for path in files)
        assert name in summary_text(GOLDEN)


def test_how_the_backbone_is_stored() -> None:
    """A share of a backbone that is a number says nothing."""
    lines = {form: summary_text(GOLDEN.with_name(f"v1-{form}")).splitlines() for form in ("int8", "seed")}
    assert "bytes as int8, " in lines["int8"][0]
    assert lines["int8"][1].endswith("% of the backbone")
    assert "bytes as seed:7, " in lines["seed"][0]
    assert lines["seed"][1].endswith(" bytes")
    assert summary(GOLDEN)["stored"] == "float32"


def test_an_emptied_backbone_is_shown_all_the_same(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "bundle")
    (tmp_path / "bundle" / "model.safetensors").write_bytes(b"")
    assert "0 bytes" in summary_text(tmp_path / "bundle")
    assert not verify(tmp_path / "bundle").ok


def test_a_task_that_lost_its_record_is_damage_not_a_leftover(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "bundle")
    record = sorted((tmp_path / "bundle" / "tasks").glob("*/task.json"))[0]
    record.unlink()
    report = verify(tmp_path / "bundle")
    assert not report.ok
    assert [Path(finding.file) for finding in report.findings if not finding.leftover] == [record]
