"""Downloads from a real server on loopback that cuts, lies and changes its files."""

import random
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stencilnet.datasets.fetching.catalog import Checksum
from stencilnet.datasets.fetching.download import Wanted, download
from stencilnet.datasets.fetching.problems import FetchError, full_disk_named, human_bytes

from .fetching_server import Server, md5, web_server

DATA = random.Random(0).randbytes(700_001)
NO_PAUSES = (0.0, 0.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with web_server() as running:
        yield running


def wanted(server: Server, folder: Path, size: int | None = None, checksum: Checksum | None = None) -> Wanted:
    return Wanted(url=f"{server.url}/a.bin", target=folder / "a.bin", size=size, checksum=checksum)


def get(file: Wanted, pauses: tuple[float, ...] = NO_PAUSES) -> list[tuple[str, int, int]]:
    told: list[tuple[str, int, int]] = []
    download(file, lambda *what: told.append(what), pauses=pauses)
    return told


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_downloaded_checked_and_told_of(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA)
    told = get(wanted(server, tmp_path, len(DATA), md5(DATA)))
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert left(tmp_path) == {"a.bin"}
    assert told[0] == ("a.bin", 0, len(DATA))
    assert ("a.bin", len(DATA), len(DATA)) in told
    assert told[-1] == ("check a.bin", len(DATA), len(DATA))
    get(wanted(server, tmp_path, len(DATA), md5(DATA)))
    assert len(served.asked) == 1  # what is there is only checked


def test_a_cut_connection_is_resumed_within_the_call(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA, cuts=[100_000, 250_000, 10])
    get(wanted(server, tmp_path), pauses=(0.0,))  # three cuts, one pause: attempts that get further do not count
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert served.asked == [
        (None, None),
        ("bytes=100000-", '"v1"'),
        ("bytes=350000-", '"v1"'),
        ("bytes=350010-", '"v1"'),
    ]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA, cuts=[300_000, 0, 0])
    file = wanted(server, tmp_path, len(DATA))
    with pytest.raises(FetchError, match=r"after 3 attempts in a row: .* 300000 bytes are kept in .*a\.bin\.part"):
        get(file)
    assert left(tmp_path) == {"a.bin.part", "a.bin.part.json"}
    told = get(file)
    assert told[0] == ("a.bin", 300_000, len(DATA))
    assert served.asked[-1] == ("bytes=300000-", '"v1"')
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_an_interrupted_call_is_resumed(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA)

    def interrupt(_what: str, done: int, _total: int) -> None:
        if done > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(wanted(server, tmp_path), interrupt, pauses=NO_PAUSES)
    kept = (tmp_path / "a.bin.part").stat().st_size
    assert 200_000 < kept < len(DATA)
    get(wanted(server, tmp_path))
    assert served.asked[-1] == (f"bytes={kept}-", '"v1"')
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, ranges=False, cuts=[100_000])
    get(wanted(server, tmp_path))
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_changed_file_is_not_joined_to_the_old_start(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, cuts=[100_000, 0, 0])
    with pytest.raises(FetchError):
        get(wanted(server, tmp_path))
    other = DATA[::-1]
    served = server.serve("a.bin", other, tag='"v2"')
    get(wanted(server, tmp_path))
    assert served.asked == [("bytes=100000-", '"v1"')]
    assert (tmp_path / "a.bin").read_bytes() == other


def test_a_file_of_another_length_is_fetched_anew_even_if_its_tag_is_the_same(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, cuts=[100_000, 0, 0])
    with pytest.raises(FetchError):
        get(wanted(server, tmp_path))
    server.serve("a.bin", DATA[::-1] + b"more")
    get(wanted(server, tmp_path))
    assert (tmp_path / "a.bin").read_bytes() == DATA[::-1] + b"more"


def test_what_cannot_be_told_from_another_version_is_not_resumed(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA, tag=None, cuts=[100_000])
    get(wanted(server, tmp_path))
    assert served.asked == [(None, None), (None, None)]
    (tmp_path / "a.bin").unlink()
    served.cuts, served.asked = [100_000], []
    get(wanted(server, tmp_path, checksum=md5(DATA)))  # a checksum tells
    assert served.asked == [(None, None), ("bytes=100000-", None)]


