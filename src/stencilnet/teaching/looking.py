"""Looks into the folders of a request: how many pictures of what size, how alike pairs are, which labels there are."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from statistics import median

import numpy as np

from stencilnet.cores import cores
from stencilnet.data.folders import Examples, FolderError, LabelForm, images, labelled, pairs
from stencilnet.data.sources import spread
from stencilnet.learning.counting import LIMIT, DataError
from stencilnet.learning.headers import header_problems
from stencilnet.pictures.images import ImageError, open_checked
from stencilnet.tasks.colorization import GRAY_SPREAD
from stencilnet.tasks.task import Example
from stencilnet.tasks.ycbcr import luma
from stencilnet.teaching.request import Labels, LessonForm, Pairs, Style, TeachError

LEAST = 4
"""Smallest number of pictures to learn from: one of them is held out."""

_SIZES = 500
"""Maximum number of pictures whose sizes are read."""
_PAIRS = 24
"""Maximum number of pairs that are compared."""
_SAME_LUMA = 3.0
"""Mean difference of luma, in levels, below which a gray picture is another one without its colours."""


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """What the folders of a request hold.

    Attributes:
        count: Number of pictures, or of pairs.
        shorter: Median of the pictures' shorter sides, in pixels.
        size: Width and height of a picture of this size.
        difference: For pairs: mean absolute difference of before and after, in levels (0-255).
        spread: For pairs: mean absolute difference of after and its own mean colour, in levels.
        gray: For pairs: whether the pictures before are those after without their colours.
        values: For labels: number of pixels by value.
    """

    count: int
    shorter: int
    size: tuple[int, int]
    difference: float = 0.0
    spread: float = 0.0
    gray: bool = False
    values: Mapping[int, int] = field(default_factory=dict)


def look(form: LessonForm) -> FolderFacts:
    """Look into the folders of a request.

    Raises:
        DataError: If a folder is missing or empty, names do not match, a file cannot be read or is no label map, or the
            two pictures of a pair differ in size.
        TeachError: If there are too few pictures, or pairs do not differ.
    """
    try:
        return _look(form)
    except (FolderError, ImageError) as error:
        raise DataError([str(error)]) from error


def _look(form: LessonForm) -> FolderFacts:
    examples = _open(form)
    if len(examples) < LEAST:
        what = "pairs" if isinstance(form, Pairs | Labels) else "pictures"
        raise TeachError(
            f"Expected at least {LEAST} {what} to learn from, one of which is held out to choose the best step, but "
            f"got {len(examples)}. Add {what}: some tens are a good start."
        )
    if problems := header_problems(examples):
        raise DataError(problems)
    if isinstance(form, Style):
        open_checked(form.painting).close()
    assert examples.origin is not None, "folders hold files"
    sizes = []
    for index in spread(_SIZES, len(examples)):
        with open_checked(examples.origin(index).files[0]) as opened:
            sizes.append(opened.size)
    sizes.sort(key=min)
    found = FolderFacts(count=len(examples), shorter=round(median(map(min, sizes))), size=sizes[len(sizes) // 2])
    if isinstance(form, Pairs):
        return _compared(found, examples, form)
    return _counted(found, examples) if isinstance(form, Labels) else found


def _open(form: LessonForm) -> Examples:
    if isinstance(form, Pairs):
        return pairs(form.before, form.after)
    if isinstance(form, Labels):
        return labelled(form.images, form.labels, LabelForm(threshold=form.threshold))
    return images(form.photos)


def _compared(found: FolderFacts, examples: Examples, form: Pairs) -> FolderFacts:
    seen = [_compare(examples[index]) for index in spread(_PAIRS, len(examples))]
    some = any(difference for difference, _, _ in seen)
    if not some and not any(_compare(examples[index])[0] for index in range(len(examples))):
        raise TeachError(
            f"Expected pictures in {form.after} that differ from those in {form.before}, but got the same pixels in "
            f"each of {len(examples)} pairs. There is nothing to learn: pass the folders before and after the change."
        )
    return replace(
        found,
        difference=float(np.mean([difference for difference, _, _ in seen])),
        spread=float(np.mean([spread for _, spread, _ in seen])),
        gray=all(gray for _, _, gray in seen),
    )


def _compare(pair: Example) -> tuple[float, float, bool]:
    """Return a pair's difference, the spread of its second picture, and whether the first is that without colours."""
    assert pair.target is not None, "a pair has both"
    before, after = pair.image.float(), pair.target.float()
    difference = float((before - after).abs().mean())
    spread = float((after - after.mean(dim=(1, 2), keepdim=True)).abs().mean())
    colourless = bool((before.amax(0) - before.amin(0)).max() <= GRAY_SPREAD)
    same = 255 * float((luma(before / 255) - luma(after / 255)).abs().mean()) < _SAME_LUMA
    return difference, spread, colourless and same and difference > _SAME_LUMA


def _counted(found: FolderFacts, examples: Examples) -> FolderFacts:
    truth = examples.truth
    assert truth is not None, "label files are read alone"

    def count(index: int) -> Counter[int]:
        label = truth(index).label
        assert label is not None, "it was read"
        counts = np.bincount(label.numpy().ravel(), minlength=256)
        return Counter({int(value): int(counts[value]) for value in np.flatnonzero(counts)})

    with ThreadPoolExecutor(cores()) as pool:  # decoding runs outside Python's lock
        counts = pool.map(count, spread(LIMIT, len(examples)))
        values = reduce(add, counts, Counter[int]())
    return replace(found, values=dict(sorted(values.items())))
