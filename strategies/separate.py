"""Separate: a fresh back for every task on the same frozen front; the bound for whatever generates or shares backs.

It can't forget, since nothing is shared once the front is frozen; it grows by a whole back a task.

Source: the "independent" learner of Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017, here on a shared
front and with backs of full size (ours).
"""

from dataclasses import dataclass

from clhyper.backbones import Backbone
from clhyper.backbones.heads import SeparateModel
from clhyper.engine import Strategy
from clhyper.options import DepthOptions

__all__ = ["Separate"]


@dataclass(frozen=True, kw_only=True)
class Options(DepthOptions):
    """Hyperparameters of separate training."""


class Separate(Strategy):
    """One newly initialised back h_t a task, trained on its task alone:

        L = CE(h_t(g_phi(x)), y)

    The front g_phi is frozen after the first experience.
    """

    Options = Options
    needs_task_labels = True

    def make_model(self, backbone: Backbone) -> SeparateModel:
        return SeparateModel(backbone, self.freeze_depth)