def test_a_part_of_another_address_is_not_resumed(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, cuts=[100_000, 0, 0])
    with pytest.raises(FetchError):
        get(wanted(server, tmp_path))
    mirror = server.serve("mirror/a.bin", DATA)
    get(Wanted(url=f"{server.url}/mirror/a.bin", target=tmp_path / "a.bin"))
    assert mirror.asked == [(None, None)]
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_that_was_whole_is_taken(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, cuts=[100_000, 0, 0])
    with pytest.raises(FetchError):
        get(wanted(server, tmp_path))
    (tmp_path / "a.bin.part").write_bytes(DATA)
    get(wanted(server, tmp_path))  # 416 with the total
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, cuts=[100_000, 0, 0])
    with pytest.raises(FetchError):
        get(wanted(server, tmp_path))
    (tmp_path / "a.bin.part").write_bytes(DATA + b"more")
    get(wanted(server, tmp_path))
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    served = server.serve("a.bin", DATA, statuses=[503, 502])
    get(wanted(server, tmp_path))
    assert len(served.asked) == 3
    served = server.serve("b.bin", DATA, statuses=[503, 503, 503, 503])
    with pytest.raises(FetchError, match=r"after 3 attempts in a row: the server answered HTTP 503"):
        get(Wanted(url=f"{server.url}/b.bin", target=tmp_path / "b.bin"))


def test_a_missing_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"a\.bin to exist, but the server answered HTTP 404 .* use a mirror"):
        get(wanted(server, tmp_path), pauses=(60.0,))
    assert left(tmp_path) == set()


def test_a_wrong_checksum_is_an_error_and_the_file_goes(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA)
    with pytest.raises(FetchError, match=r"its md5 is \w{32} and not the published \w{32}\. .* has been removed"):
        get(wanted(server, tmp_path, len(DATA), md5(b"other")))
    assert left(tmp_path) == set()


def test_a_file_that_the_user_put_there_is_checked_but_never_removed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"it has 4 bytes and not the published 700001\. Delete it"):
        get(wanted(server, tmp_path, len(DATA)))
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


def test_a_file_that_is_truncated_on_the_server_is_refused_before_it_is_fetched(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA[:1000])
    with pytest.raises(FetchError, match=r"the published 700001 bytes, but the server has a file of 1000 bytes"):
        get(wanted(server, tmp_path, len(DATA)))
    assert left(tmp_path) == set()


def test_a_truncated_body_without_a_stated_length_is_found(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA[:1000], sized=False)
    with pytest.raises(FetchError, match=r"it has 1000 bytes and not the published 700001"):
        get(wanted(server, tmp_path, len(DATA)))
    assert left(tmp_path) == set()


def test_a_server_that_promises_more_than_it_sends_is_given_up(server: Server, tmp_path: Path) -> None:
    server.serve("a.bin", DATA, claimed=len(DATA) + 5, ranges=False)
    with pytest.raises(FetchError, match=r"the connection ended after 700001 of 700006 bytes"):
        get(wanted(server, tmp_path))
    assert "a.bin" not in left(tmp_path)


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.bin"
        with pytest.raises(FetchError, match=r"the server could not be reached \(.*refused.*\).*put it at .*a\.bin"):
            get(Wanted(url=url, target=tmp_path / "a.bin"))
        with pytest.raises(FetchError) as told:
            get(Wanted(url=url, target=tmp_path / "a.bin"))
    assert "kept" not in str(told.value)  # there is nothing to keep
    assert "the same command again. Or get the file another way" in str(told.value)


def test_only_web_addresses_are_taken(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"starts with http:// or https://, but got 'file:///etc/passwd'"):
        get(Wanted(url="file:///etc/passwd", target=tmp_path / "a.bin"))


def test_a_full_disk_is_named() -> None:
    with (
        pytest.raises(FetchError, match=r"space to write here, but the system says: No space left on device\. Kept\."),
        full_disk_named(Path("here"), "Kept."),
    ):
        Path("/dev/full").write_bytes(b"x")
    with pytest.raises(FileNotFoundError), full_disk_named(Path("here"), "Kept."):
        Path("/nowhere").read_bytes()


def test_a_file_system_that_takes_no_more_keeps_the_part(server: Server, tmp_path: Path) -> None:
    """A limit on the size of a file stands for the full disk: the system refuses a write half-way, for real."""
    server.serve("a.bin", DATA)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(
            FetchError, match=r"free space to write .*a\.bin\.part, .*The partial download is kept\. Free disk"
        ):
            get(wanted(server, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "a.bin.part").stat().st_size <= 400_000
    told = get(wanted(server, tmp_path))
    assert told[0][1] > 0
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_sizes_in_words() -> None:
    assert [human_bytes(n) for n in (0, 999, 1000, 19_336_861_798, 2 * 10**12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "19.3 GB",
        "2.0 TB",
    ]
