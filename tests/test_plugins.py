"""Objects of other packages, by the entry points of distributions on the path."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stencilnet.plugins import PluginError, load

GROUP = "stencilnet.test_group"

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution on the path: its name, the source of its only module, its entry points."""
    installed: list[str] = []

    def put(name: str, source: str, points: str) -> None:
        place = tmp_path / name
        metadata = place / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (place / f"{name}_module.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
        monkeypatch.syspath_prepend(str(place))
        installed.append(f"{name}_module")

    yield put
    for module in installed:
        sys.modules.pop(module, None)


def test_objects_of_all_packages_are_found_by_name(install: Install) -> None:
    install("beta", "second = 2", "second = beta_module:second")
    install("alpha", "first = 1", "first = alpha_module:first")
    assert list(load(GROUP).items()) == [("first", 1), ("second", 2)]
    assert load("stencilnet.nothing") == {}


def test_a_package_that_cannot_be_imported_is_named(install: Install) -> None:
    install("alpha", "raise RuntimeError('no such device')", "first = alpha_module:first")
    expected = r"Package 'alpha' registers 'first' .*`stencilnet.test_group`.* RuntimeError: no such device\. Repair or"
    with pytest.raises(PluginError, match=expected):
        load(GROUP)


def test_a_missing_object_is_named(install: Install) -> None:
    install("alpha", "", "first = alpha_module:first")
    with pytest.raises(PluginError, match=r"Package 'alpha' .* AttributeError: .*first"):
        load(GROUP)


def test_taken_names_are_refused_before_anything_is_imported(install: Install) -> None:
    install("alpha", "raise RuntimeError", "first = alpha_module:first")
    with pytest.raises(PluginError, match=r"Package 'alpha' registers 'first' .*: this name is built in\."):
        load(GROUP, taken={"first"})


def test_two_packages_cannot_share_a_name(install: Install) -> None:
    install("beta", "first = 2", "first = beta_module:first")
    install("alpha", "first = 1", "first = alpha_module:first")
    with pytest.raises(PluginError, match=r"Package 'beta' .*: package 'alpha' registers this name too\."):
        load(GROUP)


def test_objects_are_checked(install: Install) -> None:
    install("alpha", "first = 1", "first = alpha_module:first")

    def refuse(name: str, value: object) -> None:
        raise TypeError(f"{name} is {value}")

    with pytest.raises(PluginError, match=r"Package 'alpha' .* TypeError: first is 1\."):
        load(GROUP, check=refuse)
