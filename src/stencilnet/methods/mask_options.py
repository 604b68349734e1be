"""What can be chosen of piggyback's masks, and what of it goes together."""

from typing import TYPE_CHECKING, Literal, get_args

from stencilnet.masks import INITIAL, THRESHOLD, Scaling, Start

if TYPE_CHECKING:
    from stencilnet.methods.piggyback import Piggyback

Mask = Literal["binary", "sign", "ternary", "affine"]

Init = Literal[Start, "finetune"]

SHARE = 0.5
"""Of the steps, what a fine-tune before the mask takes."""


def mistakes(method: "Piggyback") -> list[str]:
    """Return what is wrong with a method's settings, each a half sentence that goes on from "Expected"."""
    return [*_unknown(method), *_unfit_numbers(method), *_unfit_together(method)]


def _unknown(method: "Piggyback") -> list[str]:
    choices = {"mask": Mask, "scaling": Scaling, "init": Init}
    return [
        f"`{name}` to be one of {', '.join(get_args(kind))}, but got {getattr(method, name)!r}"
        for name, kind in choices.items()
        if getattr(method, name) not in get_args(kind)
    ]


def _unfit_numbers(method: "Piggyback") -> list[str]:
    problems = []
    if not method.lr > 0:
        problems.append(f"the masks' `lr` to be positive, but got {method.lr}")
    if not method.init_scale > THRESHOLD:
        problems.append(f"`init_scale` to be above the threshold, {THRESHOLD:g}, but got {method.init_scale}")
    if not method.price >= 0:
        problems.append(f"`price` to be at least 0, but got {method.price}")
    if method.init in ("weight", "finetune") and method.init_scale != INITIAL:
        problems.append(f"no `init_scale` with `init: {method.init}`, but got {method.init_scale}")
    if not method.teacher >= 0:
        problems.append(f"`teacher` to be at least 0, but got {method.teacher}")
    if not 0 < method.finetune_share < 1:
        problems.append(f"`finetune_share` to be between 0 and 1, but got {method.finetune_share}")
    return problems


def _unfit_together(method: "Piggyback") -> list[str]:
    problems = []
    if method.mask == "sign" and method.scaling != "none":
        problems.append(f"no `scaling` with `mask: sign`, whose gradients know no W, but got {method.scaling}")
    if method.mask == "sign" and method.init == "uniform":
        problems.append("no `init: uniform` with `mask: sign`, which starts from the weights' own signs")
    if method.warm_start is not None and method.mask not in ("binary", "affine"):
        problems.append(f"`warm_start` to come with `mask: binary` or `affine`, but got {method.mask}")
    if method.warm_head and method.warm_start is None:
        problems.append("`warm_head` to come with `warm_start`, which names the task whose head it is")
    if method.price and method.mask != "binary":
        problems.append(f"`price` to come with `mask: binary`, but got {method.mask}")
    if method.price and method.teacher:
        problems.append("`price` or `teacher`, not both")
    if method.init == "finetune" and method.mask != "sign":
        problems.append(f"`init: finetune` to come with `mask: sign`, but got {method.mask}")
    if method.finetune_share != SHARE and not method.finetunes:
        problems.append("no `finetune_share` without `teacher` or `init: finetune`: nothing is fine-tuned")
    if method.warm_start is not None and method.init == "uniform":
        problems.append("no `warm_start` with `init: uniform`, whose bits are drawn")
    return problems
