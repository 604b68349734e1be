import numpy as np
import pytest
from PIL import Image, ImageFont

from stencilnet.pictures.grids import Sheet, _short, class_legend, contact_sheet

RED, GREEN, VOID = (200, 10, 10), (10, 200, 10), (224, 224, 192)


def label(*rows: tuple[int, ...]) -> Image.Image:
    picture = Image.fromarray(np.array(rows, dtype=np.uint8))
    picture.putpalette([*RED, *GREEN, *[7] * (3 * 253), *VOID])
    return picture


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(picture).reshape(-1, 3).tolist()}


def find(sheet: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((np.asarray(sheet) == colour).all(axis=2))


def test_small_pictures_are_enlarged_by_a_whole_factor_without_new_colours() -> None:
    picture = label((0, 1), (1, 0))
    sheet = contact_sheet(Sheet(columns=("input",), rows=((picture,),)))
    found = find(sheet, RED)
    assert len(found) == 2 * 80 * 80  # two pixels, each 80 x 80
    corner = found.min(axis=0)
    assert (np.asarray(sheet)[corner[0] : corner[0] + 80, corner[1] : corner[1] + 80] == RED).all()
    assert len(find(sheet, GREEN)) == 2 * 80 * 80


@pytest.mark.parametrize(("side", "shown"), [(64, 192), (96, 192), (128, 256), (160, 160), (200, 200), (256, 256)])
def test_common_sizes_are_shown_large_enough(side: int, shown: int) -> None:
    sheet = contact_sheet(Sheet(columns=("a",), rows=((Image.new("RGB", (side, side), RED),),)))
    assert len(find(sheet, RED)) == shown * shown


def test_large_label_pictures_are_reduced_without_mixing_classes() -> None:
    stripes = np.tile(np.array([0, 1], dtype=np.uint8), (600, 300))
    picture = label(*map(tuple, stripes.tolist()))
    sheet = contact_sheet(Sheet(columns=("",), rows=((picture,),)))
    assert colours(sheet) <= {RED, GREEN, (255, 255, 255)}


def test_large_photos_keep_their_proportions() -> None:
    sheet = contact_sheet(Sheet(columns=("",), rows=((Image.new("RGB", (640, 480), RED),),)))
    found = find(sheet, RED)
    assert (np.ptp(found, axis=0) + 1).tolist() == [192, 256]


def test_columns_and_rows_stand_in_line() -> None:
    blank = Image.new("RGB", (64, 64), (1, 2, 3))
    sheet = contact_sheet(
        Sheet(columns=("a", "b", "c"), rows=((blank, blank, None), (blank, None, Image.new("RGB", (64, 64), RED))))
    )
    top, left = find(sheet, RED).min(axis=0)
    cell = 192 + 8
    first_top, first_left = find(sheet, (1, 2, 3)).min(axis=0)
    assert (top - first_top, left - first_left) == (cell, 2 * cell)


def test_the_legend_names_the_classes_that_occur_in_their_colours() -> None:
    pictures = [label((0, 0)), None, Image.new("RGB", (2, 2)), label((0, 255))]
    legend = class_legend(("ground", "sky", "tree"), pictures)
    assert legend == {"ground": RED, "void": VOID}
    plain = contact_sheet(Sheet(columns=("a",), rows=((Image.new("RGB", (64, 64)),),)))
    drawn = contact_sheet(Sheet(columns=("a",), rows=((Image.new("RGB", (64, 64)),),), legend=legend))
    assert drawn.height > plain.height
    assert (find(drawn, RED)[:, 0] > plain.height - 14).all()
    assert len(find(drawn, VOID)) > 100


def test_a_long_legend_is_wrapped() -> None:
    legend = {f"class number {n}": (n, 0, 200) for n in range(20)}
    sheet = contact_sheet(Sheet(columns=("a", "b"), rows=((Image.new("RGB", (64, 64)),) * 2,), legend=legend))
    places = np.array([find(sheet, colour).max(axis=0) for colour in legend.values()])
    assert len(set(places[:, 0].tolist())) > 3
    assert (places[:, 1] < sheet.width - 12).all()


def test_a_long_head_is_cut_to_its_column() -> None:
    font = ImageFont.load_default(14)
    assert _short("input", font, 100) == "input"
    cut = _short("a method with a very long name", font, 100)
    assert cut.endswith("...")
    assert font.getlength(cut) <= 100


def test_a_sheet_without_one_picture_can_be_drawn() -> None:
    assert contact_sheet(Sheet(columns=("a",), rows=((None,),))).mode == "RGB"


def test_ragged_and_empty_sheets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row 2 of the contact sheet to have 1 pictures \(input\), but got 0"):
        Sheet(columns=("input",), rows=((None,), ()))
    with pytest.raises(ValueError, match="at least one column and one row"):
        Sheet(columns=("input",), rows=())


def test_lines_below_columns_take_room_and_no_more() -> None:
    picture = Image.new("RGB", (160, 160), (10, 120, 200))
    plain = contact_sheet(Sheet(columns=("a", "b"), rows=((picture, picture),)))
    footed = contact_sheet(Sheet(columns=("a", "b"), rows=((picture, picture),), feet=(("x", "y"), ("1", "2"))))
    assert footed.height == plain.height + 48
    assert footed.crop((0, 0, plain.width, 190)).tobytes() == plain.crop((0, 0, plain.width, 190)).tobytes()
    below = np.asarray(footed.crop((0, 200, footed.width, footed.height)).convert("L"))
    assert (below[:, : footed.width // 2] < 128).any()
    assert (below[:, footed.width // 2 :] < 128).any()
    with pytest.raises(ValueError, match=r"equally many lines below each of the 2 columns .* got \[1\]"):
        Sheet(columns=("a", "b"), rows=((picture, picture),), feet=(("x",),))
