"""Ways to learn a further task: one small file each, none imports another or the training loop."""

from stencilnet.methods.baselines import Decoder, Finetune, Scratch
from stencilnet.methods.method import Fit, Fresh, Method, learn_first, learn_first_head
from stencilnet.methods.piggyback import Piggyback

__all__ = ["Decoder", "Finetune", "Fit", "Fresh", "Method", "Piggyback", "Scratch", "learn_first", "learn_first_head"]
