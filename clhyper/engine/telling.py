"""What a strategy tells: plugins of steps and of what is no training, users of what was done otherwise than asked."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from avalanche.training.plugins import EvaluationPlugin


class Telling:
    """A strategy's words to its plugins and users.

    `notices`: what was done otherwise than asked for, sentences. `on_notice`: called with each of them, once; it warns.
    `loading_seconds`, `compilation_seconds`: time that is no part of training.
    """

    plugins: list[Any]
    clock: Any
    device: torch.device
    _stop_training: bool

    loading_seconds = 0.0
    compilation_seconds = 0.0
    notices: list[str]
    on_notice: Callable[[str], None]

    def _begin_telling(self) -> None:
        self.notices = []
        self.on_notice = lambda text: warnings.warn(text, RuntimeWarning, stacklevel=3)

    def plugins_with(self, method: str) -> list[Any]:
        """Plugins that have a method which isn't one of Avalanche's hooks."""
        return [plugin for plugin in self.plugins if hasattr(type(plugin), method)]

    def blocks_done(self, steps: int) -> bool:
        """Told of steps that were taken without hooks; returns whether training was asked to stop."""
        for counter in ("train_iterations", "train_exp_iterations", "train_epoch_iterations", "total_iterations"):
            setattr(self.clock, counter, getattr(self.clock, counter) + steps)
        for plugin in self.plugins_with("steps_taken"):
            plugin.steps_taken(self, steps)
        return self._stop_training

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """What happens inside counts as `what` (loading or compilation), and not as training."""
        plugins = self.plugins_with("pause")
        for plugin in plugins:
            plugin.pause(self)
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.current_stream(self.device).synchronize()
            setattr(self, f"{what}_seconds", getattr(self, f"{what}_seconds") + time.perf_counter() - start)
            for plugin in plugins:
                plugin.resume(self)

    def notice(self, text: str) -> None:
        """Warns of something that was done otherwise than asked for, once, and keeps it in `notices`."""
        if text not in self.notices:
            self.notices.append(text)
            self.on_notice(text)


def silent_evaluator() -> EvaluationPlugin:
    """Avalanche's evaluator that tells nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has no loggers, which is what is wanted
        return EvaluationPlugin()
