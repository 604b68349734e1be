import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from stencilnet.analysis.curves import Curves
from stencilnet.analysis.drawing import CELL, DECODER, ENCODER, INK, MUTED, inline, to_svg
from stencilnet.analysis.masks import similarity, zero_ratio, zero_ratios
from stencilnet.analysis.plots import (
    forgetting_figure,
    kappa_figure,
    method_colours,
    relative_change,
    training_figure,
    zero_ratio_figure,
)
from stencilnet.analysis.sharing import kappa_layers_figure
from stencilnet.delta import WeightCodes
from stencilnet.evaluation.matrix import Comparison
from stencilnet.tasks.task import Metric

MIOU = Metric(name="mIoU", higher_is_better=True)
RATIOS = {"conv1_1.weight": 0.303, "conv5_1.weight": 0.05, "up6.weight": 0.61, "conv9_2.weight": 1.0}
UP = ("up6.weight", "conv9_2.weight")


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def bars() -> Figure:
    return zero_ratio_figure(RATIOS, 0.41, UP, "Task 2 · VOC")


def test_one_bar_a_layer_in_network_order_from_0_to_100_percent() -> None:
    axes = bars().axes[0]
    (container,) = (c for c in axes.containers if isinstance(c, BarContainer))
    assert [bar.get_height() for bar in container] == pytest.approx([30.3, 5.0, 61.0, 100.0])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1_1", "conv5_1", "up6", "conv9_2"]
    assert axes.get_ylim() == (0, 100)
    assert axes.get_title(loc="left") == "Task 2 · VOC"


def test_encoder_and_decoder_are_told_apart_by_colour_and_by_word() -> None:
    axes = bars().axes[0]
    (container,) = (c for c in axes.containers if isinstance(c, BarContainer))
    colours = [bar.get_facecolor()[:3] for bar in container]
    assert colours == [to_rgb(ENCODER)] * 2 + [to_rgb(DECODER)] * 2
    starts = {t.get_text(): round(t.get_position()[0]) for t in axes.texts if t.get_text() in ("encoder", "decoder")}
    assert starts == {"encoder": 0, "decoder": 2}
    assert "all\n41.0 %" in words(bars())


def test_a_backbone_without_a_decoder_has_one_kind_of_bar() -> None:
    figure = zero_ratio_figure(RATIOS, 0.41, (), "t")
    assert not {"encoder", "decoder"} & set(words(figure))


def test_many_layers_make_a_wider_figure_without_numbers() -> None:
    many = {f"layer{n}.weight": 0.5 for n in range(60)}
    figure = zero_ratio_figure(many, 0.5, (), "t")
    assert figure.get_figwidth() > bars().get_figwidth()
    assert "50" not in words(figure)


def test_the_forgetting_map_colours_worse_and_better_whatever_the_direction(results) -> None:
    figure = forgetting_figure(Comparison.of(results), "finetune")
    cells = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert cells["50.00"] == (0, 0)
    assert cells["5.00\n−90 %"] == (0, 1)
    assert cells["60.00\n+20 %"] == (0, 2)
    assert cells["-"] == (1, 2)  # learned on another branch
    assert len(cells) == 6  # the upper triangle is empty
    fills = {patch_place(p): p.get_facecolor() for p in figure.axes[0].patches if p.get_facecolor()[3]}
    worse, better = fills[0, 1], fills[0, 2]
    assert worse[0] > worse[2]  # red over blue
    assert better[2] > better[0]
    frames = [patch_place(p) for p in figure.axes[0].patches if not p.get_facecolor()[3]]
    assert frames == [(0, 0), (1, 1), (2, 2)]


def patch_place(patch) -> tuple[int, int]:
    return round(patch.get_x() + patch.get_width() / 2), round(patch.get_y() + patch.get_height() / 2)


def test_a_loss_that_rose_is_coloured_worse(results) -> None:
    from dataclasses import replace

    grown = replace(results[5], method="finetune", metrics={"colour": {"MSE": 200.0}})
    later = replace(results[1], metrics={"coarse": {"mIoU": 70.0}, "colour": {"MSE": 500.0}})
    figure = forgetting_figure(Comparison.of([results[0], grown, later]), "finetune")
    (cell,) = [p for p in figure.axes[0].patches if patch_place(p) == (2, 1)]
    assert cell.get_facecolor()[0] > cell.get_facecolor()[2]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        *((50, 5, -0.9), (200, 500, 1.5), (-2, -1, 0.5), (0, 0, 0.0), (0, 3, np.inf), (0, -3, -np.inf)),
        *((np.inf, np.inf, 0.0), (np.inf, 30, -1.0), (30, np.inf, np.inf)),
    ],
)
def test_relative_change(before: float, after: float, change: float) -> None:
    assert relative_change(before, after) == pytest.approx(change)


def test_training_curves_are_drawn_as_given(curves: dict[str, Curves]) -> None:
    figure = training_figure(curves, MIOU, "Task 2")
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["fine-tune", "Piggyback"]
    assert left.lines[1].get_ydata().tolist() == [5.0, 3.0, 2.0]
    drawn, ring, *_ = right.lines
    assert drawn.get_xydata().tolist() == [[100, 10], [200, 70]]
    assert ring.get_xydata().tolist() == [[200, 70]]
    assert right.get_ylabel() == "mIoU ↑ on validation"
    assert left.get_yscale() == "linear"


