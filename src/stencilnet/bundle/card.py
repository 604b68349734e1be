"""The bundle's README: a page for people, derived from the other files and read by no program."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from stencilnet.bundle.format import BACKBONE, CARD
from stencilnet.bundle.reading import read_config, size_of, task_sizes
from stencilnet.bundle.records import each_name, read_task
from stencilnet.bundle.schema import BundleConfig, TaskFile
from stencilnet.storage import write_text
from stencilnet.text.escaping import markdown
from stencilnet.text.shortening import shorten
from stencilnet.text.strict_json import dumps

_LABELS = "classification"
"""The task kind that outputs labels; the others output pictures."""

_ROWS = 20
"""Most tasks that the page lists: among thousands, changing one task must not require reading the others."""

_TABLE = """| task | kind | learned by | bytes |
| --- | --- | --- | ---: |
{rows}"""

_MANY = f"More than {_ROWS} tasks: `stencil info` lists them."

_PAGE = """{front}
# {title}

One frozen backbone and {count}; each task is a small delta over it. Written by stencilnet: edits are lost.

{lead}{tasks}

Backbone: {architecture}, {backbone:,} bytes.

```python
import stencilnet as sn

engine = sn.Engine("{folder}")
{call}("photo.jpg", task="{example}")
```
"""


def write_card(root: Path) -> None:
    """Rewrite ``README.md`` from the bundle on disk; if there are many tasks, without their list."""
    write_text(root / CARD, card_text(root, root.resolve().name))


def card_text(
    root: Path,
    title: str,
    *,
    more: Mapping[str, str] = MappingProxyType({}),
    lead: str = "",
    folder: str = "path/to/this/folder",
) -> str:
    """Return the page of the bundle in a folder.

    Args:
        root: The bundle's folder.
        title: Its name.
        more: What else the page's front matter says, such as a license.
        lead: Markdown to begin with.
        folder: Where the example finds the bundle.

    Raises:
        BundleError: If the bundle's config or one of the listed tasks is damaged.
    """
    config, names = read_config(root), list(islice(each_name(root), _ROWS + 1))
    many = len(names) > _ROWS
    files = {name: read_task(root, name, config.backbone) for name in names[: 1 if many else None]}
    tasks = dict(sorted(files.items(), key=lambda item: (item[1].order, item[0])))
    kind = next((task.record.kind for task in tasks.values()), "")
    return _PAGE.format(
        front=front_matter(kind, more),
        title=shown(title),
        lead=f"{lead}\n\n" if lead else "",
        count="its tasks" if many else "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks",
        tasks=_MANY if many else _TABLE.format(rows="\n".join(_row(root, *item) for item in tasks.items())),
        architecture=architecture_text(config),
        backbone=size_of(root, root / BACKBONE),
        example=next(iter(tasks), "task"),
        call="labels = engine.label" if kind == _LABELS else "picture = engine.run",
        folder=folder,
    )


def front_matter(kind: str, more: Mapping[str, str]) -> str:
    """Return the YAML at the head of a page, by which hubs find it; `kind` is that of the (first) task."""
    tag = "image-classification" if kind == _LABELS else "image-to-image"
    lines = ["library_name: stencilnet", f"tags: [{tag}, continual-learning, multi-task]"]
    return "\n".join(["---", *lines, *(f"{key}: {dumps(text)}" for key, text in more.items()), "---", ""])


def architecture_text(config: BundleConfig) -> str:
    """Return a backbone's architecture as Markdown."""
    return shown(f"{config.architecture} {dict(config.arguments)}" if config.arguments else config.architecture)


def _row(root: Path, name: str, task: TaskFile) -> str:
    size = sum(task_sizes(root, name, task).values())  # type: ignore[arg-type]
    return f"| {name} | {shown(task.record.kind)} | {shown(task.record.method)} | {size:,} |"


def shown(text: str) -> str:
    """Return text of a file, shortened and escaped as Markdown."""
    return markdown(shorten(text))
