"""Videos: frames are changed at their own times, sound is copied byte by byte, and no half file is left."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from stencilnet.pictures.video import VideoError, convert, look

TIMES = (0, 100, 200, 350, 400, 900)
"""When the clip's frames are shown, in milliseconds."""
UNIT = Fraction(1, 1000)
RATE = 16_000


def picture(number: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture whose left half tells its number by its red."""
    image = Image.new("RGB", size, (40, 90, 200))
    image.paste((40 * number, 90, 60), (0, 0, size[0] // 2, size[1]))
    return image


def clip(path: Path, *, sound: bool = True, size: tuple[int, int] = (64, 48), form: str = "yuv420p") -> Path:
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream("h264", rate=10, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = *size, form
        video.codec_context.time_base = UNIT
        noise: Any = out.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for number, time in enumerate(TIMES):
            frame = av.VideoFrame.from_image(picture(number, size)).reformat(format=form)
            frame.pts, frame.time_base = time, UNIT
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound:
            samples = (8000 * np.sin(np.arange(RATE) / 20)).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
            heard.rate, heard.pts, heard.time_base = RATE, 0, Fraction(1, RATE)
            out.mux(noise.encode(heard))
            out.mux(noise.encode(None))
    return path


def frames_of(path: Path) -> tuple[list[float], list[Image.Image]]:
    """The times in seconds, from the first frame's on, and the pictures."""
    with av.open(str(path)) as opened:
        frames = list(opened.decode(video=0))
        return [frame.time - frames[0].time for frame in frames], [frame.to_image() for frame in frames]


def sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as opened:
        return [bytes(packet) for packet in opened.demux(audio=0) if packet.size]


def numbers(pictures: Sequence[Image.Image]) -> list[int]:
    return [round(image.getpixel((5, image.height // 2))[0] / 40) for image in pictures]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm"])
def test_frames_change_at_their_times_and_the_sound_is_copied(tmp_path: Path, name: str) -> None:
    source, target = clip(tmp_path / "in.mp4", sound=not name.endswith("webm")), tmp_path / name
    mirrored = lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # noqa: E731
    assert sum(1 for _ in convert(look(source), target, mirrored)) == len(TIMES)
    times, pictures = frames_of(target)
    assert times == pytest.approx([time / 1000 for time in TIMES], abs=0.002)
    for number, found in enumerate(pictures):
        off = np.abs(np.asarray(found).astype(int) - np.asarray(mirrored(picture(number))))
        assert np.delete(off, np.s_[28:36], axis=1).max() <= 12  # away from the edge, whose chroma has half the size
    if not name.endswith("webm"):
        assert sound_of(target) == sound_of(source)
        assert len(sound_of(source)) > 9


@pytest.mark.parametrize(("fps", "expected"), [(5, [0, 2, 4, 4, 4]), (20, [0, 0, 1, 1, 2, 2, 2, 3, *[4] * 10, 5, 5])])
def test_another_rate_shows_the_last_frame_at_each_time(tmp_path: Path, fps: int, expected: list[int]) -> None:
    source, target, seen = clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", []
    for _ in convert(look(source), target, lambda image: seen.append(image) or image, fps=Fraction(fps)):
        pass
    times, pictures = frames_of(target)
    assert numbers(pictures) == expected
    assert times == pytest.approx([number / fps for number in range(len(expected))], abs=0.002)
    assert numbers(seen) == sorted(set(expected))  # each frame that is shown is changed once
    assert sound_of(target) == sound_of(source)


def test_a_turned_video_is_changed_and_written_upright(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    plain = look(source)
    assert (plain.size, plain.turn) == ((64, 48), 0)
    data = source.read_bytes()
    place = data.index(b"tkhd") + 4 + 40  # the video's track comes first; its matrix (ISO 14496-12, 8.3.2)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)  # to the right
    source.write_bytes(data[:place] + quarter + data[place + 36 :])
    video, seen = look(source), []
    assert (video.size, video.turn) == ((48, 64), 270)
    for _ in convert(video, target, lambda image: seen.append(image) or image):
        pass
    right = picture(2).transpose(Image.Transpose.ROTATE_270)
    for found in (seen[2], frames_of(target)[1][2]):
        assert found.size == (48, 64)
        assert np.abs(np.asarray(found).astype(int) - np.asarray(right))[[5, 60]].max() <= 12
    assert look(target).turn == 0


def test_an_odd_size_loses_its_last_row_and_column(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", size=(65, 47), form="yuv444p")
    video = look(source)
    assert (video.stored, video.size) == ((65, 47), (64, 46))
    for _ in convert(video, tmp_path / "out.mp4", lambda image: image):
        pass
    assert frames_of(tmp_path / "out.mp4")[1][0].size == (64, 46)


def test_what_is_ended_early_leaves_what_was_there(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_text("old")
    seen: list[Image.Image] = []
    frames = convert(look(source), target, lambda image: seen.append(image) or image)
    next(frames)
    assert len(seen) == 1  # one at a time
    assert len(list(tmp_path.iterdir())) == 3
    frames.close()
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}

    def fail(image: Image.Image) -> Image.Image:
        raise ValueError("too dark")

    with pytest.raises(ValueError, match=r"^too dark$"):
        next(convert(look(source), target, fail))
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}
    assert target.read_text() == "old"


def test_what_cannot_be_read_or_written_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = clip(tmp_path / "in.mp4")
    (tmp_path / "no.mp4").write_text("no video")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile in.mp4\n")  # names another file
    with av.open(str(tmp_path / "heard.mp4"), "w") as out:
        out.add_stream("aac", rate=RATE, layout="mono")
        out.start_encoding()
    for name, reason in (
        ("no.mp4", "Invalid data found"),
        ("list.mp4", "Invalid argument"),
        ("heard.mp4", "it has no video"),
        ("none.mp4", "No such file or directory"),
    ):
        with pytest.raises(VideoError, match=rf"^Cannot read .*{name}: {reason}.*\. Copy or download it again"):
            look(tmp_path / name)
    with pytest.raises(VideoError, match=r"^Cannot write .*out\.webm: .*aac.* such as \.mkv, which holds any sound\."):
        next(convert(look(source), tmp_path / "out.webm", lambda image: image))
    assert not (tmp_path / "out.webm").exists()


def test_a_damaged_video_is_one_error(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv")
    data = bytearray(source.read_bytes())
    whole = sum(1 for _ in convert(look(source), tmp_path / "out.mkv", lambda image: image))
    assert whole == len(TIMES)
    with av.open(str(source)) as opened:
        packets = [bytes(packet) for packet in opened.demux(video=0) if packet.size]
    place = data.index(packets[2])
    data[place : place + len(packets[2])] = b"\xff" * len(packets[2])
    source.write_bytes(data)
    with pytest.raises(VideoError, match=r"^Cannot read .*in\.mkv: Invalid data found"):
        for _ in convert(look(source), tmp_path / "other.mkv", lambda image: image):
            pass
    assert not (tmp_path / "other.mkv").exists()
