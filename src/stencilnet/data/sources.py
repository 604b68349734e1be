"""Sources of examples, as described in a config file, and the hold-out split for validation."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stencilnet.data.classes import ClassFoldersSource
from stencilnet.data.folders import Examples, LabelForm, folder_rule, images, labelled, pairs, side_by_side
from stencilnet.data.official import CocoSource, VocSource
from stencilnet.pictures.labels import VOID
from stencilnet.scenes import SPACES, TRUTHS, Scenes
from stencilnet.text.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class ScenesSource:
    """Procedural scenes with their ground truth, drawn on demand, without files.

    Raises:
        ValueError: If a setting is out of range.
    """

    kind: Literal["scenes"] = "scenes"
    """Kind of the source."""
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
    """Ground truth of a picture: ``labels``, their ``boundaries`` (labels 0 and 1), or a target, ``depth`` or
    ``normals`` (see `stencilnet.scenes.Geometry`)."""

    def __post_init__(self) -> None:
        check_fields(
            ("count", self.count >= 1, f"to be at least 1, but got {self.count}"),
            ("first", self.first >= 0, f"to be at least 0, but got {self.first}"),
            ("seed", self.seed >= 0, f"to be at least 0, but got {self.seed}"),
            ("space", self.space in SPACES, f"to be one of {', '.join(SPACES)}, but got {self.space!r}"),
            ("truth", self.truth in TRUTHS, f"to be one of {', '.join(TRUTHS)}, but got {self.truth!r}"),
        )
        self._scenes()  # Scenes checks the size.

    def open(self, root: Path) -> Examples:  # noqa: ARG002 (all sources share this signature)
        """Return the scenes; `root` is not used."""
        scenes = self._scenes()
        return Examples(names=scenes.names, read=scenes.__getitem__)

    def _scenes(self) -> Scenes:
        return Scenes(
            count=self.count, size=self.size, seed=self.seed, first=self.first, space=self.space, truth=self.truth
        )


@dataclass(frozen=True, kw_only=True)
class ImagesSource:
    """The images of a folder and its subfolders.

    Raises:
        ValueError: If `folder` is empty.
    """

    kind: Literal["images"] = "images"
    """Kind of the source."""
    folder: str
    """The folder, absolute or relative to the data root."""

    def __post_init__(self) -> None:
        check_fields(folder_rule("folder", self.folder))

    def open(self, root: Path) -> Examples:
        """List the images; see `stencilnet.data.folders.images` for errors."""
        return images(root / self.folder)


@dataclass(frozen=True, kw_only=True)
class LabelledSource:
    """Images and label maps in two folders, matched by path without suffix.

    Raises:
        ValueError: If a setting is out of range, or two settings contradict each other.
    """

    kind: Literal["labelled"] = "labelled"
    """Kind of the source."""
    images: str
    """The folder of the images, absolute or relative to the data root."""
    labels: str
    """The folder of the label maps (gray or palette PNG, one class index per pixel), absolute or relative to the data
    root."""
    void: tuple[int, ...] = ()
    """Label values that count as void, besides 255."""
    threshold: int | None = None
    """For two classes: if set, labels are gray maps, and class 1 is where the value (0-255) is at least this, class 0
    elsewhere. Use 128 for masks of 0 and 255, whose 255 would count as void otherwise."""
    widen: int = 0
    """Number of pixels by which class 1 of a thresholded map is dilated, including diagonals."""

    def __post_init__(self) -> None:
        gray = self.threshold is not None
        check_fields(
            folder_rule("images", self.images),
            folder_rule("labels", self.labels),
            ("void", all(0 <= v <= VOID for v in self.void), f"to hold label values in 0-255, but got {self.void}"),
            (
                "threshold",
                self.threshold is None or 1 <= self.threshold <= 255,
                f"to lie in 1-255, but got {self.threshold}",
            ),
            ("widen", self.widen >= 0, f"to be at least 0, but got {self.widen}"),
            ("widen", gray or self.widen == 0, "to come with `threshold`: only a thresholded map has a foreground"),
            ("", not (gray and self.void), "`void` or `threshold`, but got both: a gray map holds no class indices"),
        )

    def open(self, root: Path) -> Examples:
        """List images and labels; see `stencilnet.data.folders.labelled` for errors."""
        form = LabelForm(void=self.void, threshold=self.threshold, widen=self.widen)
        return labelled(root / self.images, root / self.labels, form)


@dataclass(frozen=True, kw_only=True)
class PairsSource:
    """Input and target images in two folders, matched by path without suffix.

    Raises:
        ValueError: If `inputs` or `targets` is empty.
    """

    kind: Literal["pairs"] = "pairs"
    """Kind of the source."""
    inputs: str
    """The folder of the inputs, absolute or relative to the data root."""
    targets: str
    """The folder of the targets, absolute or relative to the data root."""

    def __post_init__(self) -> None:
        check_fields(folder_rule("inputs", self.inputs), folder_rule("targets", self.targets))

    def open(self, root: Path) -> Examples:
        """List the pairs; see `stencilnet.data.folders.pairs` for errors."""
        return pairs(root / self.inputs, root / self.targets)


@dataclass(frozen=True, kw_only=True)
class SideBySideSource:
    """Images that contain input and target side by side (Isola et al. 2017, pix2pix).

    Raises:
        ValueError: If `folder` is empty, or `input` is neither left nor right.
    """

    kind: Literal["side_by_side"] = "side_by_side"
    """Kind of the source."""
    folder: str
    """The folder, absolute or relative to the data root."""
    input: Literal["left", "right"] = "left"
    """Half that is the input; the other half is the target."""

    def __post_init__(self) -> None:
        check_fields(
            folder_rule("folder", self.folder),
            ("input", self.input in ("left", "right"), f"to be 'left' or 'right', but got {self.input!r}"),
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
"""Any source; `kind` tells them apart."""


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """Training examples that are held out for validation: the last ones of each group, sorted by name.

    Neighbouring frames of a video are similar, so a random choice would leak; the end of each sequence hardly leaks.
    For CamVid's file names (``0016E5_00390.jpg``) the group ``^[^_]+`` is the sequence.

    Raises:
        ValueError: If the share or the pattern is invalid.
    """

    share: float = 0.15
    """Share of each group to hold out, between 0 and 1; the number is rounded, and at least one."""
    group: str = ""
    """Regular expression whose match in a file's path is the name of its group. If empty, all files are one group.

    For class folders, a config makes each class a group if this is empty."""

    def __post_init__(self) -> None:
        check_fields(
            ("share", 0 < self.share < 1, f"to lie between 0 and 1, but got {self.share}"),
            ("group", _compiles(self.group), f"to be a regular expression, but got {self.group!r}"),
        )


def split_names(names: Sequence[str], hold_out: HoldOut) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the indices of the training examples and of those held out, both ascending.

    Raises:
        ValueError: If a name has no group, or no training examples would remain.
    """
    found = [re.search(hold_out.group, name) for name in names]
    strays = [name for name, match in zip(names, found, strict=True) if match is None]
    if strays:
        raise ValueError(
            f"Expected `group` {hold_out.group!r} to match every file name, but {len(strays)} of {len(names)} do not "
            f"match, such as {strays[0]!r}. Correct the pattern, or leave it empty for one group."
        )
    groups: dict[str, list[int]] = {}
    for index, match in enumerate(found):
        groups.setdefault(match.group() if match else "", []).append(index)
    held = {index for group in groups.values() for index in _last(group, names, hold_out.share)}
    if len(held) == len(names):
        raise ValueError(
            f"Expected some examples to remain for training, but all {len(names)} would be held out: they form "
            f"{len(groups)} groups by `group` {hold_out.group!r}. Add examples, or use a pattern with larger groups."
        )
    return tuple(i for i in range(len(names)) if i not in held), tuple(sorted(held))


def split(examples: Examples, hold_out: HoldOut) -> tuple[Examples, Examples]:
    """Return the training examples and those held out; nothing is read.

    Raises:
        ValueError: As in `split_names`.
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


def spread(count: int, total: int) -> list[int]:
    """Return the indices of `count` examples spread evenly over `total`."""
    return [position * total // count for position in range(min(count, total))] if count else []
