"""A config is read whole: defaults, overrides, and every mistake in one answer."""

from pathlib import Path

import pytest
import yaml

from stencilnet.experiment.config import shipped
from stencilnet.experiment.reading import ConfigError, check_names, check_paths, read_config, to_plain, to_yaml


def write(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


SMALL = """
title: Two tasks
methods:
  - method: {kind: piggyback, lr: 0.001}
tasks:
  - name: streets
    title: Streets
    task: {kind: segmentation, classes: [road, sky]}
    data:
      about: scenes
      train: {kind: scenes, count: 4, size: 32}
      test: {kind: scenes, count: 2, size: 32, first: 100}
  - name: colour
    title: Colour
    task: {kind: colorization}
    data:
      about: scenes
      train: {kind: scenes, count: 4, size: 32}
      test: {kind: images, folder: photos}
    recipe: {steps: 7}
"""


def test_defaults_are_the_owners(tmp_path: Path) -> None:
    experiment = read_config(write(tmp_path, SMALL))
    assert experiment.backbone.width == 64
    assert experiment.tasks[0].recipe.lr == 1e-4
    assert experiment.tasks[1].recipe.steps == 7
    assert experiment.tasks[1].recipe.batch == experiment.tasks[1].task.recipe().batch


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_config_written_out_reads_back_equal(name: str, tmp_path: Path) -> None:
    experiment = read_config(name)
    again = read_config(write(tmp_path, to_yaml(experiment)))
    assert again == experiment
    assert yaml.safe_load(to_yaml(experiment)).keys() == to_plain(experiment).keys()


def test_every_mistake_is_reported_with_its_path(tmp_path: Path) -> None:
    text = SMALL.replace("lr: 0.001", "lr: fast").replace("count: 4, size: 32}", "count: '4', size: 32}", 1)
    text = text.replace("kind: colorization", "kind: colouring").replace("steps: 7", "steps: 0, stpes: 3")
    text += "seeed: 3\n"
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'config.yaml'}: 6 mistakes") or len(caught.value.problems) >= 5, message
    assert "methods.0.method.lr: expected a number, but got text 'fast'" in message
    assert "tasks.0.data.train.count: expected a whole number, but got text '4'" in message
    assert "tasks.1.task: expected `kind` to be one of" in message
    assert "but got 'colouring'" in message
    assert "tasks.1.recipe.stpes: unknown key. Known here: steps" in message
    assert "seeed: unknown key" in message


def test_values_out_of_range_name_their_section(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.1\.recipe: Expected `steps` to be at least 1, but got 0"):
        read_config(write(tmp_path, SMALL.replace("steps: 7", "steps: 0")))


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.0\.title: expected a value, but it is missing"):
        read_config(write(tmp_path, SMALL.replace("    title: Streets\n", "")))


def test_numbers_that_yaml_reads_as_text_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write 1.0e-3"):
        read_config(write(tmp_path, SMALL.replace("lr: 0.001", "lr: 1e-3")))


def test_overrides_reach_by_index_and_by_name(tmp_path: Path) -> None:
    experiment = read_config(
        write(tmp_path, SMALL),
        ["seed=3", "tasks.colour.recipe.steps=9", "methods.0.method.lr=0.5", "trainer.workers=1"],
    )
    assert (experiment.seed, experiment.tasks[1].recipe.steps) == (3, 9)
    assert experiment.methods[0].method.lr == 0.5
    assert experiment.trainer.workers == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected dotted.path=value"),
        ("tasks.nobody.title=x", "no item `nobody`"),
        ("title.x=1", "below a plain value"),
        ("seed=[", "the value is not YAML"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, SMALL), [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a", "expected a mapping at the top, but got a list"), ("a: [", "is not YAML"), ("", "but got nothing")],
)
def test_files_that_are_no_config(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, text))


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'photos'\?"):
        read_config("photo")


def test_wrong_paths_are_all_found_before_training(tmp_path: Path) -> None:
    text = SMALL.replace("{kind: scenes, count: 2, size: 32, first: 100}", "{kind: images, folder: elsewhere}")
    experiment = read_config(write(tmp_path, text))
    with pytest.raises(ConfigError) as caught:
        check_paths("config", experiment, tmp_path)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "tasks.0.data.test",
        "tasks.1.data.test",
    ]
    assert "elsewhere" in str(caught.value)
    assert "photos" in str(caught.value)


def test_sequences_that_make_no_sense(tmp_path: Path) -> None:
    twice = SMALL.replace("name: colour", "name: streets")
    with pytest.raises(ConfigError, match="task names to differ"):
        read_config(write(tmp_path, twice))
    orphan = SMALL.replace("    - method", "").replace(
        "- method: {kind: piggyback, lr: 0.001}", "- method: {kind: finetune}\n    parents: {streets: colour}"
    )
    with pytest.raises(ConfigError, match="parent of 'streets' to be an earlier task"):
        read_config(write(tmp_path, orphan))


def test_unknown_methods_and_tasks_are_all_named() -> None:
    experiment = read_config("photos")
    check_names("photos", experiment, methods=("decoder",), only=("colour",))
    with pytest.raises(ConfigError, match="--methods: no 'ewk'") as caught:
        check_names("photos", experiment, methods=("ewk",), only=("nobody",))
    assert len(caught.value.problems) == 2