def test_a_loss_over_decades_gets_a_logarithmic_axis() -> None:
    curve = Curves(loss=((1, 2), (1e6, 1.0)), validation=((), ()))
    assert training_figure({"scratch": curve}, MIOU, "t").axes[0].get_yscale() == "log"


@pytest.mark.parametrize("values", [(np.nan, np.nan), (np.inf, 1.0), (-1.0, 2.0), (0.0, 0.0)])
def test_a_diverged_or_odd_loss_is_drawn_too(values: tuple[float, float]) -> None:
    curve = Curves(loss=((1, 2), values), validation=((2,), (np.nan,)))
    assert to_svg(training_figure({"scratch": curve}, MIOU, "t"))


def test_infinite_numbers_are_drawn_too(results) -> None:
    curve = Curves(loss=((1, 2), (1.0, 0.0)), validation=((1, 2), (np.inf, np.inf)), selected=1)
    assert to_svg(training_figure({"scratch": curve}, MIOU, "t"))
    exact = dataclasses.replace(results[0], metrics={"fine": {"mIoU": np.inf}})
    later = dataclasses.replace(results[1], metrics={"fine": {"mIoU": 30.0}, "coarse": {"mIoU": np.inf}})
    svg = to_svg(forgetting_figure(Comparison.of([exact, later, *results[2:]]), "finetune"))
    assert "−100 %" in svg
    assert "nan" not in svg


def test_methods_keep_their_colours_and_do_not_share_them() -> None:
    all_of_them = method_colours(["scratch", "finetune", "decoder", "piggyback", "ewc", "packnet"])
    assert len(set(all_of_them.values())) == 6
    assert method_colours(["piggyback"])["piggyback"] == all_of_them["piggyback"]


def test_the_kappa_map_shows_each_pair_once(results, masks: dict[str, dict[str, WeightCodes]]) -> None:
    cards = Comparison.of(results).cards
    found = similarity("fine", masks)
    figure = kappa_figure(cards, found)
    assert words(figure) == [f"{found.kappa['coarse', 'colour']:.3f}".replace("-", "−")]
    planted = dataclasses.replace(found, kappa={**found.kappa, ("coarse", "colour"): 1.0})
    assert words(kappa_figure(cards, planted)) == ["1.000"]


def test_two_tasks_of_long_titles_leave_room_for_the_map(results, masks: dict[str, dict[str, WeightCodes]]) -> None:
    cards = [
        dataclasses.replace(card, title="Gray photographs to colour (BSDS500)") for card in Comparison.of(results).cards
    ]
    figure = kappa_figure(cards, similarity("fine", masks))
    to_svg(figure)  # a layout that cannot be made is a warning, which is an error in tests
    assert figure.axes[0].get_position().width > 0.3


def test_figures_name_what_they_compare(results, masks, changes) -> None:
    cards = Comparison.of(results).cards
    for tasks, title in ((masks, "Cohen's kappa between masks"), (changes, "Cohen's kappa between codes")):
        found = similarity("fine", tasks)
        assert kappa_figure(cards, found).axes[0].get_title(loc="left") == title
        assert kappa_layers_figure(found, (), ()).axes[0].get_title(loc="left") == f"{title}, by layer"


def drawings(results, masks, curves) -> dict[str, Callable[[], Figure]]:
    comparison = Comparison.of(results)
    return {
        "bars": lambda: zero_ratio_figure(zero_ratios(masks["coarse"]), zero_ratio(masks["coarse"]), UP, "$x < y$ &"),
        "forgetting": lambda: forgetting_figure(comparison, "finetune"),
        "training": lambda: training_figure(curves, MIOU, "Task 2"),
        "kappa": lambda: kappa_figure(comparison.cards, similarity("fine", masks)),
    }


def test_files_have_the_same_bytes_whatever_the_users_settings(results, masks, curves) -> None:
    for draw in drawings(results, masks, curves).values():
        svg = to_svg(draw())
        with matplotlib.rc_context(
            {"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine", "savefig.dpi": 9}
        ):
            assert to_svg(draw()) == svg
        assert "dc:date" not in svg


def test_drawing_leaves_the_users_settings_alone(results, masks, curves) -> None:
    before = dict(matplotlib.rcParams)
    for draw in drawings(results, masks, curves).values():
        to_svg(draw())
    assert dict(matplotlib.rcParams) == before


def test_words_stay_words_and_are_escaped(results, masks, curves) -> None:
    for draw in drawings(results, masks, curves).values():
        svg = to_svg(draw())
        assert "<script" not in svg
        ElementTree.fromstring(svg.encode())
    assert "$x &lt; y$ &amp;" in to_svg(drawings(results, masks, curves)["bars"]())


def test_inlined_drawings_share_no_ids_and_follow_the_page(results, masks, curves) -> None:
    svg = to_svg(drawings(results, masks, curves)["training"]())
    one, two = inline(svg, "one"), inline(svg, "two")
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r"url\(#([^)]+)\)", one)) | set(re.findall(r'href="#([^"]+)"', one))
    assert used
    assert used <= ids[0]
    assert "var(--ink)" in one
    assert not [colour for colour in (INK, MUTED, CELL) if colour in one]
    assert one.startswith("<svg")
    assert "<metadata>" not in one
    ElementTree.fromstring(one)


def test_pyplot_is_never_loaded() -> None:
    code = "import sys, stencilnet.analysis.sections; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
