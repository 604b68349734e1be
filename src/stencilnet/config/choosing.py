"""Which methods a comparison is made of: the config's, and others with their default settings."""

from collections.abc import Sequence
from dataclasses import replace

from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.methods import AnyMethod, registered

ALL = "all"
"""Asks for every method that fits a config."""


def with_methods(experiment: Experiment, names: Sequence[str]) -> tuple[Experiment, tuple[str, ...]]:
    """Return a config with those of the asked methods that it lacks, by their defaults, and the names to learn by.

    `ALL` asks for the config's own, in its order, and after them for every kind that it lacks and that its tasks and
    backbone can be learned by. Names that are no method's stay, for `check_names` to refuse.

    Args:
        experiment: The config.
        names: Of methods; empty for the config's own.

    Raises:
        ValueError: If a method asked for by its name does not fit the config.
    """
    kinds = {plan.method.name for plan in experiment.methods}
    for name, method in _others(experiment).items():
        plan = MethodPlan(method=method)
        if name in names:
            experiment = replace(experiment, methods=(*experiment.methods, plan))
        elif ALL in names and name not in kinds:
            try:
                experiment = replace(experiment, methods=(*experiment.methods, plan))
            except ValueError:  # it needs another backbone, or other tasks
                continue
    if ALL in names:
        return experiment, tuple(plan.name for plan in experiment.methods)
    return experiment, tuple(names)


def _others(experiment: Experiment) -> dict[str, AnyMethod]:
    own = {plan.name for plan in experiment.methods}
    return {name: kind() for name, kind in registered().items() if name not in own}
