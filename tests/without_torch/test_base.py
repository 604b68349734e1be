"""The base installation: what the command line and the package do where no extra is installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import stencilnet as sn
from stencilnet.cli.main import stencil
from stencilnet.errors import PACKAGES, NotInstalledError

GOLDEN = str(Path(__file__).parents[1] / "bundle" / "golden" / "v1")
PYTORCH = "needs PyTorch, which is not installed. Run: pip install 'stencilnet[train]'"
NEEDS_TRAIN = {
    "demo": "",
    "train": "demo/tiny",
    "add": ". demo/tiny",
    "compare": "demo/tiny",
    "evaluate": ". demo/tiny",
    "blend": ". first second -o out",
    "bench": "",
    "config show": "demo/tiny",
    "data list": "",
}
"""Arguments of verbs that need the extra `train`."""


def verbs(group: click.Group = stencil, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [before]
    for name, command in group.commands.items():
        inner = (*before, name)
        found += verbs(command, inner) if isinstance(command, click.Group) else [inner]
    return found


def called(*words: str) -> Result:
    return CliRunner().invoke(stencil, words, prog_name="stencil", terminal_width=500, max_content_width=500)


def process(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)


def test_no_package_of_an_extra_is_installed() -> None:
    assert [name for name in PACKAGES if importlib.util.find_spec(name)] == []


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_every_verb_has_its_help(words: tuple[str, ...]) -> None:
    done = called(*words, "--help")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: {' '.join(['stencil', *words])} ")


def test_help_says_why_it_lists_no_methods_and_rows() -> None:
    assert f"with default settings: (their list {PYTORCH}); `all`:" in called("compare", "--help").output
    assert f"may be repeated: (their list {PYTORCH})." in called("bench", "--help").output


def test_the_version_and_the_shipped_configs() -> None:
    assert called("--version").output.startswith("stencil, version ")
    assert "demo/small" in called("config", "list").output.splitlines()


@pytest.mark.parametrize("verb", NEEDS_TRAIN)
def test_a_verb_names_the_extra_that_it_needs(verb: str) -> None:
    done = called(*verb.split(), *NEEDS_TRAIN[verb].split())
    assert isinstance(done.exception, NotInstalledError), done.output
    said = str(done.exception)
    assert said.startswith(f"stencil {verb} needs ")
    assert said.endswith(", which is not installed. Run: pip install 'stencilnet[train]'")


@pytest.mark.parametrize(
    "words", [("push", GOLDEN, "me/it"), ("pull", "me/it", "-o", "{out}"), ("merge", GOLDEN, "hf:me/it")]
)
def test_a_verb_names_the_extra_of_the_hub(words: tuple[str, ...], tmp_path: Path) -> None:
    done = called(*(word.format(out=tmp_path / "out") for word in words))
    assert isinstance(done.exception, NotInstalledError), done.output
    said = f"stencil {words[0]} needs huggingface_hub, which is not installed. Run: pip install 'stencilnet[hub]'"
    assert str(done.exception) == said
    assert list(tmp_path.iterdir()) == []


def test_the_service_names_its_own_extra() -> None:
    done = called("serve", ".")
    assert isinstance(done.exception, NotInstalledError), done.output
    assert (
        str(done.exception)
        == "stencil serve needs uvicorn, which is not installed. Run: pip install 'stencilnet[serve]'"
    )


def test_the_command_reports_it_in_one_line(tmp_path: Path) -> None:
    done = process(Path(sys.executable).with_name("stencil"), "demo", "--out", tmp_path / "run")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"stencil demo {PYTORCH}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_video_names_its_extra(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    bundle = Path(__file__).parents[1] / "bundle" / "golden" / "v1"
    stencil = Path(sys.executable).with_name("stencil")
    done = process(stencil, "run", bundle, "clean", clip, "-o", tmp_path / "out.mp4")
    expected = "stencil run needs PyAV, which is not installed. Run: pip install 'stencilnet[video]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_other_errors_are_reported_as_ever() -> None:
    unknown = process(sys.executable, "-m", "stencilnet", "nothing")
    assert (unknown.returncode, unknown.stderr.splitlines()[-1]) == (2, "Error: No such command 'nothing'.")


def test_a_public_name_that_needs_pytorch_says_so() -> None:
    for name in ("UNet", "MultiTaskNet", "learn", "Piggyback"):
        with pytest.raises(NotInstalledError) as raised:
            getattr(sn, name)
        assert str(raised.value) == f"stencilnet.{name} {PYTORCH}"
