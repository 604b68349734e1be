import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from stencilnet.evaluation.results import ResultError, Sizes, StageResult, read_result, write_result


@pytest.fixture
def result(build) -> StageResult:
    return build(
        "finetune",
        "colour",
        {"coco": (0.5,), "voc": (1.87,), "colour": (237.92, 0.9148)},
        parent="voc",
        digests={"coco": "ab", "voc": "cd", "colour": "ef"},
        validation=240.5,
        selected_step=900,
        seconds=61.5,
        sizes=Sizes(delta=520, shared=59_000_000, snapshot=59_000_520),
        zero_ratio=0.49,
        seed=3,
        commit="60a8ca1",
        hardware="2 cores",
        versions={"torch": "2.15.0"},
        date="2026-01-02T03:04:05+00:00",
        notes=("Perceptual network: VGG16.",),
    )


def test_what_is_written_is_read_back(result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "finetune" / "colour" / "result.json"
    write_result(path, result)
    assert read_result(path) == result
    assert [child.name for child in path.parent.iterdir()] == ["result.json"]


def test_the_file_is_plain_json_for_others(result: StageResult, tmp_path: Path) -> None:
    write_result(tmp_path / "r.json", result)
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["format"], record["version"]) == ("stencilnet-result", 1)
    assert record["metrics"]["colour"] == {"MSE": 237.92, "SSIM": 0.9148}
    assert record["sizes"] == {"delta": 520, "shared": 59_000_000, "snapshot": 59_000_520}
    assert record["card"]["metrics"][0] == {"name": "MSE", "higher_is_better": False, "note": "RGB, 0-255"}


def test_what_a_diverged_run_measured_survives_strict_json(build, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, build("piggyback", "colour", {"colour": (math.inf, math.nan)}, validation=-math.inf))
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = read_result(path)
    assert back.metrics["colour"]["MSE"] == math.inf
    assert math.isnan(back.metrics["colour"]["SSIM"])
    assert back.validation == -math.inf


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update({f"key {number}": 1 for number in range(50_000)}),
        lambda record: record.update(format="f" * 10**6),
        lambda record: record.update(method=["m"] * 10**5),
        lambda record: record.update(task="t" * 10**6),
        lambda record: record["metrics"].update({"k" * 10**6: 1}),
        lambda record: record["metrics"]["colour"].update({"k" * 10**6: "v" * 10**6}),
    ],
)
def test_messages_about_a_large_file_are_short(change, result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, result)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError) as caught:
        read_result(path)
    assert len(str(caught.value)) < 1200


def test_an_old_result_stays_whole_when_writing_fails(result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, result)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_result(path, replace(result, notes=(object(),)))  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_every_truncation_is_told(result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, result)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ResultError, match=r"r\.json is not whole JSON .*truncated or damaged. Delete it"):
            read_result(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"Expected a stage's result at .*none\.json, but there is no file"):
        read_result(tmp_path / "none.json")


def damaged(result: StageResult, path: Path, **changes: object) -> None:
    write_result(path, result)
    record = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in record.items() if value != "GONE"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "to be a stencilnet-result file, but its `format` is None"),
        ({"version": 2}, "to be of version 1, but got 2. Install a newer stencilnet"),
        ({"version": "1"}, "Expected `version` of .* to be a whole number, but got str '1'"),
        ({"seconds": "GONE"}, "Expected `seconds` of .* to be a number, but got nothing"),
        ({"seed": True}, "Expected `seed` of .* to be a whole number, but got bool True"),
        ({"moves_shared": 1}, "Expected `moves_shared` of .* to be true or false, but got int 1"),
        ({"metrics": {"colour": {"MSE": "low"}}}, r"Expected `metrics.colour.MSE` of .* to be a number, but got str"),
        ({"metrics": {"voc": {"mIoU": 1}}}, "is inconsistent: .*'colour' to hold MSE, SSIM, but MSE, SSIM is missing"),
        ({"metrics": []}, "Expected `metrics` of .* to be an object, but got list"),
        ({"sizes": {"delta": 1, "shared": 2}}, r"Expected `sizes.snapshot` of .* to be a whole number"),
        ({"notes": [1]}, r"Expected `notes\.0` of .* to be text, but got int 1"),
        ({"notes": "all"}, "Expected `notes` of .* to be a list, but got str 'all'"),
        ({"digests": "GONE"}, "Expected `digests` of .* to be an object, but got nothing"),
        ({"seconds": None}, "Expected `seconds` of .* to be a number, but got nothing"),
        ({"seconds": "soon"}, "Expected `seconds` of .* to be a number, but got str 'soon'"),
        ({"zero_ratio": 1.5}, r"`zero_ratio` to lie in \[0, 1\], but got 1.5"),
        ({"task": "voc"}, "is inconsistent: Expected the card of task 'voc', but got that of 'colour'"),
        ({"seconds": 10**400}, "is inconsistent: seconds: expected a number between .*, but got 1000"),
        ({"seed": 10**400}, "is inconsistent: seed: expected a number between .*, but got 1000"),
        ({"metrics": {"colour": {"MSE": -(10**400)}}}, "metrics.colour.MSE: expected a number between .* got -1000"),
        ({"colour": 1, "wall": 2}, "has unknown fields: colour, wall. A newer version may"),
    ],
)
def test_a_wrong_file_is_told(result: StageResult, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    damaged(result, tmp_path / "r.json", **changes)
    with pytest.raises(ResultError, match=message):
        read_result(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"stencilnet-result"'])
def test_json_that_is_no_object_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ResultError, match=r"Expected `the file` of .* to be an object"):
        read_result(tmp_path / "r.json")


@pytest.mark.parametrize("place", ["top", "notes"])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_json_that_is_nested_too_deeply_is_told(place: str, brackets: str, result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    deep = brackets[:-1] * 100_000 + "1" + brackets[-1] * 100_000
    if place == "notes":
        write_result(path, replace(result, notes=("DEEP",)))
        deep = path.read_text().replace('"DEEP"', deep)
    path.write_text(deep)
    with pytest.raises(ResultError, match=r"r\.json is not whole JSON \(it is nested too deeply\).*Delete it"):
        read_result(path)


def test_what_may_be_nothing_may_be_left_out(result: StageResult, tmp_path: Path) -> None:
    plain = replace(result, parent=None, validation=None, selected_step=None, zero_ratio=None)
    gone = dict.fromkeys(("parent", "validation", "selected_step", "zero_ratio", "stored", "multiply_adds"), "GONE")
    damaged(plain, tmp_path / "r.json", **gone)
    assert read_result(tmp_path / "r.json") == plain


def test_a_nested_mistake_is_named_by_its_place(result: StageResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, result)
    record = json.loads(path.read_text())
    record["card"]["metrics"][1]["higher_is_better"] = "yes"
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError, match=r"`card.metrics.1.higher_is_better` .* true or false, but got str 'yes'"):
        read_result(path)


def test_a_result_error_is_a_value_error() -> None:
    assert issubclass(ResultError, ValueError)
