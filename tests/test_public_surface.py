"""What outsiders hold on to: names, lightness, commands."""

import subprocess
import sys

import pytest

import stencilnet as sn
from stencilnet.methods import BUILT_IN


def test_every_public_name_is_there() -> None:
    assert {
        "BitMask", "Engine", "MultiTaskNet", "UNet", "VGG16", "learn", "load", "sample", "save", "Segmentation",
        "Colorization", "Classification", "Depth", "Normals",
        "StyleTransfer", "Edges2Photo", "Restoration", "Learning", "Splits", "Example", "Recipe", "View",
        "BundleError", "DeltaError", "Piggyback", "Scratch", "Finetune", "Decoder", "HeadOnly", "NormOnly", "Settings",
        "EWC", "Joint", "PackNet", "Progressive", "QuantizedDelta", "Rehearsal",
    } == set(sn.__all__)  # fmt: skip
    assert all(getattr(sn, name) is not None for name in sn.__all__)
    assert dir(sn) == sorted(sn.__all__)


def test_every_built_in_method_is_public() -> None:
    homes = {name for name, home in sn._HOMES.items() if home == "methods"}
    assert homes == {method.__name__ for method in BUILT_IN}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sn.nothing


def test_importing_loads_no_torch() -> None:
    probe = "import sys, stencilnet; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_commands_and_their_options() -> None:
    from stencilnet.cli.main import stencil

    options = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in stencil.commands.items()
    }
    assert options["demo"] == {"--out", "--size"}
    learning = {"--out", "--root", "--resume", "--dry-run", "--json", "--set", "--devices", "--on", "--ask"}
    assert options["train"] == learning | {"--only"}
    assert options["add"] == {"--root", "--only", "--resume", "--set", "--devices"}
    assert options["compare"] == learning | {"--methods"}
    assert options["merge"] == set()
    assert options["pack"] == {"--out"}
    assert options["push"] == {"--private", "--base-model", "--license", "--sample"}
    assert options["pull"] == {"--out", "--revision"}
    pictures = {"--bits", "--profile", "--scale", "--tile", "--keep-metadata"}
    files = {"--out", "--fps", "--resume", "--on-error", "--watch"}
    assert options["run"] == {"--input", "--device", "--precision", "--backend"} | pictures | files
    assert options["export"] == {"--out", "--graph", "--web", "--runtime"}
    assert options["evaluate"] == {"--root", "--set", "--precision", "--json"}
    assert options["info"] == {"--json"}
    assert options["verify"] == {"--json", "--runtime"}
    assert options["analyze"] == {"--out", "--ceiling"}
    assert options["blend"] == {"--out", "--root", "--steps"}
    loading = {"--root", "--only", "--workers", "--batches", "--set"}
    table = {"--device", "--width", "--size", "--row", "--growth", "--out"}
    assert options["bench"] == loading | table | {"--repetitions", "--json"}
    assert {"remove", "config"} <= options.keys()
