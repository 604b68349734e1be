"""Messages stay short whatever they are about."""

from stencilnet.text.shortening import MOST, brief, listed, shorten


def test_a_short_text_is_whole_and_a_long_one_keeps_both_ends() -> None:
    assert shorten("x" * 40, 40) == "x" * 40
    assert shorten("a" * 30 + "-" * 1000 + "z" * 10, 40) == "a" * 30 + " ... " + "z" * 10 + " (1,040 characters)"


def test_values_look_like_their_repr() -> None:
    for value in (None, True, 7, 0.5, "it's", [1, [2, "x"]], {"a": (1, 2)}):
        assert brief(value) == repr(value)


def test_large_values_are_short() -> None:
    nested: object = "x"
    for _ in range(60):  # as YAML's aliases build it: 2^60 leaves, were they formatted
        nested = [nested, nested]
    wide = {"k" * 300 + str(number): "v" * 10_000 for number in range(100)}
    for value in ("x" * 10**6, list(range(10**5)), nested, wide, 10**4000, b"x" * 10**6):
        assert len(brief(value)) < MOST + 60


def test_many_names_are_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(80_000)), 3) == "0, 1, 2, and 79,997 more"
    assert len(listed(["n" * 10**6] * 80_000)) < 20 * 200
