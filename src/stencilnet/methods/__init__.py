"""Ways to learn a further task: one small file each, none imports another or the training loop."""

from stencilnet.methods.baselines import Decoder, Finetune, Scratch
from stencilnet.methods.cheap import HeadOnly, NormOnly
from stencilnet.methods.method import Fit, Fresh, Method, learn_first, learn_first_head, own_norms
from stencilnet.methods.piggyback import Piggyback

__all__ = [
    "Decoder",
    "Finetune",
    "Fit",
    "Fresh",
    "HeadOnly",
    "Method",
    "NormOnly",
    "Piggyback",
    "Scratch",
    "learn_first",
    "learn_first_head",
    "own_norms",
]
