"""The scale that a task was learned at, and the way back to the picture's size; opacity, profile and metadata."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image

from stencilnet.bundle import TaskRecord
from stencilnet.data.folders import images
from stencilnet.data.samples import EvaluationSamples
from stencilnet.data.transforms import View
from stencilnet.delta import Replace, TaskDelta
from stencilnet.kinds.catalog import kind_from_record, traits_of
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.pictures.colours import srgb_profile
from stencilnet.runtime import Engine, TooLargeError, answering
from stencilnet.runtime.answering import Form, prepare
from stencilnet.runtime.files import run_files
from stencilnet.tasks.catalog import task_kinds

SIDE = 32
SIZE = 96, 64
SMALL = 48, 32
SWAPPED = srgb_profile().replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")
"""A profile whose red is the green of sRGB, and the reverse."""
LABELS = {"classes": ["a", "b", "c"]}
RECORDS = {
    "shapes": TaskRecord(kind="segmentation", channels=3, method="piggyback", settings=LABELS),
    "colour": TaskRecord(kind="colorization", channels=2, method="piggyback"),
    "far": TaskRecord(kind="depth", channels=1, method="piggyback"),
    "facing": TaskRecord(kind="normals", channels=3, method="piggyback"),
    "style": TaskRecord(kind="style", channels=3, method="piggyback", settings={"style": "painted:bands"}),
    "paint": TaskRecord(kind="edges2photo", channels=3, method="piggyback"),
    "clean": TaskRecord(kind="restoration", channels=3, method="piggyback"),
}
LEARNED = {name: replace(record, recipe={"view": {"crop": 16, "resize": SIDE}}) for name, record in RECORDS.items()}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine]:
    """The same tasks, learned at `SIDE` and at the stored size."""
    torch.manual_seed(1)
    net = MultiTaskNet(UNet(width=4, channels=1))
    state, generator = net.state, torch.Generator().manual_seed(0)
    for name, record in RECORDS.items():
        head = net.fresh_head(record.channels, generator)
        state = state.add(name, TaskDelta({key: Replace(array_of(tensor)) for key, tensor in head.items()}))
    folder = tmp_path_factory.mktemp("bundles")
    save(net.with_state(state, LEARNED), folder / "learned")
    save(net.with_state(state, RECORDS), folder / "stored")
    return Engine(folder / "learned"), Engine(folder / "stored")


@pytest.fixture(scope="module")
def learned(engines: tuple[Engine, Engine]) -> Engine:
    return engines[0]


def photo(size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, len(mode)), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def raw(engine: Engine, task: str) -> torch.Tensor:
    """The output for the photo at the scale of training, resized to the photo by PyTorch."""
    given = kind_from_record(RECORDS[task].kind, RECORDS[task].settings).to_input(
        photo().resize(SMALL, Image.Resampling.BILINEAR)
    )
    output = torch.from_numpy(engine.forward(given, task))
    return F.interpolate(output[None], size=SIZE[::-1], mode="bilinear", align_corners=False)[0]


def levels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(float)


def test_classes_are_decided_at_the_size_of_the_photo(learned: Engine) -> None:
    found = learned.run(photo(), "shapes")
    assert (found.mode, found.size) == ("P", SIZE)
    assert found.getpalette()[3:6] == [128, 0, 0]
    equal = np.asarray(found) == raw(learned, "shapes").argmax(dim=0).numpy()
    assert equal.mean() > 0.999
    assert len(set(np.asarray(found).ravel().tolist())) > 1


def test_depth_and_normals_are_resized_as_values(learned: Engine) -> None:
    depth = raw(learned, "far").clamp(0, 1)[0].numpy()
    assert np.abs(levels(learned.run(photo(), "far"))[..., 0] / 255 - depth).max() < 0.003
    vectors = raw(learned, "facing")
    length = vectors.norm(dim=0)
    expected = torch.where(length >= 0.5, vectors / length.clamp(min=0.5), torch.zeros(1)).permute(1, 2, 0).numpy()
    off = np.abs(levels(learned.run(photo(), "facing")) / 255 * 2 - 1 - expected).max(axis=2)
    assert np.quantile(off, 0.99) < 0.01  # a vector of length 1/2 may fall on either side


def test_colour_is_resized_and_the_full_luma_kept(learned: Engine) -> None:
    found, weights = levels(learned.run(photo(), "colour")), [0.299, 0.587, 0.114]
    inside = ((found > 0) & (found < 255)).all(axis=2)
    assert inside.mean() > 0.2
    assert np.abs(found @ weights - levels(photo()) @ weights)[inside].max() <= 1
    blue = (found @ np.array([-0.168736, -0.331264, 0.5]))[inside]
    assert np.abs(blue - 128 * raw(learned, "colour")[0].numpy()[inside]).max() <= 1


@pytest.mark.parametrize("task", ["style", "paint"])
def test_styles_and_edges_resize_the_picture(learned: Engine, task: str) -> None:
    small = learned.run(photo().resize(SMALL, Image.Resampling.BILINEAR), task)
    assert small.size == SMALL
    expected = small.resize(SIZE, Image.Resampling.BICUBIC)
    assert learned.run(photo(), task).tobytes() == expected.tobytes()


def test_restoration_keeps_every_pixel(engines: tuple[Engine, Engine]) -> None:
    learned, stored = engines
    for scale in ("trained", "native", 1.0):
        assert learned.run(photo(), "clean", scale=scale).tobytes() == stored.run(photo(), "clean").tobytes()
    with pytest.raises(ValueError, match=r"since restoration tasks always run at the picture's own size, but got 0\.5"):
        learned.run(photo(), "clean", scale=0.5)


@pytest.mark.parametrize("task", RECORDS)
def test_native_is_the_photo_as_it_is(engines: tuple[Engine, Engine], task: str) -> None:
    learned, stored = engines
    expected = stored.run(photo(), task).tobytes()  # learned without `view.resize`: nothing to do
    assert learned.run(photo(), task, scale="native").tobytes() == expected
    assert learned.run_many([photo()], [task], scale="native")[0].tobytes() == expected
    at_side = photo(SMALL)
    assert learned.run(at_side, task).tobytes() == stored.run(at_side, task).tobytes()


@pytest.mark.parametrize("task", ["shapes", "style"])
def test_a_factor_is_of_the_photo(engines: tuple[Engine, Engine], task: str) -> None:
    learned, stored = engines
    expected = learned.run(photo(), task).tobytes()  # SIDE is half of the photo's shorter side
    assert learned.run(photo(), task, scale=0.5).tobytes() == expected
    assert stored.run(photo(), task, scale=0.5).tobytes() == expected
    assert stored.run(photo(), task, scale=1).tobytes() == stored.run(photo(), task).tobytes()


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "half"])
def test_other_scales_are_refused(learned: Engine, scale: float) -> None:
    with pytest.raises(ValueError, match="Expected `scale` to be trained, native or a factor above 0, but got"):
        learned.run(photo(), "shapes", scale=scale)
    with pytest.raises(ValueError, match="Expected `scale`"):
        learned.run_many([photo()], ["shapes"], scale=scale)


def test_a_scale_beyond_all_memory_is_one_error(learned: Engine) -> None:
    expected = r"^The picture would have 96000000x64000000 pixels for the network .* Choose a smaller scale"
    with pytest.raises(TooLargeError, match=expected):
        learned.run(photo(), "shapes", scale=1e6)


@pytest.mark.parametrize("task", ["shapes", "colour", "far", "facing"])
def test_bands_are_seamless(learned: Engine, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learned.run(photo(), task)
    monkeypatch.setattr(answering, "_BAND", 7 * SIZE[0] * RECORDS[task].channels)
    banded = learned.run(photo(), task)
    assert (banded.mode, banded.getpalette()) == (whole.mode, whole.getpalette())
    off = np.abs(levels(banded) - levels(whole))
    assert (off > 1).mean() < 0.002
    assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("size", [SMALL, SIZE, (20, 24)])
@pytest.mark.parametrize("name", RECORDS)
def test_evaluation_and_run_agree(learned: Engine, tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    file = tmp_path / "a.png"
    photo(size).save(file)
    kind, scaling = kind_from_record(RECORDS[name].kind, RECORDS[name].settings), traits_of(RECORDS[name].kind).scaling
    task = task_kinds()[kind.kind](**RECORDS[name].settings)
    (example,) = images(tmp_path)
    example = replace(
        example,
        label=torch.zeros(size[::-1], dtype=torch.uint8) if name == "shapes" else None,
        target=example.image[:1].expand(3, -1, -1) if name in ("far", "facing", "clean") else None,
    )
    view = View(crop=16, resize=None if scaling == "native" else SIDE)
    tested = task.prepare(EvaluationSamples([example], view, task, whole=True)[0])["input"].numpy()
    given = prepare(kind, file, learned.sizing(name, "trained"))
    assert given.input.shape == tested.shape
    assert given.resized == (scaling != "native" and size != SMALL)
    off = np.abs(given.input - tested)  # Pillow and PyTorch round some resized bytes otherwise, which may move an edge
    assert (off > 1 / 255 + 1e-6).mean() <= (0.02 if name == "paint" else 0)

    measured, found = learned.forward(tested, name), learned.run(file, name)
    if given.resized and scaling == "output":
        enlarged = F.interpolate(torch.from_numpy(measured)[None], size=size[::-1], mode="bilinear", antialias=True)
        expected = kind.to_image(enlarged[0].numpy(), kind.to_input(photo(size)))
    else:
        expected = kind.to_image(measured, tested).resize(size, Image.Resampling.BICUBIC)
    assert (found.mode, found.size) == (expected.mode, size)
    if name == "shapes":
        assert (levels(found) == levels(expected)).mean() >= (0.98 if given.resized else 1)
    else:
        differences = np.abs(levels(found) - levels(expected))
        assert np.quantile(differences, 0.98) <= (1 if given.resized else 0)


def test_gray_maps_have_16_bits_on_request(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    learned, stored = engines
    depth = raw(learned, "far").clamp(0, 1)[0].numpy()
    found = learned.run(photo(mode="RGBA"), "far", bits=16)
    assert (found.mode, found.size) == ("I;16", SIZE)
    assert np.abs(levels(learned.run(photo(), "far", bits=16)) - 65535 * depth).max() <= 200
    given = kind_from_record("depth", {}).to_input(photo())
    exact = 65535 * stored.forward(given, "far")[0].clip(0, 1)
    assert np.abs(levels(stored.run(photo(), "far", bits=16)) - exact).max() <= 0.51
    assert len(np.unique(exact.round())) > 256

    photo().save(tmp_path / "a.png")
    for suffix in (".png", ".tif", ".jp2", ".pgm"):
        target = tmp_path / f"out{suffix}"
        done = run_files(stored, "far", {tmp_path / "a.png": target}, drawing=False, form=Form(bits=16))
        assert list(done) == [(tmp_path / "a.png", None)]
        with Image.open(target) as written:
            assert written.mode in {"I;16", "I"}
            assert np.abs(levels(written) - exact).max() <= 0.51


def test_opacity_is_kept(learned: Engine) -> None:
    given = photo(mode="RGBA")
    for task in RECORDS:
        found = learned.run(given, task)
        if task == "shapes":
            assert found.mode == "P"
            assert "icc_profile" not in found.info
            continue
        assert (found.mode, found.size) == ("RGBA", SIZE)
        assert found.getchannel("A").tobytes() == given.getchannel("A").tobytes()
        assert found.info["icc_profile"] == srgb_profile()


def test_the_profile_of_the_photo_comes_back_on_request(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    given, file, target = photo(mode="RGBA"), tmp_path / "a.png", tmp_path / "out.png"
    given.save(file, icc_profile=SWAPPED)
    for engine, task in ((engines[0], "style"), (engines[1], "far")):
        plain, found = engine.run(file, task), engine.run(file, task, profile="original")
        assert plain.info["icc_profile"] == srgb_profile()
        assert found.info["icc_profile"] == SWAPPED
        assert found.getchannel("A").tobytes() == given.getchannel("A").tobytes()
        assert np.abs(levels(found)[..., [1, 0, 2]] - levels(plain)[..., :3]).max() <= 2
        assert (levels(found) != levels(plain)).any() == (task == "style")  # gray is the same in both
        done = run_files(engine, task, {file: target}, drawing=False, form=Form(profile="original"))
        assert list(done) == [(file, None)]
        with Image.open(target) as written:
            assert (written.info["icc_profile"], written.tobytes()) == (SWAPPED, found.tobytes())
    assert "icc_profile" not in engines[0].run(file, "shapes", profile="original").info
    with pytest.raises(ValueError, match="Expected `profile` to be srgb or original, but got 'p3'"):
        engines[0].run(file, "style", profile="p3")


def test_every_form_of_a_picture_runs(learned: Engine, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    data, expected = (tmp_path / "a.png").read_bytes(), learned.run(photo(), "style").tobytes()
    for source in (tmp_path / "a.png", data, io.BytesIO(data), np.asarray(photo())):
        assert learned.run(source, "style").tobytes() == expected


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".jpg"])
def test_files_carry_profile_opacity_and_what_may_be_kept(learned: Engine, tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist], exif[ExifTags.Base.Orientation] = "A. Nonymous", 3
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (35.0, 39.0, 0.0)
    source, target = tmp_path / "a.png", tmp_path / f"out{suffix}"
    photo(mode="RGBA").save(source, exif=exif)
    for metadata in (False, True):
        results = run_files(learned, "far", {source: target}, drawing=False, metadata=metadata)
        assert list(results) == [(source, None)]
        with Image.open(target) as written:
            assert written.info["icc_profile"] == srgb_profile()
            assert (written.mode, written.size) == ("RGB" if suffix == ".jpg" else "RGBA", SIZE)
            found = written.getexif()
            assert found.get(ExifTags.Base.Artist) == ("A. Nonymous" if metadata else None)
            assert ExifTags.Base.Orientation not in found
            assert not found.get_ifd(ExifTags.IFD.GPSInfo)
            corner = written.getpixel((0, 0))
    expected = learned.run(source, "far").getpixel((0, 0))
    over = [round(c * expected[3] / 255 + 255 - expected[3]) for c in expected[:3]] if suffix == ".jpg" else expected
    assert np.abs(np.subtract(corner, over)).max() <= (0 if suffix in {".png", ".tif"} else 12)
