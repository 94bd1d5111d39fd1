"""Which plugins, loggers and strategies need Python between two training steps."""

from typing import TYPE_CHECKING, Any

from avalanche.core import BasePlugin, BaseSGDPlugin, SupervisedPlugin
from avalanche.evaluation import PluginMetric
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.plugins.clock import Clock
from avalanche.training.templates.base_sgd import PeriodicEval

from clhyper.engine.steps import Steps

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy

ITERATION_HOOKS = tuple(
    f"{when}_{what}" for what in ("training_iteration", "forward", "backward", "update") for when in ("before", "after")
)
_DO_NOTHING = (BasePlugin, BaseSGDPlugin, SupervisedPlugin, PluginMetric, BaseLogger, object)


def why_each_step(strategy: "Strategy", steps: Any) -> str | None:
    """Why the strategy's epochs can't be executed without hooks between steps, as the end of a sentence; or None.

    A plugin class with a true attribute `works_in_blocks` says that it needs none of its hooks of iterations.
    """
    if not isinstance(steps, Steps):
        return "the experience is another benchmark's, read image by image"
    for hook in ITERATION_HOOKS:
        owner = _owner(strategy, f"_{hook}")
        if owner is not None and not owner.__module__.startswith(("avalanche.", "clhyper.engine.")):
            return f"{owner.__name__} has a method _{hook}, which is called at each step"
    for plugin in strategy.plugins:
        for part in _parts(plugin):
            found = _hook_of(part)
            if found:
                return f"{type(part).__name__} has a hook {found}, which is called at each step"
    return None


def _parts(plugin: Any) -> list[Any]:
    """The plugin; in place of Avalanche's evaluator its metrics and loggers, and nothing in place of its clock."""
    if isinstance(plugin, Clock):
        return []
    if isinstance(plugin, EvaluationPlugin):
        return [*plugin.metrics, *plugin.loggers]
    if isinstance(plugin, PeriodicEval) and plugin.peval_mode != "iteration":
        return []
    return [plugin]


def _hook_of(plugin: Any) -> str | None:
    """The first of a plugin's hooks of iterations that does something."""
    if getattr(plugin, "works_in_blocks", False) or getattr(plugin, "_mode", None) == "eval":  # a metric of evaluation
        return None
    owners = {hook: _owner(plugin, hook) for hook in ITERATION_HOOKS}
    return next((hook for hook, owner in owners.items() if owner is not None and owner not in _DO_NOTHING), None)


def _owner(thing: Any, name: str) -> type | None:
    """The class that a method of `thing` is defined in."""
    return next((cls for cls in type(thing).__mro__ if name in vars(cls)), None)
