"""Videos: a function on every frame, one at a time, with the sound copied. Needs PyAV, the extra `video`."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import av
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from stencilnet.storage import replacing

if TYPE_CHECKING:
    from av.packet import Packet

WRITTEN = MappingProxyType({".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"})
"""FFmpeg's names of the formats that are written, by suffix."""

_READ = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
"""FFmpeg's names of the formats that are read. Others, such as playlists, could make it open other files."""

_QUALITY = MappingProxyType({"h264": {"crf": "18"}, "vp9": {"crf": "24", "row-mt": "1", "cpu-used": "4"}})
"""Options of encoders, by codec: constant quality without visible loss."""

_SECOND = 1_000_000
"""FFmpeg's unit of a whole file's duration, in parts of a second."""


class VideoError(ValueError):
    """A video cannot be read or written; the message names the file, the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video's file, as its headers and its first frame describe it.

    Attributes:
        path: The file.
        stored: Width and height of stored frames, in pixels.
        turn: By how many degrees a stored frame is rotated counter-clockwise to be upright: 0, 90, 180 or 270.
        size: Width and height of upright frames, without the last column or row if they are odd, which encoders need.
        rate: Frames per second, a mean if they are not evenly spaced.
        seconds: The duration; None if the file does not say it.
    """

    path: Path
    stored: tuple[int, int]
    turn: int
    size: tuple[int, int]
    rate: Fraction
    seconds: Fraction | None

    def count(self, fps: Fraction | None = None) -> int | None:
        """Return about how many frames `convert` writes; None if that is unknown."""
        return None if self.seconds is None else max(1, round(self.seconds * (fps or self.rate)))


class _Frame(NamedTuple):
    """A frame, the time at which it is shown, in units of its stream and in seconds, and for how many seconds."""

    decoded: av.VideoFrame
    time: int
    start: Fraction
    seconds: Fraction


def look(path: Path) -> Video:
    """Read a video's headers and its first frame.

    Raises:
        VideoError: If it is not a video that can be read.
    """
    with _reading(path) as (source, stream):
        first = next(_frames(path, source, stream, lambda _: None), None)
        if first is None or min(first.decoded.width, first.decoded.height) < 2:
            raise VideoError(f"Cannot read {path}: it has no frame of at least 2x2 pixels. Copy or download it again.")
        stored = first.decoded.width, first.decoded.height
        turn = round(first.decoded.rotation / 90) * 90 % 360
        width, height = stored if turn % 180 == 0 else stored[::-1]
        duration = (stream.duration or 0) * _unit(stream) or Fraction(source.duration or 0, _SECOND)
        return Video(
            path=path,
            stored=stored,
            turn=turn,
            size=(width - width % 2, height - height % 2),
            rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            seconds=duration or None,
        )


def convert(
    video: Video, target: Path, change: Callable[[Image.Image], Image.Image], *, fps: Fraction | None = None
) -> Generator[None]:
    """Write a video whose frames are changed; its sound is copied as it is stored.

    However it ends, `target` is whole or as it was before. Memory holds a few frames at a time. Frames are encoded in
    H.264, in WebM in VP9, with the colours of BT.709. Subtitles and metadata are left out.

    Args:
        video: The video.
        target: The file to write, with a suffix in `WRITTEN`.
        change: Returns the picture for an upright frame (of mode RGB), both of `Video.size`.
        fps: Frames per second to write: at each time the last frame up to it, which is changed once. By default every
            frame is written at its own time.

    Yields:
        None after each frame that was written.

    Raises:
        VideoError: If a file cannot be read or written. Errors of `change` are passed on.
    """
    remedy = "Check the disk, or choose another -o, such as .mkv, which holds any sound"
    with (
        replacing(target, sync=False) as file,
        _reading(video.path) as (source, stream),
        av.open(file, "w", format=WRITTEN[target.suffix.lower()]) as output,
    ):
        with _worded(f"Cannot write {target}", remedy):
            encoder = _encoder(output, video, fps, unit := _unit(stream) if fps is None else 1 / fps)
            sounds = {sound.index: output.add_stream_from_template(sound) for sound in source.streams.audio}

        def copy(packet: "Packet[Any]") -> None:
            packet.stream = sounds[packet.stream.index]
            with _worded(f"Cannot write {target}", remedy):
                output.mux(packet)

        def write(frame: av.VideoFrame | None) -> None:
            with _worded(f"Cannot write {target}", remedy):
                output.mux(encoder.encode(frame))

        changed, last = None, None
        for time, frame in _spread(_frames(video.path, source, stream, copy), fps):
            if changed is None or frame is not last:
                changed, last = _encodable(change(_upright(frame, video))), frame
            changed.pts, changed.time_base = time, unit
            write(changed)
            yield
        write(None)
        with _worded(f"Cannot write {target}", remedy):
            output.close()


