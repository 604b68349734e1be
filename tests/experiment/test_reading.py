"""A config is read whole: defaults, overrides, and every mistake in one answer."""

import json
from pathlib import Path

import pytest
import yaml

from stencilnet.config.choosing import with_methods
from stencilnet.config.reading import ConfigError, check_names, read_config, to_plain, to_yaml
from stencilnet.config.schema import order_problems
from stencilnet.config.shipped import shipped
from stencilnet.learning.checking import check_paths
from stencilnet.methods import Piggyback


def write(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


DEEP = "[\n" * 5000
"""Line by line, since the scanner searches a line's brackets again and again."""

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
    assert message.startswith(f"{tmp_path / 'config.yaml'}: 5 mistakes\n"), message
    assert len(caught.value.problems) == 5  # a section's ranges are checked once its values and keys are right
    assert "methods.0.method.lr: expected a number, but got text 'fast'" in message
    assert "tasks.0.data.train.count: expected a whole number, but got text '4'" in message
    assert "tasks.1.task: expected `kind` to be one of" in message
    assert "but got 'colouring'" in message
    assert "tasks.1.recipe.stpes: unknown key. Known here: steps" in message
    assert "seeed: unknown key" in message


WRONG_KINDS = [
    ("trainer.precision=fp8", "trainer.precision: expected one of auto, float32, bf16, but got 'fp8'"),
    ("trainer.precision=[fp8]", "trainer.precision: expected one of auto, float32, bf16, but got ['fp8']"),
    ("perceptual.source=web", "perceptual.source: expected one of vgg, standin, but got 'web'"),
    ("trainer=fast", "trainer: expected a mapping, but got text 'fast'"),
    ("trainer=5", "trainer: expected a mapping, but got a whole number 5"),
    ("tasks=abc", "tasks: expected a list, but got text 'abc'"),
    ("tasks=[x]", "tasks.0: expected a mapping, but got text 'x'"),
    ("tasks=null", "tasks: expected a list, but got nothing"),
    ("tasks={a: 1}", "tasks: expected a list, but got a mapping {'a': 1}"),
    ("backbone=[5]", "backbone: expected a mapping, but got a list [5]"),
    ("backbone=null", "backbone: expected a mapping, but got nothing"),
    ("tasks.0.recipe=[1]", "tasks.0.recipe: expected a mapping, but got a list [1]"),
    ("tasks.0.recipe=null", "tasks.0.recipe: expected a mapping, but got nothing"),
    ("tasks.0.task.kind=[a]", "tasks.0.task: expected `kind` to be one of"),
    ("tasks.0.task.classes=road", "tasks.0.task.classes: expected a list, but got text 'road'"),
    ("tasks.0.task.palette=[[1, 2]]", "tasks.0.task.palette.0: expected a list of 3, but got 2: [1, 2]"),
    ("tasks.0.view.scale=ab", "tasks.0.view.scale: expected a list, but got text 'ab'"),
    ("tasks.0.view.scale=[1, x]", "tasks.0.view.scale.1: expected a number, but got text 'x'"),
    ("methods.0.parents=[a]", "methods.0.parents: expected a mapping, but got a list ['a']"),
    ("methods.0.parents={colour: 3}", "methods.0.parents.colour: expected text, but got a whole number 3"),
    ("methods.0.method=null", "methods.0.method: expected a mapping with `kind`, but got nothing"),
]


@pytest.mark.parametrize(("override", "problem"), WRONG_KINDS, ids=[override for override, _ in WRONG_KINDS])
def test_a_value_of_the_wrong_kind_is_named(override: str, problem: str, tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("0.001}", "0.001}\n    parents: {}"))
    with pytest.raises(ConfigError) as caught:
        read_config(path, [override])
    (only,) = caught.value.problems
    assert only.startswith(problem)


def test_a_wrong_setting_of_a_kind_is_named(tmp_path: Path) -> None:
    wrong = [
        "tasks.0.task={kind: segmentation, classes: [a, a], palette: [[0, 0, 300]], boundary_tolerance: -1}",
        "tasks.1.task={kind: edges2photo, edge_sigma: -1.0, critic_layers: 9}",
    ]
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, SMALL), wrong)
    assert caught.value.problems == (
        "tasks.0.task.classes: Expected `classes` to have no name twice, but got more than one 'a'.",
        "tasks.0.task.palette: Expected `palette` to have a colour for each of the 2 classes or to be empty, but got "
        "1.",
        "tasks.0.task.palette: Expected `palette` to hold (R, G, B) in 0-255, but got (0, 0, 300).",
        "tasks.0.task.boundary_tolerance: Expected `boundary_tolerance` to be at least 0 px, but got -1.",
        "tasks.1.task.edge_sigma: Expected `edge_sigma` to be positive and finite, but got -1.0.",
        "tasks.1.task.critic_layers: Expected `critic_layers` to be 1 to 3, but got 9.",
    )
    for setting, problem in (
        ("{kind: restoration, distance: l3}", "distance: Expected `distance` to be one of l1, l2, but got 'l3'."),
        ("{kind: style, style: ''}", "style: Expected `style` to name a style image, but got nothing."),
        ("{kind: style, style: a, style_size: 3}", "style_size: Expected `style_size` to be at least 32, but got 3."),
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(write(tmp_path, SMALL), [f"tasks.0.task={setting}"])
        assert caught.value.problems == (f"tasks.0.task.{problem}",)


def test_keys_of_several_kinds_are_all_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, SMALL), ["backbone={1: 2, a: 3}"])
    known = "kind, width, norm, init, weights, frozen, stored"
    assert caught.value.problems == tuple(f"backbone.{key}: unknown key. Known here: {known}" for key in "1a")


