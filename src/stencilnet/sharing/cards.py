"""The pages that a hub shows: what a bundle or a task does, in words and numbers, and how to use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stencilnet.bundle.card import architecture_text, card_text, front_matter, shown
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.sources import WholeTask
from stencilnet.kinds.catalog import traits_of
from stencilnet.sharing.contents import PICTURE

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


def _numbers(scores: Any) -> list[tuple[str, float]]:
    """Return the names and values of measurements that are numbers; metrics may be any JSON."""
    found = scores.items() if isinstance(scores, Mapping) else ()
    return [(key, value) for key, value in found if isinstance(value, int | float) and not isinstance(value, bool)]