@contextmanager
def _reading(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    remedy = "Copy or download it again, or save it as MP4"
    with _worded(f"Cannot read {path}", remedy):
        file = path.open("rb")  # FFmpeg would take some names for addresses
    with file:
        with _worded(f"Cannot read {path}", remedy):
            source = av.open(file, "r", options={"format_whitelist": _READ})
        with source:
            stream = source.streams.best("video")
            if not isinstance(stream, av.VideoStream):
                raise VideoError(f"Cannot read {path}: it has no video that can be decoded. {remedy}.")
            yield source, stream


def _frames(
    path: Path, source: InputContainer, stream: av.VideoStream, sound: Callable[["Packet[Any]"], None]
) -> Iterator[_Frame]:
    """Yield the frames of a video in order, and pass the packets of its sound on, as they come between them."""
    packets, unit = source.demux([stream, *source.streams.audio]), _unit(stream)
    remedy = "Copy or download it again, or save it as MP4"
    while True:
        with _worded(f"Cannot read {path}", remedy):
            packet = next(packets, None)
            decoded = packet.decode() if packet is not None and packet.stream is stream else []
        if packet is None:
            return
        if packet.stream is not stream and packet.dts is not None:  # the last one is empty
            sound(packet)
        for frame in decoded:
            if not isinstance(frame, av.VideoFrame) or frame.pts is None:
                raise VideoError(f"Cannot read {path}: a frame has no time. {remedy}.")
            yield _Frame(frame, frame.pts, frame.pts * unit, (frame.duration or 0) * unit)


def _spread(frames: Iterable[_Frame], fps: Fraction | None) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the times to write and the frame of each: all frames at their own times, or as `convert` says of `fps`."""
    if fps is None:
        yield from ((frame.time, frame.decoded) for frame in frames)
        return
    held, time, end = None, Fraction(0), Fraction(0)
    for frame in frames:
        if held is None:
            time = frame.start
        while held is not None and time < frame.start:
            yield round(time * fps), held.decoded
            time += 1 / fps
        held, end = frame, frame.start + (frame.seconds or 1 / fps)
    while held is not None and time < end:
        yield round(time * fps), held.decoded
        time += 1 / fps


def _unit(stream: av.VideoStream) -> Fraction:
    """Return the unit of a stream's times, in seconds."""
    return stream.time_base or Fraction(1, _SECOND)


def _upright(frame: av.VideoFrame, video: Video) -> Image.Image:
    width, height = video.stored
    image: Image.Image = frame.to_image(width=width, height=height)  # type: ignore[no-untyped-call]  # sizes may change
    turned = image.rotate(video.turn, expand=True)
    return turned if turned.size == video.size else turned.crop((0, 0, *video.size))


def _encoder(output: OutputContainer, video: Video, fps: Fraction | None, unit: Fraction) -> av.VideoStream:
    codec = output.default_video_codec
    encoder = output.add_stream(codec, rate=fps or video.rate, options=dict(_QUALITY.get(codec, {})))
    assert isinstance(encoder, av.VideoStream), "the default codec of a video is one of videos"
    encoder.width, encoder.height = video.size
    encoder.pix_fmt = "yuv420p"
    encoder.bit_rate = 0  # by quality alone
    context = encoder.codec_context
    context.time_base = unit
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return encoder


def _encodable(image: Image.Image) -> av.VideoFrame:
    frame: av.VideoFrame = av.VideoFrame.from_image(image.convert("RGB"))  # type: ignore[no-untyped-call]
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


@contextmanager
def _worded(subject: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{subject}: {reason}. {remedy}.") from error