def test_wrong_kinds_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, SMALL), ["trainer.precision=fp8", "backbone=null", "tasks.1.recipe=[1]"])
    assert sorted(problem.partition(":")[0] for problem in caught.value.problems) == [
        "backbone",
        "tasks.1.recipe",
        "trainer.precision",
    ]


def test_a_date_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(write(tmp_path, SMALL.replace("title: Two tasks", "title: 2024-13-01")))


OUT_OF_RANGE = [
    ("tasks.1.recipe.steps=0", "Expected `steps` to be at least 1, but got 0."),
    ("tasks.1.view.crop=0", "Expected `crop` to be at least 1, but got 0."),
    ("tasks.0.data.train.first=-1", "Expected `first` to be at least 0, but got -1."),
    ("tasks.1.data.test.folder=''", "Expected `folder` to name a folder ('.' is the data root itself), but got an"),
    ("tasks.1.name=A", "Expected `name` to match [a-z0-9]"),
    ("methods.0.name=a!", "Expected `name` to match [a-z0-9]"),
    ("methods.0.method.price=-1", "Expected `price` to be at least 0, but got -1.0."),
    ("trainer.workers=-1", "Expected `workers` to be at least 0, but got -1."),
    ("pictures=-1", "Expected `pictures` to be at least 0, but got -1."),
    ("backbone.width=0", "Expected `width` to be at least 1, but got 0."),
    ("backbone.stored=int4", "Expected the backbone to be stored as float32, float16, int8 or seed:N"),
]


@pytest.mark.parametrize(("override", "problem"), OUT_OF_RANGE, ids=[override for override, _ in OUT_OF_RANGE])
def test_a_value_out_of_range_is_named_with_its_path(override: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, SMALL), [override])
    (only,) = caught.value.problems
    assert only.startswith(f"{override.partition('=')[0]}: {problem}")


def test_two_values_out_of_range_in_one_section_are_two_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, SMALL), ["tasks.1.recipe.steps=0", "tasks.1.recipe.lr=0"])
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "tasks.1.recipe.steps",
        "tasks.1.recipe.lr",
    ]


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
    method = experiment.methods[0].method
    assert isinstance(method, Piggyback)
    assert method.lr == 0.5
    assert experiment.trainer.workers == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected dotted.path=value"),
        ("tasks.nobody.title=x", "no item `nobody`"),
        ("title.x=1", "below a plain value"),
        ("seed=[", "the value is not YAML"),
        ("seed=" + DEEP, "the value is not YAML: it is nested too deeply"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, SMALL), [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "expected a mapping at the top, but got a list"),
        ("a: [", "is not YAML"),
        (DEEP, "is not YAML: it is nested too deeply"),
        ("", "but got nothing"),
    ],
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
    assert str(caught.value).splitlines()[-1].startswith(f"`stencil data list --root {tmp_path}` shows the known")
    assert "elsewhere" in str(caught.value)
    assert "photos" in str(caught.value)


