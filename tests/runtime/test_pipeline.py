"""Reading ahead and writing behind: in order, bounded, and nothing half done when it ends early."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.pictures.images import Floats, ImageError
from stencilnet.runtime import Engine, files
from stencilnet.runtime.answering import Given
from stencilnet.runtime.files import run_files

COUNT = 20


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    torch.manual_seed(0)
    net = MultiTaskNet(UNet(width=2, channels=1))
    head = net.fresh_head(3, torch.Generator().manual_seed(0))
    record = TaskRecord(kind="restoration", channels=3, method="piggyback")
    delta = TaskDelta({name: Replace(array_of(tensor)) for name, tensor in head.items()})
    save(net.with_state(net.state.add("clean", delta), {"clean": record}), tmp_path / "bundle")
    return Engine(tmp_path / "bundle")


@pytest.fixture
def planned(tmp_path: Path) -> dict[Path, Path]:
    (tmp_path / "in").mkdir()
    found = {}
    for place in range(COUNT):
        source = tmp_path / "in" / f"{place:02}.png"
        pixels = np.random.default_rng(place).integers(0, 256, (20 + place, 33, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source)
        found[source] = tmp_path / "out" / source.name
    return found


def written(planned: dict[Path, Path]) -> list[Path]:
    """What is in the output folder, hidden files too."""
    return sorted(next(iter(planned.values())).parent.iterdir())


def test_outputs_are_those_of_run_in_order(engine: Engine, planned: dict[Path, Path]) -> None:
    assert list(run_files(engine, "clean", planned, drawing=False)) == [(source, None) for source in planned]
    for source, target in planned.items():
        with Image.open(target) as image:
            assert image.tobytes() == engine.run(source, "clean").tobytes()
    assert written(planned) == list(planned.values())


def test_bad_files_keep_their_place(engine: Engine, planned: dict[Path, Path]) -> None:
    sources = list(planned)
    for place in (0, 7, COUNT - 1):
        sources[place].write_bytes(b"no picture")
    sources[8].unlink()
    found = list(run_files(engine, "clean", planned, drawing=False))
    assert [source for source, _ in found] == sources
    bad = {place: problem for place, (_, problem) in enumerate(found) if problem is not None}
    assert sorted(bad) == [0, 7, 8, COUNT - 1]
    assert all(problem.startswith(f"Cannot read {sources[place]}: ") for place, problem in bad.items())
    assert written(planned) == [target for place, target in enumerate(planned.values()) if place not in bad]


def test_the_next_pictures_run_while_one_is_written(
    engine: Engine, planned: dict[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first picture's writing ends only after the third has run: in turn, it would wait for ever."""
    third, real_save, real_forward = threading.Event(), files._save, Engine.forward
    ran: list[Floats] = []

    def save_late(image: Image.Image, target: Path, exif: bytes) -> None:
        if target.name == "00.png":
            assert third.wait(timeout=60)
        real_save(image, target, exif)

    def forward(self: Engine, image: Floats, task: str) -> Floats:
        ran.append(image)
        if len(ran) == 3:
            third.set()
        return real_forward(self, image, task)

    monkeypatch.setattr(files, "_save", save_late)
    monkeypatch.setattr(Engine, "forward", forward)
    assert list(run_files(engine, "clean", planned, drawing=False)) == [(source, None) for source in planned]


def test_little_is_read_ahead(engine: Engine, planned: dict[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the network or the reader of the results, the pictures in memory are few."""
    read: list[str] = []
    real = files.prepare

    def counted(task: object, source: Path, *words: object, **options: object) -> Given:
        read.append(source.name)
        return real(task, source, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "prepare", counted)
    for place, _ in enumerate(run_files(engine, "clean", planned, drawing=False)):
        # read but not yielded: one in work, those read ahead, those that wait to be written
        assert len(read) - place <= 2 * files._AHEAD + 2
    assert sorted(read) == sorted(source.name for source in planned)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_whole_files_and_no_thread(
    engine: Engine, planned: dict[Path, Path], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    expected = {target.name: engine.run(source, "clean").tobytes() for source, target in planned.items()}
    real, ran = Engine.forward, []

    def forward(self: Engine, image: Floats, task: str) -> Floats:
        ran.append(image)
        if len(ran) == 6:
            raise error
        return real(self, image, task)

    monkeypatch.setattr(Engine, "forward", forward)
    with pytest.raises(error):
        list(run_files(engine, "clean", planned, drawing=False))
    assert len(ran) == 6
    for target in written(planned):
        assert target.suffix == ".png"
        with Image.open(target) as image:
            assert image.tobytes() == expected[target.name]
    assert len(written(planned)) <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stencil-files")]


def test_a_reader_that_stops_ends_the_threads(engine: Engine, planned: dict[Path, Path]) -> None:
    results = run_files(engine, "clean", planned, drawing=False)
    assert next(iter(results)) == (next(iter(planned)), None)
    del results
    assert len(written(planned)) < COUNT
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stencil-files")]


def test_an_unreadable_picture_is_the_error_of_run(engine: Engine, planned: dict[Path, Path]) -> None:
    source = next(iter(planned))
    source.write_bytes(b"")
    ((_, problem), *_) = run_files(engine, "clean", {source: planned[source]}, drawing=False)
    with pytest.raises(ImageError) as raised:
        engine.run(source, "clean")
    assert problem == str(raised.value)
