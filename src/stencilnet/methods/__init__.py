"""Ways to learn a further task: one small file each, none imports another or the training loop."""

from stencilnet.methods.baselines import Decoder, Finetune, Scratch
from stencilnet.methods.cheap import HeadOnly, NormOnly
from stencilnet.methods.ewc import EWC
from stencilnet.methods.joint import Joint, learn_together
from stencilnet.methods.method import (
    Adopting,
    Fit,
    Fresh,
    Method,
    Probe,
    learn_first,
    learn_first_head,
    own_norms,
    retrains_first,
)
from stencilnet.methods.packnet import PackNet
from stencilnet.methods.penalty import Penalty, Run
from stencilnet.methods.piggyback import Piggyback
from stencilnet.methods.progressive import Progressive
from stencilnet.methods.quantized_delta import QuantizedDelta
from stencilnet.methods.rehearsal import Rehearsal

__all__ = [
    "EWC",
    "Adopting",
    "Decoder",
    "Finetune",
    "Fit",
    "Fresh",
    "HeadOnly",
    "Joint",
    "Method",
    "NormOnly",
    "PackNet",
    "Penalty",
    "Piggyback",
    "Probe",
    "Progressive",
    "QuantizedDelta",
    "Rehearsal",
    "Run",
    "Scratch",
    "learn_first",
    "learn_first_head",
    "learn_together",
    "own_norms",
    "retrains_first",
]