def test_what_several_tasks_lack_alike_is_told_once(tmp_path: Path) -> None:
    experiment = read_config("paper/compare", ["perceptual.source=standin", "trainer.cache=file"])
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        check_paths("paper/compare", experiment, tmp_path)
    told = [problem.partition(": ")[0] for problem in caught.value.problems]
    assert told[0] == "tasks.0.data.train, tasks.2.data.train, tasks.3.data.train, tasks.4.data.train"
    assert told[-1] == "trainer.cache"


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
    with pytest.raises(ConfigError, match=r"--methods: unknown method 'ewk'\. Known: .*packnet") as caught:
        check_names("photos", experiment, methods=("ewk",), only=("nobody",))
    assert len(caught.value.problems) == 2


def test_methods_that_a_config_lacks_come_with_their_defaults() -> None:
    experiment = read_config("demo/tiny")
    own = [plan.method.name for plan in experiment.methods]
    assert with_methods(experiment, ()) == (experiment, ())
    assert with_methods(experiment, ["decoder"]) == (experiment, ("decoder",))
    more, names = with_methods(experiment, ["ewc", "piggyback", "ewk"])
    assert names == ("ewc", "piggyback", "ewk")
    assert [plan.method.name for plan in more.methods] == [*own, "ewc"]
    assert more.methods[: len(own)] == experiment.methods


def test_all_methods_are_those_that_fit() -> None:
    plain, names = with_methods(read_config("demo/tiny"), ["all"])
    assert {"piggyback", "ewc", "packnet", "rehearsal", "joint", "head_only"} < set(names)
    assert "norm_only" not in names  # its norms have nothing to train
    assert names == tuple(plan.method.name for plan in plain.methods)
    _, names = with_methods(read_config("demo/tiny", ["backbone.norm=affine"]), ["all"])
    assert "norm_only" in names
    with pytest.raises(ValueError, match="norm"):
        with_methods(read_config("demo/tiny"), ["norm_only"])


TWO_MASKS = (
    "  - method: {kind: piggyback, lr: 0.001}\n  - name: recommended\n    method: {kind: piggyback, price: 0.1}\n"
)


def test_a_kind_comes_twice_by_two_names(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("  - method: {kind: piggyback, lr: 0.001}\n", TWO_MASKS))
    experiment = read_config(path, ["methods.recommended.method.lr=0.5"])
    assert [plan.name for plan in experiment.methods] == ["piggyback", "recommended"]
    assert [plan.method for plan in experiment.methods] == [Piggyback(lr=1e-3), Piggyback(lr=0.5, price=0.1)]
    check_names(path, experiment, methods=("recommended",))
    with pytest.raises(ConfigError, match=r"unknown method 'recomended'\. Known: piggyback, recommended, quan"):
        check_names(path, experiment, methods=("recomended",))
    unnamed = SMALL.replace(
        "  - method: {kind: piggyback, lr: 0.001}\n", TWO_MASKS.replace("name: recommended", "tasks: []")
    )
    with pytest.raises(ConfigError, match=r"method names to differ .* but got \['piggyback', 'piggyback'\]"):
        read_config(write(tmp_path, unnamed))


@pytest.mark.parametrize("name", ["Paper", "a.b", "-", "finetune", "backbone", "trivial", "bundle", "all", "input"])
def test_a_methods_name_means_nothing_else(name: str, tmp_path: Path) -> None:
    """Folders, locks and pictures of a run go by it."""
    with pytest.raises(ConfigError, match=r"methods\.0\.name: (Expected `name` to match|`name: [a-z]+` is reserved)"):
        read_config(write(tmp_path, SMALL), [f"methods.0.name='{name}'"])


