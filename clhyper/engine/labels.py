"""Whether a strategy can learn an experience's labels."""

from typing import TYPE_CHECKING

from clhyper.backbones.model import classes_by_task
from clhyper.errors import UserError

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy


def check_labels(strategy: "Strategy") -> None:
    """Raises `UserError` if a strategy that needs task labels is to learn new classes under a task it has learned."""
    for task, classes in classes_by_task(strategy.experience).items():
        known = strategy.model.classes_of.get(task)
        if strategy.needs_task_labels and known is not None and not set(classes) <= set(known):
            raise UserError(
                f"{type(strategy).__name__} needs task labels: experience {strategy.experience.current_experience}"
                f" brings new classes under task {task}, which it has learned already; use a task-incremental stream"
            )
