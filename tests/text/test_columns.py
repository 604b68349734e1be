import pytest

from stencilnet.text.columns import aligned


def test_columns_are_aligned_on_their_sides() -> None:
    assert aligned([("task", "size", ""), ("a", "1,000", "x"), ("longer", "2", "yy")], "<><") == [
        "task     size",
        "a       1,000  x",
        "longer      2  yy",
    ]


def test_empty_cells_and_no_rows() -> None:
    assert aligned([("", "a"), ("", "bb")], "<>") == ["   a", "  bb"]
    assert aligned([], "<>") == []


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        aligned([("a", "b", "c")], "<>")
