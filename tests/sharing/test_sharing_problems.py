"""Every failure of the hub: one line with the repository and the remedy, exit code 1, and nothing changed here."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from stencilnet.bundle import verify
from stencilnet.sharing.problems import HubError, explained

from ..command_line import Done, Stencil
from .conftest import GOLDEN
from .hub_server import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub, of its own code

Call = Callable[..., Done]
FileBytes = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def call(stencil: Stencil, hub: Hub, bundle: Path, file_bytes: FileBytes) -> Call:
    """Runs a command in the folder of `bundle` that must fail: returns its error, without ``stencil: ``."""

    def run(*words: object) -> str:
        before = file_bytes(bundle.parent)
        done = stencil(*words, cwd=bundle.parent)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert file_bytes(bundle.parent) == before
        assert "hf_" not in done.stderr.replace("hf_hub", "")
        assert done.stderr.startswith("stencil: ")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.removeprefix("stencil: ").rstrip("\n")

    return run


PULL, PUSH = ("pull", "you/it", "-o", "it"), ("push", "bundle", "you/it")
MERGE = ("merge", "bundle", "hf:you/it")


@pytest.mark.parametrize("words", [PULL, MERGE])
def test_a_missing_repository(words: tuple[str, ...], call: Call) -> None:
    assert call(*words) == (
        "hf:you/it: no such model repository, or this machine may not see it. Check the name. If it is private: "
        "Log in with: hf auth login"
    )


@pytest.mark.parametrize("words", [PULL, MERGE])
def test_a_private_repository_of_another(words: tuple[str, ...], call: Call, hub: Hub) -> None:
    hub.repo("you/it", private=True)
    assert "no such model repository, or this machine may not see it" in call(*words)


@pytest.mark.parametrize("words", [PULL, MERGE, PUSH])
def test_a_wrong_token(words: tuple[str, ...], call: Call, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("you/it")
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    said = "hf:you/it: the hub does not accept this machine's token. Log in with: hf auth login"
    assert call(*words) == said


def test_no_token(call: Call, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = "hf:you/it: this needs a token, and this machine has none. Log in with: hf auth login"
    assert call(*PUSH) == said
    hub.repo("you/it")
    assert call(*PUSH) == said


@pytest.mark.parametrize("there", [True, False])
def test_no_permission(there: bool, call: Call, hub: Hub) -> None:
    if there:
        hub.repo("you/it")
    error = call(*PUSH)
    assert error.startswith("hf:you/it: this machine's token does not permit this (You don't have the rights to ")
    assert error.endswith("Use one that does. Log in with: hf auth login")


@pytest.mark.parametrize("words", [PULL, MERGE])
def test_a_gated_repository(
    words: tuple[str, ...], call: Call, hub: Hub, file_bytes: FileBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("you/it", file_bytes(GOLDEN / "v1"), gated=True)
    monkeypatch.delenv("HF_TOKEN")
    said = "hf:you/it: its owner restricts access (gated). Ask for access on its page. Log in with: hf auth login"
    assert call(*words) == said


@pytest.mark.parametrize("words", [(*PULL, "--revision", "v9"), ("merge", "bundle", "hf:you/it@v9")])
def test_a_missing_revision(words: tuple[str, ...], call: Call, hub: Hub) -> None:
    hub.repo("you/it")
    assert call(*words) == "hf:you/it: no such revision. Check its name: a branch, a tag or a commit."


@pytest.mark.parametrize(("status", "said"), [(500, "500"), (503, "503"), (429, "429")])
@pytest.mark.parametrize("words", [PULL, MERGE, PUSH])
def test_a_hub_that_fails(words: tuple[str, ...], status: int, said: str, call: Call, hub: Hub) -> None:
    hub.answers["GET /api/models"] = status
    assert call(*words) == f"hf:you/it: the hub answers {said} (as told). Try again later."


def test_a_push_that_fails_at_any_step_changes_nothing(call: Call, hub: Hub) -> None:
    for step in ("/preupload/", "objects/batch", "PUT /lfs", "/verify", "/commit/"):
        repo = hub.repo("me/it")
        hub.stored.clear()
        hub.answers[step] = 400
        assert call("push", "bundle", "me/it") == "hf:me/it: the hub answers 400 (as told). Try again later.", step
        assert len(repo.commits) == 1


@pytest.mark.parametrize("words", [PULL, MERGE, PUSH])
def test_a_hub_that_cannot_be_reached(words: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    error = call(*words)
    assert error.startswith("hf:you/it: cannot reach the hub at http://127.0.0.1:9 (ConnectError: ")
    assert error.endswith("Check the connection and HF_ENDPOINT. Run the same command again to go on.")


def test_an_address_that_is_no_hub(call: Call, hub: Hub) -> None:
    hub.answers["GET /api/models"] = 200
    said = "hf:you/it: the hub's answer is not as expected (KeyError: 'id'). Try again. Check HF_ENDPOINT if it is set."
    assert call(*PULL) == said


def test_offline(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    from huggingface_hub import close_session

    close_session()  # it was made while online
    try:
        assert call(*PULL) == "hf:you/it: huggingface_hub is offline by HF_HUB_OFFLINE. Unset that variable."
    finally:
        close_session()


def test_errors_of_this_machine_stay_what_they_are() -> None:
    full = OSError(28, "No space left on device", "/cache/blob")
    assert explained("you/it", full) is None
    assert explained("you/it", RuntimeError("a bug")) is None
    assert isinstance(explained("you/it", OSError("Consistency check failed")), HubError)


@pytest.mark.slow
def test_the_commands_as_a_person_runs_them(hub: Hub, bundle: Path, tmp_path: Path, file_bytes: FileBytes) -> None:
    """New processes without PyTorch, set to the hub by the environment alone."""
    program = "import sys; sys.modules['torch'] = None; from stencilnet.cli.main import main; main()"
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}

    def stencil(*words: object) -> tuple[int, list[str], str]:
        command = [sys.executable, "-c", program, *map(str, words)]
        done = subprocess.run(command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr

    code, said, problems = stencil("push", GOLDEN / "v1-entropy", "me/many", "--license", "mit", "--private")
    assert (code, said[0], problems) == (0, "pushed  uneven", "")
    assert hub.repos["me/many"].private
    assert hub.repos["me/many"].files["sample.jpg"].startswith(b"\xff\xd8")  # of a drawn scene
    assert stencil("push", f"{GOLDEN}/v1-entropy/uneven", "me/uneven", "--base-model", "me/many")[::2] == (0, "")
    assert stencil("pull", "me/many") == (0, ["pulled  uneven", "many"], "")
    assert file_bytes(tmp_path / "many" / "tasks") == file_bytes(GOLDEN / "v1-entropy" / "tasks")
    assert verify(tmp_path / "many").ok
    assert stencil("merge", "bundle", "hf:me/uneven") == (0, ["added   uneven"], "")
    code, said, problems = stencil("pull", "me/uneven", "-o", "alone")
    assert (code, said) == (0, ["pulled  uneven", "alone"])
    assert problems == "without the backbone's weights; install them: stencil merge BUNDLE alone\n"


@pytest.mark.parametrize("source", ["nowhere", "nowhere/it", "bundle.json/it"])
def test_what_is_no_bundle_is_a_usage_error(source: str, stencil: Stencil, hub: Hub, tmp_path: Path) -> None:
    done = stencil("push", source, "me/it", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a bundle's folder, or BUNDLE/TASK" in done.stderr
    assert hub.requests == []


def test_a_task_is_named_by_its_folder_too(stencil: Stencil, hub: Hub, bundle: Path) -> None:
    for source in ("bundle/clean", "bundle/tasks/clean", "bundle/tasks/clean/"):
        done = stencil("push", source, "me/clean", cwd=bundle.parent)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "pushed  clean"), done.stderr
    assert "sample.jpg" in hub.repos["me/clean"].files
    done = stencil("push", "bundle/nothing", "me/nothing", cwd=bundle.parent)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "no such task" in done.stderr
