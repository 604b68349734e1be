"""The words of tables and figures for what tasks are compared by: masks or codes."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words for one kind of entry.

    Attributes:
        one: Name of one task's entries.
        several: Name of several tasks' entries.
        pair: Name of two tasks' entries.
        unrelated: Entries for which kappa is 0.
        zero: Description of the weights with a 0, after "weights that".
        about: Sentences on what a method's masks or codes do; ``{method}`` is its title.
        constant: Name for entries that leave every weight unchanged, like the first task that trained them.
        notes: Notes below the table of agreement; ``{first}`` is the title of its first column.
    """

    one: str
    several: str
    pair: str
    unrelated: str
    zero: str
    about: str
    constant: str
    notes: tuple[str, ...]


_SHARE_OF_ONES = "{first} keeps every weight, so its column is the share of ones in each mask."

_MASKS = Wording(
    one="mask",
    several="masks",
    pair="two masks",
    unrelated="unrelated masks of the same densities",
    zero="the mask drops",
    about="A mask of {method} keeps or drops each weight of the shared network. Its ratio of 0 is the share it drops.",
    constant="all ones",
    notes=(
        "The paper calls this XOR; but higher values mean more similar masks, so it is the share of equal bits (XNOR).",
        _SHARE_OF_ONES,
        "Two unrelated masks with half of their bits set agree on half of the weights; see kappa, which corrects this.",
    ),
)
_TERNARY = replace(
    _MASKS,
    unrelated="unrelated masks with as many of each value",
    about="A mask of {method} keeps, drops or negates each weight of the shared network. Its ratio of 0 is the share "
    "it drops.",
    notes=(
        "The share of weights that both masks keep, both drop, or both negate.",
        _SHARE_OF_ONES,
        "Unrelated masks agree on some weights by chance; see kappa, which corrects this.",
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
        "{first} leaves every weight as it is, so its column is the share of weights that each task leaves unchanged.",
        "Unrelated codes are equal for some weights by chance; see kappa, which corrects this.",
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
        "{first} leaves every weight as it is, so its column is the share of zeros in each task's codes.",
        "Unrelated codes are equal for some weights by chance, especially zeros; see kappa, which corrects this.",
    ),
)
_BY_KIND = {"select": _MASKS, "ternary": _TERNARY, "quantized": _QUANTIZED}


def wording_of(kind: str) -> Wording:
    """Return the words for a kind of entry, or general ones for an unknown kind.

    Args:
        kind: Kind of entry, as in `WeightCodes.kind`.
    """
    return _BY_KIND.get(kind, _CODES)
