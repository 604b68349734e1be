"""Help names what there is to choose from, and costs nothing until it is asked for."""

import re
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.table import ROWS
from stencilnet.cli.main import stencil
from stencilnet.cluster import ProcessesAsk, RayAsk, SlurmAsk
from stencilnet.config.shipped import shipped
from stencilnet.datasets.fetching.catalog import CATALOG
from stencilnet.methods import registered

VERBS = [*stencil.commands, "data fetch", "data list", "data make", "config list", "config show"]


def shown(*words: str) -> str:
    done = CliRunner().invoke(stencil, [*words, "--help"], terminal_width=300, max_content_width=300)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_compare_names_every_method() -> None:
    text = shown("compare")
    assert f"with default settings: {', '.join(registered())}; `all`:" in text
    assert "{names}" not in text


@pytest.mark.parametrize("verb", ["train", "compare", "add", "evaluate", "bench", "config show"])
def test_what_takes_a_config_names_the_shipped_ones(verb: str) -> None:
    assert f"shipped config: {', '.join(shipped())}." in shown(*verb.split())


def test_bench_names_its_rows() -> None:
    assert f"may be repeated: {', '.join(row.name for row in ROWS)}." in shown("bench")


@pytest.mark.parametrize("verb", ["fetch", "make"])
def test_data_names_its_sets(verb: str) -> None:
    assert f"NAME is one of {', '.join(CATALOG)};" in shown("data", verb)


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_clusters_are_asked_by_names_that_help_gives(verb: str) -> None:
    text = shown(verb)
    found = re.search(r" processes: (\w+), .* ray: (.*) slurm: (.*)", text, re.DOTALL)
    assert found
    processes, ray, slurm = found.groups()
    assert processes == ", ".join(entry.name for entry in fields(ProcessesAsk))
    assert ray == ", ".join(entry.name for entry in fields(RayAsk)) + "."
    known = {entry.name for entry in fields(SlurmAsk)} - {"parameters"} | {"timeout_min"}
    assert all(name in slurm for name in known)
    assert "[here|processes|ray|slurm]" in text


@pytest.mark.parametrize("group", ["", "data", "config"])
def test_a_group_shows_whole_sentences(group: str) -> None:
    verbs = CliRunner().invoke(stencil, [*group.split(), "--help"], terminal_width=80).output.partition("Commands:")[2]
    assert verbs
    assert "..." not in verbs


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_is(verb: str) -> None:
    command: Any = stencil
    for word in verb.split():
        command = command.commands[word]
    options = [option for option in command.params if option.param_type_name == "option"]
    # choices are shown with the option, and say enough
    assert not [option.name for option in options if not option.help and not hasattr(option.type, "choices")]


def test_help_of_most_commands_loads_no_torch() -> None:
    probe = (
        "import sys; from click.testing import CliRunner; from stencilnet.cli.main import stencil\n"
        "for words in ([], ['train'], ['add'], ['run'], ['evaluate'], ['data', 'fetch'], ['config', 'show']):\n"
        "    assert CliRunner().invoke(stencil, [*words, '--help']).exit_code == 0\n"
        "CliRunner().invoke(stencil, ['config', 'list'])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
