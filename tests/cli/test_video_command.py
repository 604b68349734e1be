"""`stencil run` on a video: a label map's colours, what is refused, and Ctrl-C."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stencilnet.runtime import Engine

from ..command_line import Stencil

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden" / "v1"
COUNT = 4


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    import av

    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "clip.mp4"), "w") as out:
        video: Any = out.add_stream("h264", rate=8, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(COUNT):
            out.mux(video.encode(av.VideoFrame.from_image(Image.fromarray(noise).resize((64, 48)))))
        out.mux(video.encode(None))
    return tmp_path / "clip.mp4"


def frames(path: Path) -> list[Image.Image]:
    import av

    with av.open(str(path)) as opened:
        return [frame.to_image() for frame in opened.decode(video=0)]


def test_every_frame_is_run_and_label_maps_have_their_colours(stencil: Stencil, clip: Path, tmp_path: Path) -> None:
    for task in ("clean", "shapes"):
        target = tmp_path / "new" / f"{task}.mp4"
        done = stencil("run", GOLDEN, task, clip, "-o", target)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{target}\n", "")
        found, engine = frames(target), Engine(GOLDEN)
        assert len(found) == COUNT
        for shown, given in zip(found, frames(clip), strict=True):
            expected = engine.run(given, task).convert("RGB")
            off = np.abs(np.asarray(shown).astype(int) - np.asarray(expected)).mean(axis=-1)
            assert np.median(off) < 8  # colours are stored at half the size
    assert stencil("run", GOLDEN, "clean", clip, "-o", tmp_path / "fast.mkv", "--fps", "30000/1001").returncode == 0
    assert len(frames(tmp_path / "fast.mkv")) == round(COUNT / 8 * 30)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{clip}", "-o", "{here}/out.png"), "Expected -o to be a file named .mp4, .m4v, .mov, .mkv, .webm, but got"),
        (("{clip}", "-o", "{here}"), "Expected -o to be a file named"),
        (("{clip}", "-o", "{clip}"), "Expected -o to be another file than the input"),
        (("{clip}", "{clip}", "-o", "{here}/out.mp4"), "Expected one video as INPUTS, but got 2 files. Run it alone."),
        (("{clip}", "-o", "{here}/out.mp4", "--bits", "16", "--resume"), "--bits 16 and --resume: for pictures alone"),
        (("{clip}", "-o", "{here}/out.mp4", "--fps", "0"), "expected a number above 0 and at most 1000, but got '0'"),
        (("{here}/a.png", "-o", "{here}/out.png", "--fps", "9"), "--fps is for videos, but INPUTS hold none."),
        (("{here}/a.png", "-o", "{here}/out.mp4"), "out.mp4 is for videos, but INPUTS hold none."),
    ],
)
def test_what_does_not_go_with_a_video_is_a_usage_error(
    stencil: Stencil, clip: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    before = clip.read_bytes()
    done = stencil("run", GOLDEN, "clean", *(word.format(clip=clip, here=tmp_path) for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert [*tmp_path.iterdir()] == [clip]
    assert clip.read_bytes() == before


def test_ctrl_c_ends_it_without_an_output(
    stencil: Stencil, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ran = Engine.run, []

    def interrupted(*words: Any, **options: Any) -> Image.Image:
        ran.append(1)
        if len(ran) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return run(*words, **options)

    monkeypatch.setattr(Engine, "run", interrupted)
    done = stencil("run", GOLDEN, "clean", clip, "-o", tmp_path / "out.mp4")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"stencil: interrupted; {tmp_path / 'out.mp4'} was not written\n"
    assert len(ran) == 2
    assert [*tmp_path.iterdir()] == [clip]


def test_what_a_task_cannot_do_is_one_line(stencil: Stencil, clip: Path, tmp_path: Path) -> None:
    done = stencil("run", GOLDEN, "clean", clip, "-o", tmp_path / "out.mp4", "--scale", "0.5")
    assert done.returncode == 1
    assert "restoration tasks always run at the picture's own size" in done.stderr
