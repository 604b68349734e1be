"""Bundles and tasks through a hub on loopback, by the real huggingface_hub: the same bytes, or one clear error."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import constants
from PIL import Image

from stencilnet.bundle import BundleError, merge, open_bundle, remove_task, verify
from stencilnet.errors import UsageError
from stencilnet.runtime import Engine
from stencilnet.sharing import HubError, pull, push
from stencilnet.sharing import merge as merge_from
from stencilnet.sharing.samples import sample_sheet

from ..graphs.other import other_bundle
from .conftest import GOLDEN
from .hub_server import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub, of its own code

FileBytes = Callable[[Path], dict[str, bytes]]
UNEVEN = "tasks/uneven/delta-e2fd1f433daeac21.safetensors"


def front_matter(page: bytes) -> dict[str, object]:
    found = yaml.safe_load(page.decode().split("---")[1])
    assert isinstance(found, dict)
    return found


def backbone_of(bundle: Path) -> str:
    return str(json.loads((bundle / "config.json").read_text())["backbone"])


@pytest.fixture
def shared(hub: Hub) -> Hub:
    """``me/uneven`` holds one task of the backbone of `bundle`."""
    push(GOLDEN / "v1-entropy", "me/uneven", task="uneven", base_model="me/many")
    hub.requests.clear()
    return hub


def test_a_bundle_is_pushed_and_pulled_byte_for_byte(
    hub: Hub, bundle: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    pushed = push(bundle, "me/many")
    assert pushed.tasks == ("shapes", "colour", "clean")
    commits = hub.repos["me/many"].commits
    assert [message for _, message, _ in commits] == ["initial commit", "Bundle: shapes, colour, clean"]
    assert pushed.url == f"{hub.url}/me/many/commit/{commits[-1][0]}"
    pulled = pull("me/many", tmp_path / "deep" / "theirs")
    assert (pulled.tasks, pulled.whole, pulled.commit) == (("clean", "colour", "shapes"), True, commits[-1][0])
    got, had = file_bytes(pulled.folder), file_bytes(bundle)
    assert got | {"README.md": b""} == had | {"README.md": b""}
    assert got["README.md"] == hub.repos["me/many"].files["README.md"]
    assert verify(pulled.folder).ok
    assert [path.name for path in pulled.folder.parent.iterdir()] == ["theirs"]


def test_only_the_bundle_itself_is_pushed(hub: Hub, bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    (bundle / "tasks" / "colour" / "delta-0123456789abcdef.safetensors").write_bytes(b"left by a crash")
    push(bundle, "me/many")
    assert not [path for path in hub.repos["me/many"].files if "notes" in path or "0123456789abcdef" in path]


def test_the_graph_of_another_network_goes_with_its_backbone(
    hub: Hub, bundle: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    other = other_bundle(tmp_path / "other")
    push(other, "me/other")
    graph = (other / "graph.onnx").read_bytes()
    assert hub.repos["me/other"].files["graph.onnx"] == graph
    pulled = pull("me/other", tmp_path / "theirs").folder
    assert (pulled / "graph.onnx").read_bytes() == graph
    assert Engine(pulled).backend == "onnx"
    push(other, "me/clean", task="clean")
    assert "graph.onnx" not in hub.repos["me/clean"].files
    assert merge_from(bundle, ["hf:me/other"]).present == ("clean", "colour", "shapes")
    assert not (bundle / "graph.onnx").exists()
    (other / "graph.onnx").unlink()
    push(other, "me/other")
    assert "graph.onnx" not in hub.repos["me/other"].files


def test_a_file_named_like_a_graph_beside_a_known_network_is_left_alone(
    hub: Hub, bundle: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    (bundle / "graph.onnx").write_bytes(b"mine")
    push(bundle, "me/many")
    repo = hub.repos["me/many"]
    assert "graph.onnx" not in repo.files
    repo.commit("by hand", repo.files | {"graph.onnx": b"theirs"})
    push(bundle, "me/many", license="mit")
    assert repo.files["graph.onnx"] == b"theirs"
    assert not (pull("me/many", tmp_path / "it").folder / "graph.onnx").exists()


def test_a_graph_at_fault_is_neither_pushed_nor_pulled(hub: Hub, tmp_path: Path) -> None:
    other = other_bundle(tmp_path / "other")
    push(other, "me/other")
    (other / "graph.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"graph\.onnx: not a graph"):
        push(other, "me/other")
    repo = hub.repos["me/other"]
    repo.commit("by hand", repo.files | {"graph.onnx": b"no graph"})
    with pytest.raises(BundleError, match=r"hf:me/other/graph\.onnx: not a graph.*Nothing was put in place"):
        pull("me/other", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_pushing_again_makes_the_repository_what_the_bundle_is(hub: Hub, bundle: Path) -> None:
    push(bundle, "me/many", picture=b"picture")
    repo = hub.repos["me/many"]
    repo.commit("by hand", repo.files | {"figures/mine.png": b"mine"})
    remove_task(bundle, "colour")
    merge(bundle, [GOLDEN / "v1-entropy"])
    uploads = len(hub.asked_for("PUT /lfs"))
    push(bundle, "me/many")
    assert sorted({path.split("/")[1] for path in repo.files if path.startswith("tasks/")}) == [
        "clean",
        "shapes",
        "uneven",
    ]
    assert "sample.jpg" not in repo.files
    assert repo.files["figures/mine.png"] == b"mine"
    assert len(hub.asked_for("PUT /lfs")) == uploads + 1  # the new task alone
    commits = len(repo.commits)
    push(bundle, "me/many")
    assert len(repo.commits) == commits


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_private_if_asked(private: bool, hub: Hub, bundle: Path) -> None:
    push(bundle, "me/many", private=private)
    assert hub.repos["me/many"].private == private
    push(bundle, "me/many")
    assert hub.repos["me/many"].private == private


def test_a_damaged_bundle_is_not_pushed(hub: Hub, bundle: Path) -> None:
    delta = next((bundle / "tasks" / "colour").glob("delta-*"))
    delta.write_bytes(delta.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match="changed since it was written"):
        push(bundle, "me/many")
    with pytest.raises(BundleError, match="changed since it was written"):
        push(bundle, "me/colour", task="colour")
    assert hub.requests == []
    push(bundle, "me/clean", task="clean")


def test_a_task_is_pushed_and_merged_byte_for_byte(shared: Hub, bundle: Path, file_bytes: FileBytes) -> None:
    files = shared.repos["me/uneven"].files
    assert sorted(files) == [".gitattributes", "README.md", "config.json", UNEVEN, "tasks/uneven/task.json"]
    before = file_bytes(bundle / "tasks")
    assert merge_from(bundle, ["hf:me/uneven"]).added == ("uneven",)
    assert file_bytes(bundle / "tasks") == before | file_bytes(GOLDEN / "v1-entropy" / "tasks")
    assert verify(bundle).ok
    assert merge_from(bundle, ["hf:me/uneven", GOLDEN / "v1"]).present == ("clean", "colour", "shapes", "uneven")


def test_a_task_over_another_backbone_is_refused_before_its_weights_are_downloaded(
    shared: Hub, tmp_path: Path, file_bytes: FileBytes
) -> None:
    other = shutil.copytree(GOLDEN / "v1-int8", tmp_path / "other")
    before = file_bytes(other)
    with pytest.raises(BundleError) as raised:
        merge_from(other, ["hf:me/uneven"])
    assert raised.value.file == "hf:me/uneven/tasks/uneven/task.json"
    hashes = re.findall(r"[0-9a-f]{64}", str(raised.value))
    assert hashes == [backbone_of(GOLDEN / name) for name in ("v1-int8", "v1-entropy")]
    assert shared.asked_for("task.json")
    assert shared.asked_for("safetensors") == shared.asked_for("/stored/") == []
    assert file_bytes(other) == before


def test_a_task_alone_is_pulled_and_merged(shared: Hub, bundle: Path, tmp_path: Path) -> None:
    pulled = pull("me/uneven", tmp_path / "uneven")
    assert (pulled.tasks, pulled.whole) == (("uneven",), False)
    with pytest.raises(BundleError, match=r"shared without it can be merged into a bundle\."):
        open_bundle(pulled.folder)
    assert merge(bundle, [pulled.folder]).added == ("uneven",)
    assert verify(bundle).ok


def test_one_task_of_a_bundle_at_a_revision(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    target = shutil.copytree(GOLDEN / "v1-entropy", tmp_path / "target")
    push(bundle, "me/many")
    hub.repos["me/many"].refs["v1"] = hub.repos["me/many"].commits[-1][0]
    remove_task(bundle, "colour")
    push(bundle, "me/many")
    hub.requests.clear()
    with pytest.raises(BundleError, match=r"nothing to merge\. Expected tasks/colour/task\.json"):
        merge_from(target, ["hf:me/many/colour"])
    assert merge_from(target, ["hf:me/many/colour@v1"]).added == ("colour",)
    assert len(hub.asked_for("HEAD /stored")) == 0
    assert len(hub.asked_for("GET /stored")) == 1
    assert pull("me/many", tmp_path / "old", revision="v1").tasks == ("clean", "colour", "shapes")
    assert pull("me/many", tmp_path / "new").tasks == ("clean", "shapes")


@pytest.mark.parametrize(
    "name", ["me", "me/", "/it", "me/it/x/y", "me it/x", "../it", "me/..", "hf:me/it", "https://hub.example/me/it", ""]
)
def test_a_repository_has_two_names(name: str, hub: Hub, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected a repository's name, OWNER/NAME"):
        push(bundle, name)
    with pytest.raises(UsageError, match="Expected a repository's name, OWNER/NAME"):
        pull(name, tmp_path / "it")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("source", "error"),
    [("hf:me", UsageError), ("hf:", UsageError), ("hf:me/it/a/b", UsageError), ("hf:me/it/A", BundleError)],
)
def test_a_source_names_a_repository(source: str, error: type[ValueError], hub: Hub, bundle: Path) -> None:
    with pytest.raises(error):
        merge_from(bundle, [source])
    assert hub.requests == []


@pytest.mark.parametrize(
    ("files", "task", "what"),
    [
        ({"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"1"}, None, "holds something else"),
        ({"weights.bin": b"1"}, None, "holds something else"),
        ("v1-int8", None, "another backbone is published here"),
        ("v1-int8", "colour", "another backbone is published here"),
        ("v1", "colour", "a whole bundle is published here"),
        ("v1-entropy without backbone", "colour", "other tasks are published here"),
    ],
)
def test_a_repository_that_holds_something_else_stays_as_it_is(
    files: dict[str, bytes] | str, task: str | None, what: str, hub: Hub, bundle: Path, file_bytes: FileBytes
) -> None:
    if isinstance(files, str):
        name, _, without = files.partition(" without ")
        files = file_bytes(GOLDEN / name)
        files = {path: data for path, data in files.items() if not (without and path == "model.safetensors")}
    repo = hub.repo("me/there", files)
    with pytest.raises(BundleError, match=what):
        push(bundle, "me/there", task=task)
    assert len(repo.commits) == 1
    assert hub.asked_for("POST") == []


def test_a_new_repository_with_a_readme_is_filled(hub: Hub, bundle: Path) -> None:
    repo = hub.repo("me/there", {"README.md": b"soon", "LICENSE": b"mine"})
    push(bundle, "me/there")
    assert repo.files["LICENSE"] == b"mine"
    assert b"stencil pull me/there" in repo.files["README.md"]


def test_nothing_private_is_pushed_to_the_public(hub: Hub, bundle: Path) -> None:
    hub.repo("me/there")
    with pytest.raises(BundleError, match="the repository is public"):
        push(bundle, "me/there", private=True)


def test_a_push_does_not_overwrite_what_another_pushed_meanwhile(
    hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stencilnet.sharing import hub as client

    push(bundle, "me/many")
    look, repo = client.look, hub.repos["me/many"]

    def slowly(name: str) -> client.Repository:
        found = look(name)
        repo.commit("another's", repo.files | {"theirs": b"1"})
        return found

    monkeypatch.setattr(client, "look", slowly)
    remove_task(bundle, "colour")
    with pytest.raises(HubError, match=r"the repository has changed meanwhile\. Try again"):
        push(bundle, "me/many")
    assert "theirs" in repo.files


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda files: files.pop("config.json"), "not a bundle"),
        (lambda files: files.update({"config.json": b"{}"}), "not a file of this format"),
        (lambda files: files.update({"config.json": bytes(2 << 20)}), "too large"),
        (lambda files: files.update({UNEVEN: b"?" + files[UNEVEN][1:]}), "changed since it was written"),
        (lambda files: files.pop(UNEVEN), "missing"),
        (lambda files: files.update({"model.safetensors": b"?"}), "not the backbone"),
        (lambda files: files.update({"tasks/uneven/task.json": b"{}"}), "not a file of this format"),
    ],
)
def test_a_damaged_repository_leaves_nothing(
    change: Callable[[dict[str, bytes]], object], what: str, shared: Hub, tmp_path: Path
) -> None:
    files = dict(shared.repos["me/uneven"].files)
    change(files)
    shared.repos["me/uneven"].commit("damaged", files)
    with pytest.raises(BundleError) as raised:
        pull("me/uneven", tmp_path / "it")
    assert what in raised.value.what
    assert raised.value.file.startswith("hf:me/uneven")
    assert list(tmp_path.iterdir()) == []


def test_strange_paths_of_a_repository_are_not_written(shared: Hub, tmp_path: Path, file_bytes: FileBytes) -> None:
    repo = shared.repos["me/uneven"]
    paths = ("../outside", "tasks/../../x/task.json", "tasks/A/task.json", "run.py")
    repo.commit("hostile", repo.files | dict.fromkeys(paths, b"1"))
    pulled = pull("me/uneven", tmp_path / "it")
    assert sorted(file_bytes(pulled.folder)) == ["README.md", "config.json", UNEVEN, "tasks/uneven/task.json"]
    assert list(tmp_path.iterdir()) == [tmp_path / "it"]


def test_a_place_that_is_taken_is_refused_before_anything_is_downloaded(shared: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for taken in ("full", "full/file"):
        with pytest.raises(BundleError, match="the place is taken"):
            pull("me/uneven", tmp_path / taken)
    assert shared.requests == []
    assert pull("me/uneven", tmp_path / "empty").tasks == ("uneven",)


def test_a_broken_connection_is_resumed_where_it_broke(
    shared: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    shared.cuts["e2fd1f433daeac21"] = 1000
    assert merge_from(bundle, ["hf:me/uneven"]).added == ("uneven",)
    assert shared.ranges == ["bytes=1000-"]


def test_a_pull_that_failed_continues_with_what_is_missing(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    push(bundle, "me/many")
    hub.answers["GET /stored/3f31e975480be6e7"] = 403
    with pytest.raises(HubError):
        pull("me/many", tmp_path / "it")
    assert list(tmp_path.iterdir()) == [bundle]
    hub.answers.clear()
    hub.requests.clear()
    pull("me/many", tmp_path / "it")
    again = {request.rpartition("/")[2][:16] for request in hub.asked_for("GET /stored")}
    assert "3f31e975480be6e7" in again
    assert hub.asked_for("config.json") == []  # it was there
    assert verify(tmp_path / "it").ok


def test_a_task_page_says_what_a_reader_needs(shared: Hub) -> None:
    page = shared.repos["me/uneven"].files["README.md"]
    assert front_matter(page) == {
        "library_name": "stencilnet",
        "tags": ["image-to-image", "continual-learning", "multi-task"],
        "base_model": "me/many",
        "base_model_relation": "adapter",
    }
    text = page.decode()
    size = sum(len(data) for path, data in shared.repos["me/uneven"].files.items() if path.startswith("tasks/"))
    assert f"| bytes | {size:,} |" in text
    assert f"SHA-256 {backbone_of(GOLDEN / 'v1')} |" in text
    assert "stencil pull me/many -o BUNDLE\nstencil merge BUNDLE hf:me/uneven\n" in text
    assert "sample.jpg" not in text


def test_numbers_and_license_are_on_the_page(hub: Hub, bundle: Path) -> None:
    push(bundle, "me/shapes", task="shapes", license="apache-2.0", picture=b"picture")
    page = hub.repos["me/shapes"].files["README.md"]
    assert front_matter(page)["license"] == "apache-2.0"
    assert "base_model" not in front_matter(page)
    assert "| mIoU, validation data | 33.3 |" in page.decode()
    assert "](sample.jpg)" in page.decode()
    assert hub.repos["me/shapes"].files["sample.jpg"] == b"picture"


def test_a_license_that_the_hub_does_not_know_is_refused(hub: Hub, bundle: Path) -> None:
    with pytest.raises(HubError, match=r'the hub refuses the card .*"license" must be one of.* Check --license'):
        push(bundle, "me/many", license='free\nbase_model: "x"')
    assert len(hub.repos["me/many"].commits) == 1


def test_a_bundle_has_no_base_model(hub: Hub, bundle: Path) -> None:
    with pytest.raises(UsageError, match="a bundle has its own backbone"):
        push(bundle, "me/many", base_model="me/other")
    with pytest.raises(UsageError, match="OWNER/NAME"):
        push(bundle, "me/colour", task="colour", base_model='x"\nlicense: y')
    assert hub.requests == []


def test_the_picture_shows_inputs_and_outputs(bundle: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    whole = sample_sheet(bundle, [photo, tmp_path / "photo.png"])
    one = sample_sheet(bundle, [photo], "clean")
    assert whole is not None
    assert one is not None
    with Image.open(io.BytesIO(whole)) as sheet, Image.open(io.BytesIO(one)) as small:
        assert (sheet.format, small.format) == ("JPEG", "JPEG")
        assert sheet.width > 1.8 * small.width
        assert sheet.height > 1.5 * small.height
        assert np.asarray(small)[:, : small.width // 2].std() > 20
    assert sample_sheet(bundle, [photo], "clean") == one
    with pytest.raises(ValueError, match="Expected `task` to be one of"):
        sample_sheet(bundle, [photo], "nothing")


def test_the_token_stays_with_the_hub(shared: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in refuses requests with a token at the host where large files lie."""
    assert shared.elsewhere != constants.ENDPOINT
    shared.repos["me/uneven"].private = True
    assert merge_from(bundle, ["hf:me/uneven"]).added == ("uneven",)
