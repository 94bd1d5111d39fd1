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
EVALUATION_HOOKS = tuple(
    f"{when}_{what}"
    for what in ("eval_dataset_adaptation", "eval_exp", "eval_iteration", "eval_forward")
    for when in ("before", "after")
)
_EVALUATING = ("forward", "eval_epoch", "_eval_exp", "_unpack_minibatch", "make_eval_dataloader")
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


def looks_at_evaluation(strategy: "Strategy") -> bool:
    """Whether a plugin, or a method that the strategy overrides, may look at evaluations one by one, or change one.

    A plugin doesn't that is told of predictions in place of its hooks, by a method `predicted`. A strategy that
    overrides `forward` says with `predicts_by_model = True`, in the same class, that it is the same in evaluation.
    """
    for method in (*_EVALUATING, *(f"_{hook}" for hook in EVALUATION_HOOKS)):
        owner = _owner(strategy, method)
        ours = owner is None or owner.__module__.startswith(("avalanche.", "clhyper.engine."))
        if not ours and not (method == "forward" and vars(owner).get("predicts_by_model", False)):
            return True
    return any(_looks_at_evaluation(part) for plugin in strategy.plugins for part in _parts(plugin))


def _looks_at_evaluation(plugin: Any) -> bool:
    if getattr(plugin, "_mode", None) == "train":  # a metric of training
        return False
    owners = {_owner(plugin, hook) for hook in EVALUATION_HOOKS} - {None, *_DO_NOTHING}
    told = _owner(plugin, "predicted")
    return not all(told is not None and owner is not None and issubclass(told, owner) for owner in owners)


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
