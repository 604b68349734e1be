"""A whole data set: what is fetched, what is skipped, and what is said of it."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from stencilnet.data.official.layouts import LAYOUTS, ProgressCallback, SetLayout
from stencilnet.datasets.fetching.catalog import CAMVID, CATALOG, DataSet, HandSet, Holding, RemoteFile
from stencilnet.datasets.fetching.fetch import State, fetch, look
from stencilnet.datasets.fetching.problems import FetchError
from stencilnet.datasets.replicas import REPLICAS, make_replica

from .fetching_server import Server, md5, tarred, web_server, zipped

PHOTOS = zipped({f"photos/{n}.jpg": bytes([n]) * 100 for n in range(20)})
LISTS = tarred({"lists/train.txt": b"0\n1\n"})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as running:
        running.serve("lists.tar.gz", LISTS)
        running.serve("photos.zip", PHOTOS)
        yield running


def toy(server: Server) -> DataSet:
    lists = RemoteFile(
        url=f"{server.url}/lists.tar.gz",
        name="lists.tar.gz",
        kind="tar",
        into="toy",
        holds=(Holding(path="toy/lists/train.txt"),),
        about=len(LISTS),
    )
    photos = RemoteFile(
        url=f"{server.url}/photos.zip",
        name="photos.zip",
        kind="zip",
        into="toy",
        holds=(Holding(path="toy/photos", files=20),),
        bytes=len(PHOTOS),
        checksum=md5(PHOTOS),
    )
    return DataSet(name="toy", title="Toy", purpose="tests", licence="none", files=(lists, photos))


def missing(root: Path) -> tuple[str, ...]:
    wanted = [root / "toy" / "lists" / "train.txt", root / "toy" / "photos" / "0.jpg", root / "toy" / "labels.txt"]
    return tuple(f"there is no file {path}" for path in wanted if not path.exists())


def prepare(root: Path, progress: ProgressCallback) -> None:
    count = len(list((root / "toy" / "photos").iterdir()))
    (root / "toy" / "labels.txt").write_text(str(count))
    progress("labels", count, count)


LAYOUT = SetLayout(name="toy", missing=missing, prepare=prepare)


def nobody(*_: object) -> None:
    pass


def get(entry: DataSet, root: Path, layout: SetLayout = LAYOUT, **how: object) -> bool:
    return fetch(entry, layout, root, transfer=nobody, work=nobody, pauses=(0.0,), **how)  # type: ignore[arg-type]


def downloads(root: Path) -> set[str]:
    return {path.name for path in (root / "downloads").iterdir()} - {".lock"}


def test_a_set_is_fetched_unpacked_derived_and_then_there(server: Server, tmp_path: Path) -> None:
    entry, root = toy(server), tmp_path / "new" / "root"
    assert look(entry, LAYOUT, root).state == "absent"
    told: list[tuple[str, int, int]] = []
    assert fetch(entry, LAYOUT, root, transfer=lambda *w: told.append(w), work=lambda *w: told.append(w), pauses=())
    assert (root / "toy" / "photos" / "7.jpg").read_bytes() == bytes([7]) * 100
    assert list(dict.fromkeys(what for what, _, _ in told)) == [
        "lists.tar.gz",
        "unpack lists.tar.gz",
        "photos.zip",
        "check photos.zip",
        "unpack photos.zip",
        "labels",
    ]
    assert look(entry, LAYOUT, root).state == "present"
    assert downloads(root) == set()
    assert not get(entry, root)
    assert [len(file.asked) for file in server.files.values()] == [1, 1]


def test_archives_are_kept_if_asked_for_and_used_if_they_are_there(server: Server, tmp_path: Path) -> None:
    get(toy(server), tmp_path / "a", keep_archives=True)
    assert downloads(tmp_path / "a") == {"lists.tar.gz", "photos.zip"}
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "downloads").rename(tmp_path / "b" / "downloads")
    assert get(toy(server), tmp_path / "b")
    assert [len(file.asked) for file in server.files.values()] == [1, 1]


def test_a_second_call_does_only_what_is_left(server: Server, tmp_path: Path) -> None:
    server.files["/photos.zip"].cuts = [500, 0, 0]
    with pytest.raises(FetchError, match=r"500 bytes are kept"):
        get(toy(server), tmp_path)
    found = look(toy(server), LAYOUT, tmp_path)
    assert found.state == "incomplete"
    assert found.missing[0] == f"photos.zip is partly fetched (500 bytes of {len(PHOTOS) / 1000:.1f} kB)"
    assert get(toy(server), tmp_path)
    assert len(server.files["/lists.tar.gz"].asked) == 1
    assert server.files["/photos.zip"].asked[-1] == ("bytes=500-", '"v1"')
    assert look(toy(server), LAYOUT, tmp_path).state == "present"


def test_the_users_own_unpacking_is_used_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "toy" / "photos").mkdir(parents=True)
    for n in range(20):
        (tmp_path / "toy" / "photos" / f"{n}.jpg").write_bytes(b"mine")
    assert look(toy(server), LAYOUT, tmp_path).state == "incomplete"
    assert get(toy(server), tmp_path)
    assert server.files["/photos.zip"].asked == []
    assert len(server.files["/lists.tar.gz"].asked) == 1
    assert (tmp_path / "toy" / "photos" / "0.jpg").read_bytes() == b"mine"
    assert (tmp_path / "toy" / "labels.txt").read_text() == "20"


def test_what_got_lost_is_fetched_again(server: Server, tmp_path: Path) -> None:
    get(toy(server), tmp_path)
    (tmp_path / "toy" / "photos" / "0.jpg").unlink()
    assert look(toy(server), LAYOUT, tmp_path).state == "incomplete"
    get(toy(server), tmp_path)
    assert [len(file.asked) for file in server.files.values()] == [1, 2]
    assert look(toy(server), LAYOUT, tmp_path).state == "present"


def test_an_unpacking_cut_short_is_never_taken_for_a_set(server: Server, tmp_path: Path) -> None:
    get(toy(server), tmp_path, keep_archives=True)
    (tmp_path / "toy" / ".unpacking-photos.zip").mkdir()
    assert look(toy(server), LAYOUT, tmp_path).missing == ("photos.zip is partly unpacked",)
    assert get(toy(server), tmp_path)
    assert look(toy(server), LAYOUT, tmp_path).state == "present"


def test_what_is_still_missing_in_the_end_is_named(server: Server, tmp_path: Path) -> None:
    never = SetLayout(name="toy", missing=lambda root: tuple(f"no file {n}" for n in range(10)), prepare=prepare)
    with pytest.raises(FetchError, match=r"complete after .*, but: no file 0; .*; no file 7; and 2 more\. Move away"):
        get(toy(server), tmp_path, never)


def test_another_set_in_the_same_layout_is_not_mixed_with_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "toy" / "photos").mkdir(parents=True)
    (tmp_path / "toy" / "lists").mkdir()
    (tmp_path / "toy" / "lists" / "train.txt").write_text("0\n")
    (tmp_path / "toy" / "photos" / "0.jpg").write_bytes(b"")
    prepare(tmp_path, nobody)
    found = look(toy(server), LAYOUT, tmp_path)
    assert (found.state, found.note) == ("present", "smaller than the published set: toy/photos has 1 of 20 files")
    with pytest.raises(FetchError, match=r"no other set in the layout of toy, .*1 of 20 files\. Choose another --root"):
        get(toy(server), tmp_path)
    (tmp_path / "replica-toy.json").write_text("{}")
    assert look(toy(server), LAYOUT, tmp_path).note == "a tiny replica"
    with pytest.raises(FetchError, match=r"but it has one: a tiny replica"):
        get(toy(server), tmp_path)


def test_a_disk_that_is_too_small_is_named_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    entry = toy(server)
    huge = replace(entry.files[0], about=10**15)
    with pytest.raises(FetchError, match=r"Expected 2000\.0 TB of free space for toy in .*, but the disk has \d"):
        get(replace(entry, files=(huge, *entry.files[1:])), tmp_path)
    assert [len(file.asked) for file in server.files.values()] == [0, 0]
    roomy = replace(entry.files[1], room=10**15)
    with pytest.raises(FetchError, match=r"Expected 1000\.0 TB of free space"):
        get(replace(entry, files=(entry.files[0], roomy)), tmp_path)


def test_a_wrong_archive_is_the_same_error_each_time_and_nothing_of_it_is_in_place(
    server: Server, tmp_path: Path
) -> None:
    entry = toy(server)
    server.serve("photos.zip", zipped({"photos/0.jpg": b"a"}))
    loose = replace(entry, files=(entry.files[0], replace(entry.files[1], bytes=None, checksum=None, about=100)))
    for _ in range(2):
        with pytest.raises(FetchError, match=r"downloads/photos\.zip .* is not that set: toy/photos has 1 of 20 files"):
            get(loose, tmp_path)
        assert not (tmp_path / "toy" / "photos").exists()
        assert not (tmp_path / "toy" / ".unpacked-photos.zip").exists()
        assert downloads(tmp_path) == {"photos.zip"}
    (tmp_path / "downloads" / "photos.zip").unlink()
    server.serve("photos.zip", PHOTOS)
    assert get(loose, tmp_path)


def test_a_bad_picture_is_fetched_anew_unless_the_user_put_it_there(server: Server, tmp_path: Path) -> None:
    make_replica("styles", tmp_path / "drawn")
    whole = (tmp_path / "drawn" / "styles" / "the_scream.jpg").read_bytes()
    entry = CATALOG["styles"]
    assert isinstance(entry, DataSet)
    entry = replace(entry, files=tuple(replace(f, url=f"{server.url}/{f.name}") for f in entry.files))
    server.serve("starry_night.jpg", b"<html>Please log in</html>")
    server.serve("the_scream.jpg", whole)
    with pytest.raises(FetchError, match=r"the downloaded starry_night\.jpg .* It has been removed"):
        get(entry, tmp_path / "root", LAYOUTS["styles"])
    assert downloads(tmp_path / "root") == set()
    (tmp_path / "root" / "downloads" / "starry_night.jpg").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"downloads/starry_night\.jpg to be a complete picture, .* Delete it"):
        get(entry, tmp_path / "root", LAYOUTS["styles"])
    assert (tmp_path / "root" / "downloads" / "starry_night.jpg").read_bytes() == b"mine"
    (tmp_path / "root" / "downloads" / "starry_night.jpg").unlink()
    server.serve("starry_night.jpg", whole)
    assert get(entry, tmp_path / "root", LAYOUTS["styles"])


def test_a_mirror_takes_the_publishers_place(server: Server, tmp_path: Path) -> None:
    entry = toy(server)
    lost = tuple(replace(file, url="http://127.0.0.1:9/gone") for file in entry.files)
    server.serve("m/lists.tar.gz", LISTS)
    server.serve("m/photos.zip", PHOTOS)
    assert get(replace(entry, files=lost), tmp_path, mirror=f"{server.url}/m/")
    with pytest.raises(FetchError, match="starts with http"):
        get(entry, tmp_path / "b", mirror="/srv/mirror")


def test_two_do_not_fetch_into_one_root(server: Server, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(tmp_path / "downloads" / ".lock"):
            held.set()
            done.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)
    try:
        with pytest.raises(FetchError, match=r"the only process fetching into .*, but another one holds"):
            get(toy(server), tmp_path)
    finally:
        done.set()
        other.join()


def test_a_set_that_one_lays_out_oneself_is_looked_for(tmp_path: Path) -> None:
    small = replace(CAMVID, holds=(Holding(path="camvid/train/images", files=2), Holding(path="camvid/val/images")))
    assert look(small, None, tmp_path).state == "absent"
    (tmp_path / "camvid" / "train" / "images").mkdir(parents=True)
    (tmp_path / "camvid" / "train" / "images" / "a.jpg").touch()
    assert look(small, None, tmp_path).missing == (
        "camvid/train/images has 1 of 2 files",
        "camvid/val/images is missing",
    )
    assert look(small, None, tmp_path).state == "incomplete"
    (tmp_path / "camvid" / "train" / "images" / "b.jpg").touch()
    (tmp_path / "camvid" / "val" / "images").mkdir(parents=True)
    (tmp_path / "camvid" / "val" / "images" / "c.jpg").touch()
    assert look(small, None, tmp_path).state == "present"


@pytest.mark.parametrize("name", ["camvid", "bsds500", "classes"])
def test_a_replica_of_such_a_set_is_looked_for_too(tmp_path: Path, name: str) -> None:
    entry = CATALOG[name]
    assert isinstance(entry, HandSet)
    make_replica(name, tmp_path)
    assert look(entry, None, tmp_path) == State(state="present", note="a tiny replica")
    for place in REPLICAS[name].places:
        shutil.move(tmp_path / place, tmp_path / "away")
        found = look(entry, None, tmp_path)
        assert (found.state, found.note) == ("incomplete", "a tiny replica")
        assert all(words.startswith(f"{place}/") and words.endswith(" is missing") for words in found.missing)
        shutil.copytree(tmp_path / "away", tmp_path / place, ignore=lambda folder, names: files_of(folder))
        assert all(" has 0 of 1 files" in words for words in look(entry, None, tmp_path).missing)
        assert look(entry, None, tmp_path).state == "incomplete"
        shutil.rmtree(tmp_path / place)
        shutil.move(tmp_path / "away", tmp_path / place)
    assert look(entry, None, tmp_path).state == "present"


def files_of(folder: str) -> list[str]:
    """The names of the files in a folder, and of its folders of classes."""
    return [path.name for path in Path(folder).iterdir() if path.is_file() or path.name in ("swirls", "bands")]


def test_a_replica_that_is_not_whole_is_made_anew_not_fetched(tmp_path: Path) -> None:
    make_replica("styles", tmp_path)
    (tmp_path / "styles" / "the_scream.jpg").unlink()
    entry = CATALOG["styles"]
    assert isinstance(entry, DataSet)
    with pytest.raises(
        FetchError,
        match=r"a tiny replica, incomplete \(there is no file .*the_scream\.jpg\)\..* delete it and run "
        rf"`stencil data make styles --root {tmp_path}`",
    ):
        get(entry, tmp_path, LAYOUTS["styles"])


def test_the_catalogue_fits_the_layouts() -> None:
    assert {name for name, entry in CATALOG.items() if isinstance(entry, DataSet)} == LAYOUTS.keys()
    assert all("/" not in file.name for entry in CATALOG.values() if isinstance(entry, DataSet) for file in entry.files)
    for entry in CATALOG.values():
        assert entry.title
        assert entry.purpose
        assert entry.licence
        if isinstance(entry, HandSet):
            assert all(held.path.split("/")[0] in entry.by_hand for held in entry.holds)
        else:
            assert all(file.expected > 0 and file.holds for file in entry.files)
            assert all(
                held.path.startswith(f"{file.into}/".removeprefix("./")) for file in entry.files for held in file.holds
            )


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replicas")
    for name in ("coco2017", "voc2012", "sbd"):
        make_replica(name, root)
    return root


def packed(root: Path, file: RemoteFile, folder: str) -> bytes:
    """The archive that the publisher would make of a replica: the folder, by its path from where it is unpacked."""
    base = root / file.into
    files = {p.relative_to(base).as_posix(): p.read_bytes() for p in (base / folder).rglob("*") if p.is_file()}
    return zipped(files) if file.kind == "zip" else tarred(files)


def published(server: Server, root: Path, name: str, folders: tuple[str, ...]) -> DataSet:
    """The catalogue's entry, but with the replica's archives on the server, of which nothing is published."""
    entry = CATALOG[name]
    assert isinstance(entry, DataSet)
    files = []
    for file, folder in zip(entry.files, folders, strict=True):
        server.serve(file.name, packed(root, file, folder))
        holds = tuple(replace(held, files=1) for held in file.holds)
        files.append(replace(file, url=f"{server.url}/{file.name}", bytes=None, checksum=None, holds=holds))
    return replace(entry, files=tuple(files))


def test_the_official_archives_become_the_official_layouts(server: Server, replicas: Path, tmp_path: Path) -> None:
    coco = published(server, replicas, "coco2017", ("annotations", "val2017", "train2017"))
    assert get(coco, tmp_path, LAYOUTS["coco2017"])
    names = {path.stem for path in (tmp_path / "coco" / "train2017").iterdir()}
    assert {path.stem for path in (tmp_path / "coco" / "labels" / "train2017").glob("*.png")} == names
    assert look(coco, LAYOUTS["coco2017"], tmp_path).state == "present"

    voc = published(server, replicas, "voc2012", ("VOCdevkit",))
    sbd = published(server, replicas, "sbd", ("benchmark_RELEASE",))
    assert get(voc, tmp_path, LAYOUTS["voc2012"])
    assert get(sbd, tmp_path, LAYOUTS["sbd"])
    lists = tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    train_aug = (lists / "train_aug.txt").read_text().split()
    assert len(train_aug) > len((lists / "train.txt").read_text().split())
    assert not set(train_aug) & set((lists / "val.txt").read_text().split())
    assert not get(sbd, tmp_path, LAYOUTS["sbd"])

    (tmp_path / "coco" / "labels" / "train2017" / f"{min(names)}.png").unlink()
    served = sum(len(file.asked) for file in server.files.values())
    assert get(coco, tmp_path, LAYOUTS["coco2017"])  # the label map alone is made anew
    assert sum(len(file.asked) for file in server.files.values()) == served
