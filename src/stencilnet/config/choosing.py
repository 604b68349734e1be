"""Selects the methods of a comparison: the config's own, and others with their default settings."""

from collections.abc import Sequence
from dataclasses import replace

from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.methods import AnyMethod, registered

ALL = "all"
"""The name that selects every method that fits a config."""


def with_methods(experiment: Experiment, names: Sequence[str]) -> tuple[Experiment, tuple[str, ...]]:
    """Add the requested methods that a config lacks, with default settings; return it and the names of all requested.

    `ALL` stands for the config's own methods, in its order, followed by every kind that it lacks and that supports its
    tasks and backbone. Unknown names are kept, so that `check_names` refuses them.

    Args:
        experiment: The config.
        names: Names of methods; empty for the config's own.

    Raises:
        ValueError: If a method requested by name does not fit the config.
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
