"""Where examples come from, as a config file spells it out, and which of them are held out for validation."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stencilnet.data.classes import ClassFoldersSource
from stencilnet.data.folders import Examples, LabelForm, images, labelled, pairs, side_by_side
from stencilnet.data.official import CocoSource, VocSource
from stencilnet.scenes import SPACES, TRUTHS, Scenes
from stencilnet.tasks.task import VOID


@dataclass(frozen=True, kw_only=True)
class ScenesSource:
    """Procedural scenes with what is true of them, drawn on demand; no files.

    Raises:
        ValueError: If a setting is out of range.
    """

    kind: Literal["scenes"] = "scenes"
    """Which kind of source this is."""
    count: int
    """Number of scenes."""
    size: int
    """Height and width in pixels."""
    seed: int = 0
    """Seed of all scenes."""
    first: int = 0
    """Number of the first scene; give training and test scenes ranges that do not overlap."""
    space: str = "fine"
    """Label space, a key of `stencilnet.scenes.SPACES`."""
    truth: str = "labels"
    """What comes with a picture: ``labels``, their ``boundaries`` (labels 0 and 1), or a target, ``depth`` or
    ``normals`` (see `stencilnet.scenes.Geometry`)."""

    def __post_init__(self) -> None:
        _check(
            (self.count >= 1, f"`count` to be at least 1, but got {self.count}"),
            (self.first >= 0, f"`first` to be at least 0, but got {self.first}"),
            (self.seed >= 0, f"`seed` to be at least 0, but got {self.seed}"),
            (self.space in SPACES, f"`space` to be one of {', '.join(SPACES)}, but got {self.space!r}"),
            (self.truth in TRUTHS, f"`truth` to be one of {', '.join(TRUTHS)}, but got {self.truth!r}"),
        )
        self._scenes()  # Scenes check their size themselves.

    def open(self, root: Path) -> Examples:  # noqa: ARG002 (every source is opened alike)
        """Return the scenes; `root` plays no part."""
        scenes = self._scenes()
        return Examples(names=scenes.names, read=scenes.__getitem__)

    def _scenes(self) -> Scenes:
        return Scenes(
            count=self.count, size=self.size, seed=self.seed, first=self.first, space=self.space, truth=self.truth
        )


@dataclass(frozen=True, kw_only=True)
class ImagesSource:
    """The images of a folder and of the folders in it.

    Raises:
        ValueError: If no folder is named.
    """

    kind: Literal["images"] = "images"
    """Which kind of source this is."""
    folder: str
    """The folder, absolute or under the data root."""

    def __post_init__(self) -> None:
        _check(_named("folder", self.folder))

    def open(self, root: Path) -> Examples:
        """List the images; see `stencilnet.data.folders.images` for errors."""
        return images(root / self.folder)


@dataclass(frozen=True, kw_only=True)
class LabelledSource:
    """Images and label maps in two folders, matched by path without suffix.

    Raises:
        ValueError: If a setting is out of range, or two contradict.
    """

    kind: Literal["labelled"] = "labelled"
    """Which kind of source this is."""
    images: str
    """The folder of the images, absolute or under the data root."""
    labels: str
    """The folder of the label maps (gray or palette PNG, one class index a pixel), absolute or under the data root."""
    void: tuple[int, ...] = ()
    """Label values that count as void, as 255 always does."""
    threshold: int | None = None
    """For two classes: if given, labels are gray maps, and class 1 is where the value (0-255) is at least this, class 0
    elsewhere. 128 for masks of 0 and 255, of which the 255 would count as void."""
    widen: int = 0
    """By how many pixels class 1 of a thresholded map is widened, diagonals included."""

    def __post_init__(self) -> None:
        gray = self.threshold is not None
        _check(
            _named("images", self.images),
            _named("labels", self.labels),
            (all(0 <= v <= VOID for v in self.void), f"`void` to hold label values in 0-255, but got {self.void}"),
            (
                self.threshold is None or 1 <= self.threshold <= 255,
                f"`threshold` to lie in 1-255, but got {self.threshold}",
            ),
            (self.widen >= 0, f"`widen` to be at least 0, but got {self.widen}"),
            (gray or self.widen == 0, "`widen` to come with `threshold`: only a thresholded map has a foreground"),
            (not (gray and self.void), "`void` or `threshold`, but got both: a gray map holds no class indices"),
        )

    def open(self, root: Path) -> Examples:
        """List images and labels; see `stencilnet.data.folders.labelled` for errors."""
        form = LabelForm(void=self.void, threshold=self.threshold, widen=self.widen)
        return labelled(root / self.images, root / self.labels, form)


@dataclass(frozen=True, kw_only=True)
class PairsSource:
    """Input and target images in two folders, matched by path without suffix.

    Raises:
        ValueError: If a folder is not named.
    """

    kind: Literal["pairs"] = "pairs"
    """Which kind of source this is."""
    inputs: str
    """The folder of the inputs, absolute or under the data root."""
    targets: str
    """The folder of the targets, absolute or under the data root."""

    def __post_init__(self) -> None:
        _check(_named("inputs", self.inputs), _named("targets", self.targets))

    def open(self, root: Path) -> Examples:
        """List the pairs; see `stencilnet.data.folders.pairs` for errors."""
        return pairs(root / self.inputs, root / self.targets)


@dataclass(frozen=True, kw_only=True)
class SideBySideSource:
    """Images that hold input and target side by side (Isola et al. 2017, pix2pix).

    Raises:
        ValueError: If no folder is named, or the side is neither left nor right.
    """

    kind: Literal["side_by_side"] = "side_by_side"
    """Which kind of source this is."""
    folder: str
    """The folder, absolute or under the data root."""
    input: Literal["left", "right"] = "left"
    """Which half is the input; the other half is the target."""

    def __post_init__(self) -> None:
        _check(
            _named("folder", self.folder),
            (self.input in ("left", "right"), f"`input` to be 'left' or 'right', but got {self.input!r}"),
        )

    def open(self, root: Path) -> Examples:
        """List the double images; see `stencilnet.data.folders.side_by_side` for errors."""
        return side_by_side(root / self.folder, self.input)


Source = (
    ScenesSource
    | ImagesSource
    | LabelledSource
    | PairsSource
    | SideBySideSource
    | ClassFoldersSource
    | CocoSource
    | VocSource
)
"""Any source; `kind` says which."""


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """Which training examples are kept from training, to select on: the last ones of each group, in order of name.

    Frames of a video resemble their neighbours, so a random choice would leak; the end of each sequence hardly does.
    For CamVid's file names (``0016E5_00390.jpg``) the group ``^[^_]+`` is the sequence.

    Raises:
        ValueError: If the share or the pattern is not valid.
    """

    share: float = 0.15
    """Share of each group, between 0 and 1; rounded, and at least one example."""
    group: str = ""
    """Regular expression that finds, in the file's path, the name of its group; empty: all are one group.

    For class folders, a config makes each class a group where this is empty."""

    def __post_init__(self) -> None:
        _check(
            (0 < self.share < 1, f"`share` to lie between 0 and 1, but got {self.share}"),
            (_compiles(self.group), f"`group` to be a regular expression, but got {self.group!r}"),
        )


def split_names(names: Sequence[str], hold_out: HoldOut) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the indices of the names to train on and of those held out, both ascending.

    Raises:
        ValueError: If a name has no group, or nothing would be left to train on.
    """
    found = [re.search(hold_out.group, name) for name in names]
    strays = [name for name, match in zip(names, found, strict=True) if match is None]
    if strays:
        raise ValueError(
            f"Expected `group` {hold_out.group!r} to match every file name, but {len(strays)} of {len(names)} do not "
            f"match, {strays[0]!r} first. Correct the pattern, or leave it empty for one group."
        )
    groups: dict[str, list[int]] = {}
    for index, match in enumerate(found):
        groups.setdefault(match.group() if match else "", []).append(index)
    held = {index for group in groups.values() for index in _last(group, names, hold_out.share)}
    if len(held) == len(names):
        raise ValueError(
            f"Expected examples to train on beside those held out, but all {len(names)} would be: they form "
            f"{len(groups)} groups by `group` {hold_out.group!r}. Add examples, or give a pattern of larger groups."
        )
    return tuple(i for i in range(len(names)) if i not in held), tuple(sorted(held))


def split(examples: Examples, hold_out: HoldOut) -> tuple[Examples, Examples]:
    """Return the examples to train on and those held out; nothing is read.

    Raises:
        ValueError: As `split_names`.
    """
    kept, held = split_names(examples.names, hold_out)
    return examples.take(kept), examples.take(held)


def _last(group: list[int], names: Sequence[str], share: float) -> list[int]:
    count = max(1, math.floor(share * len(group) + 0.5))
    return sorted(group, key=lambda index: names[index])[-count:]


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _named(field: str, folder: str) -> tuple[bool, str]:
    return bool(folder), f"`{field}` to name a folder ('.' is the data root itself), but got an empty string"


def _check(*rules: tuple[bool, str]) -> None:
    """Raise one error that names every broken rule."""
    broken = [expected for holds, expected in rules if not holds]
    if broken:
        raise ValueError("Expected " + "; ".join(broken) + ".")


def spread(count: int, total: int) -> list[int]:
    """Return the positions of `count` examples spread evenly over `total`."""
    return [position * total // count for position in range(min(count, total))] if count else []
