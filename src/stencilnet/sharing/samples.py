"""The picture of a page: photos, and what a bundle's tasks make of them."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from stencilnet.kinds.catalog import kind_from_record
from stencilnet.kinds.kind import PictureKind
from stencilnet.pictures.grids import Sheet, class_legend, contact_sheet
from stencilnet.pictures.images import Source, read_photo
from stencilnet.runtime import Engine

_SHOWN = 6
"""Most tasks in the picture of a bundle."""


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