def test_a_method_is_asked_for_by_its_kind_beside_a_named_one_of_it(tmp_path: Path) -> None:
    named = read_config(write(tmp_path, SMALL), ["methods.0.name=recommended"])
    more, names = with_methods(named, ["piggyback"])
    assert names == ("piggyback",)
    assert [(plan.name, plan.method) for plan in more.methods][1:] == [("piggyback", Piggyback())]
    _, names = with_methods(named, ["all"])
    assert names[0] == "recommended"
    assert "piggyback" not in names


def plans(*tasks: str, top: str = "") -> str:
    """A config of a first task and others, each given as `name` and its `task`."""
    data = "{about: a, train: {kind: scenes, count: 4, size: 32}, test: {kind: scenes, count: 2, size: 32}}"
    lines = [f"  - {{name: {t.partition(' ')[0]}, title: t, task: {t.partition(' ')[2]}, data: {data}}}" for t in tasks]
    return "\n".join(["title: t", top or "methods: [{method: {kind: piggyback}}]", "tasks:", *lines])


def test_styles_holdouts_and_weights_are_checked_before_training(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    text = plans(
        "first {kind: colorization}",
        "good {kind: style, style: 'painted:bands'}",
        "unknown {kind: style, style: 'painted:foo'}",
        "absent {kind: style, style: absent.png}",
        "damaged {kind: style, style: broken.png}",
    )
    weights = f"perceptual.weights={tmp_path / 'absent.pth'}"
    experiment = read_config(write(tmp_path, text), ["tasks.first.data.holdout={group: '^Z+'}", weights])
    with pytest.raises(ConfigError) as caught:
        check_paths("config", experiment, tmp_path)
    holdout, unknown, absent, damaged, vgg = caught.value.problems
    assert holdout.startswith("tasks.0.data.holdout: Expected `group` '^Z+' to match every file name")
    assert unknown.startswith("tasks.2.task.style: ")
    assert "'foo'" in unknown
    assert absent.startswith("tasks.3.task.style: ")
    assert "absent.png" in absent
    assert damaged.startswith("tasks.4.task.style: ")
    assert "broken.png" in damaged
    assert vgg.startswith("perceptual.weights: Expected the weights of VGG16 at")


def test_weights_are_not_looked_for_where_nothing_needs_them(tmp_path: Path) -> None:
    weights = f"perceptual.weights={tmp_path / 'absent.pth'}"
    style = plans("first {kind: colorization}", "good {kind: style, style: 'painted:bands'}")
    check_paths("config", read_config(write(tmp_path, style), [weights, "perceptual.source=standin"]), tmp_path)
    check_paths("config", read_config(write(tmp_path, plans("first {kind: colorization}")), [weights]), tmp_path)


def test_style_tasks_share_one_preset(tmp_path: Path) -> None:
    style = "{kind: style, style: 'painted:bands', preset: %s}"
    text = plans("first {kind: colorization}", f"one {style % 'johnson'}", f"two {style % 'gatys'}")
    with pytest.raises(ConfigError, match=r"all style tasks to have the same `preset` .* got \['gatys', 'johnson'\]"):
        read_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("parents", "wrong"),
    [
        ("{bands: colour}", "bands"),
        ("{colour: things}", None),
        ("{colour: first}", None),
        ("{things: first, bands: first}", "bands"),
    ],
)
def test_parents_are_tasks_that_the_method_learns(parents: str, wrong: str | None, tmp_path: Path) -> None:
    top = f"methods: [{{method: {{kind: finetune}}, tasks: [things, colour], parents: {parents}}}]"
    text = plans(*(f"{name} {{kind: colorization}}" for name in ("first", "things", "colour", "bands")), top=top)
    path = write(tmp_path, text)
    if wrong is None:
        assert read_config(path).methods[0].parents
        return
    with pytest.raises(ConfigError, match=rf"tasks that it learns, \['things', 'colour'\], but got '{wrong}'"):
        read_config(path)


def test_no_task_is_called_bundle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.1\.name: `name: bundle` is reserved: a run keeps"):
        read_config(write(tmp_path, SMALL.replace("name: colour", "name: bundle")))


