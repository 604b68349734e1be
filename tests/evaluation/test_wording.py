"""Every kind that tasks are compared by has words of its own."""

from stencilnet.delta import Affine, Quantized, Replace, Seeded, Select, Sign, Ternary
from stencilnet.evaluation.wording import wording_of


def test_every_kind_with_codes_has_its_own_words() -> None:
    kinds = [kind.KIND for kind in (Select, Ternary, Quantized)]
    words = [wording_of(kind) for kind in kinds]
    assert len({wording.about for wording in words}) == 3
    others = {wording_of(kind.KIND) for kind in (Replace, Sign, Affine, Seeded)}
    assert len(others) == 1, "general words"
    assert not others & set(words)
