"""Learning methods: one small file each, which imports no other method nor the training loop; `registry` lists them."""

from stencilnet.methods.baselines import Decoder, Finetune, Scratch
from stencilnet.methods.ewc import EWC
from stencilnet.methods.head_and_norms import HeadOnly, NormOnly
from stencilnet.methods.joint import Joint
from stencilnet.methods.method import (
    AnyMethod,
    Fit,
    Fresh,
    JointMethod,
    Masking,
    Method,
    Probe,
    learn_first,
    learn_first_head,
    own_norms,
)
from stencilnet.methods.packnet import PackNet
from stencilnet.methods.penalty import NetworkFunction, Penalty
from stencilnet.methods.piggyback import Piggyback
from stencilnet.methods.progressive import Progressive
from stencilnet.methods.quantized_delta import QuantizedDelta
from stencilnet.methods.registry import BUILT_IN, registered
from stencilnet.methods.rehearsal import Rehearsal

__all__ = [
    "BUILT_IN",
    "EWC",
    "AnyMethod",
    "Decoder",
    "Finetune",
    "Fit",
    "Fresh",
    "HeadOnly",
    "Joint",
    "JointMethod",
    "Masking",
    "Method",
    "NetworkFunction",
    "NormOnly",
    "PackNet",
    "Penalty",
    "Piggyback",
    "Probe",
    "Progressive",
    "QuantizedDelta",
    "Rehearsal",
    "Scratch",
    "learn_first",
    "learn_first_head",
    "own_norms",
    "registered",
]
