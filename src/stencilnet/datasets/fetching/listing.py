"""Data sets by name, from catalogue and layouts: listing what is under a root, fetching, and making replicas."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stencilnet.data.official.files import ProgressCallback
from stencilnet.data.official.layouts import LAYOUTS
from stencilnet.datasets.fetching.catalog import CATALOG, AnyDataSet, DataSet, HandSet
from stencilnet.datasets.fetching.fetch import fetch, look, refuse_mixing
from stencilnet.datasets.fetching.problems import FetchError, human_bytes

_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class SetStatus:
    """What `stencil data list` shows for a data set.

    Attributes:
        name: Name on the command line.
        title: Name in the literature.
        purpose: Tasks that use it.
        licence: Terms of use.
        bytes: Size of the download; None if it cannot be fetched.
        exact: Whether that size is published rather than estimated.
        checked: Number of its files with a published checksum, and number of its files.
        by_hand: How to get it if it cannot be fetched; else empty.
        state: ``present``, ``incomplete`` or ``absent``.
        missing: What is missing under the root.
        note: A remark on a set that is present; else empty.
    """

    name: str
    title: str
    purpose: str
    licence: str
    bytes: int | None
    exact: bool
    checked: tuple[int, int]
    by_hand: str
    state: Literal["present", "incomplete", "absent"]
    missing: tuple[str, ...]
    note: str


def survey(root: Path) -> tuple[SetStatus, ...]:
    """Return the status of every data set of the catalogue under a root."""
    return tuple(_row(entry, root) for entry in CATALOG.values())


def as_text(rows: tuple[SetStatus, ...], root: Path) -> str:
    """Return the rows as human-readable text."""
    return "\n".join([f"Data sets under {root.resolve()}:", *(line for row in rows for line in _lines(row))])


def fetch_named(
    name: str,
    root: Path,
    *,
    transfer: ProgressCallback,
    work: ProgressCallback,
    mirror: str | None,
    keep_archives: bool,
) -> bool:
    """Fetch a data set of the catalogue; see `stencilnet.datasets.fetching.fetch.fetch`.

    Returns:
        False if the set was already complete.

    Raises:
        FetchError: As in `fetch`, and if the set has to be obtained by hand and is not present.
    """
    entry = CATALOG[name]
    if isinstance(entry, HandSet):
        found = look(entry, None, root)
        refuse_mixing(name, found, root)
        if found.state == "present":
            return False
        raise FetchError(f"{name} cannot be fetched. {entry.by_hand} All of this goes under {root}.")
    return fetch(entry, LAYOUTS[name], root, transfer=transfer, work=work, mirror=mirror, keep_archives=keep_archives)


def make_named(name: str, root: Path) -> bool:
    """Make a replica of a data set if the set is absent; see `stencilnet.datasets.replicas.make_replica`.

    Returns:
        False if the set, or a replica of it, is already present.

    Raises:
        FetchError: If a part of the set is present.
    """
    from stencilnet.datasets.replicas import make_replica  # imports the scenes, which listing and fetching do not need

    layout = LAYOUTS.get(name)
    found = look(CATALOG[name], layout, root)
    if found.state == "incomplete" and not found.note:
        raise FetchError(
            f"Expected nothing of {name} in {root}, but it has a part of the set ({found.missing[0]}). Choose another "
            "--root, or delete that part first: a replica must not be mixed with the real set."
        )
    if found.state == "present":
        return False
    make_replica(name, root)
    if layout is not None:
        layout.prepare(root, _nobody)
    return True


def _nobody(_what: str, _done: int, _total: int) -> None:
    """Report nothing: a replica is made in a moment."""


def _row(entry: AnyDataSet, root: Path) -> SetStatus:
    found = look(entry, LAYOUTS.get(entry.name), root)
    files = entry.files if isinstance(entry, DataSet) else ()
    return SetStatus(
        name=entry.name,
        title=entry.title,
        purpose=entry.purpose,
        licence=entry.licence,
        bytes=sum(file.expected for file in files) if files else None,
        exact=all(file.bytes is not None for file in files),
        checked=(sum(file.checksum is not None for file in files), len(files)),
        by_hand=entry.by_hand if isinstance(entry, HandSet) else "",
        state=found.state,
        missing=found.missing,
        note=found.note,
    )


def _lines(row: SetStatus) -> list[str]:
    lines = ["", f"{row.name}  {row.state}{f' ({row.note})' if row.note else ''}", f"  {row.title}"]
    lines += [f"  for: {row.purpose}", f"  size: {_size(row)}", f"  licence: {row.licence}"]
    if row.state != "present" and row.by_hand:
        lines += textwrap.wrap(f"by hand: {row.by_hand}", 110, initial_indent="  ", subsequent_indent="    ")
    if row.state == "incomplete":
        lines += [f"  missing: {words}" for word in row.missing[:_SHOWN] for words in word.splitlines()]
        lines += [f"  missing: {len(row.missing) - _SHOWN} more"] if len(row.missing) > _SHOWN else []
    return lines


def _size(row: SetStatus) -> str:
    if row.bytes is None:
        return "-"
    checked, files = row.checked
    checks = "checksums published" if checked == files else "no checksum published"
    return f"{'' if row.exact else 'about '}{human_bytes(row.bytes)} to download, {checks}"
