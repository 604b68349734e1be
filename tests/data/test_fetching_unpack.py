"""Unpacking: archives that are whole, damaged, hostile or cut short."""

import gzip
import os
import random
import resource
import signal
import stat
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from stencilnet.datasets.fetching.catalog import CATALOG, Checksum, DataSet, Holding, RemoteFile
from stencilnet.datasets.fetching.problems import FetchError
from stencilnet.datasets.fetching.unpack import put_in_place, unpacked, unpacking

from .fetching_server import tarred, zipped

FILES = {"set/train/a.jpg": b"a" * 1000, "set/train/b.jpg": b"b", "set/list.txt": b"a\nb\n"}


def remote(name: str, checksum: Checksum | None = None) -> RemoteFile:
    kind = "zip" if name.endswith("zip") else "tar" if "tar" in name else "picture"
    holds = (Holding(path="in/set"),)
    return RemoteFile(url=f"http://x/{name}", name=name, kind=kind, into="in", holds=holds, checksum=checksum)  # type: ignore[arg-type]


def archive(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def put(folder: Path, name: str, data: bytes) -> list[tuple[str, int, int]]:
    told: list[tuple[str, int, int]] = []
    put_in_place(archive(folder, name, data), remote(name), folder, lambda *what: told.append(what))
    return told


def seen(folder: Path) -> dict[str, bytes]:
    """Every file under a folder but the marker."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".unpacked-")}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_an_archive_is_unpacked_and_known_to_be(tmp_path: Path, name: str) -> None:
    assert not unpacked(remote(name), tmp_path)
    data = zipped(FILES) if name == "a.zip" else tarred(FILES)
    told = put(tmp_path, name, data)
    assert seen(tmp_path / "in") == FILES
    assert told[-1] == (f"unpack {name}", len(data), len(data))
    assert (tmp_path / name).exists()
    assert unpacked(remote(name), tmp_path)
    assert not unpacking(remote(name), tmp_path).exists()
    assert not unpacked(remote(name, Checksum(algorithm="md5", digest="0")), tmp_path)  # another version of it
    (tmp_path / "in" / "set" / "train" / "b.jpg").unlink()
    assert not unpacked(remote(name), tmp_path)


def test_it_joins_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "in" / "set" / "train").mkdir(parents=True)
    (tmp_path / "in" / "set" / "train" / "mine.jpg").write_bytes(b"mine")
    (tmp_path / "in" / "set" / "train" / "b.jpg").write_bytes(FILES["set/train/b.jpg"])
    put(tmp_path, "a.zip", zipped(FILES))
    assert seen(tmp_path / "in") == {**FILES, "set/train/mine.jpg": b"mine"}


@pytest.mark.parametrize("mine", [b"of another size", b"B"])
def test_it_never_replaces_a_file_by_another_one(tmp_path: Path, mine: bytes) -> None:
    (tmp_path / "in" / "set" / "train").mkdir(parents=True)
    (tmp_path / "in" / "set" / "train" / "b.jpg").write_bytes(mine)
    with pytest.raises(
        FetchError,
        match=r"in/set/train/b\.jpg to be as in the archive, but it is a different file\. Nothing was .* Move away",
    ):
        put(tmp_path, "a.zip", zipped(FILES))
    assert seen(tmp_path / "in") == {"set/train/b.jpg": mine}
    assert not unpacked(remote("a.zip"), tmp_path)
    assert not unpacking(remote("a.zip"), tmp_path).exists()
    (tmp_path / "in" / "set" / "train" / "b.jpg").unlink()
    put(tmp_path, "a.zip", zipped(FILES))
    assert seen(tmp_path / "in") == FILES


def test_many_files_in_the_way_are_counted(tmp_path: Path) -> None:
    files = {f"set/{n}": b"a" for n in range(5)}
    put(tmp_path, "a.zip", zipped(files))
    with pytest.raises(FetchError, match=r"in/set/0 to be .*; .*in/set/2 to be .*; and 2 more such files\. Nothing"):
        put(tmp_path, "b.zip", zipped(dict.fromkeys(files, b"b")))
    assert seen(tmp_path / "in") == files


def test_an_archive_of_one_set_cannot_touch_another_set(tmp_path: Path) -> None:
    entry, annotations = CATALOG["edges2handbags"], tmp_path / "coco" / "annotations" / "instances_val2017.json"
    assert isinstance(entry, DataSet)
    annotations.parent.mkdir(parents=True)
    annotations.write_bytes(b"real")
    bags = {"edges2handbags/train/1_AB.jpg": b"a", "edges2handbags/val/1_AB.jpg": b"a"}
    path = archive(tmp_path, "a.tar.gz", tarred({**bags, "coco/annotations/instances_val2017.json": b"evil"}))
    holds = tuple(replace(held, files=1) for held in entry.files[0].holds)
    with pytest.raises(
        FetchError,
        match=r"a\.tar\.gz to hold edges2handbags and nothing else, but it has an entry 'coco/annotations/insta.*"
        r"Nothing of it was put in place.* Delete .*a\.tar\.gz",
    ):
        put_in_place(path, replace(entry.files[0], holds=holds), tmp_path, lambda *_: None)
    assert seen(tmp_path).keys() == {"a.tar.gz", "coco/annotations/instances_val2017.json"}
    assert annotations.read_bytes() == b"real"


def test_an_archive_with_too_little_in_it_is_not_that_set(tmp_path: Path) -> None:
    entry = CATALOG["edges2handbags"]
    assert isinstance(entry, DataSet)
    path = archive(tmp_path, "a.tar.gz", tarred({f"edges2handbags/train/{n}_AB.jpg": b"a" for n in range(5)}))
    with pytest.raises(
        FetchError,
        match=r"this archive is not that set: edges2handbags/train has 5 of 138567 files; edges2handbags/val is missing"
        r"\. Nothing of it was put in place\. Delete .*a\.tar\.gz and .* the publisher's file .* has changed",
    ):
        put_in_place(path, entry.files[0], tmp_path, lambda *_: None)
    assert {p.name for p in tmp_path.iterdir()} == {"a.tar.gz"}


def test_the_folder_itself_may_be_an_entry(tmp_path: Path) -> None:
    here = tarfile.TarInfo("./")
    here.type = tarfile.DIRTYPE
    put(tmp_path, "a.tar.gz", tarred({".": here, **{f"./{name}": data for name, data in FILES.items()}}))
    assert seen(tmp_path / "in") == FILES


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("evil", ["../evil", "set/../../evil", "/evil", "..\\evil", "C:evil", "\\evil"])
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path: Path, name: str, evil: str) -> None:
    files = {"set/a": b"a", evil: b"evil"}
    with pytest.raises(FetchError, match=r"a\.(zip|tar\.gz) to hold plain files .* an entry outside .*evil"):
        put(tmp_path, name, zipped(files) if name == "a.zip" else tarred(files))
    assert seen(tmp_path).keys() == {name}
    assert not Path("/evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    odd = tarfile.TarInfo("set/odd")
    odd.type, odd.linkname = kind, "/etc/passwd"
    with pytest.raises(FetchError, match=r"a link or a device, 'set/odd'.*Nothing of it was put in place"):
        put(tmp_path, "a.tar.gz", tarred({"set/a": b"a", "set/odd": odd}))
    assert seen(tmp_path).keys() == {"a.tar.gz"}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(FetchError, match="a link or a device, 'set/link'"):
        put_in_place(tmp_path / "a.zip", remote("a.zip"), tmp_path, lambda *_: None)


def damaged() -> dict[str, tuple[str, bytes]]:
    big = {"set/a": random.Random(0).randbytes(5000), "set/b": random.Random(1).randbytes(5000)}
    whole, tar = zipped(big), tarred(big)
    flipped = bytearray(whole)
    flipped[2000] ^= 255
    summed = bytearray(tar)
    summed[-8] ^= 255  # gzip's CRC
    plain = gzip.decompress(tar)  # 512 bytes of header, 5120 of content, and the same again
    broken = bytearray(plain)
    broken[5700] ^= 255
    return {
        "a page": ("a.zip", b"<html>Please log in</html>"),
        "a truncated zip": ("a.zip", whole[:-100]),
        "a flipped bit": ("a.zip", bytes(flipped)),
        "an empty zip": ("a.zip", zipped({})),
        "a truncated tar": ("a.tar.gz", tar[: len(tar) // 2]),
        "a wrong CRC of a tar": ("a.tar.gz", bytes(summed)),
        "a tar without its second half": ("a.tar", plain[:5632]),
        "a tar with half of a header": ("a.tar", plain[:5700]),
        "a tar with a broken header": ("a.tar", bytes(broken)),
        "no tar": ("a.tar.gz", b"<html>Please log in</html>"),
        "an empty file": ("a.tar.gz", b""),
        "two of a name": ("a.tar.gz", tarred({"set/a": b"a", "set/a/b": b"b"})),
    }


@pytest.mark.parametrize("case", damaged())
def test_a_damaged_archive_is_one_error_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    name, data = damaged()[case]
    with pytest.raises(
        FetchError, match=r"a\.(zip|tar|tar\.gz) to be a complete archive, but it is damaged: .+ fetch it again"
    ):
        put(tmp_path, name, data)
    assert seen(tmp_path) == {name: data}
    assert not unpacked(remote(name), tmp_path)
    assert not unpacking(remote(name), tmp_path).exists()


def test_an_interrupted_unpacking_counts_for_nothing_and_starts_over(tmp_path: Path) -> None:
    file, told = remote("a.zip"), []

    def interrupt(*what: object) -> None:
        told.append(what)
        if len(told) == 2:
            raise KeyboardInterrupt

    path = archive(tmp_path, "a.zip", zipped(FILES))
    with pytest.raises(KeyboardInterrupt):
        put_in_place(path, file, tmp_path, interrupt)
    assert not (tmp_path / "in" / "set").exists()
    assert unpacking(file, tmp_path).exists()
    assert not unpacked(file, tmp_path)
    put_in_place(path, file, tmp_path, lambda *_: None)
    assert seen(tmp_path / "in") == FILES
    assert unpacked(file, tmp_path)


def test_a_file_in_the_way_of_a_folder_is_named_and_the_next_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in" / "set").mkdir(parents=True)
    (tmp_path / "in" / "set" / "train").write_bytes(b"a file")
    with pytest.raises(FetchError, match=r"in/set/train to be a folder, but it is a file\. Nothing .* Move away"):
        put(tmp_path, "a.zip", zipped(FILES))
    assert not unpacked(remote("a.zip"), tmp_path)
    (tmp_path / "in" / "set" / "train").unlink()
    put(tmp_path, "a.zip", zipped(FILES))
    assert seen(tmp_path / "in") == FILES
    assert unpacked(remote("a.zip"), tmp_path)


def test_a_full_disk_keeps_the_archive_and_removes_the_rest(tmp_path: Path) -> None:
    """A limit on the size of a file stands for the full disk: the system refuses a write half-way, for real."""
    path = archive(tmp_path, "a.zip", zipped({"set/small": b"a", "set/large": b"a" * 1_000_000}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(
            FetchError, match=r"free space to write .*in, .*a\.zip is kept, and what was unpacked of it is remo"
        ):
            put_in_place(path, remote("a.zip"), tmp_path, lambda *_: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert seen(tmp_path).keys() == {"a.zip"}


def test_a_picture_is_moved_if_it_is_whole(tmp_path: Path) -> None:
    Image.effect_noise((40, 30), 50).save(tmp_path / "made.png")
    whole = (tmp_path / "made.png").read_bytes()
    for bad in (b"<html>", whole[:-200]):
        with pytest.raises(FetchError, match=r"a\.png to be a complete picture, but it cannot be read"):
            put(tmp_path, "a.png", bad)
        assert not unpacked(remote("a.png"), tmp_path)
    put(tmp_path, "a.png", whole)
    assert (tmp_path / "in" / "a.png").read_bytes() == whole
    assert unpacked(remote("a.png"), tmp_path)
    assert not (tmp_path / "a.png").exists()


def test_a_picture_never_replaces_another_file(tmp_path: Path) -> None:
    Image.effect_noise((40, 30), 50).save(tmp_path / "made.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"in/a\.png to be as in the archive, but it is a different file"):
        put(tmp_path, "a.png", (tmp_path / "made.png").read_bytes())
    assert (tmp_path / "in" / "a.png").read_bytes() == b"mine"


def test_a_bad_picture_is_removed_only_if_we_downloaded_it(tmp_path: Path) -> None:
    path = archive(tmp_path, "a.png", b"<html>")
    with pytest.raises(FetchError, match=r"complete picture, but it cannot be read .* Delete it"):
        put_in_place(path, remote("a.png"), tmp_path, lambda *_: None)
    assert path.read_bytes() == b"<html>"
    with pytest.raises(FetchError, match=r"the downloaded a\.png to be a complete picture.* has been removed"):
        put_in_place(path, remote("a.png"), tmp_path, lambda *_: None, ours=True)
    assert not path.exists()


def test_a_marker_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.zip", zipped(FILES))
    os.truncate(tmp_path / "in" / ".unpacked-a.zip", 5)
    with pytest.raises(FetchError, match=r"\.unpacked-a\.zip to be unchanged JSON, .* Delete it"):
        unpacked(remote("a.zip"), tmp_path)


def test_a_plain_tar_is_unpacked(tmp_path: Path) -> None:
    put(tmp_path, "a.tar", gzip.decompress(tarred(FILES)))
    assert seen(tmp_path / "in") == FILES
