"""A whole bundle as a value: opened lazily, and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle.architecture import read_backbone, reference_of
from stencilnet.bundle.deltas import LazyDeltas
from stencilnet.bundle.editing import check_free_name, renew_card, task_files, write_new
from stencilnet.bundle.format import BACKBONE, CONFIG, TASK, TASKS, BundleError, check_name, sha256_of
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.record import TaskRecord
from stencilnet.bundle.records import LazyRecords, TaskFiles, next_place
from stencilnet.bundle.schema import BundleConfig, TaskFile, record_body
from stencilnet.bundle.tensors import encode_delta
from stencilnet.delta import TaskDelta
from stencilnet.delta.spec import Array
from stencilnet.storage import write_folder


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """What a bundle holds.

    Attributes:
        config: The backbone's description.
        shared: The shared weights by state-dict key.
        deltas: Deltas by task name, in the order of learning; may be read at their first use.
        records: Records by task name; may be read at their first use.
    """

    config: BundleConfig
    shared: Mapping[str, Array]
    deltas: Mapping[str, TaskDelta]
    records: Mapping[str, TaskRecord]


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle. A task's record and delta are read, and their hashes checked, at their first use.

    Args:
        path: The bundle's folder.

    Raises:
        BundleError: If there is no bundle, or its config or backbone is damaged; later, if a task is damaged, belongs
            to another backbone, or was removed.
    """
    root = Path(path)
    config = read_config(root)
    files = TaskFiles(root, config.backbone)
    shared = read_backbone(root, config)
    deltas = LazyDeltas(files, reference_of(config, shared, root / CONFIG))
    return Bundle(config=config, shared=shared, deltas=deltas, records=LazyRecords(files))


def save_bundle(path: str | Path, bundle: Bundle, backbone: bytes) -> None:
    """Write a bundle.

    A new bundle is written atomically: after a crash it is complete or absent. To an existing bundle of the same
    backbone, missing tasks are added, each atomically. Nothing is ever overwritten or removed: if existing content
    differs, this is an error before anything is written.

    Args:
        path: The bundle's folder, created if it does not exist.
        bundle: What to write. Every task needs a record.
        backbone: The shared weights as the bytes of ``model.safetensors``, whose hash is in the config.

    Raises:
        BundleError: If a task has no record or no valid name, or `path` holds anything but a bundle of this backbone.
        DeltaError: If a task does not fit the backbone.
    """
    root, config = Path(path).resolve(), bundle.config
    if not (root / CONFIG).exists():
        _check_free(root)
        files = {BACKBONE: backbone, CONFIG: config.to_bytes(root / CONFIG)}
        for name, (task, content) in _pending(bundle, root, {}).items():
            written = task_files(root / TASKS / name, task, content)
            files |= {f"{TASKS}/{name}/{file}": data for file, data in written.items()}
        root.parent.mkdir(parents=True, exist_ok=True)
        write_folder(root, files)
    else:
        _check_same(read_config(root), config, root)
        for name, (task, content) in _pending(bundle, root, TaskFiles(root, config.backbone)).items():
            write_new(root, name, task, content)
    renew_card(root)


def _check_same(stored: BundleConfig, config: BundleConfig, root: Path) -> None:
    if stored.backbone != config.backbone:
        raise BundleError(
            root / BACKBONE,
            "another backbone is saved here",
            f"the weights of this network, SHA-256 {config.backbone}",
            stored.backbone,
            "Its tasks need it unchanged. Save to another folder.",
        )
    if stored != config:
        what = "the same weights are saved here with another architecture, head or decoder"
        raise BundleError(root / CONFIG, what, f"{config}", f"{stored}", "Save to another folder.")


def _check_free(root: Path) -> None:
    if not root.exists():
        return
    got = "a file"
    if root.is_dir():
        found = sorted(entry.name for entry in root.iterdir())
        if not found:
            return
        got = f"a folder with {', '.join(found[:5])}"
    raise BundleError(root, "no place for a bundle", "a bundle, an empty folder or none", got, "Use another folder.")


def _pending(bundle: Bundle, root: Path, stored: Mapping[str, TaskFile]) -> dict[str, tuple[TaskFile, bytes]]:
    """Return the tasks to write, after checking that all can be written and that existing ones are the same."""
    config = bundle.config
    reference = reference_of(config, bundle.shared, root / CONFIG)
    pending: dict[str, tuple[TaskFile, bytes]] = {}
    place = next_place(root)
    for name, delta in bundle.deltas.items():
        folder = root / TASKS / check_name(name)
        if name not in bundle.records:
            got = f"records of {list(bundle.records)}"
            raise BundleError(folder, "a task without a record", "a record of every task", got, "Pass its record too.")
        content = encode_delta(delta)
        record = bundle.records[name]
        order = stored[name].order if name in stored else place + len(pending)
        known = {other: pending[other][0] if other in pending else stored[other] for other in delta.needs}
        columns = {other: file.delta for other, file in known.items()}
        task = TaskFile(record=record, order=order, backbone=config.backbone, delta=sha256_of(content), columns=columns)
        task.to_bytes(folder / TASK)  # raises if the record cannot be written
        if name in stored:
            _check_equal(stored[name], task, folder / TASK)
        else:
            reference.check(delta, record.channels)
            check_free_name(root, name)
            pending[name] = (task, content)
    return pending


def _check_equal(stored: TaskFile, task: TaskFile, file: Path) -> None:
    there, here = record_body(stored.record, file), record_body(task.record, file)
    differing = [name for name in here if here[name] != there[name]]
    differing += [name for name in ("delta", "columns") if getattr(stored, name) != getattr(task, name)]
    if differing:
        raise BundleError(
            file,
            "another task of this name is saved here",
            "the same one, or none",
            f"one with another {', '.join(differing)}",
            "Save to another folder, remove that task first, or use replace_task.",
        )