def test_options_of_masks_are_read_strictly(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    method = read_config(path, ["methods.0.method.price=0.1"]).methods[0].method
    assert method == Piggyback(lr=1e-3, price=0.1)
    for override, problem in (
        ("methods.0.method.price=-1", "methods.0.method.price: Expected `price` to be at least 0, but got -1.0."),
        ("methods.0.method.warm_start=3", "methods.0.method.warm_start: expected text, but got a whole number 3"),
        ("methods.0.method.norm=1", "methods.0.method.norm: expected true or false, but got a whole number 1"),
        ("methods.0.method={kind: head_only, lr: 1}", "methods.0.method.lr: unknown key. Known here: "),
        (
            "methods.0.method.mask=sign",  # an option of earlier
            "methods.0.method.mask: unknown key. Known here: lr, norm, warm_start, start, price",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(path, [override])
        assert caught.value.problems == (problem,)


def test_a_run_starts_warm_from_the_first_task_that_a_method_learns(tmp_path: Path) -> None:
    def problems(start: str) -> list[str]:
        return order_problems(read_config("demo/tiny", [f"methods.0.method.warm_start={start}"]))

    expected = "methods.0.method.warm_start: expected the first task that it learns, 'things', but got"
    assert problems("colour") == [f"{expected} 'colour'"]
    assert problems("scenes") == [f"{expected} 'scenes'"]
    assert problems("things") == problems("null") == []
    path = write(tmp_path, SMALL.replace("{kind: images, folder: photos}", "{kind: scenes, count: 2, size: 32}"))
    elsewhere = read_config(path, ["methods.0.method.warm_start=gogh"])
    check_paths(path, elsewhere, tmp_path, backbone=False)  # the bundle that tasks are added to may have it
    with pytest.raises(ConfigError, match="expected the first task that it learns, 'colour', but got 'gogh'"):
        check_paths(path, elsewhere, tmp_path)


def test_what_a_run_keeps_of_its_config_reads_back(tmp_path: Path) -> None:
    experiment = read_config(write(tmp_path, SMALL), ["methods.0.method.lr=5.0e-5"])
    kept = tmp_path / "config.json"
    kept.write_text(json.dumps(to_plain(experiment)))
    assert "5e-05" in kept.read_text(), "a number in JSON, text in YAML"
    assert read_config(str(kept)) == experiment
    kept.write_text("title: A run")
    with pytest.raises(ConfigError, match="is not JSON"):
        read_config(str(kept))


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
"""A few lines that stand for 2^40 words."""


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (SMALL + "".join(f"key{number}: 1\n" for number in range(5000)), 5000),
        (SMALL.replace("streets\n", "s" * 10**6 + "\n"), 1),
        (SMALL.replace("kind: colorization", "kind: " + "k" * 10**6), 1),
        (SMALL.replace("folder: photos", "folder: [" + "f, " * 10**4 + "]"), 1),
        (ALIASES + SMALL.replace("steps: 7", "steps: *a39"), 41),
        (ALIASES + SMALL.replace("{steps: 7}", "*a39"), 41),
    ],
    ids=["keys", "name", "kind", "list", "aliases", "aliases-section"],
)
def test_messages_about_a_large_config_are_short(text: str, mistakes: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    assert len(caught.value.problems) == mistakes
    assert len(str(caught.value)) < 30_000
    assert all(len(line) < 2200 for line in str(caught.value).splitlines())


def test_over_a_backbone_that_is_a_number_no_method_starts_from_trained_weights(tmp_path: Path) -> None:
    config = write(tmp_path, SMALL)
    with pytest.raises(ValueError, match="no method ewc with `stored: seed:7`: it starts from what the first task"):
        with_methods(read_config(config, ["backbone.stored=seed:7"]), ["ewc"])
    _, names = with_methods(read_config(config, ["backbone.stored=seed:7"]), ["all"])
    assert {"finetune", "ewc", "rehearsal"}.isdisjoint(names)
    assert {"piggyback", "quantized_delta", "scratch", "packnet"} <= set(names)
