"""What the reports of the studies share: they read measurements, name their origin, and write tables into pages."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read(file: Path) -> list[Row]:
    """Return the measurements of a file, a line each; none if there is no file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def measured_on(rows: Iterable[Row]) -> str:
    """Return the hardware and PyTorch version of measurements, each with its commits."""
    commits: dict[str, set[str]] = {}
    for row in rows:
        commits.setdefault(f"{row['hardware']}, torch {row['torch']}", set()).add(row["commit"])
    return "; ".join(
        f"{place}, commit{'s' if len(found) > 1 else ''} {', '.join(sorted(found))}"
        for place, found in sorted(commits.items())
    )


def put(page: str, name: str, lines: Iterable[str]) -> str:
    """Return a page with lines between its two marks of a name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    return before + start + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]


def write(texts: Mapping[Path, str]) -> None:
    """Write files."""
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
