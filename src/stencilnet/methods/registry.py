"""The list of methods: those of this package, and those that other packages register as entry points."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from inspect import isabstract
from types import MappingProxyType
from typing import Any, cast

from stencilnet.methods.baselines import Decoder, Finetune, Scratch
from stencilnet.methods.ewc import EWC
from stencilnet.methods.head_and_norms import HeadOnly, NormOnly
from stencilnet.methods.joint import Joint
from stencilnet.methods.method import AnyMethod, Declared, JointMethod, Method
from stencilnet.methods.packnet import PackNet
from stencilnet.methods.piggyback import Piggyback
from stencilnet.methods.progressive import Progressive
from stencilnet.methods.quantized_delta import QuantizedDelta
from stencilnet.methods.rehearsal import Rehearsal
from stencilnet.plugins import load

GROUP = "stencilnet.methods"
"""Group of the entry points of other packages, each a method's `name` and its class."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Pattern of the names of methods, also of those given in a config."""

RESERVED = frozenset(
    {
        "all",
        "backbone",
        "bundle",
        "counts",
        "figures",
        "gray",
        "input",
        "logs",
        "pictures",
        "resolved",
        "target",
        "trivial",
    }
)
"""Names that no method may have, since a run folder, its pictures or `--methods` use them for something else."""

BUILT_IN: tuple[type[AnyMethod], ...] = (
    Piggyback,
    QuantizedDelta,
    Scratch,
    Finetune,
    Decoder,
    EWC,
    HeadOnly,
    Joint,
    NormOnly,
    PackNet,
    Progressive,
    Rehearsal,
)
"""The methods of this package, in the order in which help and errors list them."""


@cache
def registered() -> Mapping[str, type[AnyMethod]]:
    """Return all methods by name: first those of this package, then those of others in alphabetical order.

    The first call loads the other packages.

    Raises:
        PluginError: If a package registers something other than a method, or a name that is taken.
    """
    own = {method.name: method for method in BUILT_IN}
    others = load(GROUP, taken=own.keys() | RESERVED, check=check)
    return MappingProxyType(own | cast("dict[str, type[AnyMethod]]", others))


def check(name: str, value: object) -> None:
    """Check that an object can be registered as a method.

    Args:
        name: The name under which it is registered.
        value: The object.

    Raises:
        TypeError: If it is not a method class whose settings all have defaults.
        ValueError: If its declarations are invalid or contradict each other.
    """
    if not (isinstance(value, type) and issubclass(value, Method | JointMethod)) or isabstract(value):
        raise TypeError(f"expected a class that implements Method or JointMethod, but got {value!r}")
    if "__dataclass_fields__" not in vars(value) or any(_is_required(setting) for setting in fields(value)):
        raise TypeError("expected a dataclass whose fields all have defaults")
    if value.name != name or not NAME.fullmatch(name):
        raise ValueError(f"expected its `name` to be {name!r} and to match {NAME.pattern}, but got {value.name!r}")
    made = value()
    if not isinstance(made.trains_norms, bool) or not isinstance(made.mask_lr, float | None):
        raise TypeError("expected `trains_norms` and `mask_lr` to be properties, of a bool and of a float or None")
    if value.moves_shared and value.prerequisites is not Declared.prerequisites:
        raise ValueError("expected no `prerequisites` with `moves_shared`: its tasks form a chain anyway")
    if not value.title:
        raise ValueError("expected its `title` to be a name for tables, but it is empty")
    if issubclass(value, Method) and value.after_first != "nothing" and not value.moves_shared:
        raise ValueError(f"expected `moves_shared` with `after_first` {value.after_first!r}, but it is false")


def _is_required(setting: Field[Any]) -> bool:
    return setting.default is MISSING and setting.default_factory is MISSING
