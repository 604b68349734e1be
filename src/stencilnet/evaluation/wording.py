"""What tables and figures call what tasks are compared by: masks, or codes."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words for one kind of entry.

    Attributes:
        one: What one task has.
        several: What several tasks have.
        pair: What two tasks have.
        unrelated: What kappa is 0 for.
        zero: Which weights have a 0, after "weights that".
        about: What a method's masks or codes do; ``{method}`` is its title.
        constant: What a task has that leaves every weight as it is, as the first task does that trained them.
        notes: Below the table of agreement; ``{first}`` is the title of its first column.
    """

    one: str
    several: str
    pair: str
    unrelated: str
    zero: str
    about: str
    constant: str
    notes: tuple[str, ...]


_MASKS = Wording(
    one="mask",
    several="masks",
    pair="two masks",
    unrelated="unrelated masks of the same densities",
    zero="the mask drops",
    about="A mask of {method} keeps or drops each weight of the shared network. Its ratio of 0 is the share it drops.",
    constant="all ones",
    notes=(
        "The paper calls this XOR; a higher value means more alike, so it is the share of equal bits (XNOR).",
        "{first} keeps every weight: its column is the share of ones in each mask.",
        "Two unrelated masks with half their bits set agree on half of the weights: read kappa beside it.",
    ),
)
_TERNARY = replace(
    _MASKS,
    unrelated="unrelated masks with as many of each value",
    about="A mask of {method} keeps, drops or turns over each weight of the shared network. Its ratio of 0 is the "
    "share it drops.",
    notes=(
        "The share of weights that both masks keep, both drop, or both turn over.",
        "{first} keeps every weight: its column is the share of ones in each mask.",
        "Unrelated masks agree on some weights by chance: read kappa beside it.",
    ),
)
_CODES = Wording(
    one="codes",
    several="codes",
    pair="two tasks' codes",
    unrelated="unrelated codes with as many of each value",
    zero="have the code 0",
    about="{method} gives each weight of the shared network a code, a small integer. The ratio of 0 is the share of "
    "weights whose code is 0.",
    constant="as they are",
    notes=(
        "The share of weights that have the same code in both tasks.",
        "{first} leaves every weight as it is: its column is the share of weights that each task leaves so.",
        "Unrelated codes are equal for some weights by chance: read kappa beside it.",
    ),
)
_QUANTIZED = replace(
    _CODES,
    zero="the codes leave as they are",
    about="The codes of {method} move each weight of the shared network by a multiple of its layer's step. Their ratio "
    "of 0 is the share that they leave as it is.",
    constant="all zeros",
    notes=(
        _CODES.notes[0],
        "{first} leaves every weight as it is: its column is the share of zeros in each task's codes.",
        "Unrelated codes are equal for some weights by chance, zeros most of all: read kappa beside it.",
    ),
)
_BY_KIND = {"select": _MASKS, "ternary": _TERNARY, "quantized": _QUANTIZED}


def wording_of(kind: str) -> Wording:
    """Return the words for a kind of entry; general ones for a kind without its own.

    Args:
        kind: As `WeightCodes.kind`.
    """
    return _BY_KIND.get(kind, _CODES)
