"""The pages that a hub shows: what a bundle or a task does, in words, numbers and a picture, and how to use it."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from stencilnet.bundle.card import architecture_text, card_text, front_matter, shown
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.sources import WholeTask
from stencilnet.kinds.catalog import kind_from_record, traits_of
from stencilnet.kinds.kind import PictureKind
from stencilnet.pictures.grids import Sheet, class_legend, contact_sheet
from stencilnet.pictures.images import Source, read_photo
from stencilnet.runtime import Engine

PICTURE = "sample.jpg"
"""The file of the card's picture."""

_SHOWN = 6
"""Most tasks in the picture of a bundle."""

_IMAGE = f"![Inputs, and what the tasks make of them]({PICTURE})"

_TASK = """{front}
# {name}

{about} It is a delta of {size:,} bytes over a frozen backbone, which is not included. Written by stencilnet: edits are
lost.

{image}| | |
| --- | --- |
| kind | {kind} |
| learned by | {method} |
| bytes | {size:,} |
| backbone | {architecture}, SHA-256 {backbone} |
{metrics}
It runs in every bundle over that backbone:

```sh
{base}stencil merge BUNDLE hf:{repository}
stencil run BUNDLE {name} photo.jpg -o {name}.png
```
"""


def bundle_page(root: Path, repository: str, *, more: Mapping[str, str], picture: bool) -> str:
    """Return the page of a whole bundle.

    Args:
        root: The bundle's folder.
        repository: ``OWNER/NAME``.
        more: What else the page's front matter says, such as a license.
        picture: Whether the repository has a picture.

    Raises:
        BundleError: If the bundle's config or one of the listed tasks is damaged.
    """
    name = repository.partition("/")[2]
    get = f"```sh\nstencil pull {repository} -o {name}\n```"
    return card_text(root, name, more=more, lead="\n\n".join([*([_IMAGE] if picture else []), get]), folder=name)


def task_page(
    task: WholeTask, config: BundleConfig, repository: str, *, more: Mapping[str, str], base: str | None, picture: bool
) -> str:
    """Return the page of a task alone.

    Args:
        task: The task.
        config: Its backbone.
        repository: ``OWNER/NAME``.
        more: What else the page's front matter says, such as a license.
        base: The repository of a bundle over the same backbone; None if it is not known.
        picture: Whether the repository has a picture.
    """
    name, record = task.place.name, task.record.record
    traits = traits_of(record.kind)
    scores = record.metrics.get("scores", record.metrics)
    adapts = {"base_model": base, "base_model_relation": "adapter"} if base else {}
    return _TASK.format(
        front=front_matter(record.kind, adapts | dict(more)),
        name=name,
        about=f"A task of {shown(traits.category)}: {shown(traits.input)} to {shown(traits.output)}.",
        image=f"{_IMAGE}\n\n" if picture else "",
        kind=shown(record.kind),
        method=shown(record.method),
        size=sum(map(len, task.files.values())),
        architecture=architecture_text(config),
        backbone=config.backbone,
        metrics="".join(f"| {shown(key)}, validation data | {value:.4g} |\n" for key, value in _numbers(scores)),
        base=f"stencil pull {base} -o BUNDLE\n" if base else "",
        repository=repository,
    )


def sample_sheet(path: str | Path, photos: Sequence[Source], task: str | None = None) -> bytes | None:
    """Return a JPEG picture of photos and what a bundle's tasks make of them.

    Args:
        path: The bundle's folder.
        photos: At least one picture, as for `Engine.run`.
        task: The one task to show; by default up to six that give pictures, in the order of learning.

    Returns:
        The file's bytes; None if no task gives pictures.

    Raises:
        ValueError: If there is no such task, it cannot be run here, or a photo cannot be read.
    """
    engine = Engine(path)
    records = {name: engine.record(name) for name in ([task] if task else engine.tasks)}
    kinds = {name: kind_from_record(record.kind, record.settings) for name, record in records.items()}
    names = [name for name, kind in kinds.items() if isinstance(kind, PictureKind)][:_SHOWN]
    if not names:
        return None
    rows = [(read_photo(photo).rgb, *(engine.run(photo, name) for name in names)) for photo in photos]
    classes = records[names[0]].settings.get("classes", ()) if len(names) == 1 else ()
    legend = class_legend(classes, [picture for row in rows for picture in row])
    target = BytesIO()
    contact_sheet(Sheet(columns=("input", *names), rows=tuple(rows), legend=legend)).save(
        target, "JPEG", quality=90, subsampling=0
    )
    return target.getvalue()


def _numbers(scores: Any) -> list[tuple[str, float]]:
    """Return the names and values of measurements that are numbers; metrics may be any JSON."""
    found = scores.items() if isinstance(scores, Mapping) else ()
    return [(key, value) for key, value in found if isinstance(value, int | float) and not isinstance(value, bool)]
