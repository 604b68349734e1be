"""Figures of what masks share."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from stencilnet.analysis.drawing import MUTED, to_svg
from stencilnet.analysis.masks import Overlap, Similarity, similarity, total
from stencilnet.analysis.sharing import blend_figure, kappa_layers_figure
from stencilnet.delta import BitMask, Select

SHAPES = {"conv1.weight": (40, 50), "conv2.weight": (3, 5), "up.weight": (60, 70)}


def found() -> Similarity:
    """Three masks: of the first two, half the bits are one and the same draw; the third is unrelated."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> dict[str, torch.Tensor]:
        return {key: torch.rand(shape, generator=generator) for key, shape in SHAPES.items()}

    base, chosen = draw(), [draw(), draw()]
    alike = [
        {key: torch.where(own < 0.7, base[key], draw()[key]) > 0.5 for key, own in choice.items()} for choice in chosen
    ]
    other = {key: values > 0.5 for key, values in draw().items()}
    masks = dict(zip(("blue", "red", "blue-2"), [alike[0], other, alike[1]], strict=True))
    packed = {
        name: {key: Select(BitMask.pack(bits)).weight_codes for key, bits in own.items()} for name, own in masks.items()
    }
    return similarity("first", packed)


def binary(weights: int, first: int, second: int, both: int) -> Overlap:
    """Two masks by their ones."""
    equal = weights - first - second + 2 * both
    return Overlap(first={0: weights - first, 1: first}, second={0: weights - second, 1: second}, equal=equal)


def cells(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_each_pair_has_its_layers_and_they_add_up() -> None:
    alike = found()
    assert list(alike.layers) == [("blue", "red"), ("blue", "blue-2"), ("red", "blue-2")]
    for pair, counts in alike.layers.items():
        assert list(counts) == list(SHAPES)
        assert total(counts).kappa == alike.kappa[pair]


@pytest.mark.parametrize(("weights", "first", "second"), [(2000, 1000, 1000), (300, 30, 200), (50, 45, 40)])
def test_what_chance_gives_is_what_drawing_gives(weights: int, first: int, second: int) -> None:
    generator = np.random.default_rng(0)
    one = np.arange(weights) < first
    kappas = []
    for _ in range(3000):
        other = generator.permutation(weights) < second
        kappas.append(binary(weights, first, second, int((one & other).sum())).kappa)
    by_chance = binary(weights, first, second, first * second // weights).kappa_by_chance
    assert by_chance == pytest.approx(np.std(kappas), rel=0.05)


def test_a_constant_mask_has_no_kappa_by_chance() -> None:
    assert binary(9, 9, 4, 4).kappa_by_chance == 0.0
    assert binary(1, 1, 1, 1).kappa_by_chance == 0.0


def test_ceilings_come_first_and_what_chance_gives_is_quiet() -> None:
    alike = found()
    figure = kappa_layers_figure(alike, [("blue", "blue-2")], ["up.weight"])
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["blue · blue-2 (ceiling)", "blue · red", "red · blue-2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv2", "up", "all"]
    numbers = [*alike.layers["blue", "blue-2"].values()]
    assert cells(figure)[:3] == [f"{count.kappa:.2f}".replace("0.", ".", 1).replace("-", "−") for count in numbers]
    assert {"encoder", "decoder"} <= set(cells(figure))
    colours = [text.get_color() for text in axes.texts[:12]]
    assert colours[0] != MUTED
    assert colours[3] != MUTED
    assert colours.count(MUTED) >= 5, "of unrelated masks"


def test_without_a_decoder_or_ceiling_nothing_is_marked() -> None:
    figure = kappa_layers_figure(found(), (), ())
    assert len(cells(figure)) == 12
    assert len(figure.axes[0].lines) == 1
    assert to_svg(figure) == to_svg(kappa_layers_figure(found(), (), ()))


def test_a_blend_has_a_line_a_task_and_names_its_ends() -> None:
    figure = blend_figure([0.0, 0.5, 1.0], {"swirls": [1.0, 2.0, 3.0], "bands": [3.0, 2.5, 1.0]}, "style loss ↓")
    axes = figure.axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 2.0, 3.0], [3.0, 2.5, 1.0]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["swirls", ".50", "bands"]
    assert axes.get_ylim()[0] == 0
